//! Statistics: how much was said, by whom and when.
//!
//! Promises: exact; what is forgotten is in none of them.
//! Never: keeps a word of a message.

use serde::{Deserialize, Serialize};

use crate::Micros;

/// Microseconds in a day.
const DAY: Micros = 86_400_000_000;

/// The most authors that are named.
const NAMED_AUTHORS: usize = 64;

/// How much was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tally {
    /// Messages.
    #[serde(rename = "m")]
    pub messages: u64,
    /// Their words; a character of a script without spaces is one.
    #[serde(rename = "w")]
    pub words: u64,
    /// The bytes of their texts, in UTF-8.
    #[serde(rename = "b")]
    pub bytes: u64,
}

/// How much was said in a thread or in a space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// All of it.
    pub total: Tally,
    /// By role, in the order of their names.
    pub roles: Vec<(String, Tally)>,
    /// By author: the 64 with the most messages, these first; of equals in the order of their names.
    pub authors: Vec<(String, Tally)>,
    /// How many authors there are besides.
    pub further_authors: u64,
    /// What they said together.
    pub rest: Tally,
    /// When the first was said.
    pub first_at: Micros,
    /// When the last was said.
    pub last_at: Micros,
}

/// How much was said on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayTally {
    /// The day in UTC, by its number; 0 is 1970-01-01.
    pub day: i64,
    /// What was said on it.
    pub tally: Tally,
}

/// What a tally is of, within a thread or a space. In the order in which their rows stand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum By {
    All,
    Role(String),
    Author(String),
    Day(i64),
}

/// The day, in UTC, of a time.
pub(super) fn day_of(at: Micros) -> i64 {
    at.div_euclid(DAY)
}

impl Tally {
    /// Counts more.
    pub(super) fn add(&mut self, other: Tally) {
        self.messages += other.messages;
        self.words += other.words;
        self.bytes += other.bytes;
    }

    /// Counts what was counted no more.
    pub(super) fn subtract(&mut self, other: Tally) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.words = self.words.saturating_sub(other.words);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl Statistics {
    /// Takes in what an author said; any number of them, in bounded memory.
    pub(super) fn add_author(&mut self, name: String, tally: Tally) {
        let rank = |name: &str, tally: &Tally| (std::cmp::Reverse(tally.messages), name.to_owned());
        let place = self.authors.partition_point(|(other, theirs)| rank(other, theirs) < rank(&name, &tally));
        if place < NAMED_AUTHORS {
            self.authors.insert(place, (name, tally));
            if self.authors.len() <= NAMED_AUTHORS {
                return;
            }
        }
        let out = if place < NAMED_AUTHORS { self.authors.pop().map(|(_, tally)| tally) } else { Some(tally) };
        self.further_authors += 1;
        self.rest.add(out.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_of_utc_also_before_1970() {
        assert_eq!([day_of(0), day_of(DAY - 1), day_of(DAY), day_of(-1)], [0, 0, 1, -1]);
        day_of(i64::MIN);
    }

    #[test]
    fn authors_beyond_the_64_busiest_are_counted_together() {
        let mut statistics = Statistics::default();
        for number in 0..100_u64 {
            statistics.add_author(format!("{number:03}"), Tally { messages: number % 50, words: 1, bytes: 2 });
        }
        assert_eq!((statistics.authors.len(), statistics.further_authors), (64, 36));
        assert_eq!(statistics.authors[0].0, "049");
        assert_eq!(statistics.authors[1].0, "099");
        assert_eq!((statistics.rest.words, statistics.rest.bytes), (36, 72));
        assert!(statistics.authors.iter().all(|(_, tally)| tally.messages >= 18));
    }
}
