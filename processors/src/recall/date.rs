//! Dates in a question, and how near a message's time is to them.
//!
//! Owns: reading English and ISO dates ("7 May 2023", "May 7th", "in June", "2023-05-07") out of free text.
//! Never: resolves dates relative to now ("last week"); that needs the asker's time, which a question does not have.

use time::{Date, Month, OffsetDateTime};

use crate::Micros;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Words after which "may" and "march" are months even without a day or a year.
const BEFORE_MONTH: [&str; 14] =
    ["in", "of", "since", "during", "early", "late", "mid", "last", "this", "next", "by", "until", "from", "before"];

/// A date as far as a question gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DateMention {
    year: Option<i32>,
    month: Month,
    day: Option<u8>,
}

/// All dates in a text, in order.
pub(super) fn dates_in(text: &str) -> Vec<DateMention> {
    let words: Vec<&str> = text
        .split(|character: char| !(character.is_alphanumeric() || character == '-'))
        .filter(|word| !word.is_empty())
        .collect();
    let mut dates: Vec<_> = words.iter().filter_map(|word| iso_date(word)).collect();
    dates.extend((0..words.len()).filter_map(|index| named_month(&words, index)));
    dates
}

/// How near a message said at `sent_at` is to a date, from 0 to 1: the day itself 1, two days around it .6, the month
/// or the ten days after (people tell of things later) .3.
pub(super) fn nearness(dates: &[DateMention], sent_at: Micros) -> f32 {
    let Ok(said) = OffsetDateTime::from_unix_timestamp(sent_at.div_euclid(1_000_000)) else { return 0.0 };
    dates.iter().map(|mention| mention.nearness(said.date())).fold(0.0, f32::max)
}

impl DateMention {
    fn nearness(self, said: Date) -> f32 {
        let year = self.year.unwrap_or(said.year());
        let same_month = said.month() == self.month && said.year() == year;
        let last_day = self.day.unwrap_or(self.month.length(year));
        let Ok(last) = Date::from_calendar_date(year, self.month, last_day) else { return 0.0 };
        let days_after = (said - last).whole_days();
        match self.day {
            Some(_) if days_after == 0 => 1.0,
            Some(_) if days_after.abs() <= 2 => 0.6,
            _ if same_month || (0..=10).contains(&days_after) => 0.3,
            _ => 0.0,
        }
    }
}

fn iso_date(word: &str) -> Option<DateMention> {
    let mut parts = word.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Some(DateMention { year: Some(year.parse().ok()?), month, day: Some(day_number(day)?) })
}

/// The date around a month's name at `index`: "7 May 2023", "7th of May", "May 7, 2023", "May 2023", "in May".
fn named_month(words: &[&str], index: usize) -> Option<DateMention> {
    let word = words[index];
    let lower = word.to_lowercase();
    let number = MONTHS.iter().position(|name| {
        *name == lower || (lower.len() >= 3 && lower != "mar" && lower != "jun" && name[..3] == lower && lower != "may")
    })?;
    let before = |distance: usize| index.checked_sub(distance).map(|at| words[at]);
    let after = |distance: usize| words.get(index + distance).copied();
    let day_before = before(1)
        .and_then(day_number)
        .or_else(|| before(1).filter(|word| *word == "of").and_then(|_| before(2)).and_then(day_number));
    let day_after = after(1).and_then(day_number);
    let year = if day_before.is_none() && day_after.is_some() {
        after(2).and_then(year_number)
    } else {
        after(1).and_then(year_number)
    };
    let day = day_before.or(day_after);
    // "may" and "march" are verbs, too.
    let is_plain = day.is_none() && year.is_none();
    if is_plain && (lower == "may" || lower == "march") {
        let led = before(1).is_some_and(|word| BEFORE_MONTH.contains(&word.to_lowercase().as_str()));
        if !led || !word.starts_with('M') {
            return None;
        }
    }
    Some(DateMention { year, month: Month::try_from(u8::try_from(number + 1).ok()?).ok()?, day })
}

fn day_number(word: &str) -> Option<u8> {
    let digits = word.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let suffix = &word[digits.len()..];
    if digits.len() > 2 || !matches!(suffix, "" | "st" | "nd" | "rd" | "th") {
        return None;
    }
    digits.parse().ok().filter(|day| (1..=31).contains(day))
}

fn year_number(word: &str) -> Option<i32> {
    (word.len() == 4).then(|| word.parse().ok()).flatten().filter(|year| (1900..2200).contains(year))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(Option<i32>, u8, Option<u8>)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|&(year, month, day)| DateMention { year, month: Month::try_from(month).unwrap(), day })
            .collect();
        assert_eq!(dates_in(text), expected, "{text}");
    }

    #[test]
    fn dates_are_read_in_the_forms_people_write() {
        check("What happened on 7 May 2023?", &[(Some(2023), 5, Some(7))]);
        check("the 7th of May", &[(None, 5, Some(7))]);
        check("on May 7th, 2023", &[(Some(2023), 5, Some(7))]);
        check("in June", &[(None, 6, None)]);
        check("in June 2022", &[(Some(2022), 6, None)]);
        check("since 2023-05-07 or so", &[(Some(2023), 5, Some(7))]);
        check("Sept 3", &[]);
        check("Sep 3", &[(None, 9, Some(3))]);
        check("between 2 March and 5 April", &[(None, 3, Some(2)), (None, 4, Some(5))]);
    }

    #[test]
    fn verbs_are_no_months() {
        check("May I ask what it may cost?", &[]);
        check("the march for equality", &[]);
        check("what did we plan in May?", &[(None, 5, None)]);
        check("the 31st floor, room 2023-99-99", &[]);
    }

    #[test]
    fn nearness_falls_with_distance() {
        let at = |text: &str| {
            let seconds = OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
            seconds.unix_timestamp() * 1_000_000
        };
        let day = dates_in("7 May 2023");
        assert_eq!(nearness(&day, at("2023-05-07T20:00:00Z")), 1.0);
        assert_eq!(nearness(&day, at("2023-05-09T20:00:00Z")), 0.6);
        assert_eq!(nearness(&day, at("2023-05-16T20:00:00Z")), 0.3);
        assert_eq!(nearness(&day, at("2023-06-16T20:00:00Z")), 0.0);
        assert_eq!(nearness(&dates_in("in June"), at("2021-06-30T00:00:00Z")), 0.3);
        assert_eq!(nearness(&dates_in("in June"), at("2021-07-08T00:00:00Z")), 0.3);
        assert_eq!(nearness(&dates_in("30 February 2023"), at("2023-02-20T00:00:00Z")), 0.0);
        assert_eq!(nearness(&[], 0), 0.0);
    }
}
