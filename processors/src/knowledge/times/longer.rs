//! Longer: months, seasons, quarters, years, decades and centuries, told by name or number.
//!
//! Owns: when a bare name or number is one at all ("in May" is, "May I" is not).
//! Never: needs a day.

use super::{
    Grain,
    calendar::{self, Span},
    lexicon::{Plural, Season, Unit, Word},
    reader::{Parsed, Reader},
    relative::calendar_month,
    tense,
};

impl Reader<'_> {
    /// `at` may be a "the" that stands before `begin`. Where `led`, the context says that a time follows.
    pub(super) fn long_period(&self, at: usize, begin: usize, led: bool) -> Option<Parsed> {
        match self.word(begin) {
            Word::Month(month, whole) => self.month(begin, month, whole, led),
            Word::Season(season) => self.season(at, begin, season, led),
            Word::QuarterLetter => self.quarter(begin),
            Word::Sign(b'\'') => self.decade(begin + 1, begin, begin > at || led).or_else(|| self.year(begin, led)),
            Word::Number(..) => self.year(begin, led),
            Word::Decade(..) => self.decade(begin, at, begin > at || led),
            Word::Ordinal(number @ 1..=99) if self.word(begin + 1) == Word::Unit(Unit::Century, Plural::One) => {
                if self.is_before_christ(begin + 2) {
                    return None;
                }
                let span = calendar::century(i32::try_from(number).ok()? - 1)?;
                Some(Parsed::new(span, begin + 2))
            }
            Word::Unit(Unit::Year, Plural::One) => self.year(begin + 1, true),
            _ => None,
        }
    }

    /// The word that leads to a period: the one before it, or before its "the".
    fn lead(&self, at: usize) -> Word {
        match self.before(at) {
            Word::The => at.checked_sub(2).map_or(Word::LineBreak, |index| self.word(index)),
            before => before,
        }
    }

    fn month(&self, at: usize, month: u8, whole: bool, led: bool) -> Option<Parsed> {
        if self.before(at) == Word::Every {
            return None;
        }
        let after = match self.word(at + 1) {
            // "April.2023"
            Word::Sign(b'.') if self.glued(at + 2) => at + 1,
            _ => self.past_dot(at),
        };
        let (year, next) = self.year_after(after);
        if year.is_none() && !self.is_bare_month(at, month, whole, led) {
            return None;
        }
        let span = match year {
            Some(year) => calendar_month(year, month)?,
            None => tense::of_years(self.now, self.said(at, next), |year| calendar_month(year, month))?,
        };
        Some(Parsed::new(span, if year.is_some() { next } else { at + 1 }))
    }

    /// Names of people, verbs and nouns are months only after a word that leads to a time.
    fn is_bare_month(&self, at: usize, month: u8, whole: bool, led: bool) -> bool {
        let lead = self.before(at);
        let is_led = led
            || matches!(
                lead,
                Word::In
                    | Word::Since
                    | Word::Until
                    | Word::By
                    | Word::During
                    | Word::From
                    | Word::To
                    | Word::Between
                    | Word::Before
                    | Word::After
                    | Word::Around
            );
        match (whole, month) {
            (true, 3 | 5) => {
                is_led
                    && (self.capital(at)
                        || matches!(lead, Word::In | Word::Since | Word::Until | Word::Early | Word::Mid | Word::Late))
            }
            (true, 4 | 6 | 8) => is_led,
            (true, _) => true,
            (false, 3) => is_led && self.capital(at),
            (false, _) => is_led,
        }
    }

    fn season(&self, at: usize, begin: usize, season: Season, led: bool) -> Option<Parsed> {
        let (year, next) = self.year_after(begin + 1);
        if let Some(year) = year {
            return Some(Parsed::new(Span::season(year, season)?, next));
        }
        let leads = led || matches!(self.lead(begin), Word::In | Word::During | Word::Since | Word::Until | Word::By);
        // "the fall of Rome", "summer camp"
        if !leads || matches!(self.word(begin + 1), Word::Of | Word::Thing) {
            return None;
        }
        let which = self.said(at, begin + 1);
        Some(Parsed::new(tense::of_years(self.now, which, |year| Span::season(year, season))?, begin + 1))
    }

    /// "Q3", "Q3 2022"; "Q1:" at the beginning of a line is a question.
    fn quarter(&self, at: usize) -> Option<Parsed> {
        let Word::Number(number @ 1..=4, 1) = self.word(at + 1) else { return None };
        let is_label =
            self.before(at) == Word::LineBreak && matches!(self.word(at + 2), Word::Sign(b':' | b'.' | b')'));
        if !self.capital(at) || !self.glued(at + 1) || is_label {
            return None;
        }
        let (year, next) = self.year_after(at + 2);
        let year = year.unwrap_or(self.now.year());
        Some(Parsed::new(calendar::quarter(year, u8::try_from(number).ok()?)?, next))
    }

    /// "in 2016", "'98": a number is a year where the words around it say so.
    pub(super) fn year(&self, at: usize, led: bool) -> Option<Parsed> {
        let (year, next) = self.year_number(at)?;
        let short = self.is_sign(at, b'\'');
        let recent = !short && (1900..2100).contains(&year);
        let is_year = match self.before(at) {
            _ if led => true,
            Word::In | Word::Since => short || (1500..2200).contains(&year),
            // "about 2000 trees", "one of 2000 trees", "a total of 2000"
            Word::Around | Word::Of => recent && self.word(next) != Word::Unknown && !self.is_sum(at),
            Word::During | Word::By | Word::Until | Word::From | Word::Before | Word::After => recent,
            _ => recent && (self.stands_alone() || self.is_subject(next)),
        };
        if !is_year || matches!(self.word(next), Word::Unit(..)) {
            return None;
        }
        Some(Parsed::new(Span::years(year, 1, Grain::Year)?, next))
    }

    fn is_sum(&self, at: usize) -> bool {
        let counted = at.checked_sub(2).and_then(|index| self.spelled(index));
        matches!(counted, Some("total" | "out" | "maximum" | "minimum" | "limit" | "average" | "number" | "sum"))
    }

    /// Whether the text is one number and signs.
    fn stands_alone(&self) -> bool {
        let words = |token: &&super::token::Token| !matches!(token.word, Word::Sign(_) | Word::LineBreak);
        self.tokens.len() < 8 && self.tokens.iter().filter(words).count() == 1
    }

    /// "2020 was": something happened to the year.
    fn is_subject(&self, next: usize) -> bool {
        matches!(self.spelled(next), Some("was" | "is" | "will" | "has" | "had" | "turned"))
    }

    /// "the 90s", "early 2020s", "the nineties". Ages have an owner: "in her thirties".
    fn decade(&self, at: usize, from: usize, led: bool) -> Option<Parsed> {
        let Word::Decade(value, digits) = self.word(at) else { return None };
        if value % 10 != 0 || !self.ends(at + 1) || (digits == 2 && !led) {
            return None;
        }
        if matches!(self.before(from), Word::Possessor | Word::Possessive) {
            return None;
        }
        let value = i32::try_from(value).ok()?;
        let span = match digits {
            4 if value % 100 == 0 && value < 2000 => Span::years(value, 100, Grain::Century)?,
            4 => Span::years(value, 10, Grain::Decade)?,
            2 => {
                let this = self.now.year().div_euclid(100).checked_mul(100)?;
                let year = this.checked_add(value)?;
                let begun = if year > self.now.year() { year.checked_sub(100)? } else { year };
                Span::years(begun, 10, Grain::Decade)?
            }
            _ => return None,
        };
        Some(Parsed::new(span, at + 1))
    }
}
