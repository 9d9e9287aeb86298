//! Ranges: periods from one time to another ("from 3 to 7 May", "between March and May 2021", "2-4pm").
//!
//! Owns: what the two ends lend each other: a month, a year, a direction.
//! Never: joins ends of different grain.

use time::Duration;

use super::{
    Grain,
    calendar::{Span, plus_days, plus_months},
    lexicon::Word,
    reader::{Parsed, Reader},
    tense::{self, Direction},
};

impl Reader<'_> {
    /// A range whose first end begins at a token. After "between", the ends are joined by "and".
    pub(super) fn range(&self, at: usize, joint: Word) -> Option<Parsed> {
        let led = matches!(self.before(at), Word::From | Word::Between);
        let clocks = if led { self.clock_range(at - 1) } else { self.clock_range(at) };
        clocks
            .or_else(|| self.days_of_one_month(at, joint))
            .or_else(|| self.months_and_days(at, joint))
            .or_else(|| self.years(at, joint, led))
            .or_else(|| self.joined(at, joint, led))
    }

    /// The index after the word or dash that joins two ends.
    fn past_joint(&self, at: usize, joint: Word) -> Option<usize> {
        let joins = match self.word(at) {
            Word::Sign(b'-') => true,
            Word::To | Word::Until => joint == Word::To,
            Word::And => joint == Word::And,
            _ => false,
        };
        joins.then_some(at + 1)
    }

    /// "3 to 7 May 2023".
    fn days_of_one_month(&self, at: usize, joint: Word) -> Option<Parsed> {
        let (first, next) = self.day_number(self.past_word(at, Word::The))?;
        let end_at = self.past_word(self.past_joint(next, joint)?, Word::The);
        let end = self.calendar_date(end_at).filter(|_| self.day_number(end_at).is_some())?;
        let start = end.span.start.date().replace_day(first).ok()?;
        Some(Parsed::new(Span::days(start, end.span.end.date(), Grain::Day)?, end.next))
    }

    /// "May 3-7, 2023".
    fn months_and_days(&self, at: usize, joint: Word) -> Option<Parsed> {
        let month = self.month_name(at, false)?;
        let (first, next) = self.day_number(self.past_dot(at))?;
        let (last, next) = self.day_number(self.past_joint(next, joint)?)?;
        if self.month_name(next, true).is_some() || !self.ends(next) {
            return None;
        }
        let (year, next) = self.year_after(next);
        let in_year = |year: i32| {
            let month = time::Month::try_from(month).ok()?;
            let day = |day| time::Date::from_calendar_date(year, month, day).ok();
            Span::days(day(first)?, day(last)?.next_day()?, Grain::Day)
        };
        let span = match year {
            Some(year) => in_year(year)?,
            None => tense::near_of_years(self.now, self.direction(at, next), in_year)?,
        };
        Some(Parsed::new(span, next))
    }

    /// "from 2016 to 2019", "2016-2019".
    fn years(&self, at: usize, joint: Word, led: bool) -> Option<Parsed> {
        let Word::Number(first @ 1500..=2199, 4) = self.word(at) else { return None };
        let end_at = self.past_joint(at + 1, joint)?;
        let (last, next) = self.year_number(end_at)?;
        let is_dash = self.is_sign(at + 1, b'-');
        if !led && !is_dash || is_dash && !(1900..2100).contains(&first) {
            return None;
        }
        let first = i32::try_from(first).ok()?;
        Some(Parsed::new(Span::years(first, last.checked_sub(first)?.checked_add(1)?, Grain::Year)?, next))
    }

    /// Two periods of one grain.
    fn joined(&self, at: usize, joint: Word, led: bool) -> Option<Parsed> {
        let start = self.period(at, led, 1).filter(Self::is_plain)?;
        // "on Monday and Friday" are two.
        let end_at = self.past_joint(start.next, joint)?;
        let end = self.period(end_at, true, 1).filter(Self::is_plain)?;
        let (from, to) = (start.span, end.span);
        let hours = from.grain <= Grain::Hour && to.grain <= Grain::Hour;
        if from.grain != to.grain && !hours || !self.ends(end.next) {
            return None;
        }
        let grain = from.grain.min(to.grain);
        let (from, to) = if hours { (from, to) } else { self.in_order(at, start, end)? };
        let close = if hours { to.start } else { to.end };
        let close = if hours && close <= from.start { close.checked_add(Duration::DAY)? } else { close };
        Some(Parsed::new(Span::new(from.start, close, grain)?, end.next))
    }

    /// The ends in order: one without a year takes it from the other, and what was read backwards goes on.
    fn in_order(&self, at: usize, start: Parsed, end: Parsed) -> Option<(Span, Span)> {
        let (mut from, mut to) = (start.span, end.span);
        let (from_told, to_told) = (self.has_year(at, start.next), self.has_year(start.next, end.next));
        let by_week = self.word(start.next - 1).is_weekday() && self.word(end.next - 1).is_weekday();
        if !from_told && to_told && !by_week {
            let years = to.start.year().checked_sub(from.start.year())?;
            from = moved_years(from, years)?;
            if from.start > to.start {
                from = moved_years(from, -1)?;
            }
            return Some((from, to));
        }
        if from_told && !to_told && !by_week {
            to = moved_years(to, from.start.year().checked_sub(to.start.year())?)?;
        }
        if from.start <= to.start {
            return Some((from, to));
        }
        let back = self.direction(at, end.next) == Direction::Back && !from_told;
        match (by_week, back) {
            (true, true) => from = moved_days(from, -7)?,
            (true, false) => to = moved_days(to, 7)?,
            (false, true) => from = moved_years(from, -1)?,
            (false, false) => to = moved_years(to, 1)?,
        }
        Some((from, to))
    }

    fn has_year(&self, from: usize, to: usize) -> bool {
        (from..to).any(|index| {
            matches!(self.word(index), Word::Number(1000.., 4) | Word::Last | Word::This | Word::Next | Word::Day(_))
                || self.is_sign(index, b'\'')
        })
    }
}

fn moved_days(span: Span, days: i64) -> Option<Span> {
    Span::days(plus_days(span.start.date(), days)?, plus_days(span.end.date(), days)?, span.grain)
}

fn moved_years(span: Span, years: i32) -> Option<Span> {
    let months = years.checked_mul(12)?;
    Span::days(plus_months(span.start.date(), months)?, plus_months(span.end.date(), months)?, span.grain)
}
