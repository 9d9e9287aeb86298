//! Reader: one pass over the tokens of a text, which takes the longest expression that begins at each.
//!
//! Owns: where an expression may begin and end, the order in which forms are tried, and open intervals.
//! Promises: each place is tried once, and a try looks at a bounded number of tokens.
//! Never: knows a form's words; those are with the forms (`relative`, `dates`, `clock`, ...).

use std::cell::Cell;

use time::{Date, OffsetDateTime, PrimitiveDateTime, UtcOffset};

use super::{
    Anchor, Bound, Grain, TimeMention,
    calendar::Span,
    lexicon::{Plural, Unit, Word},
    tense::{self, Direction, Which},
    token::Token,
};
use crate::Micros;

/// How deep expressions may stand in one another ("the week before the first Monday of May").
const DEPTH: u8 = 3;

/// An expression that was read: what it stands for, and the token after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parsed {
    pub(super) span: Span,
    pub(super) next: usize,
    pub(super) bound: Bound,
}

impl Parsed {
    pub(super) fn new(span: Span, next: usize) -> Parsed {
        Parsed { span, next, bound: Bound::Within }
    }
}

pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) tokens: &'t [Token],
    pub(super) anchor: &'t Anchor,
    /// The message's time in its own zone.
    pub(super) now: PrimitiveDateTime,
    /// Up to where a date that does not exist was read ("30 February"): no part of it is a mention.
    pub(super) dead: Cell<usize>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, tokens: &'t [Token], anchor: &'t Anchor) -> Option<Reader<'t>> {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(anchor.at) * 1_000).ok()?;
        let local = at.checked_to_offset(anchor.offset)?;
        let now = PrimitiveDateTime::new(local.date(), local.time());
        Some(Reader { text, tokens, anchor, now, dead: Cell::new(0) })
    }

    pub(super) fn mentions(self) -> Vec<TimeMention> {
        let mut mentions = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let parsed = if self.begins(at) { self.expression(at) } else { None };
            if self.dead.get() > at {
                at = self.dead.get();
                continue;
            }
            let mention = parsed.filter(|parsed| parsed.next > at && self.ends(parsed.next));
            let Some((parsed, mention)) = mention.and_then(|parsed| Some((parsed, self.mention(at, parsed)?))) else {
                at += 1;
                continue;
            };
            mentions.push(mention);
            at = parsed.next;
        }
        mentions
    }

    fn mention(&self, at: usize, parsed: Parsed) -> Option<TimeMention> {
        let text = self.tokens.get(at)?.start..self.tokens.get(parsed.next - 1)?.end;
        let (start, end) = (self.micros(parsed.span.start)?, self.micros(parsed.span.end)?);
        (start < end).then_some(TimeMention { text, start, end, grain: parsed.span.grain, bound: parsed.bound })
    }

    fn micros(&self, local: PrimitiveDateTime) -> Option<Micros> {
        Micros::try_from(local.assume_offset(self.anchor.offset).unix_timestamp_nanos().div_euclid(1_000)).ok()
    }

    /// A moment of another zone as the sender's clock shows it.
    pub(super) fn local(&self, moment: PrimitiveDateTime, zone: UtcOffset) -> Option<PrimitiveDateTime> {
        let local = moment.assume_offset(zone).checked_to_offset(self.anchor.offset)?;
        Some(PrimitiveDateTime::new(local.date(), local.time()))
    }

    pub(super) fn today(&self) -> Date {
        self.now.date()
    }

    pub(super) fn word(&self, index: usize) -> Word {
        self.tokens.get(index).map_or(Word::LineBreak, |token| token.word)
    }

    pub(super) fn before(&self, index: usize) -> Word {
        index.checked_sub(1).map_or(Word::LineBreak, |index| self.word(index))
    }

    pub(super) fn spelled(&self, index: usize) -> Option<&'t str> {
        self.tokens.get(index).map(|token| &self.text[token.start..token.end])
    }

    pub(super) fn glued(&self, index: usize) -> bool {
        self.tokens.get(index).is_some_and(|token| token.glued)
    }

    pub(super) fn capital(&self, index: usize) -> bool {
        self.tokens.get(index).is_some_and(|token| token.capital)
    }

    pub(super) fn is_sign(&self, index: usize, sign: u8) -> bool {
        self.word(index) == Word::Sign(sign)
    }

    /// The index after an optional word.
    pub(super) fn past_word(&self, index: usize, word: Word) -> usize {
        index + usize::from(self.word(index) == word)
    }

    pub(super) fn direction(&self, from: usize, to: usize) -> Direction {
        tense::direction(self.tokens, from, to)
    }

    /// The occurrence that the sentence around an expression means.
    pub(super) fn said(&self, from: usize, to: usize) -> Which {
        Which::Said(self.direction(from, to))
    }

    /// Whether an expression may begin at a token: not inside of a word, and no number inside of a longer one.
    fn begins(&self, at: usize) -> bool {
        let token = self.tokens[at];
        match token.word {
            Word::Unknown if self.anchor.named.is_empty() => return false,
            Word::Tense(_)
            | Word::Function
            | Word::Being
            | Word::Measure
            | Word::Thing
            | Word::LineBreak
            | Word::Possessive => {
                return false;
            }
            Word::Possessor if self.anchor.named.is_empty() => return false,
            Word::Sign(sign) => return sign == b'\'' && !token.glued,
            _ => {}
        }
        if !token.glued {
            return true;
        }
        match (token.word, self.before(at)) {
            (Word::Number(..) | Word::Ordinal(_) | Word::Decade(..), Word::Sign(sign)) => {
                matches!(sign, b'(' | b'[' | b'"' | b'\'' | b'~' | b'<' | b'>' | b'|' | b'*')
            }
            (_, Word::Sign(_)) => true,
            _ => false,
        }
    }

    /// Whether an expression may end before a token.
    pub(super) fn ends(&self, next: usize) -> bool {
        if !self.glued(next) {
            return true;
        }
        let is_number = matches!(self.before(next), Word::Number(..) | Word::Ordinal(_) | Word::Decade(..));
        match self.word(next) {
            Word::Possessive => true,
            Word::Sign(b'%' | b'$') => !is_number,
            Word::Sign(b'-' | b'/' | b'.' | b':' | b',' | b'+') => {
                !(is_number && self.glued(next + 1)) || matches!(self.word(next + 1), Word::Sign(_))
            }
            Word::Sign(_) => true,
            _ => false,
        }
    }

    /// What begins at a token: an open interval, a range, or one period.
    fn expression(&self, at: usize) -> Option<Parsed> {
        match self.word(at) {
            Word::Since | Word::Until | Word::By | Word::Before | Word::After => self.open(at),
            Word::From => self.range(at + 1, Word::To),
            Word::Between => self.range(at + 1, Word::And),
            Word::In => self.in_count(at),
            Word::Within => self.within_count(at),
            Word::On => None,
            _ => self.range(at, Word::To).or_else(|| self.period(at, false, 0)),
        }
    }

    /// "since 2016", "until May", "by 5pm", "before Christmas".
    fn open(&self, at: usize) -> Option<Parsed> {
        let begin = self.past_end_of_day(self.past_word(at + 1, Word::Around));
        let named = self.period(begin, true, 0).or_else(|| self.led_clock(begin))?;
        if named.bound != Bound::Within {
            return None;
        }
        let span = named.span;
        // A clock time ends a period when it strikes; anything longer is part of it.
        let close = if span.grain <= Grain::Hour { span.start } else { span.end };
        let (bound, reached) = match self.word(at) {
            Word::Since => (Bound::Since, Span::new(span.start, self.now, span.grain)),
            Word::Before => (Bound::Before, None),
            Word::After => (Bound::After, None),
            _ => (Bound::Until, Span::new(self.now, close, span.grain)),
        };
        Some(Parsed { span: reached.unwrap_or(span), next: named.next, bound })
    }

    /// "by the end of the day Friday": an open interval ends with the day anyway.
    fn past_end_of_day(&self, at: usize) -> usize {
        let end = self.past_word(at, Word::The);
        if (self.word(end), self.word(end + 1)) != (Word::End, Word::Of) {
            return at;
        }
        let day = self.past_word(end + 2, Word::The);
        let follows = matches!(self.word(day + 1), Word::Weekday(..) | Word::Day(_) | Word::On);
        if self.word(day) == Word::Unit(Unit::Day, Plural::One) && follows {
            self.past_word(day + 1, Word::On)
        } else {
            at
        }
    }

    /// One period. Where `led`, the words before make clear that a bare month, year or season is one.
    pub(super) fn period(&self, at: usize, led: bool, depth: u8) -> Option<Parsed> {
        if depth > DEPTH {
            return None;
        }
        let begin = self.past_word(at, Word::The);
        let clock = self.clock_on_day(at, depth);
        clock
            .or_else(|| self.counted(begin, depth))
            .or_else(|| self.beside(begin, depth))
            .or_else(|| self.numbered_in(begin, depth))
            .or_else(|| self.part_of(begin, depth))
            .or_else(|| self.dated(at, begin, led).and_then(|day| self.with_time(day)))
    }

    /// A period that stands alone: no other is part of it but a time of day.
    fn dated(&self, at: usize, begin: usize, led: bool) -> Option<Parsed> {
        let with_the = begin > at;
        self.relative(begin, with_the)
            .or_else(|| self.named(at))
            .or_else(|| self.numeric_date(begin))
            .or_else(|| self.calendar_date(begin))
            .or_else(|| self.weekday(begin))
            .or_else(|| self.holiday(begin))
            .or_else(|| self.day_of_month(begin))
            .or_else(|| self.long_period(at, begin, led))
    }
}
