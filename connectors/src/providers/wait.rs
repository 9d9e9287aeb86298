//! Waits: how long a provider asks to be left alone, in each of the forms that providers write it.
//!
//! Owns: `retry-after-ms`, `retry-after` (seconds with a fraction, or an HTTP date), and the reset headers of rate limits (a
//! duration such as `2m30s`, seconds, an epoch, or an RFC 3339 time).
//! Promises: of several buckets that are empty the latest reset counts. What cannot be read is none.
//! Never: asks the clock; `now` is given, in seconds since the epoch.

use std::{collections::BTreeMap, time::Duration};

use time::{OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// A number of seconds above this is a time and no duration.
const EPOCH_FROM: f64 = 30.0 * 86_400.0;

/// How long the provider asks to be left alone, if its headers say so.
pub(super) fn wait(headers: &BTreeMap<String, String>, now: f64) -> Option<Duration> {
    let header = |name: &str| headers.get(name).map(|value| value.trim());
    let milliseconds = header("retry-after-ms").and_then(|text| text.parse::<f64>().ok()).map(|number| number / 1e3);
    let stated = milliseconds.or_else(|| header("retry-after").and_then(|text| retry_after(text, now)));
    stated.or_else(|| exhausted(headers, now)).and_then(duration)
}

/// The latest reset of the buckets that are empty.
fn exhausted(headers: &BTreeMap<String, String>, now: f64) -> Option<f64> {
    let resets = headers.iter().filter_map(|(name, value)| {
        // x-ratelimit-reset-requests belongs to x-ratelimit-remaining-requests, and so for Anthropic, whose word stands last.
        let remaining = if name.contains("-reset-") {
            name.replacen("-reset-", "-remaining-", 1)
        } else {
            format!("{}-remaining", name.strip_suffix("-reset")?)
        };
        let is_empty = headers.get(&remaining).is_some_and(|left| left.trim().parse::<f64>() == Ok(0.0));
        is_empty.then(|| reset(value.trim(), now)).flatten()
    });
    resets.reduce(f64::max)
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

fn retry_after(text: &str, now: f64) -> Option<f64> {
    text.parse().ok().filter(|seconds: &f64| seconds.is_finite()).or_else(|| Some(http_date(text)? - now))
}

fn reset(text: &str, now: f64) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        let number = Some(number).filter(|number| number.is_finite())?;
        return Some(if number > EPOCH_FROM { number - now } else { number });
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok().map(seconds);
    time.map(|time| time - now).or_else(|| go_duration(text))
}

/// A duration as Go writes it: numbers with units, such as `12ms` or `2m30.5s`.
fn go_duration(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..letters] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    Some(total)
}

/// An HTTP date in the form that is written today (RFC 9110, IMF-fixdate).
fn http_date(text: &str) -> Option<f64> {
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    PrimitiveDateTime::parse(text, &form).ok().map(|time| seconds(time.assume_utc()))
}

fn seconds(time: OffsetDateTime) -> f64 {
    time.unix_timestamp_nanos() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22T12:00:00Z.
    const NOW: f64 = 1_795_348_800.0;

    fn check(headers: &[(&str, &str)], expected: Option<f64>) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = wait(&headers, NOW).map(|wait| (wait.as_secs_f64() * 1e3).round() / 1e3);
        assert_eq!(found, expected, "{headers:?}");
    }

    #[test]
    fn every_form_is_read() {
        check(&[("retry-after", "2")], Some(2.0));
        check(&[("retry-after", "0.25")], Some(0.25));
        check(&[("retry-after-ms", "150"), ("retry-after", "9")], Some(0.15));
        check(&[("retry-after", "Sun, 22 Nov 2026 12:00:30 GMT")], Some(30.0));
        check(&[("retry-after", "Sun, 22 Nov 2026 11:00:00 GMT")], Some(0.0));
        check(&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "2m30s")], Some(150.0));
        check(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "12ms")], Some(0.012));
        check(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "7")], Some(7.0));
        check(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795348805")], Some(5.0));
        check(
            &[
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2026-11-22T12:00:01Z"),
            ],
            Some(1.0),
        );
    }

    #[test]
    fn of_empty_buckets_the_latest_reset_counts_and_full_ones_do_not() {
        check(
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "6s"),
            ],
            Some(6.0),
        );
        check(&[("x-ratelimit-remaining-requests", "3"), ("x-ratelimit-reset-requests", "1s")], None);
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for text in ["", "soon", "1e999", "NaN", "inf", "Sun, 99 Nov 2026 12:00:30 GMT"] {
            check(&[("retry-after", text)], None);
        }
        for text in ["", "5 parsecs", "1", "s", "3x"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_headers_never_panic(
            headers in proptest::collection::btree_map("retry-after(-ms)?|x-ratelimit-(reset|remaining)(-requests)?", ".{0,24}", 0..4),
            number in any::<f64>(),
        ) {
            let _ = wait(&headers, NOW);
            let _ = wait(&BTreeMap::from([("retry-after".to_owned(), number.to_string())]), NOW);
        }
    }
}
