//! Relative: periods told from the message ("yesterday", "last Friday", "this weekend", "the past two months").
//!
//! Owns: words that point (last, this, next, ago) and the counts that go with them.
//! Never: reads a calendar date; what a count is taken from comes through `period`.

use time::{Date, Weekday};

use super::{
    Bound, Grain,
    calendar::{self, Span, midnight, plus_days, plus_units},
    lexicon::{Part, Plural, Unit, Word},
    reader::{Parsed, Reader},
    tense::{self, Direction, Which},
};

/// How many: "a couple" is 2 to 2, "a few" 2 to 4.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) low: i64,
    pub(super) high: i64,
    /// "and a half".
    pub(super) half: bool,
}

/// What an expression points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The latest that is over.
    Past,
    Last,
    This,
    Next,
    /// The first that has not begun.
    Coming,
}

impl Reader<'_> {
    /// "today", "last Friday", "this past weekend", "the last three months".
    pub(super) fn relative(&self, at: usize, with_the: bool) -> Option<Parsed> {
        match self.word(at) {
            Word::Day(days) => Some(Parsed::new(Span::day(plus_days(self.today(), days.into())?)?, at + 1)),
            Word::Tonight => Some(Parsed::new(Span::part(self.today(), Part::Night)?, at + 1)),
            Word::Other if with_the => self.the_other(at + 1),
            Word::Earlier | Word::Later => self.earlier_or_later(at),
            Word::Last | Word::Past | Word::Next | Word::Coming | Word::This => {
                let (point, begin) = self.point(at)?;
                self.rolling(at, begin, point, with_the).or_else(|| self.pointed(at, begin, point))
            }
            Word::Unit(Unit::Weekend, Plural::One) if with_the => self.bare_weekend(at),
            _ => None,
        }
    }

    fn point(&self, at: usize) -> Option<(Point, usize)> {
        Some(match (self.word(at), self.word(at + 1)) {
            (Word::This, Word::Past) => (Point::Past, at + 2),
            (Word::This, Word::Coming | Word::Next) => (Point::Coming, at + 2),
            (Word::This, _) => (Point::This, at + 1),
            (Word::Last, _) => (Point::Last, at + 1),
            (Word::Past, _) => (Point::Past, at + 1),
            (Word::Next, _) => (Point::Next, at + 1),
            (Word::Coming, _) => (Point::Coming, at + 1),
            _ => return None,
        })
    }

    /// "the other day": the week before today; "the other week": the four weeks before this one.
    fn the_other(&self, at: usize) -> Option<Parsed> {
        let (end, days, grain) = match self.word(at) {
            Word::Unit(Unit::Day, Plural::One) | Word::Part(_) => (self.today(), 7, Grain::Week),
            Word::Unit(Unit::Week | Unit::Weekend, Plural::One) => {
                (calendar::week_of(self.today(), self.anchor.week_start)?, 28, Grain::Month)
            }
            _ => return None,
        };
        Some(Parsed::new(Span::days(plus_days(end, -days)?, end, grain)?, at + 1))
    }

    /// "earlier today", "later this week": the part of the period on that side of the message.
    fn earlier_or_later(&self, at: usize) -> Option<Parsed> {
        let whole = match self.word(at + 1) {
            Word::Day(0) | Word::This => self.relative(at + 1, false)?,
            _ => return None,
        };
        let (span, grain) = (whole.span, whole.span.grain);
        let side = match self.word(at) {
            Word::Earlier => Span::new(span.start, self.now.min(span.end), grain),
            _ => Span::new(self.now.max(span.start), span.end, grain),
        };
        Some(Parsed::new(side.unwrap_or(span), whole.next))
    }

    /// "the last three months", "the past year", "the next few days": from or to the message.
    fn rolling(&self, at: usize, begin: usize, point: Point, with_the: bool) -> Option<Parsed> {
        let (count, unit_at) = self.count(begin).unwrap_or((Count { low: 1, high: 1, half: false }, begin));
        let Word::Unit(unit, plural) = self.word(unit_at) else { return None };
        let counted = unit_at > begin;
        // "the last week of May" counts in May; "last weekend" and "the last minute" are no stretch of time.
        let is_stretch =
            counted || (plural == Plural::One && !matches!(unit, Unit::Weekend | Unit::Day | Unit::Minute));
        if !is_stretch || self.word(unit_at + 1) == Word::Of || unit == Unit::Weekend {
            return None;
        }
        let back = match point {
            Point::Past => true,
            Point::Last if counted => true,
            Point::Last if with_the && self.word(unit_at + 1) != Word::Before => true,
            Point::Next | Point::Coming if counted => false,
            // "within the next year"; "the next quarter" is the calendar's.
            Point::Next if with_the && unit != Unit::Quarter && self.is_within(at) => false,
            _ => return None,
        };
        if matches!(self.before(at), Word::Every) {
            return None;
        }
        let span = self.reaching(unit, if back { -count.high } else { count.high })?;
        Some(Parsed::new(span, unit_at + 1))
    }

    /// From the message over so many units, or up to it: to the minute, or by whole days.
    fn reaching(&self, unit: Unit, count: i64) -> Option<Span> {
        let edge = plus_units(self.now, unit, count)?;
        let fine = matches!(unit, Unit::Second | Unit::Minute | Unit::Hour);
        match (count < 0, fine) {
            (true, true) => Span::new(edge, self.now, unit.grain()),
            (true, false) => Span::new(midnight(edge.date()), self.now, unit.grain()),
            (false, true) => Span::new(self.now, edge, unit.grain()),
            (false, false) => Span::new(self.now, midnight(edge.date().next_day()?), unit.grain()),
        }
    }

    /// "within three days". "They came within three days" tells how long it took.
    pub(super) fn within_count(&self, at: usize) -> Option<Parsed> {
        let (count, unit_at) = self.count(at + 1)?;
        let (unit, count, next) = self.counted_unit(count, unit_at)?;
        let is_other = matches!(self.word(next), Word::Of | Word::From | Word::After | Word::Before);
        if is_other || tense::clause_direction(self.tokens, at, next) == Direction::Back {
            return None;
        }
        Some(Parsed::new(self.reaching(unit, count.high)?, next))
    }

    fn is_within(&self, at: usize) -> bool {
        let lead = at.checked_sub(2).map_or(Word::LineBreak, |index| self.word(index));
        matches!(lead, Word::In | Word::During | Word::Within)
    }

    /// "last Friday", "this weekend", "next month", "last summer", "next Christmas", "last night".
    fn pointed(&self, at: usize, begin: usize, point: Point) -> Option<Parsed> {
        let which = match point {
            Point::Past | Point::Last => Which::Last,
            Point::This => Which::This,
            Point::Next | Point::Coming => Which::Next,
        };
        match self.word(begin) {
            // "I was tired this weekend", said on Monday.
            Word::Unit(Unit::Weekend, Plural::One)
                if point == Point::This
                    && !self.weekend_has_begun()
                    && self.direction(at, begin + 1) == Direction::Back =>
            {
                self.pointed_unit(begin, Unit::Weekend, Point::Last)
            }
            Word::Unit(unit, Plural::One) => self.pointed_unit(begin, unit, point),
            Word::Part(part) => {
                let date = match point {
                    Point::This => self.today(),
                    Point::Last if part == Part::Night => plus_days(self.today(), -1)?,
                    _ => return None,
                };
                Some(Parsed::new(Span::part(date, part)?, begin + 1))
            }
            Word::Weekday(days, whole) => {
                // "This sat on my desk", "the last sun": short names that are words need their capital.
                let is_word = !whole && matches!(days, 0 | 2 | 5 | 6);
                if is_word && (point == Point::This || !self.capital(begin)) {
                    return None;
                }
                Some(Parsed::new(Span::day(self.pointed_weekday(at, begin, days, point)?)?, begin + 1))
            }
            Word::Month(month, whole) => {
                // "this may be", "the last march": verbs and nouns, unless written as a name.
                if (matches!(month, 3 | 5) || !whole) && !self.capital(begin) {
                    return None;
                }
                let day = self.day_number(begin + 1).is_some_and(|(_, next)| self.ends(next));
                if day {
                    return None;
                }
                let span = tense::of_years(self.now, which, |year| calendar_month(year, month));
                Some(Parsed::new(span?, begin + 1))
            }
            Word::Season(season) => {
                if matches!(self.word(begin + 1), Word::Thing) {
                    return None;
                }
                Some(Parsed::new(tense::of_years(self.now, which, |year| Span::season(year, season))?, begin + 1))
            }
            Word::Holiday | Word::HolidayLead => self.holiday_of(begin, which),
            _ => None,
        }
    }

    fn pointed_unit(&self, at: usize, unit: Unit, point: Point) -> Option<Parsed> {
        // "last minute", "the next second" and "this day" are idioms.
        if matches!(unit, Unit::Second | Unit::Minute | Unit::Hour | Unit::Day | Unit::Fortnight) {
            return None;
        }
        let steps = match point {
            Point::Last | Point::Past => -1,
            Point::This => 0,
            Point::Next => 1,
            Point::Coming => i64::from(unit != Unit::Weekend || self.weekend_has_begun()),
        };
        let span = Span::around(unit, plus_units(self.month_safe(unit), unit, steps)?, self.anchor.week_start)?;
        if unit == Unit::Week
            && let Some((weekday, next)) = self.weekday_after(at + 1)
        {
            let day = calendar::weekday_from(span.start.date(), weekday)?;
            return Some(Parsed::new(Span::day(day)?, next));
        }
        Some(Parsed::new(span, at + 1))
    }

    /// The message's time, moved to the first of its month where months are counted, so that none is skipped.
    fn month_safe(&self, unit: Unit) -> time::PrimitiveDateTime {
        match unit {
            Unit::Month | Unit::Quarter => self.now.replace_day(1).unwrap_or(self.now),
            _ => self.now,
        }
    }

    fn weekend_has_begun(&self) -> bool {
        matches!(self.today().weekday(), Weekday::Saturday | Weekday::Sunday)
    }

    /// "next week on Friday", "last week Monday".
    fn weekday_after(&self, at: usize) -> Option<(Weekday, usize)> {
        let at = self.past_word(at, Word::On);
        match self.word(at) {
            Word::Weekday(days, true) => Some((calendar::weekday(days), at + 1)),
            _ => None,
        }
    }

    fn pointed_weekday(&self, at: usize, begin: usize, days: u8, point: Point) -> Option<Date> {
        let (weekday, today) = (calendar::weekday(days), self.today());
        let week = calendar::week_of(today, self.anchor.week_start)?;
        match point {
            Point::Last | Point::Past => calendar::weekday_before(today, weekday),
            Point::Coming => calendar::weekday_from(today.next_day()?, weekday),
            Point::Next => calendar::weekday_from(plus_days(week, 7)?, weekday),
            Point::This => {
                let day = calendar::weekday_from(week, weekday)?;
                let back = self.direction(at, begin + 1) == Direction::Back;
                let weeks = i64::from(day < today && !back) - i64::from(day > today && back);
                plus_days(day, weeks * 7)
            }
        }
    }

    /// "over the weekend": the one before where the sentence looks back, else the one to come; if it does not say, on
    /// the first two days of a week the one before.
    fn bare_weekend(&self, at: usize) -> Option<Parsed> {
        let led = at.checked_sub(2).map(|index| self.word(index));
        if !matches!(led, Some(Word::During | Word::On | Word::At | Word::Until | Word::By | Word::Since)) {
            return None;
        }
        let back = match self.direction(at - 1, at + 1) {
            Direction::Back => !self.weekend_has_begun(),
            Direction::Ahead => false,
            Direction::Unsaid => matches!(self.today().weekday(), Weekday::Monday | Weekday::Tuesday),
        };
        let day = plus_days(self.today(), if back { -7 } else { 0 })?;
        Some(Parsed::new(calendar::weekend_of(day, self.anchor.week_start)?, at + 1))
    }

    /// "in ten days", "in two weeks' time". "We lost it in two weeks" tells how long it took.
    pub(super) fn in_count(&self, at: usize) -> Option<Parsed> {
        let (count, unit_at) = self.count(at + 1)?;
        let (unit, count, next) = self.counted_unit(count, unit_at)?;
        if matches!(self.word(next), Word::From | Word::After | Word::Before) {
            return self.counted(at + 1, 0);
        }
        // "There are twelve months in a year."
        if matches!(self.before(at), Word::Unit(_, Plural::Many)) {
            return None;
        }
        if tense::clause_direction(self.tokens, at, next) == Direction::Back {
            return None;
        }
        let span = self.shifted(unit, count.low, count.high, self.now)?;
        // "in two weeks' time"
        let apostrophe = self.past_word(self.past_word(next, Word::Possessive), Word::Sign(b'\''));
        let next = if apostrophe > next && self.spelled(apostrophe) == Some("time") { apostrophe + 1 } else { next };
        Some(Parsed::new(span, next))
    }

    /// The calendar units that hold the moments from `from` to `to` units after one.
    pub(super) fn shifted(&self, unit: Unit, from: i64, to: i64, at: time::PrimitiveDateTime) -> Option<Span> {
        let first = Span::around(unit, plus_units(at, unit, from)?, self.anchor.week_start)?;
        let last = Span::around(unit, plus_units(at, unit, to)?, self.anchor.week_start)?;
        Span::new(first.start, last.end, unit.grain())
    }

    /// "two", "a couple of", "a few", "one and a half".
    pub(super) fn count(&self, at: usize) -> Option<(Count, usize)> {
        let exact = |low, high, next| Some((Count { low, high, half: false }, next));
        let begin = self.past_word(at, Word::Article);
        match self.word(begin) {
            Word::Couple => exact(2, 2, self.past_word(begin + 1, Word::Of)),
            Word::Few => exact(2, 4, begin + 1),
            Word::Several => exact(3, 7, begin + 1),
            Word::Half if matches!(self.word(begin + 1), Word::Article | Word::Unit(..)) => {
                Some((Count { low: 0, high: 0, half: true }, self.past_word(begin + 1, Word::Article)))
            }
            Word::Number(value, 1..=4) => {
                let next = begin + 1;
                let next = if self.is_sign(next, b'-') { return None } else { next };
                Some((
                    Count { low: value.into(), high: value.into(), half: self.and_a_half(next) },
                    self.after_half(next),
                ))
            }
            Word::Cardinal(value) => {
                let (value, next) = self.cardinal(begin, value);
                Some((Count { low: value, high: value, half: self.and_a_half(next) }, self.after_half(next)))
            }
            _ if begin > at => exact(1, 1, begin),
            _ => None,
        }
    }

    /// "twenty-one", "two hundred".
    fn cardinal(&self, at: usize, value: u32) -> (i64, usize) {
        let value = i64::from(value);
        let after = self.past_word(at + 1, Word::Sign(b'-'));
        match self.word(after) {
            Word::Cardinal(ones @ 1..=9) if (20..100).contains(&value) => (value + i64::from(ones), after + 1),
            Word::Cardinal(100) if value < 10 => (value * 100, after + 1),
            _ => (value, at + 1),
        }
    }

    fn and_a_half(&self, at: usize) -> bool {
        [self.word(at), self.word(at + 1), self.word(at + 2)] == [Word::And, Word::Article, Word::Half]
    }

    fn after_half(&self, at: usize) -> usize {
        if self.and_a_half(at) { at + 3 } else { at }
    }

    /// The unit that is counted; a half is told in the next finer unit.
    pub(super) fn counted_unit(&self, count: Count, at: usize) -> Option<(Unit, Count, usize)> {
        let Word::Unit(unit, _) = self.word(at) else { return None };
        let half = count.half || self.and_a_half(at + 1);
        let next = self.after_half(at + 1);
        if !half {
            return Some((unit, count, next));
        }
        let (finer, whole, part) = match unit {
            Unit::Hour => (Unit::Minute, 60, 30),
            Unit::Day => (Unit::Hour, 24, 12),
            Unit::Week => (Unit::Day, 7, 3),
            Unit::Year => (Unit::Month, 12, 6),
            Unit::Decade => (Unit::Year, 10, 5),
            Unit::Century => (Unit::Year, 100, 50),
            _ => return None,
        };
        let scaled = |number: i64| number * whole + part;
        Some((finer, Count { low: scaled(count.low), high: scaled(count.high), half: false }, next))
    }

    /// Whether a mention may be built upon: an open interval may not.
    pub(super) fn is_plain(parsed: &Parsed) -> bool {
        parsed.bound == Bound::Within
    }
}

pub(super) fn calendar_month(year: i32, month: u8) -> Option<Span> {
    Span::months(Date::from_calendar_date(year, time::Month::try_from(month).ok()?, 1).ok()?, 1, Grain::Month)
}
