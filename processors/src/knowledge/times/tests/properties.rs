//! What holds for every text and every anchor.

use proptest::prelude::*;
use time::{Duration, OffsetDateTime, UtcOffset, Weekday};

use super::super::{Anchor, Bound, Grain, NamedDate, times_in};
use crate::Micros;

/// Words and signs that expressions are made of, put together without sense.
const PIECES: &str = "last|next|this|past|the|a|an|of|in|on|at|from|to|between|and|before|after|since|until|by|ago|now\
    |today|yesterday|tomorrow|tonight|day|days|week|weeks|weekend|month|months|quarter|year|years|decade\
    |century|morning|night|noon|midnight|Monday|Friday|Sat|Sundays|May|march|February|Dec|summer|fall\
    |Christmas|New|Year's|Eve|Easter|early|mid|-|late|beginning|end|half|two|twenty|few|couple|first|29\
    |31st|5th|2024|9999|0|'98|90s|3pm|10:30|2023-02-29|12/31/99|Q3|my birthday|the other day";

fn anchors() -> impl Strategy<Value = Anchor> {
    let edges =
        prop_oneof![any::<Micros>(), -62_000_000_000_000_000..253_402_300_799_999_999i64, 0..2_000_000_000_000_000i64];
    (edges, -93_599..=93_599i32, any::<bool>(), 0..400i64).prop_map(|(at, seconds, sunday, day)| {
        let mut anchor = Anchor::new(at, UtcOffset::from_whole_seconds(seconds).unwrap());
        anchor.week_start = if sunday { Weekday::Sunday } else { Weekday::Monday };
        let date = OffsetDateTime::UNIX_EPOCH.date() + Duration::days(day);
        anchor.named = vec![NamedDate::yearly("my birthday", date), NamedDate::once("", date)];
        anchor
    })
}

fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(
        (prop::sample::select(PIECES.split('|').collect::<Vec<_>>()), prop::bool::weighted(0.9)),
        0..16,
    );
    let sentence = pieces.prop_map(|pieces| {
        pieces.iter().map(|(piece, space)| format!("{piece}{}", if *space { " " } else { "" })).collect::<String>()
    });
    prop_oneof![sentence, any::<String>(), "[a-z0-9 ’'`.:/–-]{0,60}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn mentions_are_in_order_apart_and_of_some_length(text in texts(), anchor in anchors()) {
        let mentions = times_in(&text, &anchor);
        let mut end = 0;
        for mention in &mentions {
            prop_assert!(mention.text.start >= end && mention.text.start < mention.text.end);
            prop_assert!(text.get(mention.text.clone()).is_some());
            prop_assert!(mention.start < mention.end);
            end = mention.text.end;
        }
        prop_assert_eq!(mentions, times_in(&text, &anchor));
    }

    #[test]
    fn full_dates_do_not_depend_on_the_message(
        day in 1..=31u8, month in 0..12usize, year in 1000..2999i32, form in 0..4u8, at in 0..2_000_000_000_000_000i64,
        years in -100..100i64, seconds in -43_200..=43_200i32,
    ) {
        const MONTHS: [&str; 12] = [
            "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
            "November", "December",
        ];
        let name = MONTHS[month];
        let text = match form {
            0 => format!("it was on {day} {name} {year}"),
            1 => format!("it was on {name} {day}, {year}"),
            2 => format!("it will be {year:04}-{:02}-{day:02}", month + 1),
            _ => format!("in {name} {year}"),
        };
        let offset = UtcOffset::from_whole_seconds(seconds).unwrap();
        let periods = |at| -> Vec<(Micros, Micros, Grain, Bound)> {
            let mentions = times_in(&text, &Anchor::new(at, offset));
            mentions.iter().map(|found| (found.start, found.end, found.grain, found.bound)).collect()
        };
        let month = time::Month::try_from(month as u8 + 1).unwrap();
        let exists = form == 3 || time::Date::from_calendar_date(year, month, day).is_ok();
        prop_assert_eq!(periods(at).len(), usize::from(exists));
        prop_assert_eq!(periods(at), periods(at + years * 365 * 86_400_000_000));
    }
}
