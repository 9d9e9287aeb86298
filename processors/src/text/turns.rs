//! Turns: what ranking needs of every message at hand, thread by thread, in memory.
//!
//! Owns: the thread ordinals, the window that a message shares with its neighbours, and each space's statistics.
//! Promises: the same messages give the same numbers in whatever order and batches they came.
//! Never: outlives the commit it describes; it is loaded from the index and changed with it.
//!
//! About 48 bytes a message (10 MB for 200,000). In return a search reaches any neighbour without touching the index.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
};

use uuid::Uuid;

use super::{layout::thread_key, record::Record};
use crate::Micros;

/// How much a message takes of its neighbours' terms and length, by their distance in the thread.
pub(crate) const WINDOW: [(isize, f64); 5] = [(-2, 0.25), (-1, 0.5), (0, 1.0), (1, 0.5), (2, 0.25)];

/// How far the window reaches to either side, in turns.
pub(crate) const REACH: u32 = 2;

/// Above this many content terms a neighbour lends proportionally less, so that a long one does not drown a short one.
const LENDING_LIMIT: u32 = 40;

/// Window lengths are summed as whole multiples of 1 / this, because sums of floats depend on their order.
const LENGTH_UNIT: f64 = 1024.0;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Turn {
    pub(crate) message_id: Uuid,
    pub(crate) sent_at: Micros,
    pub(crate) accepted_at: Micros,
    /// Terms, author and date included.
    pub(crate) length: u32,
    /// Terms of the text.
    pub(crate) content: u32,
    pub(crate) speaker: SpeakerId,
    /// The length with what the neighbours lend. [`Space::replace`] keeps it right.
    window_length: f32,
}

impl Turn {
    /// The share of its terms that the message lends to its neighbours, before their distance counts.
    pub(crate) fn lending(&self) -> f64 {
        if self.content <= LENDING_LIMIT {
            return 1.0;
        }
        f64::from(LENDING_LIMIT) / f64::from(self.content)
    }

    /// How long the message is with what its neighbours lend: more than 0.
    pub(crate) fn window_length(&self) -> f64 {
        f64::from(self.window_length)
    }

    /// The window length as a whole number of [`LENGTH_UNIT`]s.
    fn window_length_units(&self) -> u64 {
        (self.window_length() * LENGTH_UNIT).round() as u64
    }
}

/// Names an author in a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpeakerId(NonZeroU32);

/// An author in a role.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Speaker {
    pub(crate) author: String,
    pub(crate) role: String,
}

/// The messages of one thread at their ordinals. A place is empty when its message was moved to another thread.
#[derive(Debug, Default)]
pub(crate) struct Thread {
    pub(crate) name: String,
    turns: Vec<Option<Turn>>,
}

impl Thread {
    /// The message at an ordinal.
    pub(crate) fn turn(&self, ordinal: u32) -> Option<&Turn> {
        self.turns.get(ordinal as usize)?.as_ref()
    }

    /// What the message at an ordinal and its neighbours give to its length.
    fn length_of_window(&self, ordinal: u32) -> f64 {
        WINDOW.iter().map(|(distance, weight)| weight * self.lent_length(ordinal, *distance)).sum()
    }

    fn lent_length(&self, ordinal: u32, distance: isize) -> f64 {
        let neighbour =
            (ordinal as usize).checked_add_signed(distance).and_then(|place| self.turns.get(place)?.as_ref());
        match neighbour {
            None => 0.0,
            Some(turn) if distance == 0 => f64::from(turn.length),
            Some(turn) => turn.lending() * f64::from(turn.length),
        }
    }

