//! Beside: periods told from another period ("two days ago", "the week before 9 June", "the morning of 5 May").
//!
//! Owns: counting units away from a period, and the unit next to one.
//! Never: resolves the period that it is told from.

use time::Date;

use super::{
    Grain,
    calendar::{self, Span, midnight, plus_days, plus_units},
    lexicon::{Part, Plural, Season, Unit, Word},
    reader::{Parsed, Reader},
    relative::Count,
    tense::{self, Which},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl Reader<'_> {
    /// "two weeks ago", "five years from now", "three days after my birthday", "two Fridays ago".
    pub(super) fn counted(&self, at: usize, depth: u8) -> Option<Parsed> {
        let (count, unit_at) = self.count(at)?;
        match self.word(unit_at) {
            Word::Unit(..) => self.counted_units(count, unit_at, depth),
            Word::Weekdays(days) => self.counted_weekdays(count, unit_at, days, depth),
            Word::Part(Part::Night) if self.word(unit_at + 1) == Word::Ago => {
                let span = Span::part(plus_days(self.today(), -count.low)?, Part::Night)?;
                Some(Parsed::new(span, unit_at + 2))
            }
            Word::Seasons(season) if self.word(unit_at + 1) == Word::Ago => {
                let last = tense::of_years(self.now, Which::Last, |year| Span::season(year, season))?;
                let years = i32::try_from(count.low).ok()?.checked_sub(1)?;
                Some(Parsed::new(Span::season(last.start.year().checked_sub(years)?, season)?, unit_at + 2))
            }
            _ => None,
        }
    }

    fn counted_units(&self, count: Count, at: usize, depth: u8) -> Option<Parsed> {
        let (unit, count, next) = self.counted_unit(count, at)?;
        if self.word(next) == Word::And {
            return self.summed_units(unit, count, next + 1);
        }
        match (self.word(next), self.word(next + 1)) {
            // "a year ago today"
            (Word::Ago, Word::Day(0)) => {
                let day = plus_units(self.now, unit, -count.low)?.date();
                Some(Parsed::new(Span::day(day)?, next + 2))
            }
            (Word::Ago, _) => Some(Parsed::new(self.shifted(unit, -count.high, -count.low, self.now)?, next + 1)),
            (Word::From, Word::Now) => {
                Some(Parsed::new(self.shifted(unit, count.low, count.high, self.now)?, next + 2))
            }
            (Word::From | Word::After | Word::Before, _) => {
                let from = self.period(next + 1, true, depth + 1).filter(Self::is_plain)?;
                let side = if self.word(next) == Word::Before { Side::Before } else { Side::After };
                if self.word(next) == Word::From {
                    return self.counted_from(unit, count, from);
                }
                Some(Parsed::new(self.units_beside(unit, count, side, from.span)?, from.next))
            }
            _ => None,
        }
    }

    /// "six months and two days ago": told in the second unit.
    fn summed_units(&self, unit: Unit, count: Count, at: usize) -> Option<Parsed> {
        let (second, unit_at) = self.count(at)?;
        let (finer, second, next) = self.counted_unit(second, unit_at)?;
        let sign = match (self.word(next), self.word(next + 1)) {
            (Word::Ago, _) => -1,
            (Word::From, Word::Now) => 1,
            _ => return None,
        };
        let near = plus_units(self.now, unit, sign * count.low)?;
        let span = self.shifted(finer, sign * second.low, sign * second.low, near)?;
        Some(Parsed::new(span, next + if sign < 0 { 1 } else { 2 }))
    }

    /// "A week from Friday" is a Friday. "Two days from 3 to 5 May" says how long, and when after that.
    fn counted_from(&self, unit: Unit, count: Count, from: Parsed) -> Option<Parsed> {
        if matches!(self.word(from.next), Word::To | Word::Until) {
            return None;
        }
        if from.span.grain != Grain::Day || unit.grain() < Grain::Week {
            return Some(Parsed::new(self.units_beside(unit, count, Side::After, from.span)?, from.next));
        }
        let first = plus_units(from.span.start, unit, count.low)?.date();
        let last = plus_units(from.span.start, unit, count.high)?.date();
        Some(Parsed::new(Span::days(first, last.next_day()?, Grain::Day)?, from.next))
    }

    fn units_beside(&self, unit: Unit, count: Count, side: Side, from: Span) -> Option<Span> {
        if unit == Unit::Weekend {
            let first = weekend_beside(side, from)?;
            let weeks = count.low.checked_sub(1)? * if side == Side::Before { -7 } else { 7 };
            return Span::stretch(plus_days(first.start.date(), weeks)?, 2, Grain::Weekend);
        }
        match side {
            Side::Before => self.shifted(unit, -count.high, -count.low, from.start),
            Side::After if from.grain <= Grain::Day => self.shifted(unit, count.low, count.high, from.start),
            Side::After => self.shifted(unit, count.low, count.high, midnight(from.last_day()?)),
        }
    }

    fn counted_weekdays(&self, count: Count, at: usize, days: u8, depth: u8) -> Option<Parsed> {
        let weekday = calendar::weekday(days);
        let (before, next) = match self.word(at + 1) {
            Word::Ago => (self.today(), at + 2),
            Word::Before => {
                let from = self.period(at + 2, true, depth + 1).filter(Self::is_plain)?;
                (from.span.start.date(), from.next)
            }
            _ => return None,
        };
        let weeks = count.low.checked_sub(1)?;
        let day = plus_days(calendar::weekday_before(before, weekday)?, weeks.checked_mul(-7)?)?;
        Some(Parsed::new(Span::day(day)?, next))
    }

    /// "the week before 9 June", "the day after tomorrow", "the Friday before last", "the week of 23 August".
    pub(super) fn beside(&self, at: usize, depth: u8) -> Option<Parsed> {
        let side = match self.word(at + 1) {
            Word::Before => Side::Before,
            Word::After => Side::After,
            Word::Of => return self.holding(at, depth),
            _ => return None,
        };
        match (side, self.word(at + 2)) {
            (Side::Before, Word::Last) | (Side::After, Word::Next) if !self.is_pointed_at(at + 3) => {
                return Some(Parsed::new(self.second_beside(self.word(at), side)?, at + 3));
            }
            _ => {}
        }
        if !matches!(self.word(at), Word::Unit(_, Plural::One) | Word::Part(_) | Word::Weekday(..) | Word::Season(_)) {
            return None;
        }
        let from = self.period(at + 2, true, depth + 1).filter(Self::is_plain)?;
        Some(Parsed::new(self.next_to(self.word(at), side, from.span)?, from.next))
    }

    fn is_pointed_at(&self, at: usize) -> bool {
        use Word::{Holiday, HolidayLead, Month, Part, Season, Unit, Weekday};
        matches!(self.word(at), Unit(..) | Part(_) | Weekday(..) | Month(..) | Season(_) | Holiday | HolidayLead)
    }

    /// "before last" and "after next": two away.
    fn second_beside(&self, word: Word, side: Side) -> Option<Span> {
        let steps = if side == Side::Before { -2 } else { 2 };
        match word {
            Word::Unit(unit, Plural::One) if unit.grain() >= Grain::Weekend => {
                let now = self.now.replace_day(1).ok().filter(|_| matches!(unit, Unit::Month | Unit::Quarter));
                self.shifted(unit, steps, steps, now.unwrap_or(self.now))
            }
            Word::Part(Part::Night) if side == Side::Before => Span::part(plus_days(self.today(), -2)?, Part::Night),
            Word::Weekday(days, _) => {
                let weekday = calendar::weekday(days);
                let day = match side {
                    Side::Before => plus_days(calendar::weekday_before(self.today(), weekday)?, -7)?,
                    Side::After => {
                        let week = calendar::week_of(self.today(), self.anchor.week_start)?;
                        calendar::weekday_from(plus_days(week, 14)?, weekday)?
                    }
                };
                Span::day(day)
            }
            Word::Season(season) if side == Side::Before => {
                let last = tense::of_years(self.now, Which::Last, |year| Span::season(year, season))?;
                Span::season(last.start.year().checked_sub(1)?, season)
            }
            _ => None,
        }
    }

    fn next_to(&self, word: Word, side: Side, from: Span) -> Option<Span> {
        match word {
            Word::Unit(Unit::Weekend, _) => weekend_beside(side, from),
            Word::Unit(unit, _) => self.unit_beside(unit, side, from),
            Word::Part(part) => Span::part(day_beside(side, from)?, part),
            Word::Weekday(days, _) => {
                let weekday = calendar::weekday(days);
                Span::day(match side {
                    Side::Before => calendar::weekday_before(from.start.date(), weekday)?,
                    Side::After => calendar::weekday_from(day_beside(side, from)?, weekday)?,
                })
            }
            Word::Season(season) => season_beside(season, side, from),
            _ => None,
        }
    }

    /// Seven days next to a day are "the week" there; next to a month, "the month" is the calendar month.
    fn unit_beside(&self, unit: Unit, side: Side, from: Span) -> Option<Span> {
        let steps = if side == Side::Before { -1 } else { 1 };
        match unit {
            Unit::Day => Span::day(day_beside(side, from)?),
            Unit::Week | Unit::Fortnight | Unit::Month | Unit::Quarter | Unit::Year | Unit::Decade | Unit::Century => {
                let edge = if side == Side::Before { from.start } else { midnight(day_beside(side, from)?) };
                if from.grain >= unit.grain() && unit.grain() > Grain::Week {
                    let inner = if side == Side::Before { midnight(day_beside(side, from)?) } else { edge };
                    return Span::around(unit, inner, self.anchor.week_start);
                }
                let far = plus_units(edge, unit, steps)?;
                Span::days(edge.min(far).date(), edge.max(far).date(), unit.grain())
            }
            Unit::Second | Unit::Minute | Unit::Hour | Unit::Weekend => None,
        }
    }

    /// "the week of 23 August", "the morning of 5 May", "the month of May", "the year of 2016".
    fn holding(&self, at: usize, depth: u8) -> Option<Parsed> {
        if !matches!(self.word(at), Word::Unit(_, Plural::One) | Word::Part(_)) {
            return None;
        }
        let held = self.period(at + 2, true, depth + 1).filter(Self::is_plain)?;
        let span = match self.word(at) {
            Word::Unit(unit, _) if unit.grain() == held.span.grain => held.span,
            Word::Unit(unit @ (Unit::Week | Unit::Weekend), _) if held.span.grain <= Grain::Day => {
                Span::around(unit, held.span.start, self.anchor.week_start)?
            }
            Word::Part(part) if held.span.grain == Grain::Day => Span::part(held.span.start.date(), part)?,
            _ => return None,
        };
        Some(Parsed::new(span, held.next))
    }
}

/// The day before a span or the one after it.
fn day_beside(side: Side, from: Span) -> Option<Date> {
    match side {
        Side::Before => from.start.date().previous_day(),
        Side::After => from.last_day()?.next_day(),
    }
}

fn weekend_beside(side: Side, from: Span) -> Option<Span> {
    match side {
        // It has to be over when the span begins.
        Side::Before => calendar::weekend_from(plus_days(from.start.date(), -8)?),
        Side::After => calendar::weekend_from(day_beside(side, from)?),
    }
}

fn season_beside(season: Season, side: Side, from: Span) -> Option<Span> {
    let year = from.start.year();
    let mut spans = [-1, 0, 1, 2].into_iter().filter_map(|offset| Span::season(year.checked_add(offset)?, season));
    match side {
        Side::Before => spans.rfind(|span| span.end <= from.start),
        Side::After => spans.find(|span| span.start >= from.end),
    }
}
