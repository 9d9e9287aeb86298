//! Clock: times of day ("at 3pm", "tomorrow at 10:30", "half past six in the morning", "18:00 UTC").
//!
//! Owns: hours and minutes, alone or on a day, and the parts of a day that go with it.
//! Never: takes a ratio or a score for a time; 16:9 and 19:21 need an "at", a day, or an "am" or "pm".

use time::{Date, Duration, PrimitiveDateTime, UtcOffset};

use super::{
    Grain,
    calendar::{Span, midnight},
    lexicon::{Meridiem, Part, Plural, Unit, Word},
    reader::{Parsed, Reader},
    token,
};

/// A time of day as it was told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    hour: u8,
    minute: u8,
    grain: Grain,
    /// Whether the hour is one of 24; else morning or afternoon is not told.
    exact: bool,
    form: Form,
    zone: Option<UtcOffset>,
}

/// How much a time of day needs around it to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// "3pm", "noon": nothing.
    Clear,
    /// "10:30": an "at" or a day.
    Digits,
    /// "8": an "at" and a day.
    Bare,
}

/// Where "am" and "pm" are not told, hours before this one are in the afternoon.
const FIRST_MORNING_HOUR: u8 = 7;

impl Reader<'_> {
    /// "at 3pm", "10am on Monday", "half past six in the morning", "noon tomorrow".
    pub(super) fn clock_on_day(&self, at: usize, depth: u8) -> Option<Parsed> {
        let led = matches!(self.word(at), Word::At | Word::Around);
        let begin =
            if self.word(at) == Word::At { self.past_word(at + 1, Word::Around) } else { at + usize::from(led) };
        let (clock, next) = self.clock(begin)?;
        let (part, next) = match self.part_after(next) {
            Some((part, end)) => (Some(part), end),
            None => (None, next),
        };
        // "Sprint 1 on Monday" tells no hour.
        if clock.form == Form::Bare && !led && part.is_none() {
            return None;
        }
        if let Some(day) = self.day_after(next, depth) {
            let told = part.or_else(|| part_of(day.span));
            return Some(Parsed::new(self.clock_time(clock, day.span.start.date(), told)?, day.next));
        }
        let stands = match clock.form {
            Form::Clear => true,
            Form::Digits => led || part.is_some(),
            Form::Bare => part.is_some(),
        };
        if !stands || !self.ends(next) {
            return None;
        }
        Some(Parsed::new(self.clock_time(clock, self.today(), part)?, next))
    }

    /// A time of day after "by" or "since", today.
    pub(super) fn led_clock(&self, at: usize) -> Option<Parsed> {
        let (clock, next) = self.clock(at).filter(|(clock, _)| clock.form != Form::Bare)?;
        Some(Parsed::new(self.clock_time(clock, self.today(), None)?, next))
    }

    /// "in the morning", "this evening", "at night".
    fn part_after(&self, at: usize) -> Option<(Part, usize)> {
        match (self.word(at), self.word(at + 1), self.word(at + 2)) {
            (Word::In, Word::The, Word::Part(part)) => Some((part, at + 3)),
            (Word::This, Word::Part(part), _) => Some((part, at + 2)),
            (Word::At, Word::Part(Part::Night), _) => Some((Part::Night, at + 2)),
            _ => None,
        }
    }

    /// The day after a time of day: "on Monday", "tomorrow", "on 9 March, 2023".
    fn day_after(&self, at: usize, depth: u8) -> Option<Parsed> {
        let begin = match self.word(at) {
            Word::On => at + 1,
            Word::Sign(b',') => self.past_word(at + 1, Word::On),
            _ => at,
        };
        if !matches!(self.word(begin), Word::Tonight | Word::Day(_))
            && matches!(self.word(begin), Word::At | Word::Around)
        {
            return None;
        }
        let starts_with_number = matches!(self.word(begin), Word::Number(..)) && begin == at;
        if starts_with_number || self.clock(begin).is_some_and(|(clock, _)| clock.form != Form::Bare) {
            return None;
        }
        self.period(begin, false, depth + 1)
            .filter(Self::is_plain)
            .filter(|day| matches!(day.span.grain, Grain::Day | Grain::DayPart))
    }

    /// A day with the part of it or the time on it that follows: "Friday evening", "tomorrow at 10:30".
    pub(super) fn with_time(&self, day: Parsed) -> Option<Parsed> {
        if !matches!(day.span.grain, Grain::Day | Grain::DayPart) {
            return Some(day);
        }
        let day = self.with_part(day);
        let date = day.span.start.date();
        let comma = self.past_word(day.next, Word::Sign(b','));
        let led = matches!(self.word(comma), Word::At | Word::Around | Word::By | Word::Sign(b'@'));
        let begin = if led { self.past_word(comma + 1, Word::Around) } else { comma };
        if let Some((start, end, next)) = self.clock_pair(begin, part_of(day.span)) {
            let from = self.clock_time(start, date, part_of(day.span))?;
            let to = self.clock_time(end, date, part_of(day.span))?;
            if let Some(span) = Span::new(from.start, to.start, Grain::Hour.min(from.grain).min(to.grain)) {
                return Some(Parsed::new(span, next));
            }
        }
        let Some((clock, next)) = self.clock(begin) else { return Some(day) };
        if (clock.form == Form::Bare && !(led && self.ends_bare(next))) || !self.ends(next) {
            return Some(day);
        }
        let (part, next) = match self.part_after(next) {
            Some((part, next)) => (Some(part), next),
            None => (part_of(day.span), next),
        };
        Some(self.clock_time(clock, date, part).map_or(day, |span| Parsed::new(span, next)))
    }

    fn with_part(&self, day: Parsed) -> Parsed {
        if day.span.grain == Grain::DayPart {
            return day;
        }
        let found = match self.word(day.next) {
            Word::Part(part) => Some((part, day.next + 1)),
            _ => self.part_after(day.next).filter(|_| self.word(day.next) != Word::This),
        };
        found.and_then(|(part, next)| Some(Parsed::new(Span::part(day.span.start.date(), part)?, next))).unwrap_or(day)
    }

    /// Whether an hour without signs is over here: "at 8 people" is not.
    fn ends_bare(&self, next: usize) -> bool {
        !matches!(self.word(next), Word::Measure | Word::Unit(..) | Word::Sign(b'%' | b':' | b'/' | b'-'))
            && self.ends(next)
    }

    /// "from 2pm to 4pm", "between 2 and 4 pm", "2-4pm": the first hour takes "pm" from the second.
    pub(super) fn clock_pair(&self, at: usize, part: Option<Part>) -> Option<(Clock, Clock, usize)> {
        let (begin, led) = match self.word(at) {
            Word::From => (at + 1, true),
            Word::Between => (at + 1, true),
            _ => (at, false),
        };
        let (mut start, joint) = self.clock(begin)?;
        let joined = match self.word(joint) {
            Word::And => self.before(begin) == Word::Between,
            Word::To | Word::Until => true,
            Word::Sign(b'-') => true,
            _ => false,
        };
        let (end, next) = self.clock(joint + 1).filter(|_| joined)?;
        let clear = end.form != Form::Bare && (led || start.form != Form::Bare || end.form == Form::Clear);
        if !clear || !self.ends(next) {
            return None;
        }
        if !start.exact && end.exact && part.is_none() {
            let afternoon = start.hour % 12 + 12;
            let is_before = (afternoon, start.minute) < (end.hour, end.minute);
            start.hour = if end.hour >= 12 && is_before { afternoon } else { start.hour % 12 };
            start.exact = true;
        }
        Some((start, end, next))
    }

    /// A pair of times today; an end before the start is of the next day.
    pub(super) fn clock_range(&self, at: usize) -> Option<Parsed> {
        let (start, end, next) = self.clock_pair(at, None)?;
        let day = self.day_after(next, 1);
        let (date, part, next) = match day {
            Some(day) => (day.span.start.date(), part_of(day.span), day.next),
            None => (self.today(), None, next),
        };
        let from = self.clock_time(start, date, part)?;
        let to = self.clock_time(end, date, part)?;
        let close = if to.start > from.start { to.start } else { to.start.checked_add(Duration::DAY)? };
        Some(Parsed::new(Span::new(from.start, close, from.grain.min(to.grain))?, next))
    }

    fn clock_time(&self, clock: Clock, date: Date, part: Option<Part>) -> Option<Span> {
        let hour = clock.hour_of_day(part);
        let minutes = Duration::minutes(i64::from(hour) * 60 + i64::from(clock.minute));
        let start: PrimitiveDateTime = midnight(date).checked_add(minutes)?;
        let start = clock.zone.map_or(Some(start), |zone| self.local(start, zone))?;
        let length = if clock.grain == Grain::Minute { Duration::MINUTE } else { Duration::HOUR };
        Span::new(start, start.checked_add(length)?, clock.grain)
    }

    /// A time of day at a token, with its "am" or "pm" and its zone.
    pub(super) fn clock(&self, at: usize) -> Option<(Clock, usize)> {
        match self.word(at) {
            Word::Noon => Some((Clock::exact(12, 0, Grain::Hour), at + 1)),
            Word::Midnight => Some((Clock::exact(24, 0, Grain::Hour), at + 1)),
            Word::Half if self.word(at + 1) == Word::Past => self.hour_word(at + 2).map(|(hour, next)| {
                let (clock, next) = self.meridiem(hour, 30, Grain::Minute, next);
                (Clock { form: Form::Clear, ..clock }, next)
            }),
            Word::Unit(Unit::Quarter, Plural::One) => self.to_or_past(at + 1, 15),
            Word::Cardinal(minutes @ (5 | 10 | 20)) | Word::Number(minutes @ (5 | 10 | 20 | 25), 1..=2)
                if matches!(self.word(at + 1), Word::Past) =>
            {
                self.to_or_past(at + 1, u8::try_from(minutes).ok()?)
            }
            Word::Number(hour, 1..=2) => self.digits(at, u8::try_from(hour).ok()?),
            Word::Cardinal(hour @ 1..=12) => {
                let (clock, next) = self.meridiem(u8::try_from(hour).ok()?, 0, Grain::Hour, at + 1);
                Some((clock, next))
            }
            _ => None,
        }
    }

    /// "past six", "to five", after so many minutes.
    fn to_or_past(&self, at: usize, minutes: u8) -> Option<(Clock, usize)> {
        let (hour, next) = self.hour_word(at + 1)?;
        let (hour, minute) = match self.word(at) {
            Word::Past => (hour, minutes),
            Word::To | Word::Until => (if hour == 1 { 12 } else { hour - 1 }, 60 - minutes),
            _ => return None,
        };
        let (clock, next) = self.meridiem(hour, minute, Grain::Minute, next);
        Some((Clock { form: Form::Clear, ..clock }, next))
    }

    fn hour_word(&self, at: usize) -> Option<(u8, usize)> {
        match self.word(at) {
            Word::Cardinal(hour @ 1..=12) | Word::Number(hour @ 1..=12, 1..=2) => {
                Some((u8::try_from(hour).ok()?, at + 1))
            }
            _ => None,
        }
    }

    /// "15:30", "3:30 pm", "3.30pm", "3pm".
    fn digits(&self, at: usize, hour: u8) -> Option<(Clock, usize)> {
        let glued = |from: usize| self.glued(from) && self.glued(from + 1);
        let minute = match (self.word(at + 1), self.word(at + 2)) {
            (Word::Sign(sign @ (b':' | b'.')), Word::Number(minute @ 0..=59, 2)) if glued(at + 1) => {
                Some((sign, minute))
            }
            _ => None,
        };
        let Some((sign, minute)) = minute else {
            return (1..=12).contains(&hour).then(|| self.meridiem(hour, 0, Grain::Hour, at + 1));
        };
        if hour > 23 {
            return None;
        }
        let mut next = at + 3;
        if sign == b':'
            && self.is_sign(next, b':')
            && glued(next)
            && matches!(self.word(next + 1), Word::Number(0..=59, 2))
        {
            next += 2;
        }
        let (mut clock, end) = self.meridiem(hour, u8::try_from(minute).ok()?, Grain::Minute, next);
        if clock.form != Form::Clear {
            // "3.30" is a number; only with "pm" is it a time.
            if sign == b'.' {
                return None;
            }
            clock.form = Form::Digits;
            clock.exact = hour == 0 || hour > 12 || self.spelled(at).is_some_and(|text| text.starts_with('0'));
        }
        Some((clock, end))
    }

    /// An hour with the "am", "pm" or "o'clock" after it, and a zone.
    fn meridiem(&self, hour: u8, minute: u8, grain: Grain, at: usize) -> (Clock, usize) {
        let plain = Clock { hour, minute, grain, exact: false, form: Form::Bare, zone: None };
        let (clock, next) = match self.meridiem_word(at) {
            Some((meridiem, next)) if hour <= 12 => {
                let hour = hour % 12 + if meridiem == Meridiem::Pm { 12 } else { 0 };
                (Clock { hour, exact: true, form: Form::Clear, ..plain }, next)
            }
            _ if self.word(at) == Word::OClock => (Clock { form: Form::Clear, ..plain }, at + 1),
            _ => (plain, at),
        };
        match self.spelled(next).and_then(zone) {
            Some(zone) if clock.form != Form::Bare || grain == Grain::Minute => {
                (Clock { zone: Some(zone), exact: clock.exact || hour > 12, ..clock }, next + 1)
            }
            _ => (clock, next),
        }
    }

    fn meridiem_word(&self, at: usize) -> Option<(Meridiem, usize)> {
        match self.word(at) {
            Word::Meridiem(meridiem) => self.ends(at + 1).then_some((meridiem, at + 1)),
            _ => {
                let meridiem = token::dotted_meridiem(self.spelled(at)?)?;
                let spelled =
                    |index: usize, text: &str| self.spelled(index).is_some_and(|word| word.eq_ignore_ascii_case(text));
                let dotted = self.is_sign(at + 1, b'.') && spelled(at + 2, "m");
                dotted.then(|| (meridiem, self.past_glued_dot(at + 3)))
            }
        }
    }

    fn past_glued_dot(&self, at: usize) -> usize {
        at + usize::from(self.is_sign(at, b'.') && self.glued(at))
    }
}

