//! Dates: calendar days ("7 May 2023", "May 7th", "2023-05-07", "on the 5th", "Monday the 12th").
//!
//! Owns: days told by number and weekdays told by name.
//! Never: takes a day that no calendar has for another; 30 February, and all of its words, is no mention.

use time::{Date, Duration, Month, Time, UtcOffset};

use super::{
    DateOrder, Grain,
    calendar::{self, Span, plus_days, plus_months},
    lexicon::{Plural, Unit, Word},
    reader::{Parsed, Reader},
    tense::{self, Direction},
};

impl Reader<'_> {
    /// A day of a month in digits or as an ordinal.
    pub(super) fn day_number(&self, at: usize) -> Option<(u8, usize)> {
        match self.word(at) {
            Word::Number(day, 1..=2) | Word::Ordinal(day) if (1..=31).contains(&day) => {
                Some((u8::try_from(day).ok()?, at + 1))
            }
            _ => None,
        }
    }

    /// The year that a date or month is followed by, if it is, and the token after it.
    pub(super) fn year_after(&self, at: usize) -> (Option<i32>, usize) {
        let comma = match self.word(at) {
            Word::Sign(b',' | b'.') => at + 1,
            _ => at,
        };
        if let Some((year, next)) = self.year_number(comma) {
            return (Some(year), next);
        }
        let begin = self.past_word(at, Word::Of);
        if let Some((year, next)) = self.year_number(begin) {
            return (Some(year), next);
        }
        let steps = match (self.word(begin), self.word(begin + 1)) {
            (Word::Last, Word::Unit(Unit::Year, Plural::One)) => -1,
            (Word::This, Word::Unit(Unit::Year, Plural::One)) => 0,
            (Word::Next, Word::Unit(Unit::Year, Plural::One)) => 1,
            _ => return (None, at),
        };
        (self.now.year().checked_add(steps), begin + 2)
    }

    /// "2023" or "'23".
    pub(super) fn year_number(&self, at: usize) -> Option<(i32, usize)> {
        let (year, next) = match (self.word(at), self.word(at + 1)) {
            (Word::Number(year @ 1000..=2999, 4), _) => (i32::try_from(year).ok()?, at + 1),
            (Word::Sign(b'\''), Word::Number(short, 2)) if self.glued(at + 1) => (self.century_of(short)?, at + 2),
            _ => return None,
        };
        let is_other = self.word(next) == Word::Measure || self.is_before_christ(next);
        (!is_other && self.ends(next)).then_some((year, next))
    }

    /// "6th century BCE": times before the year 1 are not resolved.
    pub(super) fn is_before_christ(&self, at: usize) -> bool {
        matches!(self.spelled(at), Some("BC" | "BCE" | "B"))
    }

    /// A year of two digits: not more than 20 years ahead.
    fn century_of(&self, short: u32) -> Option<i32> {
        let latest = self.now.year().checked_add(20)?;
        let year = latest.checked_sub(latest.rem_euclid(100))?.checked_add(i32::try_from(short).ok()?)?;
        if year > latest { year.checked_sub(100) } else { Some(year) }
    }

    /// A day that was told with its month. What does not exist is marked, so that no part of it is read.
    fn day_in(&self, at: usize, next: usize, month: u8, day: u8, year: Option<i32>) -> Option<Parsed> {
        let in_year = |year| {
            let month = Month::try_from(month).ok()?;
            Span::day(Date::from_calendar_date(year, month, day).ok()?)
        };
        let span = match year {
            Some(year) => in_year(year),
            None => tense::near_of_years(self.now, self.direction(at, next), in_year),
        };
        // "5 May 20233" is no day of any May.
        let garbled = year.is_none() && matches!(self.word(next), Word::Number(_, 5..)) && !self.glued(next);
        if span.is_none() || garbled {
            self.dead.set(self.dead.get().max(next + usize::from(garbled)));
            return None;
        }
        Some(Parsed::new(span?, next))
    }

    /// "7 May 2023", "the 7th of May", "May 7th, 2023", "Dec. 5", each with or without a year.
    pub(super) fn calendar_date(&self, at: usize) -> Option<Parsed> {
        if let Some((day, next)) = self.day_number(at) {
            let month_at = self.past_word(next, Word::Of);
            let month = self.month_name(month_at, month_at > next)?;
            let (year, end) = self.year_after(self.past_dot(month_at));
            return self.day_in(at, end, month, day, year);
        }
        let month = self.month_name(at, false)?;
        let day_at = self.past_word(self.past_dot(at), Word::The);
        let (day, next) = self.day_number(day_at)?;
        let is_word = !self.spelled(day_at)?.starts_with(|first: char| first.is_ascii_digit());
        // "May first", but not "I may first"; "March 5 times".
        if (is_word && !self.capital(at))
            || matches!(self.word(next), Word::Measure | Word::Unit(..))
            || !self.ends(next)
        {
            return None;
        }
        // A clock time stands where a day would: "June 10:30".
        if self.is_sign(next, b':') && self.glued(next + 1) && matches!(self.word(next + 1), Word::Number(..)) {
            return None;
        }
        let (year, end) = self.year_after(next);
        self.day_in(at, end, month, day, year)
    }

    /// The month named at a token, as a part of a date: "may" and "march" in small letters may be verbs.
    pub(super) fn month_name(&self, at: usize, led: bool) -> Option<u8> {
        let Word::Month(month, _) = self.word(at) else { return None };
        let is_verb = matches!(month, 3 | 5) && !led && !self.capital(at);
        let verb_follows = matches!(self.word(at + 1), Word::Unknown | Word::Being | Word::Function);
        let verb_leads = matches!(self.before(at), Word::Function);
        (!is_verb || !(verb_follows || verb_leads)).then_some(month)
    }

    /// The index after a month's name, and the full stop of a short one that a day or year follows.
    pub(super) fn past_dot(&self, month_at: usize) -> usize {
        let is_short = self.spelled(month_at).is_some_and(|name| name.len() <= 4);
        let dotted =
            is_short && self.is_sign(month_at + 1, b'.') && matches!(self.word(month_at + 2), Word::Number(..));
        month_at + 1 + usize::from(dotted)
    }

    /// "2023-05-07", "2023-05-07T13:56Z", "05/07/2023", "07.05.2023".
    pub(super) fn numeric_date(&self, at: usize) -> Option<Parsed> {
        let Word::Number(first, digits) = self.word(at) else { return None };
        let Word::Sign(sign @ (b'-' | b'/' | b'.')) = self.word(at + 1) else { return None };
        let (Word::Number(second, 1..=2), true) = (self.word(at + 2), self.is_sign(at + 3, sign)) else { return None };
        let Word::Number(third, third_digits) = self.word(at + 4) else { return None };
        if !(1..5).all(|step| self.glued(at + step)) {
            return None;
        }
        let next = at + 5;
        let (year, month, day) = match (digits, third_digits) {
            (4, 1..=2) if sign != b'.' => (i32::try_from(first).ok()?, second, third),
            (1..=2, 4) => {
                let (month, day) = self.month_and_day(sign, first, second);
                (i32::try_from(third).ok()?, month, day)
            }
            (1..=2, 2) if sign == b'/' => {
                let (month, day) = self.month_and_day(sign, first, second);
                (self.century_of(third)?, month, day)
            }
            _ => return None,
        };
        let time_next = self.time_of_stamp(next);
        if time_next.is_none() && !self.ends(next) {
            return None;
        }
        let date = self.day_in(at, next, u8::try_from(month).ok()?, u8::try_from(day).ok()?, Some(year))?;
        match time_next {
            Some((time, zone, next)) => self.stamp(date.span.start.date(), time, zone, next),
            None => Some(date),
        }
    }

    fn month_and_day(&self, sign: u8, first: u32, second: u32) -> (u32, u32) {
        let day_first = match (first > 12, second > 12) {
            (true, _) => true,
            (false, true) => false,
            (false, false) => sign == b'.' || self.anchor.date_order == DateOrder::DayFirst,
        };
        if day_first { (second, first) } else { (first, second) }
    }

    fn stamp(&self, date: Date, time: Time, zone: Option<UtcOffset>, next: usize) -> Option<Parsed> {
        let start = date.with_time(time).replace_second(0).ok()?;
        let start = zone.map_or(Some(start), |zone| self.local(start, zone))?;
        Some(Parsed::new(Span::new(start, start.checked_add(Duration::MINUTE)?, Grain::Minute)?, next))
    }

    /// "T13:56:30.5+02:00" after a date, or " 13:56".
    fn time_of_stamp(&self, at: usize) -> Option<(Time, Option<UtcOffset>, usize)> {
        let begin = match self.spelled(at) {
            Some("T" | "t") if self.glued(at) && self.glued(at + 1) => at + 1,
            _ if !self.glued(at) => at,
            _ => return None,
        };
        let (Word::Number(hour, 2), true) = (self.word(begin), self.is_sign(begin + 1, b':')) else { return None };
        let Word::Number(minute, 2) = self.word(begin + 2) else { return None };
        let time = Time::from_hms(u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, 0).ok()?;
        let mut next = begin + 3;
        for sign in [b':', b'.'] {
            if self.is_sign(next, sign) && self.glued(next) && self.glued(next + 1) {
                match self.word(next + 1) {
                    Word::Number(..) => next += 2,
                    _ => break,
                }
            }
        }
        if !self.glued(next) {
            return Some((time, None, next));
        }
        match (self.spelled(next), self.word(next + 1)) {
            (Some("Z" | "z"), _) => Some((time, Some(UtcOffset::UTC), next + 1)),
            (Some(sign @ ("+" | "-")), Word::Number(hours, 2)) if self.is_sign(next + 2, b':') => {
                let Word::Number(minutes, 2) = self.word(next + 3) else { return None };
                let flip = if sign == "-" { -1 } else { 1 };
                let (hours, minutes) = (i8::try_from(hours).ok()?, i8::try_from(minutes).ok()?);
                Some((time, Some(UtcOffset::from_hms(flip * hours, flip * minutes, 0).ok()?), next + 4))
            }
            _ => self.ends(next).then_some((time, None, next)),
        }
    }

    /// "on the 5th", "the 5th of next month". Without a month, only where a function word or nothing follows.
    pub(super) fn day_of_month(&self, at: usize) -> Option<Parsed> {
        let (Word::Ordinal(_), Some((day, next))) = (self.word(at), self.day_number(at)) else { return None };
        if let (Word::Of, Word::Last | Word::This | Word::Next | Word::The) = (self.word(next), self.word(next + 1)) {
            let steps = match self.word(next + 1) {
                Word::Last => -1,
                Word::Next => 1,
                _ => 0,
            };
            let Word::Unit(Unit::Month, Plural::One) = self.word(next + 2) else { return None };
            let month = plus_months(self.today().replace_day(1).ok()?, steps)?;
            return Some(Parsed::new(Span::day(month.replace_day(day).ok()?)?, next + 3));
        }
        if !self.spelled(at)?.starts_with(|first: char| first.is_ascii_digit()) || !self.may_follow_day(next) {
            return None;
        }
        let led = at.checked_sub(2).map_or(Word::LineBreak, |index| self.word(index));
        let led = if self.before(at) == Word::The { led } else { self.before(at) };
        if !matches!(
            led,
            Word::On | Word::By | Word::Until | Word::Since | Word::From | Word::To | Word::Before | Word::After
        ) {
            return None;
        }
        // Without a word to the contrary, days of the month lie ahead.
        let direction = match self.direction(at, next) {
            Direction::Back => Direction::Back,
            _ => Direction::Ahead,
        };
        self.month_days(day).and_then(|days| tense::said(self.now, direction, days)).map(|span| Parsed::new(span, next))
    }

    fn may_follow_day(&self, next: usize) -> bool {
        use Word::{
            And, At, Before, Being, By, Day, From, Function, In, Last, LineBreak, Next, Sign, Tense, This, To, Until,
        };
        self.ends(next)
            && matches!(
                self.word(next),
                LineBreak
                    | Function
                    | Being
                    | Tense(_)
                    | At
                    | In
                    | And
                    | From
                    | To
                    | Until
                    | By
                    | Before
                    | This
                    | Next
                    | Last
                    | Day(_)
                    | Sign(b'.' | b',' | b'!' | b'?' | b';' | b')' | b'-' | b'"')
            )
    }

    /// The days of such a number in the months around the message, as far as two years.
    fn month_days(&self, day: u8) -> Option<impl Iterator<Item = Span>> {
        let first = self.today().replace_day(1).ok()?;
        Some((-24..=24).filter_map(move |months| Span::day(plus_months(first, months)?.replace_day(day).ok()?)))
    }

    /// "Monday", "Sunday, May 7", "Monday the 12th", "Friday of last week".
    pub(super) fn weekday(&self, at: usize) -> Option<Parsed> {
        let Word::Weekday(days, whole) = self.word(at) else { return None };
        let next =
            at + 1 + usize::from(!whole && self.is_sign(at + 1, b'.') && matches!(self.word(at + 2), Word::Number(..)));
        if let Some(date) = self.date_of_weekday(next) {
            return Some(date);
        }
        if self.before(at) == Word::Every
            || self.word(next) == Word::Thing
            || !(whole || self.is_short_weekday(at, days))
        {
            return None;
        }
        if self.word(next) == Word::Of && self.word(next + 1) == Word::Every {
            return None;
        }
        // "The Sunday before we met" is told from what is not known here.
        if self.before(at) == Word::The && matches!(self.word(next), Word::Before | Word::After) {
            return None;
        }
        let weekday = calendar::weekday(days);
        let ordinal_at = self.past_word(next, Word::The);
        if let (Word::Ordinal(_), Some((day, end))) = (self.word(ordinal_at), self.day_number(ordinal_at)) {
            let days = self.month_days(day)?.filter(|span| span.start.date().weekday() == weekday);
            return Some(Parsed::new(tense::said(self.now, self.direction(at, end), days)?, end));
        }
        if let Some((weeks, end)) = self.week_of_weekday(next) {
            let week = plus_days(calendar::week_of(self.today(), self.anchor.week_start)?, weeks * 7)?;
            return Some(Parsed::new(Span::day(calendar::weekday_from(week, weekday)?)?, end));
        }
        let day = match self.direction(at, next) {
            Direction::Back => calendar::weekday_before(self.today(), weekday)?,
            _ => calendar::weekday_from(self.today().next_day()?, weekday)?,
        };
        Some(Parsed::new(Span::day(day)?, next))
    }

    /// The date that a weekday is told with; the date counts where the two disagree.
    fn date_of_weekday(&self, at: usize) -> Option<Parsed> {
        let sign = matches!(self.word(at), Word::Sign(b',' | b'('));
        let begin = self.past_word(at + usize::from(sign), Word::The);
        let date = self.calendar_date(begin).or_else(|| self.numeric_date(begin))?;
        let closed = self.is_sign(at, b'(') && self.is_sign(date.next, b')');
        Some(Parsed { next: date.next + usize::from(closed), ..date })
    }

    /// "Sat" and "Sun" are words: they need a capital, and all short names a word that leads to a day.
    fn is_short_weekday(&self, at: usize, days: u8) -> bool {
        let is_word = matches!(days, 0 | 2 | 5 | 6);
        let led = matches!(
            self.before(at),
            Word::On
                | Word::By
                | Word::Until
                | Word::Since
                | Word::From
                | Word::To
                | Word::Between
                | Word::And
                | Word::Before
        );
        led && (self.capital(at) || !is_word || (days == 5 && self.before(at) == Word::On))
    }

    /// "of last week", "next week": how many weeks away.
    fn week_of_weekday(&self, at: usize) -> Option<(i64, usize)> {
        let begin = match self.word(at) {
            Word::Of | Word::In => at + 1,
            _ => at,
        };
        let weeks = match self.word(begin) {
            Word::Last => -1,
            Word::This => 0,
            Word::Next => 1,
            _ => return None,
        };
        (self.word(begin + 1) == Word::Unit(Unit::Week, Plural::One)).then_some((weeks, begin + 2))
    }
}
