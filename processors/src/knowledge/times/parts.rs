//! Parts: pieces of a period ("mid-May", "the end of the year", "the first week of May", "the second half of 2021").
//!
//! Owns: how periods are cut, and which of several units in one is meant.
//! Never: resolves the period that is cut.

use time::{Date, Duration};

use super::{
    Grain,
    calendar::{self, Span, midnight, plus_days, plus_months},
    lexicon::{Plural, Unit, Word},
    reader::{Parsed, Reader},
};

/// Which piece of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    First,
    Middle,
    Last,
}

/// Which of the units in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// From 1.
    Nth(u32),
    Last,
}

impl Reader<'_> {
    /// "early June", "mid-90s", "late last night", "the end of the month", "the beginning of next year".
    pub(super) fn part_of(&self, at: usize, depth: u8) -> Option<Parsed> {
        let (piece, is_edge) = match self.word(at) {
            Word::Early => (Piece::First, false),
            Word::Mid => (Piece::Middle, false),
            Word::Late => (Piece::Last, false),
            Word::Beginning => (Piece::First, true),
            Word::Middle => (Piece::Middle, false),
            Word::End => (Piece::Last, true),
            _ => return None,
        };
        let whole = match self.word(at) {
            Word::Beginning | Word::Middle | Word::End if self.word(at + 1) == Word::Of => {
                self.container(at + 2, depth)?
            }
            Word::Beginning | Word::Middle | Word::End => return None,
            _ => {
                let begin = self.past_word(self.past_word(at + 1, Word::Sign(b'-')), Word::In);
                self.container(begin, depth)?
            }
        };
        Some(Parsed::new(cut(whole.span, piece, is_edge)?, whole.next))
    }

    /// "the first week of May", "the last Friday of the month", "the third quarter of 2021", "the first half of May".
    pub(super) fn numbered_in(&self, at: usize, depth: u8) -> Option<Parsed> {
        let place = match self.word(at) {
            Word::Ordinal(number) => Place::Nth(number),
            Word::Last => Place::Last,
            _ => return None,
        };
        if !matches!(self.word(at + 2), Word::Of | Word::In) {
            return None;
        }
        let unit = self.word(at + 1);
        if !matches!(unit, Word::Unit(_, Plural::One) | Word::Weekday(_, true) | Word::Half) {
            return None;
        }
        let whole = self.container(at + 3, depth)?;
        Some(Parsed::new(self.placed(place, unit, whole.span)?, whole.next))
    }

    /// A period that others are part of: "the month" is the message's own.
    fn container(&self, at: usize, depth: u8) -> Option<Parsed> {
        if let (Word::The, Word::Unit(unit, Plural::One)) = (self.word(at), self.word(at + 1))
            && unit.grain() >= Grain::Day
            && self.word(at + 2) != Word::Of
        {
            return Some(Parsed::new(Span::around(unit, self.now, self.anchor.week_start)?, at + 2));
        }
        self.period(at, true, depth + 1).filter(Self::is_plain)
    }

    fn placed(&self, place: Place, unit: Word, whole: Span) -> Option<Span> {
        let (first, end) = (whole.start.date(), whole.last_day()?.next_day()?);
        let span = match (unit, place) {
            (Word::Half, _) => return half(place, whole),
            (Word::Weekday(days, _), Place::Nth(number)) => {
                let day = calendar::weekday_from(first, calendar::weekday(days))?;
                Span::day(plus_days(day, 7 * (i64::from(number) - 1))?)?
            }
            (Word::Weekday(days, _), Place::Last) => {
                Span::day(calendar::weekday_before(end, calendar::weekday(days))?)?
            }
            (Word::Unit(Unit::Weekend, _), Place::Nth(number)) => {
                let weekend = calendar::weekend_from(first)?;
                Span::stretch(plus_days(weekend.start.date(), 7 * (i64::from(number) - 1))?, 2, Grain::Weekend)?
            }
            (Word::Unit(Unit::Weekend, _), Place::Last) => calendar::weekend_from(plus_days(end, -8)?)?,
            (Word::Unit(unit, _), _) => unit_in(place, unit, first, end)?,
            _ => return None,
        };
        // A fifth Monday, or a second week of a day, is in no period that has none.
        (span.grain < whole.grain && span.start >= whole.start && span.start < whole.end).then_some(span)
    }
}

/// Days and weeks are counted from the period's first day, longer units by the calendar.
fn unit_in(place: Place, unit: Unit, first: Date, end: Date) -> Option<Span> {
    let steps = |number: u32| i32::try_from(number).ok()?.checked_sub(1);
    let months = match unit {
        Unit::Day | Unit::Week => {
            let days = if unit == Unit::Day { 1 } else { 7 };
            let start = match place {
                Place::Nth(number) => plus_days(first, days * i64::from(steps(number)?))?,
                Place::Last => plus_days(end, -days)?,
            };
            return Span::stretch(start, days, unit.grain());
        }
        Unit::Month => 1,
        Unit::Quarter => 3,
        Unit::Year => 12,
        Unit::Decade => 120,
        _ => return None,
    };
    let start = match place {
        Place::Nth(number) => plus_months(first, steps(number)?.checked_mul(months)?)?,
        Place::Last => plus_months(end, -months)?,
    };
    Span::months(start, months, unit.grain())
}

/// Halves keep the grain of the whole.
fn half(place: Place, whole: Span) -> Option<Span> {
    let middle = match whole.grain {
        Grain::Month => plus_days(whole.start.date(), 15)?,
        Grain::Year => plus_months(whole.start.date(), 6)?,
        Grain::Decade => plus_months(whole.start.date(), 60)?,
        Grain::Century => plus_months(whole.start.date(), 600)?,
        _ => return None,
    };
    match place {
        Place::Nth(1) => Span::new(whole.start, midnight(middle), whole.grain),
        Place::Nth(2) | Place::Last => Span::new(midnight(middle), whole.end, whole.grain),
        Place::Nth(_) => None,
    }
}

/// A piece of a period, which keeps its grain. The edges of a year are quarters of it, everything else is cut in three.
fn cut(whole: Span, piece: Piece, is_edge: bool) -> Option<Span> {
    let first = whole.start.date();
    let hours = |hours: i64| whole.start.checked_add(Duration::hours(hours));
    let days = |days: i64| Some(midnight(plus_days(first, days)?));
    let months = |months: i32| Some(midnight(plus_months(first, months)?));
    let (one, two) = match whole.grain {
        Grain::Day => (hours(12)?, hours(18)?),
        Grain::DayPart => match (whole.end - whole.start).whole_hours() {
            7 => (hours(3)?, hours(5)?),
            11 => (hours(3)?, hours(4)?),
            _ => (hours(2)?, hours(4)?),
        },
        Grain::Week => (days(2)?, days(4)?),
        Grain::Month => (days(10)?, days(20)?),
        Grain::Quarter | Grain::Season => (months(1)?, months(2)?),
        Grain::Year if is_edge => (months(3)?, months(9)?),
        Grain::Year => (months(4)?, months(8)?),
        Grain::Decade => (months(48)?, months(84)?),
        Grain::Century => (months(480)?, months(840)?),
        Grain::Minute | Grain::Hour | Grain::Weekend => return None,
    };
    let grain = if whole.grain == Grain::Day { Grain::DayPart } else { whole.grain };
    match piece {
        Piece::First => Span::new(whole.start, one, grain),
        Piece::Middle => Span::new(one, two, grain),
        Piece::Last => Span::new(two, whole.end, grain),
    }
}
