//! Calendar: periods of local time, and how they are shifted and counted.
//!
//! Owns: the arithmetic of days, weeks, months and years; every step is checked and gives `None` out of range.
//! Never: knows a word, a tense or a zone.

use time::{Date, Duration, Month, PrimitiveDateTime, Time, Weekday};

use super::{
    Grain,
    lexicon::{Part, Season, Unit},
};

/// A period of local time with its grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: PrimitiveDateTime,
    /// Exclusive.
    pub(super) end: PrimitiveDateTime,
    pub(super) grain: Grain,
}

impl Span {
    pub(super) fn new(start: PrimitiveDateTime, end: PrimitiveDateTime, grain: Grain) -> Option<Span> {
        (start < end).then_some(Span { start, end, grain })
    }

    pub(super) fn days(first: Date, end: Date, grain: Grain) -> Option<Span> {
        Span::new(midnight(first), midnight(end), grain)
    }

    pub(super) fn day(date: Date) -> Option<Span> {
        Span::days(date, date.next_day()?, Grain::Day)
    }

    /// The days from `first`, as many as asked for.
    pub(super) fn stretch(first: Date, days: i64, grain: Grain) -> Option<Span> {
        Span::days(first, plus_days(first, days)?, grain)
    }

    /// Whole months: the first of the `count` months.
    pub(super) fn months(first: Date, count: i32, grain: Grain) -> Option<Span> {
        let first = first.replace_day(1).ok()?;
        Span::days(first, plus_months(first, count)?, grain)
    }

    pub(super) fn years(first: i32, count: i32, grain: Grain) -> Option<Span> {
        Span::days(new_year(first)?, new_year(first.checked_add(count)?)?, grain)
    }

    /// The calendar unit that holds a moment.
    pub(super) fn around(unit: Unit, at: PrimitiveDateTime, week_start: Weekday) -> Option<Span> {
        let (date, hour) = (at.date(), at.hour());
        match unit {
            Unit::Second | Unit::Minute => {
                let start = date.with_hms(hour, at.minute(), 0).ok()?;
                Span::new(start, start.checked_add(Duration::MINUTE)?, Grain::Minute)
            }
            Unit::Hour => {
                let start = date.with_hms(hour, 0, 0).ok()?;
                Span::new(start, start.checked_add(Duration::HOUR)?, Grain::Hour)
            }
            Unit::Day => Span::day(date),
            Unit::Weekend => weekend_of(date, week_start),
            Unit::Week | Unit::Fortnight => Span::stretch(week_of(date, week_start)?, 7, Grain::Week),
            Unit::Month => Span::months(date, 1, Grain::Month),
            Unit::Quarter => quarter(date.year(), (u8::from(date.month()) - 1) / 3 + 1),
            Unit::Year => Span::years(date.year(), 1, Grain::Year),
            Unit::Decade => Span::years(date.year().div_euclid(10) * 10, 10, Grain::Decade),
            Unit::Century => century((date.year() - 1).div_euclid(100)),
        }
    }

    /// The day part that begins on a date.
    pub(super) fn part(date: Date, part: Part) -> Option<Span> {
        let (from, hours) = match part {
            Part::Morning => (5, 7),
            Part::Afternoon => (12, 6),
            Part::Evening => (18, 6),
            Part::Night => (18, 11),
        };
        Span::hours(date, from, hours, Grain::DayPart)
    }

    pub(super) fn hours(date: Date, from: u8, hours: i64, grain: Grain) -> Option<Span> {
        let start = date.with_hms(from, 0, 0).ok()?;
        Span::new(start, start.checked_add(Duration::hours(hours))?, grain)
    }

    pub(super) fn season(year: i32, season: Season) -> Option<Span> {
        let month = match season {
            Season::Spring => Month::March,
            Season::Summer => Month::June,
            Season::Autumn => Month::September,
            Season::Winter => Month::December,
        };
        Span::months(Date::from_calendar_date(year, month, 1).ok()?, 3, Grain::Season)
    }

    pub(super) fn contains(&self, at: PrimitiveDateTime) -> bool {
        self.start <= at && at < self.end
    }

    /// The last day that the span touches.
    pub(super) fn last_day(&self) -> Option<Date> {
        Some(self.end.checked_sub(Duration::MICROSECOND)?.date())
    }
}

pub(super) fn midnight(date: Date) -> PrimitiveDateTime {
    PrimitiveDateTime::new(date, Time::MIDNIGHT)
}