    /// Puts a message at its place and brings the window lengths around it up to date. Returns what stood there, and
    /// the sum of the thread's window lengths in [`LENGTH_UNIT`]s before and after, as far as it changed.
    fn replace(&mut self, ordinal: u32, turn: Option<Turn>) -> (Option<Turn>, u64, u64) {
        let around = || ordinal.saturating_sub(REACH)..=ordinal.saturating_add(REACH);
        let sum = |thread: &Self| around().filter_map(|near| thread.turn(near)).map(Turn::window_length_units).sum();
        let sum_before = sum(self);
        let before = std::mem::replace(self.place(ordinal), turn);
        for near in around() {
            let length = self.length_of_window(near);
            if let Some(Some(turn)) = self.turns.get_mut(near as usize) {
                turn.window_length = length as f32;
            }
        }
        (before, sum_before, sum(self))
    }

    fn place(&mut self, ordinal: u32) -> &mut Option<Turn> {
        let place = ordinal as usize;
        if self.turns.len() <= place {
            self.turns.resize_with(place + 1, || None);
        }
        &mut self.turns[place]
    }
}

/// The threads of one space and its statistics.
#[derive(Debug, Default)]
pub(crate) struct Space {
    threads: Vec<Thread>,
    /// Where a thread stands, by the key that the index has for it.
    by_key: HashMap<u64, u32>,
    messages: u64,
    /// The sum of all window lengths, in [`LENGTH_UNIT`]s.
    window_lengths: u64,
}

impl Space {
    /// How many messages the space has.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// The mean of the window lengths; 1 where there is none.
    pub(crate) fn average_window_length(&self) -> f64 {
        if self.window_lengths == 0 {
            return 1.0;
        }
        self.window_lengths as f64 / LENGTH_UNIT / self.messages as f64
    }

    /// Where the thread with this key stands.
    pub(crate) fn thread_number(&self, key: u64) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    /// The thread at a number from [`Space::thread_number`].
    pub(crate) fn thread(&self, number: u32) -> &Thread {
        &self.threads[number as usize]
    }

    fn replace(&mut self, space: &str, thread: &str, ordinal: u32, turn: Option<Turn>) {
        let key = thread_key(space, thread);
        let number = *self.by_key.entry(key).or_insert_with(|| {
            self.threads.push(Thread { name: thread.to_owned(), turns: Vec::new() });
            u32::try_from(self.threads.len() - 1).expect("a space has fewer than 2^32 threads")
        });
        self.messages += u64::from(turn.is_some());
        let (before, sum_before, sum_after) = self.threads[number as usize].replace(ordinal, turn);
        self.messages -= u64::from(before.is_some());
        self.window_lengths = self.window_lengths + sum_after - sum_before;
    }
}

/// The messages of all spaces.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    spaces: BTreeMap<String, Space>,
    speakers: Vec<Speaker>,
    /// By author, then by role.
    speaker_ids: HashMap<String, HashMap<String, SpeakerId>>,
}

