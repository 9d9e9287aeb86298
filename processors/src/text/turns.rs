//! Turns: what ranking needs of every message at hand, thread by thread, in memory.
//!
//! Owns: the thread ordinals and places, the window that a message shares with its neighbours, and each space's statistics.
//! Promises: the same messages give the same numbers in whatever order and batches they came.
//! Never: outlives the commit it describes; it is loaded from the index and changed with it.
//!
//! About 48 bytes a message (10 MB for 200,000). In return a search reaches any neighbour without touching the index.
//! A message's ordinal, which the index keeps, says where it stands among all that ever were in its thread; its place, where it
//! stands among those that still are. So forgetting leaves no hole between neighbours, and changes nothing in the index.
//! [`Load`] fills them at once: the numbers that depend on neighbours are computed when all of them are there.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    ops::Range,
};

use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    cause::Cause,
    layout::thread_key,
    names::{Union, part},
    record::Record,
    removals::Removals,
};
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
    /// The length with what the neighbours lend. [`Thread::settle`] keeps it right.
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

/// The messages of one thread at their places.
#[derive(Debug, Default)]
pub(crate) struct Thread {
    pub(crate) name: String,
    turns: Vec<Turn>,
    /// The ordinals of messages that were moved to another thread or forgotten.
    gaps: RoaringBitmap,
}

impl Thread {
    /// The message at a place.
    pub(crate) fn turn(&self, place: u32) -> Option<&Turn> {
        self.turns.get(place as usize)
    }

    /// The messages with their ordinals.
    pub(crate) fn turns(&self) -> impl Iterator<Item = (u32, &Turn)> {
        (0..).filter(|ordinal| !self.gaps.contains(*ordinal)).zip(&self.turns)
    }

    /// The place of the message with an ordinal, if it is there.
    pub(crate) fn place(&self, ordinal: u32) -> Option<u32> {
        if self.gaps.is_empty() {
            return Some(ordinal).filter(|place| (*place as usize) < self.turns.len());
        }
        if self.gaps.contains(ordinal) {
            return None;
        }
        Some(place_behind(&self.gaps, ordinal)).filter(|place| (*place as usize) < self.turns.len())
    }

    fn next_ordinal(&self) -> u32 {
        let ordinals = self.turns.len() as u64 + self.gaps.len();
        u32::try_from(ordinals).expect("an ordinal is a u32, so a thread has at most 2^32 of them")
    }

    /// What the message at a place and its neighbours give to its length.
    fn length_of_window(&self, place: usize) -> f64 {
        WINDOW.iter().map(|(distance, weight)| weight * self.lent_length(place, *distance)).sum()
    }

    fn lent_length(&self, place: usize, distance: isize) -> f64 {
        let neighbour = place.checked_add_signed(distance).and_then(|place| self.turns.get(place));
        match neighbour {
            None => 0.0,
            Some(turn) if distance == 0 => f64::from(turn.length),
            Some(turn) => turn.lending() * f64::from(turn.length),
        }
    }

    /// Puts a message at its ordinal. Returns whether there was none, and the change of the sum of the window lengths.
    fn put(&mut self, ordinal: u32, turn: Turn) -> (bool, LengthChange) {
        if let Some(place) = self.place(ordinal) {
            let place = place as usize;
            let before = self.sum(around(place, 1));
            self.turns[place] = turn;
            return (false, LengthChange { before, after: self.settle(around(place, 1)) });
        }
        self.gaps.insert_range(self.next_ordinal()..ordinal);
        self.gaps.remove(ordinal);
        let place = place_behind(&self.gaps, ordinal) as usize;
        let before = self.sum(around(place, 0));
        self.turns.insert(place, turn);
        (true, LengthChange { before, after: self.settle(around(place, 1)) })
    }

    /// Takes a message out. Returns whether it was there, and the change of the sum of the window lengths.
    fn remove(&mut self, ordinal: u32) -> (bool, LengthChange) {
        let Some(place) = self.place(ordinal) else { return (false, LengthChange::default()) };
        let place = place as usize;
        let before = self.sum(around(place, 1));
        self.turns.remove(place);
        self.gaps.insert(ordinal);
        (true, LengthChange { before, after: self.settle(around(place, 0)) })
    }

    /// Takes many messages out, which are there. Returns the change of the sum of the window lengths.
    fn remove_all(&mut self, ordinals: &RoaringBitmap) -> LengthChange {
        let before = self.sum(0..self.turns.len());
        let gaps = &self.gaps;
        let mut those_before = (0..).filter(|ordinal| !gaps.contains(*ordinal));
        self.turns.retain(|_| those_before.next().is_some_and(|ordinal| !ordinals.contains(ordinal)));
        self.turns.shrink_to_fit();
        self.gaps |= ordinals;
        self.gaps.optimize();
        LengthChange { before, after: self.settle(0..self.turns.len()) }
    }

