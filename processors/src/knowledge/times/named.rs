//! Named dates: days that a sender's words stand for, such as "my birthday".
//!
//! Owns: a name as words, and whether its day comes back every year.
//! Never: learns a name from text; who knows the day passes it in with the anchor.

use time::Date;

use super::{
    calendar::Span,
    lexicon::Word,
    reader::{Parsed, Reader},
    tense::{self, Which},
    token,
};

/// A date that words stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDate {
    /// In lower case. A name without words matches nothing.
    words: Vec<String>,
    date: Date,
    yearly: bool,
}

impl NamedDate {
    /// A day that comes back every year, such as "my birthday". 29 February comes back in leap years only.
    pub fn yearly(name: &str, date: Date) -> NamedDate {
        NamedDate { words: words_of(name), date, yearly: true }
    }

    /// A day that was or will be once, such as "our wedding".
    pub fn once(name: &str, date: Date) -> NamedDate {
        NamedDate { words: words_of(name), date, yearly: false }
    }

    fn in_year(&self, year: i32) -> Option<Span> {
        Span::day(Date::from_calendar_date(year, self.date.month(), self.date.day()).ok()?)
    }
}

fn words_of(name: &str) -> Vec<String> {
    token::tokens_in(name).iter().map(|token| name[token.start..token.end].to_lowercase()).collect()
}

impl Reader<'_> {
    /// "my birthday", "my last birthday".
    pub(super) fn named(&self, at: usize) -> Option<Parsed> {
        self.anchor.named.iter().find_map(|named| self.one_named(at, named))
    }

    fn one_named(&self, at: usize, named: &NamedDate) -> Option<Parsed> {
        let (first, rest) = named.words.split_first()?;
        let spelled =
            |index: usize, word: &String| self.spelled(index).is_some_and(|text| text.to_lowercase() == *word);
        if !spelled(at, first) {
            return None;
        }
        let pointed = match self.word(at + 1) {
            Word::Last | Word::Past => Some(Which::Last),
            Word::Next | Word::Coming => Some(Which::Next),
            Word::This => Some(Which::This),
            _ => None,
        };
        let begin = at + 1 + usize::from(pointed.is_some());
        if !rest.iter().zip(begin..).all(|(word, index)| spelled(index, word)) {
            return None;
        }
        let next = begin + rest.len();
        if !named.yearly {
            return Some(Parsed::new(Span::day(named.date)?, next));
        }
        let (year, next) = self.year_after(next);
        let span = match year {
            Some(year) => named.in_year(year)?,
            None => {
                let which = pointed.unwrap_or_else(|| self.said(at, next));
                tense::of_years(self.now, which, |year| named.in_year(year))?
            }
        };
        Some(Parsed::new(span, next))
    }
}
