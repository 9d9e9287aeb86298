//! What the table cannot show: text ranges, bounds, settings, and texts made to be slow.

use time::{Date, Month, UtcOffset, Weekday};

use super::{
    super::{Anchor, Bound, DateOrder, Grain, NamedDate, times_in},
    anchor,
};

const MONDAY: &str = "2023-05-08T13:56:00Z";

fn texts(text: &str) -> Vec<&str> {
    times_in(text, &anchor(MONDAY)).into_iter().map(|mention| &text[mention.text]).collect()
}

#[test]
fn a_mention_keeps_its_words() {
    assert_eq!(texts("We met last Friday, and we leave in ten days."), ["last Friday", "in ten days"]);
    assert_eq!(texts("the week before 9 June 2021 was fine"), ["the week before 9 June 2021"]);
    assert_eq!(texts("On Monday's call at 3pm tomorrow"), ["Monday", "at 3pm tomorrow"]);
    assert_eq!(texts("naïve – yesterday… 🎉 “last week”"), ["yesterday", "last week"]);
    assert_eq!(texts("Since 2016, and until May."), ["Since 2016", "until May"]);
    assert_eq!(
        texts("we met in New Year’s Eve’s snow, two weeks’ walk, in two weeks’ time"),
        ["New Year’s Eve", "in two weeks’ time"]
    );
}

#[test]
fn several_times_are_several_mentions() {
    assert_eq!(texts("on Monday and Friday"), ["Monday", "Friday"]);
    assert_eq!(texts("yesterday, today and tomorrow"), ["yesterday", "today", "tomorrow"]);
    assert_eq!(texts("2019-05-01, 2020-06-01"), ["2019-05-01", "2020-06-01"]);
}

#[test]
fn code_and_addresses_hold_no_times() {
    assert_eq!(texts("run `date -d yesterday` and ```\nlast week\n``` today"), ["today"]);
    assert_eq!(texts("an open ` is no code, yesterday"), ["yesterday"]);
    assert_eq!(texts("me@tomorrow.org /var/log/2023-05-07 a_yesterday_b C:\\2023 tonight"), ["tonight"]);
}

#[test]
fn bounds_say_on_which_side_things_lie() {
    let bound = |text: &str| times_in(text, &anchor(MONDAY)).first().map(|mention| mention.bound);
    assert_eq!(bound("since 2016"), Some(Bound::Since));
    assert_eq!(bound("until May"), Some(Bound::Until));
    assert_eq!(bound("by Friday"), Some(Bound::Until));
    assert_eq!(bound("before Christmas"), Some(Bound::Before));
    assert_eq!(bound("after 9 June"), Some(Bound::After));
    assert_eq!(bound("on 9 June"), Some(Bound::Within));
}

#[test]
fn the_order_of_an_ambiguous_date_can_be_set() {
    let mut anchor = anchor(MONDAY);
    let may = times_in("05/07/2023", &anchor);
    anchor.date_order = DateOrder::DayFirst;
    let july = times_in("05/07/2023", &anchor);
    assert_eq!((july[0].start - may[0].start) / 86_400_000_000, 59);
    assert_eq!(
        times_in("12/25/2022", &anchor),
        times_in("2022-12-25 ", &anchor)
            .into_iter()
            .map(|mut mention| {
                mention.text = 0..10;
                mention
            })
            .collect::<Vec<_>>()
    );
}

#[test]
fn weeks_may_begin_on_sunday() {
    let mut anchor = anchor("2023-05-07T12:00:00Z");
    let monday = times_in("this week", &anchor)[0].start;
    anchor.week_start = Weekday::Sunday;
    let sunday = times_in("this week", &anchor)[0].start;
    assert_eq!((sunday - monday) / 86_400_000_000, 6);
    assert_eq!(times_in("last weekend", &anchor)[0].grain, Grain::Weekend);
}

#[test]
fn a_day_that_was_once_does_not_come_back() {
    let mut anchor = anchor(MONDAY);
    anchor.named = vec![NamedDate::once("Our wedding", Date::from_calendar_date(2001, Month::August, 4).unwrap())];
    let mentions = times_in("the day before our wedding", &anchor);
    let expected = Date::from_calendar_date(2001, Month::August, 3).unwrap().midnight().assume_utc().unix_timestamp();
    assert_eq!(mentions[0].start, expected * 1_000_000);
}

#[test]
fn times_beyond_the_calendar_resolve_nothing() {
    for at in [i64::MIN, i64::MAX] {
        assert!(times_in("yesterday", &Anchor::new(at, UtcOffset::UTC)).is_empty());
    }
    assert!(texts("9999 years ago in 9999 centuries 20000 years ago").len() <= 1);
}

/// Each of these repeats what could make a reader go back or look ahead without end. Were it quadratic, or exponential in
/// how deep expressions stand in one another, this would not come to an end.
#[test]
fn long_texts_take_linear_time() {
    const PIECES: &str = "1|last |the day before |`|``` ` |'|two |a\u{a0}|–|from |1-|May |1a|2023-|in |the last the |on Monday |\
        x's|the first week of |early |a week from |between |two days before the week after |at 5 on |Monday, |12 to |-";
    for piece in PIECES.split('|') {
        let text = piece.repeat(1_000_000 / piece.len());
        times_in(&text, &anchor(MONDAY));
    }
}
