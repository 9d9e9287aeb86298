//! Times: which periods a chat message speaks of.
//!
//! Owns: finding English and numeric time expressions in free text ("last Friday", "the week before 9 June 2021",
//! "tomorrow at 10:30", "2023-05-07") and resolving each to a period with a grain, as seen from the message's own time.
//! Promises: the same text and anchor give the same mentions; mentions are in order and do not overlap; the text is
//! read once, in time linear in its length; no input panics, and a date out of range is no mention.
//! Never: asks the clock, guesses a zone or moves a period: what a mention was resolved from stays in its text range.
//!
//! How expressions are understood, where people differ:
//! - "last Friday" is the latest one before today; "next Friday" belongs to next week; "this Friday" to this week, or
//!   to the next where it is over. "last week" and "last month" are calendar units, "the last week" and "the past two
//!   months" reach back from the message to the midnight that many units earlier.
//! - Without a year or a "last", the tense of the sentence decides: "we met on Monday" looks back, "we will meet" looks
//!   ahead. Where it says nothing, weekdays and days of the month lie ahead, and months, seasons, dates and holidays are
//!   the nearest; so is a day and month that the tense would put more than nine months away.
//! - "two weeks ago" is the calendar unit that holds the moment two weeks before. "A couple" is two, "a few" two to
//!   four, "several" three to seven; "the other day" is the seven days before today. "Recently" and "a while ago" are
//!   too vague to be a mention, and a duration ("for three weeks") is none.
//! - "The week before" a day is the seven days up to it; the first and the last week of a month are its first and last
//!   seven days. "Early", "mid" and "late" are thirds; the beginning and the end of a year are quarters of it.
//! - Open intervals end at the message: "since 2016" is 2016 up to the message, "until May" and "by May" the message up
//!   to the end of May. Where that would be empty, and for "before" and "after", the period is the one named, and
//!   [`Bound`] says on which side of it things lie.
//! - Morning is 5 to 12, afternoon 12 to 18, evening 18 to 24, night 18 to 5 of the next day. Hours without "am" or
//!   "pm" are 7 to 11 in the morning, 12 noon, and 1 to 6 in the afternoon; a time without a day is today's.
//! - Seasons are those of the north, by whole months; winter belongs to the year it begins in. Holidays are those of
//!   the United States. The 20th century is 1901 to 2000. "the 90s" is the latest such decade that has begun.
//! - 05/07/2023 is read by [`DateOrder`], unless only one order is possible; 07.05.2023 has the day first.
//! - Stretches in backticks, addresses and paths are not read.

mod beside;
mod calendar;
mod clock;
mod dates;
mod holidays;
mod lexicon;
mod longer;
mod named;
mod parts;
mod ranges;
mod reader;
mod relative;
mod tense;
#[cfg(test)]
mod tests;
mod token;

use std::ops::Range;

use time::{UtcOffset, Weekday};

use crate::Micros;

pub use named::NamedDate;

/// A time expression in a text, and the period it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeMention {
    /// Where it stands in the text, in bytes, on character boundaries.
    pub text: Range<usize>,
    /// When the period begins (inclusive).
    pub start: Micros,
    /// When the period ends (exclusive); always after `start`.
    pub end: Micros,
    /// How exactly the time was told.
    pub grain: Grain,
    /// How what is said relates to the period.
    pub bound: Bound,
}

/// How exactly a time was told: the unit that its words name, from fine to coarse.
///
/// A period can be longer ("from 3 to 7 May" tells days) or shorter ("early May" tells a third of a month).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// "at 10:30".
    Minute,
    /// "at 3pm", "two hours ago".
    Hour,
    /// "yesterday evening", "last night".
    DayPart,
    /// "7 May 2023", "last Friday".
    Day,
    /// Saturday and Sunday.
    Weekend,
    /// "last week", "the other day".
    Week,
    /// "next month", "mid-May".
    Month,
    /// "Q3".
    Quarter,
    /// "the summer of 2019".
    Season,
    /// "in 2016".
    Year,
    /// "the 90s".
    Decade,
    /// "the 20th century".
    Century,
}

impl Grain {
    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Grain::Minute => "minute",
            Grain::Hour => "hour",
            Grain::DayPart => "daypart",
            Grain::Day => "day",
            Grain::Weekend => "weekend",
            Grain::Week => "week",
            Grain::Month => "month",
            Grain::Quarter => "quarter",
            Grain::Season => "season",
            Grain::Year => "year",
            Grain::Decade => "decade",
            Grain::Century => "century",
        }
    }
}

/// How what is said relates to a mention's period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// It is at or in the period.
    Within,
    /// It began in the named time and holds up to the message ("since 2016").
    Since,
    /// It ends with the named time ("until May", "by Friday").
    Until,
    /// It is earlier than the period ("before Christmas").
    Before,
    /// It is later than the period ("after 9 June").
    After,
}

impl Bound {
    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Bound::Within => "within",
            Bound::Since => "since",
            Bound::Until => "until",
            Bound::Before => "before",
            Bound::After => "after",
        }
    }
}

/// Which number of 05/07/2023 is the month, where both could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// 7 May, as in the United States.
    #[default]
    MonthFirst,
    /// 5 July.
    DayFirst,
}

/// From where and when a text is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// When it was said. A time outside of the years -9999 to 9999 resolves nothing.
    pub at: Micros,
    /// The sender's offset from UTC then; UTC where it is not known. Days begin at midnight of this offset.
    pub offset: UtcOffset,
    /// The first day of a week; Monday by default.
    pub week_start: Weekday,
    /// How an ambiguous numeric date is read; month first by default.
    pub date_order: DateOrder,
    /// Dates that the sender's words may name, such as "my birthday".
    pub named: Vec<NamedDate>,
}

impl Anchor {
    /// An anchor with the defaults and no named dates.
    pub fn new(at: Micros, offset: UtcOffset) -> Anchor {
        Anchor { at, offset, week_start: Weekday::Monday, date_order: DateOrder::default(), named: Vec::new() }
    }
}

/// All time expressions of a text, in order.
pub fn times_in(text: &str, anchor: &Anchor) -> Vec<TimeMention> {
    let tokens = token::tokens_in(text);
    if anchor.named.is_empty() && !tokens.iter().any(|token| token.word.can_tell_time()) {
        return Vec::new();
    }
    reader::Reader::new(text, &tokens, anchor).map(reader::Reader::mentions).unwrap_or_default()
}
