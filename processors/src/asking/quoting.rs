//! Quoting: what people said, as data within the prompt of a model.
//!
//! Promises: within a quoted text no mark begins or ends, so that what it says is never taken for what the prompt says.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::Micros;

/// The longest name that is told, in characters.
const NAME_CHARACTERS: usize = 60;

/// A name as it stands in a mark.
pub(crate) fn name(name: &str) -> String {
    let plain = |letter: char| if letter.is_control() || matches!(letter, '"' | '<' | '>') { ' ' } else { letter };
    name.chars().take(NAME_CHARACTERS).map(plain).collect()
}

/// A time as it stands in a mark, to the second; empty where it is beyond the years that are written so.
pub(crate) fn time(at: Micros) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000).ok();
    time.and_then(|time| time.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()).unwrap_or_default()
}

/// A text that cannot be taken for the end or the beginning of what one of these marks holds.
pub(crate) fn text(text: &str, marks: &[&str]) -> String {
    let is_mark = |rest: &str| {
        let name = rest.trim_start_matches(|letter: char| letter == '/' || letter.is_whitespace());
        marks.iter().any(|mark| name.get(..mark.len()).is_some_and(|name| name.eq_ignore_ascii_case(mark)))
    };
    let mut quoted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('<') {
        let (before, behind) = rest.split_at(place + 1);
        quoted.push_str(before);
        if is_mark(behind) {
            quoted.push('\\');
        }
        rest = behind;
    }
    quoted.push_str(rest);
    quoted
}
