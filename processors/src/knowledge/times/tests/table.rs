//! The table of expressions (`table.tsv`): what a careful reader understands.

use time::{Date, OffsetDateTime, PrimitiveDateTime, UtcOffset, macros::format_description};

use super::{
    super::{Anchor, TimeMention, times_in},
    anchor,
};
use crate::Micros;

const TABLE: &str = include_str!("../table.tsv");

struct Row<'t> {
    text: &'t str,
    anchor: Anchor,
    expected: Vec<(Micros, Micros, String)>,
}

fn rows() -> Vec<Row<'static>> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(row).collect()
}

fn row(line: &str) -> Row<'_> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [text, at, start, end, grain] = fields[..] else { panic!("five fields: {line}") };
    let anchor = anchor(at);
    let expected = match start {
        "none" => Vec::new(),
        _ => vec![(micros(start, anchor.offset), micros(end, anchor.offset), grain.to_owned())],
    };
    Row { text, anchor, expected }
}

/// A date or a time, of the anchor's zone or of UTC.
fn micros(written: &str, offset: UtcOffset) -> Micros {
    let (local, offset) = match written.strip_suffix('Z') {
        Some(local) => (local, UtcOffset::UTC),
        None => (written, offset),
    };
    let moment = match local.contains('T') {
        true => PrimitiveDateTime::parse(local, format_description!("[year]-[month]-[day]T[hour]:[minute]")).unwrap(),
        false => Date::parse(local, format_description!("[year]-[month]-[day]")).unwrap().midnight(),
    };
    i64::try_from(moment.assume_offset(offset).unix_timestamp_nanos() / 1_000).unwrap()
}

fn resolved(row: &Row<'_>) -> Vec<(Micros, Micros, String)> {
    let period = |found: &TimeMention| (found.start, found.end, found.grain.name().to_owned());
    times_in(row.text, &row.anchor).iter().map(period).collect()
}

fn shown(periods: &[(Micros, Micros, String)], offset: UtcOffset) -> String {
    let local = |micros: Micros| {
        let at = OffsetDateTime::from_unix_timestamp(micros.div_euclid(1_000_000)).unwrap().to_offset(offset);
        at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]")).unwrap()
    };
    let period = |(start, end, grain): &(Micros, Micros, String)| format!("{}..{} {grain}", local(*start), local(*end));
    if periods.is_empty() { "none".to_owned() } else { periods.iter().map(period).collect::<Vec<_>>().join(", ") }
}

#[test]
fn expressions_mean_what_a_careful_reader_understands() {
    let rows = rows();
    let mut wrong = 0;
    for row in &rows {
        let found = resolved(row);
        if found != row.expected {
            wrong += 1;
            println!(
                "{:?}\n  expected {}\n  resolved {}",
                row.text,
                shown(&row.expected, row.anchor.offset),
                shown(&found, row.anchor.offset)
            );
        }
    }
    let right = rows.len() - wrong;
    println!("{right} of {} right", rows.len());
    assert!(rows.len() >= 300 && right * 100 >= rows.len() * 97, "{right} of {} right", rows.len());
}

#[test]
fn texts_without_times_are_a_part_of_the_table() {
    assert!(rows().iter().filter(|row| row.expected.is_empty()).count() >= 40);
}
