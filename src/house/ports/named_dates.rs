//! Named dates: days that somebody's words stand for, as far as the graph knows them: "my birthday".
//!
//! Never: fails; a day that is not known names nothing.

use meshlog_pipeline::now_micros;
use meshlog_processors::{
    Micros, PageLimit,
    graph::{FactFilter, Include, entity_id},
    knowledge::{
        entities::EntityKind,
        facts::Relation,
        times::{Anchor, Grain, NamedDate, times_in},
    },
};
use time::{Date, OffsetDateTime, UtcOffset};

use super::graph_store;
use crate::house::rooms::Rooms;

/// The word without which nothing is looked up.
const BIRTHDAY: &str = "birthday";

/// The days that an author's words in a text stand for.
pub(super) fn named_dates(rooms: &Rooms, space: &str, author: &str, text: &str) -> Vec<NamedDate> {
    let names_it = text.as_bytes().windows(BIRTHDAY.len()).any(|word| word.eq_ignore_ascii_case(BIRTHDAY.as_bytes()));
    let birthday = names_it.then(|| birthday(rooms, space, author)).flatten();
    birthday.map(|date| NamedDate::yearly("my birthday", date)).into_iter().collect()
}

fn birthday(rooms: &Rooms, space: &str, author: &str) -> Option<Date> {
    let filter = FactFilter {
        space: space.to_owned(),
        subject: Some(entity_id(space, EntityKind::Person, author)?),
        object: None,
        either: None,
        relation: Some(Relation::Birthday.name().to_owned()),
        at: Some(now_micros()),
        include: Include::Current,
    };
    let found = graph_store(rooms).ok()?.facts(&filter, PageLimit { items: 1, bytes: usize::MAX }, None).ok()?;
    let fact = found.items.into_iter().next()?;
    date_in(&fact.object.name, fact.said_at)
}

/// The day that a phrase such as "3 May" or "May 3rd, 1990" tells.
fn date_in(phrase: &str, said_at: Micros) -> Option<Date> {
    let times = times_in(phrase, &Anchor::new(said_at, UtcOffset::UTC));
    let day = times.iter().find(|time| time.grain == Grain::Day)?;
    Some(OffsetDateTime::from_unix_timestamp(day.start.div_euclid(1_000_000)).ok()?.date())
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn a_birthday_is_the_day_that_its_words_tell() {
        // 2025-05-07.
        let said_at = 1_746_626_160_000_000;
        assert_eq!(date_in("3 May 1990", said_at), Some(date!(1990 - 05 - 03)));
        let day = date_in("June 9th", said_at).map(|date| (date.month() as u8, date.day()));
        assert_eq!(day, Some((6, 9)));
        assert_eq!(date_in("some day", said_at), None);
    }
}