impl Turns {
    /// The spaces with their names, in the order of the names.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = (&str, &Space)> {
        self.spaces.iter().map(|(name, space)| (name.as_str(), space))
    }

    /// Who a message is by.
    pub(crate) fn speaker(&self, id: SpeakerId) -> &Speaker {
        &self.speakers[id.0.get() as usize - 1]
    }

    /// The ordinal of the next new message of a thread.
    pub(crate) fn next_ordinal(&self, space: &str, thread: &str) -> u32 {
        let Some(space_turns) = self.spaces.get(space) else {
            return 0;
        };
        let number = space_turns.thread_number(thread_key(space, thread));
        let places = number.map_or(0, |number| space_turns.thread(number).turns.len());
        u32::try_from(places).expect("an ordinal is a u32, so a thread has at most 2^32 places")
    }

    /// Puts a message at its place, instead of what stood there.
    pub(crate) fn put(&mut self, record: &Record) {
        let facets = &record.facets;
        let turn = Turn {
            message_id: record.message_id,
            sent_at: facets.sent_at,
            accepted_at: facets.accepted_at,
            length: record.length,
            content: record.content,
            speaker: self.speaker_id(&facets.author, &facets.role),
            window_length: 0.0,
        };
        self.replace(record, Some(turn));
    }

    /// Empties the place of a message that is no longer there.
    pub(crate) fn remove(&mut self, record: &Record) {
        self.replace(record, None);
    }

    fn replace(&mut self, record: &Record, turn: Option<Turn>) {
        let facets = &record.facets;
        if !self.spaces.contains_key(&facets.space) {
            self.spaces.insert(facets.space.clone(), Space::default());
        }
        let space = self.spaces.get_mut(&facets.space).expect("the space was inserted above");
        space.replace(&facets.space, &facets.thread, record.ordinal, turn);
    }

    fn speaker_id(&mut self, author: &str, role: &str) -> SpeakerId {
        if let Some(id) = self.speaker_ids.get(author).and_then(|roles| roles.get(role)) {
            return *id;
        }
        self.speakers.push(Speaker { author: author.to_owned(), role: role.to_owned() });
        let number = u32::try_from(self.speakers.len()).ok().and_then(NonZeroU32::new);
        let id = SpeakerId(number.expect("there are fewer than 2^32 speakers, and one was just added"));
        self.speaker_ids.entry(author.to_owned()).or_default().insert(role.to_owned(), id);
        id
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Partition, Position, Topic};

    use super::*;
    use crate::Facets;

    fn record(thread: &str, ordinal: u32, length: u32) -> Record {
        Record {
            message_id: Uuid::from_u128(u128::from(ordinal)),
            facets: Facets {
                space: "main".into(),
                thread: thread.into(),
                author: "Ada".into(),
                role: "user".into(),
                sent_at: 0,
                accepted_at: 0,
            },
            position: Position { partition: Partition { topic: Topic::Messages, id: 0 }, offset: 0 },
            ordinal,
            length,
            content: length,
            fingerprint: [0; 2],
        }
    }

    fn main(turns: &Turns) -> &Space {
        turns.spaces().next().expect("something was put in").1
    }

    #[test]
    fn neighbours_lend_by_distance_and_long_ones_less() {
        let mut turns = Turns::default();
        for (ordinal, length) in [(0, 4), (1, 8), (2, 80), (3, 16)] {
            turns.put(&record("t", ordinal, length));
        }
        let thread = main(&turns).thread(0);
        let lengths = [0, 1, 2, 3].map(|ordinal| thread.turn(ordinal).map(Turn::window_length));
        assert_eq!(
            lengths,
            [4.0 + 4.0 + 10.0, 2.0 + 8.0 + 20.0 + 4.0, 1.0 + 4.0 + 80.0 + 8.0, 2.0 + 20.0 + 16.0].map(Some)
        );
        assert_eq!(main(&turns).average_window_length(), (18.0 + 34.0 + 93.0 + 38.0) / 4.0);
    }

    #[test]
    fn statistics_do_not_remember_what_was_replaced() {
        let mut turns = Turns::default();
        for ordinal in [3, 1, 0, 2] {
            turns.put(&record("t", ordinal, 7 + ordinal));
        }
        let expected = (main(&turns).messages(), main(&turns).average_window_length());
        turns.put(&record("t", 1, 1_000));
        turns.put(&record("u", 0, 50));
        assert_ne!((main(&turns).messages(), main(&turns).average_window_length()), expected);
        turns.put(&record("t", 1, 8));
        turns.remove(&record("u", 0, 50));
        assert_eq!((main(&turns).messages(), main(&turns).average_window_length()), expected);
    }

    #[test]
    fn the_next_ordinal_follows_the_last_place() {
        let mut turns = Turns::default();
        assert_eq!(turns.next_ordinal("main", "t"), 0);
        turns.put(&record("t", 0, 1));
        turns.put(&record("t", 1, 1));
        turns.remove(&record("t", 0, 1));
        assert_eq!((turns.next_ordinal("main", "t"), turns.next_ordinal("main", "u")), (2, 0));
        assert_eq!(main(&turns).messages(), 1);
    }

    #[test]
    fn a_turn_stays_small() {
        assert_eq!(std::mem::size_of::<Option<Turn>>(), 48);
    }
}