pub(super) fn plus_days(date: Date, days: i64) -> Option<Date> {
    // `Duration::days` may not overflow; no date is further than this from another.
    (days.unsigned_abs() < 10_000_000).then(|| date.checked_add(Duration::days(days)))?
}

/// The same day so many months later, or the last day of a month that has no such day.
pub(super) fn plus_months(date: Date, months: i32) -> Option<Date> {
    let index = date.year().checked_mul(12)?.checked_add(i32::from(u8::from(date.month())) - 1)?.checked_add(months)?;
    let month = Month::try_from(u8::try_from(index.rem_euclid(12) + 1).ok()?).ok()?;
    let year = index.div_euclid(12);
    Date::from_calendar_date(year, month, date.day().min(month.length(year))).ok()
}

/// The moment so many units later; a negative count goes back.
pub(super) fn plus_units(at: PrimitiveDateTime, unit: Unit, count: i64) -> Option<PrimitiveDateTime> {
    let count32 = i32::try_from(count).ok().filter(|count| count.unsigned_abs() < 1_000_000)?;
    let with_date = |date: Option<Date>| date.map(|date| at.replace_date(date));
    match unit {
        Unit::Second => at.checked_add(Duration::seconds(count32.into())),
        Unit::Minute => at.checked_add(Duration::minutes(count32.into())),
        Unit::Hour => at.checked_add(Duration::hours(count32.into())),
        Unit::Day => with_date(plus_days(at.date(), count)),
        Unit::Week | Unit::Weekend => with_date(plus_days(at.date(), count * 7)),
        Unit::Fortnight => with_date(plus_days(at.date(), count * 14)),
        Unit::Month => with_date(plus_months(at.date(), count32)),
        Unit::Quarter => with_date(plus_months(at.date(), count32.checked_mul(3)?)),
        Unit::Year => with_date(plus_months(at.date(), count32.checked_mul(12)?)),
        Unit::Decade => with_date(plus_months(at.date(), count32.checked_mul(120)?)),
        Unit::Century => with_date(plus_months(at.date(), count32.checked_mul(1200)?)),
    }
}

fn new_year(year: i32) -> Option<Date> {
    Date::from_calendar_date(year, Month::January, 1).ok()
}

/// The first day of a date's week.
pub(super) fn week_of(date: Date, week_start: Weekday) -> Option<Date> {
    let days =
        7 + i64::from(date.weekday().number_days_from_monday()) - i64::from(week_start.number_days_from_monday());
    plus_days(date, -(days % 7))
}

/// The weekend whose Saturday lies in a date's week. Where weeks begin on Sunday, a Sunday still belongs to the weekend
/// that it ends.
pub(super) fn weekend_of(date: Date, week_start: Weekday) -> Option<Span> {
    let week_start = if week_start == Weekday::Sunday { Weekday::Monday } else { week_start };
    weekend_from(week_of(date, week_start)?)
}

/// The first weekend whose Saturday is on a date or after it.
pub(super) fn weekend_from(date: Date) -> Option<Span> {
    Span::stretch(weekday_from(date, Weekday::Saturday)?, 2, Grain::Weekend)
}

/// The first such weekday on a date or after it.
pub(super) fn weekday_from(date: Date, weekday: Weekday) -> Option<Date> {
    let days = 7 + i64::from(weekday.number_days_from_monday()) - i64::from(date.weekday().number_days_from_monday());
    plus_days(date, days % 7)
}

/// The last such weekday before a date.
pub(super) fn weekday_before(date: Date, weekday: Weekday) -> Option<Date> {
    weekday_from(plus_days(date, -7)?, weekday)
}

pub(super) fn weekday(days_from_monday: u8) -> Weekday {
    Weekday::Monday.nth_next(days_from_monday)
}

/// The first to fourth quarter of a year.
pub(super) fn quarter(year: i32, number: u8) -> Option<Span> {
    let month = Month::try_from(number.checked_sub(1)?.checked_mul(3)?.checked_add(1)?).ok()?;
    Span::months(Date::from_calendar_date(year, month, 1).ok()?, 3, Grain::Quarter)
}

/// The century after so many whole centuries: 19 is the 20th, 1901 to 2000.
pub(super) fn century(before: i32) -> Option<Span> {
    Span::years(before.checked_mul(100)?.checked_add(1)?, 100, Grain::Century)
}
