//! Timestamps: points in time as clients write them.
//!
//! Owns: the way between RFC 3339 text and microseconds since the epoch.
//! Never: asks the clock.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

/// 0001-01-01T00:00:00Z.
const FIRST: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z.
const LAST: i64 = 253_402_300_799_999_999;

/// A point in time in the years 0001 to 9999, to the microsecond; RFC 3339 text on the wire, always written in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2025-05-08T13:56:00Z"))]
pub struct Timestamp(
    // Invariant: from FIRST to LAST.
    i64,
);

/// A text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a time in RFC 3339 form in the years 0001 to 9999, such as 2025-05-08T13:56:00Z")]
pub struct InvalidTimestamp(pub String);

impl Timestamp {
    /// The point in time this many microseconds after 1970-01-01T00:00:00Z; the nearest one, if that lies outside the range.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(FIRST, LAST))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads RFC 3339. What is finer than a microsecond is cut off.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || InvalidTimestamp(text.to_owned());
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| refuse())?;
        let micros = i64::try_from(moment.unix_timestamp_nanos().div_euclid(1000)).map_err(|_| refuse())?;
        if !(FIRST..=LAST).contains(&micros) {
            return Err(refuse());
        }
        Ok(Self(micros))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .expect("the range of a timestamp lies within that of the time library");
        let text = moment.format(&Rfc3339).expect("RFC 3339 writes every year from 0001 to 9999");
        formatter.write_str(&text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimestampVisitor)
    }
}

struct TimestampVisitor;

impl de::Visitor<'_> for TimestampVisitor {
    type Value = Timestamp;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a time in RFC 3339 form in the years 0001 to 9999, such as 2025-05-08T13:56:00Z")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_microsecond_and_written_in_utc() {
        for (text, micros, written) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("2025-05-08T13:56:00+02:00", 1_746_705_360_000_000, "2025-05-08T11:56:00Z"),
            ("1969-12-31T23:59:59.9999999Z", -1, "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", FIRST, "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999Z", LAST, "9999-12-31T23:59:59.999999Z"),
        ] {
            let timestamp: Timestamp = text.parse().expect(text);
            assert_eq!((timestamp.micros(), timestamp.to_string().as_str()), (micros, written), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_in_range_is_refused() {
        for text in [
            "",
            "yesterday",
            "2025-05-08",
            "2025-05-08T13:56:00",
            "2025-13-08T13:56:00Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn micros_out_of_range_become_the_nearest_time() {
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(i64::MIN).to_string(), "0001-01-01T00:00:00Z");
    }
}