    /// Computes the window lengths in a range. Returns their sum in [`LENGTH_UNIT`]s.
    fn settle(&mut self, places: Range<usize>) -> u64 {
        for place in places.start..places.end.min(self.turns.len()) {
            self.turns[place].window_length = self.length_of_window(place) as f32;
        }
        self.sum(places)
    }

    fn sum(&self, places: Range<usize>) -> u64 {
        let end = places.end.min(self.turns.len());
        self.turns[places.start.min(end)..end].iter().map(Turn::window_length_units).sum()
    }
}

/// The sum of window lengths in [`LENGTH_UNIT`]s before and after a change, as far as it changed.
#[derive(Debug, Clone, Copy, Default)]
struct LengthChange {
    before: u64,
    after: u64,
}

/// The places whose windows reach to one of so many messages from a place on.
fn around(place: usize, messages: usize) -> Range<usize> {
    place.saturating_sub(REACH as usize)..place + messages + REACH as usize
}

/// How many messages stand before an ordinal that is no gap.
pub(crate) fn place_behind(gaps: &RoaringBitmap, ordinal: u32) -> u32 {
    ordinal - gaps.rank(ordinal) as u32
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

    /// The threads with their keys, in no order.
    pub(crate) fn threads(&self) -> impl Iterator<Item = (u64, &Thread)> {
        self.by_key.iter().map(|(key, number)| (*key, self.thread(*number)))
    }

    /// Where the thread stands, which is added if it is new.
    fn number(&mut self, thread: &str, key: u64) -> u32 {
        *self.by_key.entry(key).or_insert_with(|| {
            self.threads.push(Thread { name: thread.to_owned(), ..Thread::default() });
            u32::try_from(self.threads.len() - 1).expect("a space has fewer than 2^32 threads")
        })
    }

    fn count(&mut self, length: LengthChange) {
        self.window_lengths = self.window_lengths + length.after - length.before;
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
        number.map_or(0, |number| space_turns.thread(number).next_ordinal())
    }

    /// By the threads' keys, the ordinals that no message has any more, where there are such.
    pub(crate) fn gaps(&self) -> HashMap<u64, RoaringBitmap> {
        let threads = self.spaces.values().flat_map(Space::threads);
        threads.filter(|(_, thread)| !thread.gaps.is_empty()).map(|(key, thread)| (key, thread.gaps.clone())).collect()
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
        let space = self.space_mut(&facets.space);
        let number = space.number(&facets.thread, thread_key(&facets.space, &facets.thread));
        let (is_new, length) = space.threads[number as usize].put(record.ordinal, turn);
        space.messages += u64::from(is_new);
        space.count(length);
    }

    /// Takes out a message that is no longer there.
    pub(crate) fn remove(&mut self, record: &Record) {
        let facets = &record.facets;
        let space = self.space_mut(&facets.space);
        let number = space.number(&facets.thread, thread_key(&facets.space, &facets.thread));
        let (was_there, length) = space.threads[number as usize].remove(record.ordinal);
        space.messages -= u64::from(was_there);
        space.count(length);
    }

    /// Takes out what is forgotten.
    pub(crate) fn remove_all(&mut self, removals: &Removals) {
        for (name, threads) in removals.spaces() {
            let Some(space) = self.spaces.get_mut(name) else { continue };
            for (key, ordinals) in threads {
                if let Some(number) = space.thread_number(*key) {
                    let length = space.threads[number as usize].remove_all(ordinals);
                    space.messages -= ordinals.len();
                    space.count(length);
                }
            }
        }
    }

    /// A space, if it has or had messages.
    pub(crate) fn space(&self, name: &str) -> Option<&Space> {
        self.spaces.get(name)
    }

    fn space_mut(&mut self, name: &str) -> &mut Space {
        if !self.spaces.contains_key(name) {
            self.spaces.insert(name.to_owned(), Space::default());
        }
        self.spaces.get_mut(name).expect("the space was inserted above")
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

/// Turns while they are loaded: [`Load::make_place`] for every message, [`Load::make_room`], then [`Load::put`] for every
/// message, in any order. Threads and speakers go by their numbers in a [`Union`].
///
/// Messages of many threads come mixed, so that put at once each would go to other memory than the one before, and the
/// processor would mostly wait for it. So they are gathered by ranges of threads, and those of a range put together. On
/// two cores, doing so on both was no faster and took more processor time.
pub(crate) struct Load<'a> {
    /// By thread, how many places it needs.
    places: Vec<u32>,
    /// By thread, what goes there.
    turns: Vec<Vec<Option<Turn>>>,
    /// By range of threads, messages with their threads and ordinals.
    gathered: Vec<Vec<(u32, u32, Turn)>>,
    gathered_count: usize,
    /// By number, the bytes of the speaker and, once a message was theirs, the id.
    speakers: Vec<(&'a [u8], Option<SpeakerId>)>,
    /// Only their speakers, until the end.
    loaded: Turns,
}

/// Ranges of threads: so many that the turns of one are a small part of the memory that all take.
const RANGES: usize = 128;

/// Messages that are gathered before they are put into their places (15 MB).
const GATHERED: usize = 1 << 18;

impl<'a> Load<'a> {
    /// Nothing yet, of threads whose numbers are below `threads`.
    pub(crate) fn new(threads: usize, speakers: &'a Union) -> Self {
        let mut by_number: Vec<(&[u8], _)> = vec![(&[], None); speakers.len()];
        for (number, speaker) in speakers.values() {
            by_number[number as usize].0 = speaker;
        }
        Self {
            places: vec![0; threads],
            turns: Vec::new(),
            gathered: Vec::new(),
            gathered_count: 0,
            speakers: by_number,
            loaded: Turns::default(),
        }
    }

    /// Says that a message will come to this place.
    pub(crate) fn make_place(&mut self, thread: u32, ordinal: u32) {
        let places = &mut self.places[thread as usize];
        *places = (*places).max(ordinal.saturating_add(1));
    }

    /// Makes all places at once, for growing would leave up to half of the memory unused.
    pub(crate) fn make_room(&mut self) {
        self.turns = self.places.iter().map(|places| vec![None; *places as usize]).collect();
        self.gathered.resize_with(RANGES, Vec::new);
    }

    /// Takes in a message, given what the columns [`TURN_NUMBERS`](super::record::TURN_NUMBERS) have of it.
    pub(crate) fn put(&mut self, thread: u32, speaker: u32, numbers: [u64; 7]) -> Result<(), Cause> {
        let [ordinal, id_high, id_low, sent_at, accepted_at, length, content] = numbers;
        let turn = Turn {
            message_id: Uuid::from_u64_pair(id_high, id_low),
            sent_at: sent_at.cast_signed(),
            accepted_at: accepted_at.cast_signed(),
            length: u32::try_from(length)?,
            content: u32::try_from(content)?,
            speaker: self.speaker(speaker)?,
            window_length: 0.0,
        };
        let range = thread as usize * RANGES / self.places.len();
        self.gathered[range].push((thread, u32::try_from(ordinal)?, turn));
        self.gathered_count += 1;
        if self.gathered_count == GATHERED {
            self.put_gathered()?;
        }
        Ok(())
    }

    fn speaker(&mut self, number: u32) -> Result<SpeakerId, Cause> {
        let (bytes, id) = &mut self.speakers[number as usize];
        if let Some(id) = id {
            return Ok(*id);
        }
        let (author, role) = part(bytes)?;
        Ok(*id.insert(self.loaded.speaker_id(author, role)))
    }

    fn put_gathered(&mut self) -> Result<(), Cause> {
        for gathered in &mut self.gathered {
            for (thread, ordinal, turn) in gathered.drain(..) {
                let turns = &mut self.turns[thread as usize];
                *turns.get_mut(ordinal as usize).ok_or("a message has no place in its thread")? = Some(turn);
            }
        }
        self.gathered_count = 0;
        Ok(())
    }

    /// The turns, with all that depends on neighbours, given the threads' names.
    pub(crate) fn into_turns(mut self, threads: &Union) -> Result<Turns, Cause> {
        self.put_gathered()?;
        let Self { places, mut turns, gathered, mut loaded, .. } = self;
        // Before what stays is allocated, which can then lie there.
        drop(gathered);
        for (number, name) in threads.values() {
            if places[number as usize] > 0 {
                let (space, name) = part(name)?;
                let space_turns = loaded.space_mut(space);
                let place = space_turns.number(name, thread_key(space, name));
                let thread = &mut space_turns.threads[place as usize];
                let turns = std::mem::take(&mut turns[number as usize]);
                let gaps = (0..).zip(&turns).filter(|(_, turn)| turn.is_none()).map(|(ordinal, _)| ordinal);
                thread.gaps = gaps.collect();
                thread.gaps.optimize();
                #[expect(clippy::filter_map_identity, reason = "unlike the flattened ones, these stay in their memory")]
                let mut turns: Vec<Turn> = turns.into_iter().filter_map(|turn| turn).collect();
                turns.shrink_to_fit();
                thread.turns = turns;
                space_turns.messages += thread.turns.len() as u64;
                space_turns.window_lengths += thread.settle(0..thread.turns.len());
            }
        }
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Partition, Position, Topic};

    use super::*;
    use crate::{
        Facets,
        seeds::{Chance, for_each_seed},
    };

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

    /// Every message by its place, without the numbers that threads and speakers have by chance.
    fn contents(turns: &Turns) -> BTreeMap<(String, String, u32), (Turn, Speaker)> {
        let mut contents = BTreeMap::new();
        for (space, threads) in turns.spaces().map(|(name, space)| (name, &space.threads)) {
            for thread in threads {
                for (ordinal, turn) in thread.turns() {
                    let speaker = turns.speaker(turn.speaker).clone();
                    let turn = Turn { speaker: SpeakerId(NonZeroU32::MIN), ..turn.clone() };
                    contents.insert((space.to_owned(), thread.name.clone(), ordinal), (turn, speaker));
                }
            }
        }
        contents
    }

    #[test]
    fn turns_that_are_loaded_are_those_that_were_put_one_by_one() {
        for_each_seed(50, |seed| {
            let mut chance = Chance(seed);
            let mut records: Vec<Record> = Vec::new();
            for number in 0..chance.below(200) {
                let mut record =
                    record(&format!("t{}", chance.below(4)), chance.below(40) as u32, chance.below(90) as u32);
                record.content = record.length / 2;
                record.message_id = Uuid::from_u64_pair(seed, number);
                record.facets.space = format!("s{}", chance.below(3));
                record.facets.author = format!("a{}", chance.below(3));
                record.facets.sent_at = chance.next().cast_signed();
                let place =
                    |record: &Record| (record.facets.space.clone(), record.facets.thread.clone(), record.ordinal);
                if records.iter().all(|other| place(other) != place(&record)) {
                    records.push(record);
                }
            }
            let mut put = Turns::default();
            records.iter().for_each(|record| put.put(record));

            let facets = || records.iter().map(|record| &record.facets);
            // Names that only documents have that were deleted are among them too.
            let threads = Union::of(facets().map(|facets| (&*facets.space, &*facets.thread)).chain([("s9", "t")]));
            let speakers = Union::of(facets().map(|facets| (&*facets.author, &*facets.role)).chain([("a9", "user")]));
            let mut load = Load::new(threads.len(), &speakers);
            let thread_of = |record: &Record| threads.number(&record.facets.space, &record.facets.thread);
            records.iter().for_each(|record| load.make_place(thread_of(record), record.ordinal));
            load.make_room();
            for record in &records {
                let speaker = speakers.number(&record.facets.author, &record.facets.role);
                let numbers = *record.numbers().first_chunk().unwrap();
                load.put(thread_of(record), speaker, numbers).unwrap();
            }
            let loaded = load.into_turns(&threads).unwrap();

            let statistics = |turns: &Turns| -> Vec<_> {
                turns.spaces().map(|(name, space)| (name.to_owned(), space.messages, space.window_lengths)).collect()
            };
            assert_eq!(statistics(&loaded), statistics(&put));
            assert_eq!(contents(&loaded), contents(&put));
            for record in &records {
                let Facets { space, thread, .. } = &record.facets;
                assert_eq!(loaded.next_ordinal(space, thread), put.next_ordinal(space, thread));
                let space_turns = &loaded.spaces[space];
                let found = space_turns.thread(space_turns.thread_number(thread_key(space, thread)).unwrap());
                assert_eq!(found.name, *thread);
                assert_eq!(found.turns.len(), found.turns.capacity(), "no memory is wasted");
            }
        });
    }

    #[test]
    fn a_turn_has_no_place_that_was_not_made() {
        let (threads, speakers) = (Union::of([("main", "t")].into_iter()), Union::of([("Ada", "user")].into_iter()));
        let load = |numbers| {
            let mut load = Load::new(1, &speakers);
            load.make_place(0, 3);
            load.make_room();
            load.put(0, 0, numbers).and_then(|()| load.into_turns(&threads))
        };
        assert!(load([3, 0, 0, 0, 0, 1, 1]).is_ok());
        assert!(load([4, 0, 0, 0, 0, 1, 1]).is_err());
        assert!(load([0, 0, 0, 0, 0, 1 << 32, 1]).is_err());
    }

    #[test]
    fn a_turn_stays_small() {
        assert_eq!(std::mem::size_of::<Option<Turn>>(), 48);
    }
}
