//! Times: the many ways in which exports write a time, as RFC 3339.
//!
//! Promises: a time that cannot be understood is none; it is never the time of the import in disguise.
//! Never: asks the clock.

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// From here on a number is milliseconds: as seconds it would lie in the year 5138.
const MILLISECONDS_FROM: f64 = 100_000_000_000.0;
/// The last second that RFC 3339 can write.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// Seconds since 1970, with a fraction.
pub(super) fn from_seconds(seconds: f64) -> Option<String> {
    if !(0.0..=LAST_SECOND).contains(&seconds) {
        return None;
    }
    from_microseconds((seconds * 1e6).round() as i128)
}

/// Seconds, a point and microseconds, as Slack writes both the time and the id of a message.
pub(super) fn from_decimal(text: &str) -> Option<String> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || seconds.len() > 12 || !is_number(seconds) || !is_number(fraction) {
        return None;
    }
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let seconds: i128 = seconds.parse().ok()?;
    from_microseconds(seconds * 1_000_000 + fraction.parse::<i128>().ok()?)
}

/// RFC 3339, also with a blank for the `T`, without an offset (then it is UTC), or only a date.
pub(super) fn from_text(text: &str) -> Option<String> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.trim_start_matches(['T', 't', ' ']);
    let clock = if rest.is_empty() { "00:00:00" } else { rest };
    let clock = clock.strip_suffix(" UTC").unwrap_or(clock).replace(' ', "");
    let has_offset = clock.ends_with(['Z', 'z']) || clock.contains(['+', '-']);
    let has_seconds = clock.split(['+', '-', 'Z', 'z']).next().is_some_and(|clock| clock.matches(':').count() == 2);
    let seconds = if has_seconds { "" } else { ":00" };
    let written = match clock.find(['+', '-', 'Z', 'z']) {
        Some(place) if has_offset => {
            let (clock, offset) = clock.split_at(place);
            format!("{date}T{clock}{seconds}{}", whole_offset(offset))
        }
        _ => format!("{date}T{clock}{seconds}Z"),
    };
    OffsetDateTime::parse(&written, &Rfc3339).ok()?.format(&Rfc3339).ok()
}

/// An offset with hours and minutes: also of one that has only hours, or no colon.
fn whole_offset(offset: &str) -> String {
    match offset.len() {
        3 => format!("{offset}:00"),
        5 if offset.is_ascii() => format!("{}:{}", &offset[..3], &offset[3..]),
        _ => offset.to_owned(),
    }
}

/// A time in JSON: a text, seconds or milliseconds.
pub(super) fn from_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let number = || text.trim().parse::<u64>().ok().and_then(|number| from_number(number as f64));
            from_text(text).or_else(|| from_decimal(text)).or_else(number)
        }
        Value::Number(number) => from_number(number.as_f64()?),
        _ => None,
    }
}

/// Seconds, or milliseconds where the number is too large for them.
fn from_number(number: f64) -> Option<String> {
    from_seconds(if number >= MILLISECONDS_FROM { number / 1000.0 } else { number })
}

fn from_microseconds(microseconds: i128) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(microseconds * 1000).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_write_a_time_is_understood() {
        for (value, expected) in [
            (json!(1_704_067_200.25), "2024-01-01T00:00:00.25Z"),
            (json!(1_704_067_200_250_u64), "2024-01-01T00:00:00.25Z"),
            (json!("1704067200250"), "2024-01-01T00:00:00.25Z"),
            (json!("1704067200.000216"), "2024-01-01T00:00:00.000216Z"),
            (json!("2024-01-01T00:00:00.123456Z"), "2024-01-01T00:00:00.123456Z"),
            (json!("2024-01-01T02:00:00.5+02:00"), "2024-01-01T02:00:00.5+02:00"),
            (json!("2024-01-01 10:20:30"), "2024-01-01T10:20:30Z"),
            (json!("2019-01-01 12:00:00.000000+00:00"), "2019-01-01T12:00:00Z"),
            (json!("2024-01-01 10:20:30.5+00"), "2024-01-01T10:20:30.5Z"),
            (json!("2024-01-01T10:20:30-0530"), "2024-01-01T10:20:30-05:30"),
            (json!("2024-01-01 10:20"), "2024-01-01T10:20:00Z"),
            (json!("2024-01-01T10:20+01:00"), "2024-01-01T10:20:00+01:00"),
            (json!("2024-01-01"), "2024-01-01T00:00:00Z"),
        ] {
            assert_eq!(from_value(&value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for value in
            [json!(null), json!(-1), json!(1e300), json!("soon"), json!("2024-13-01"), json!("ä".repeat(9)), json!("")]
        {
            assert_eq!(from_value(&value), None, "{value}");
        }
        assert_eq!(from_seconds(f64::NAN), None);
        assert_eq!(from_decimal("17x.2"), None);
    }
}