impl Clock {
    fn exact(hour: u8, minute: u8, grain: Grain) -> Clock {
        Clock { hour, minute, grain, exact: true, form: Form::Clear, zone: None }
    }

    /// The hour from midnight; past 23 it is of the next day.
    fn hour_of_day(self, part: Option<Part>) -> u8 {
        match part {
            _ if self.exact || self.hour > 12 => self.hour,
            Some(Part::Morning) => self.hour % 12,
            Some(Part::Night) if self.hour == 12 || self.hour < 5 => self.hour % 12 + 24,
            Some(_) => self.hour % 12 + 12,
            None if self.hour < FIRST_MORNING_HOUR => self.hour + 12,
            None => self.hour,
        }
    }
}

/// The part of a day that a span is, as far as hours without "am" or "pm" need it.
fn part_of(span: Span) -> Option<Part> {
    if span.grain != Grain::DayPart {
        return None;
    }
    Some(match span.start.hour() {
        0..12 => Part::Morning,
        12..18 => Part::Afternoon,
        _ if span.end.date() > span.start.date() && span.end.hour() > 0 => Part::Night,
        _ => Part::Evening,
    })
}

/// Zones that people write after a time. Names that stand for several zones are left out.
fn zone(name: &str) -> Option<UtcOffset> {
    let hours = match name {
        "UTC" | "GMT" | "Z" | "utc" | "gmt" => 0,
        "EST" | "CDT" => -5,
        "EDT" => -4,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        "CET" => 1,
        "CEST" => 2,
        "BST" => 1,
        "AEST" => 10,
        "AEDT" => 11,
        "JST" => 9,
        _ => return None,
    };
    UtcOffset::from_hms(hours, 0, 0).ok()
}
