//! Usage: what calls of models used, summed up.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use time::{Date, Duration, format_description::well_known::Iso8601};
use utoipa::ToSchema;

const NANOS_PER_USD: i64 = 1_000_000_000;
/// 1970-01-01.
const EPOCH: Date = time::macros::date!(1970 - 01 - 01);
/// 0001-01-01 and 9999-12-31, in days since 1970-01-01.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// Tokens by what they are charged as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Input that was neither read from nor written to the provider's cache.
    pub input: i64,
    /// Input that was written to the provider's cache.
    pub cache_write: i64,
    /// Input that was read from the provider's cache.
    pub cache_read: i64,
    /// Output without reasoning.
    pub output: i64,
    /// Output that the model thought and did not say.
    pub reasoning: i64,
    /// All of them together.
    pub total: i64,
}

/// What calls used that are the same in each of the fields asked for by `by`; the others of these are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageSums {
    /// The space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Who was asked last; empty where nobody was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model's name at the provider; empty where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The label of the caller's key; empty where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The day on which the calls were requested, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    /// `chat` or `embeddings`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How many calls have ended.
    pub calls: i64,
    /// Of them: answered in full.
    pub completed: i64,
    /// Of them: the provider broke off after output was given.
    pub truncated: i64,
    /// Of them: without output.
    pub failed: i64,
    /// Of them: the caller left.
    pub cancelled: i64,
    /// Of them: the server ended meanwhile.
    pub interrupted: i64,
    /// How often providers were asked.
    pub attempts: i64,
    /// The tokens that they used.
    pub tokens: Tokens,
    /// What those with a price cost.
    pub cost_usd: Usd,
    /// Calls whose model has no price.
    pub unpriced: i64,
    /// Calls whose tokens were counted here, because the provider did not report them.
    pub estimated: i64,
    /// Calls whose tokens nobody knows.
    pub without_usage: i64,
}

/// What calls of models used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Sums of calls that are the same in each field asked for, in the order of these fields.
    pub usage: Vec<UsageSums>,
    /// Sums of all of them.
    pub total: UsageSums,
}

/// What usage can be summed up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageField {
    /// The space.
    Space,
    /// Who was asked.
    Provider,
    /// The model's name at the provider.
    Model,
    /// The label of the caller's key.
    Key,
    /// The day of the request, in UTC.
    Day,
    /// `chat` or `embeddings`.
    Kind,
}

impl UsageField {
    /// All of them.
    pub const ALL: [UsageField; 6] = [
        UsageField::Space,
        UsageField::Provider,
        UsageField::Model,
        UsageField::Key,
        UsageField::Day,
        UsageField::Kind,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            UsageField::Space => "space",
            UsageField::Provider => "provider",
            UsageField::Model => "model",
            UsageField::Key => "key",
            UsageField::Day => "day",
            UsageField::Kind => "kind",
        }
    }
}

impl FromStr for UsageField {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        UsageField::ALL.into_iter().find(|field| field.name() == name).ok_or_else(|| {
            let names = UsageField::ALL.map(UsageField::name).join(", ");
            format!("there is no usage by {name}; use {names}")
        })
    }
}

/// A day in the years 0001 to 9999; `YYYY-MM-DD` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = Date, examples("2026-08-01"))]
pub struct Day(
    // Invariant: one of DAYS.
    i64,
);

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a day in the years 0001 to 9999, such as 2026-08-01")]
pub struct InvalidDay(pub String);

impl Day {
    /// The day this many days after 1970-01-01; the nearest one, if that lies outside the range.
    pub fn from_number(days: i64) -> Self {
        Self(days.clamp(*DAYS.start(), *DAYS.end()))
    }

    /// Days since 1970-01-01.
    pub fn number(self) -> i64 {
        self.0
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        let refuse = || InvalidDay(text.to_owned());
        // Other forms of ISO 8601 are other texts for the same day; one is enough.
        let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let date = Date::parse(text, &Iso8601::DATE).ok().filter(|_| is_plain).ok_or_else(refuse)?;
        let number = (date - EPOCH).whole_days();
        if DAYS.contains(&number) { Ok(Self(number)) } else { Err(refuse()) }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = EPOCH + Duration::days(self.0);
        write!(formatter, "{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An amount of US dollars, to the billionth: a number with nine decimals on the wire. It is exact there, and where it is read
/// as JSON text; a reader that makes a double of it has sixteen figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = f64, examples(0.001234500))]
pub struct Usd(i64);

impl Usd {
    /// So many billionths of a dollar.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// In billionths of a dollar.
    pub const fn nanos(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, nanos) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let one = NANOS_PER_USD.unsigned_abs();
        write!(formatter, "{sign}{}.{:09}", nanos / one, nanos % one)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        usd(text.get()).ok_or_else(|| de::Error::custom("expected an amount of dollars, such as 0.001234500"))
    }
}

/// The amount of a JSON number.
fn usd(text: &str) -> Option<Usd> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 9 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) || whole.contains(['e', 'E']) {
        // Written by somebody else.
        let number: f64 = text.parse().ok()?;
        return Some(Usd((number * NANOS_PER_USD as f64).round() as i64));
    }
    let digits = format!("{whole}{decimals:0<9}");
    digits.parse().ok().map(Usd)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_is_a_number_with_nine_decimals() {
        for (nanos, text) in [
            (0, "0.000000000"),
            (1, "0.000000001"),
            (1_234_500, "0.001234500"),
            (-1, "-0.000000001"),
            (i64::MAX, "9223372036.854775807"),
        ] {
            assert_eq!(serde_json::to_string(&Usd(nanos)).expect("it is JSON"), text);
        }
        for (text, nanos) in [("3", 3_000_000_000), ("0.5", 500_000_000), ("1.25e-6", 1_250), ("1e1", 10_000_000_000)] {
            assert_eq!(serde_json::from_str::<Usd>(text).expect("it is an amount"), Usd(nanos), "{text}");
        }
        for text in ["\"1.0\"", "null", "{}", "99999999999999.0"] {
            assert!(serde_json::from_str::<Usd>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_is_written_as_it_is_read() {
        for (text, number) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2024-02-29", 19_782),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
        ] {
            let day: Day = text.parse().expect(text);
            assert_eq!((day.number(), day.to_string().as_str()), (number, text));
        }
        for text in
            ["", "2025-02-29", "2025-2-9", "20250209", "2025-W06-7", "2025-040", "0000-12-31", "+002025-01-01", "today"]
        {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        assert_eq!(Day::from_number(i64::MIN).to_string(), "0001-01-01");
        assert_eq!(Day::from_number(i64::MAX).to_string(), "9999-12-31");
    }

    proptest! {
        #[test]
        fn sums_are_the_same_after_they_were_written(nanos: i64, calls in 0..i64::MAX, model: Option<String>, day in DAYS) {
            let sums = UsageSums { model, day: Some(Day(day)), calls, cost_usd: Usd(nanos), ..UsageSums::default() };
            let usage = Usage { usage: vec![sums.clone()], total: sums };
            let text = serde_json::to_string(&usage).expect("it is JSON");
            prop_assert_eq!(serde_json::from_str::<Usage>(&text).expect("it is usage"), usage);
        }
    }
}
