//! Tests of the resolver: a table of expressions, what holds for every text, and what the table cannot show.

mod behaviour;
mod properties;
mod table;

use time::{Date, Month, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Anchor, NamedDate};

/// An anchor at an RFC 3339 time, which knows a birthday on 14 June.
fn anchor(at: &str) -> Anchor {
    let at = OffsetDateTime::parse(at, &Rfc3339).unwrap();
    let mut anchor = Anchor::new(i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap(), at.offset());
    anchor.named = vec![NamedDate::yearly("my birthday", Date::from_calendar_date(1990, Month::June, 14).unwrap())];
    anchor
}
