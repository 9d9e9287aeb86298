//! Holidays: days with a name that come every year.
//!
//! Owns: the names, and the rule for each day.
//! Never: takes a thing for the day ("Christmas tree").

use time::{Date, Month, Weekday};

use super::{
    calendar::{self, Span, plus_days},
    lexicon::Word,
    reader::{Parsed, Reader},
    tense::{self, Which},
};

/// How a holiday's day is found in a year.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Fixed(Month, u8),
    /// The nth such weekday of a month.
    Nth(Month, Weekday, i64),
    LastOf(Month, Weekday),
    /// Days after Easter Sunday of the western church.
    Easter(i64),
    /// Days after Thanksgiving.
    Thanksgiving(i64),
}

/// Names in lower case without apostrophes, longer before shorter.
const HOLIDAYS: [(&str, Rule); 38] = [
    ("christmas eve", Rule::Fixed(Month::December, 24)),
    ("christmas day", Rule::Fixed(Month::December, 25)),
    ("christmas", Rule::Fixed(Month::December, 25)),
    ("xmas eve", Rule::Fixed(Month::December, 24)),
    ("xmas", Rule::Fixed(Month::December, 25)),
    ("boxing day", Rule::Fixed(Month::December, 26)),
    ("new years eve", Rule::Fixed(Month::December, 31)),
    ("new year s eve", Rule::Fixed(Month::December, 31)),
    ("new year eve", Rule::Fixed(Month::December, 31)),
    ("new years day", Rule::Fixed(Month::January, 1)),
    ("new year s day", Rule::Fixed(Month::January, 1)),
    ("new years", Rule::Fixed(Month::January, 1)),
    ("new year s", Rule::Fixed(Month::January, 1)),
    ("thanksgiving day", Rule::Thanksgiving(0)),
    ("thanksgiving", Rule::Thanksgiving(0)),
    ("black friday", Rule::Thanksgiving(1)),
    ("cyber monday", Rule::Thanksgiving(4)),
    ("halloween", Rule::Fixed(Month::October, 31)),
    ("valentine s day", Rule::Fixed(Month::February, 14)),
    ("valentines day", Rule::Fixed(Month::February, 14)),
    ("valentines", Rule::Fixed(Month::February, 14)),
    ("good friday", Rule::Easter(-2)),
    ("easter sunday", Rule::Easter(0)),
    ("easter monday", Rule::Easter(1)),
    ("easter", Rule::Easter(0)),
    ("independence day", Rule::Fixed(Month::July, 4)),
    ("labor day", Rule::Nth(Month::September, Weekday::Monday, 1)),
    ("labour day", Rule::Nth(Month::September, Weekday::Monday, 1)),
    ("memorial day", Rule::LastOf(Month::May, Weekday::Monday)),
    ("mother s day", Rule::Nth(Month::May, Weekday::Sunday, 2)),
    ("mothers day", Rule::Nth(Month::May, Weekday::Sunday, 2)),
    ("father s day", Rule::Nth(Month::June, Weekday::Sunday, 3)),
    ("fathers day", Rule::Nth(Month::June, Weekday::Sunday, 3)),
    ("st patrick s day", Rule::Fixed(Month::March, 17)),
    ("saint patrick s day", Rule::Fixed(Month::March, 17)),
    ("veterans day", Rule::Fixed(Month::November, 11)),
    ("presidents day", Rule::Nth(Month::February, Weekday::Monday, 3)),
    ("juneteenth", Rule::Fixed(Month::June, 19)),
];

impl Reader<'_> {
    /// "Christmas", "New Year's Eve 2022"; the sentence decides which, where no year does.
    pub(super) fn holiday(&self, at: usize) -> Option<Parsed> {
        if !matches!(self.word(at), Word::Holiday | Word::HolidayLead) {
            return None;
        }
        let (rule, next) = self.holiday_name(at)?;
        let (year, end) = self.year_after(next);
        let span = match year {
            Some(year) => rule.in_year(year)?,
            None => tense::of_years(self.now, self.said(at, end), |year| rule.in_year(year))?,
        };
        Some(Parsed::new(span, end))
    }

    /// The holiday after a "last" or "next".
    pub(super) fn holiday_of(&self, at: usize, which: Which) -> Option<Parsed> {
        let (rule, next) = self.holiday_name(at)?;
        Some(Parsed::new(tense::of_years(self.now, which, |year| rule.in_year(year))?, next))
    }

    fn holiday_name(&self, at: usize) -> Option<(Rule, usize)> {
        let (rule, next) = HOLIDAYS.iter().find_map(|(name, rule)| Some((*rule, self.after_name(at, name)?)))?;
        (self.before(at) != Word::Every && self.word(next) != Word::Thing).then_some((rule, next))
    }

    /// The index after a name's words, if they stand here. Apostrophes and full stops between them are passed over.
    fn after_name(&self, at: usize, name: &str) -> Option<usize> {
        let mut next = at;
        for word in name.split(' ') {
            if next > at && matches!(self.word(next), Word::Sign(b'\'' | b'.')) {
                next += 1;
            }
            let spelled = self.spelled(next)?;
            let matches = match self.word(next) {
                Word::Possessive => word == "s",
                _ => spelled.eq_ignore_ascii_case(word),
            };
            if !matches {
                return None;
            }
            next += 1;
        }
        Some(next)
    }
}

impl Rule {
    fn in_year(self, year: i32) -> Option<Span> {
        Span::day(self.date(year)?)
    }

    fn date(self, year: i32) -> Option<Date> {
        match self {
            Rule::Fixed(month, day) => Date::from_calendar_date(year, month, day).ok(),
            Rule::Nth(month, weekday, number) => {
                let first = calendar::weekday_from(Date::from_calendar_date(year, month, 1).ok()?, weekday)?;
                plus_days(first, 7 * (number - 1))
            }
            Rule::LastOf(month, weekday) => {
                let last = Date::from_calendar_date(year, month, month.length(year)).ok()?;
                calendar::weekday_before(last.next_day()?, weekday)
            }
            Rule::Easter(days) => plus_days(easter(year)?, days),
            Rule::Thanksgiving(days) => plus_days(Rule::Nth(Month::November, Weekday::Thursday, 4).date(year)?, days),
        }
    }
}

/// Easter Sunday of the Gregorian calendar: the algorithm of Meeus, Jones and Butcher, for years it knows.
fn easter(year: i32) -> Option<Date> {
    if !(1583..=9999).contains(&year) {
        return None;
    }
    let golden = year % 19;
    let (century, rest) = (year / 100, year % 100);
    let epact = (19 * golden + century - century / 4 - (century - (century + 8) / 25 + 1) / 3 + 15) % 30;
    let weekday = (32 + 2 * (century % 4) + 2 * (rest / 4) - epact - rest % 4) % 7;
    let shift = (golden + 11 * epact + 22 * weekday) / 451;
    let days = epact + weekday - 7 * shift + 114;
    let month = Month::try_from(u8::try_from(days / 31).ok()?).ok()?;
    Date::from_calendar_date(year, month, u8::try_from(days % 31 + 1).ok()?).ok()
}
