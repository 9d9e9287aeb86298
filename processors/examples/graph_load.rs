//! How fast the graph store takes messages in, how much disk they take, and how long questions take, also about the names that
//! are mentioned most.
//!
//! Takes the number of messages (1,000,000 if none is given) and makes them: names by Zipf's law from 300,000, three mentions a
//! message and a fact in every fifth, in one space, from 50 authors in 2,000 threads. Prints figures.

use std::{
    env,
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use meshlog_processors::{
    Facets, Order, PageLimit,
    graph::{
        Change, End, Fact, FactFilter, GraphStore, Include, Mention, Merged, NeighbourFilter, Reading, SearchQuery,
        TimelineQuery, entity_id,
    },
    knowledge::entities::EntityKind,
};
use meshlog_schemas::{Checkpoints, Partition, Topic};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use uuid::Uuid;

const SPACE: &str = "made";
const NAMES: usize = 300_000;
const BATCH: u64 = 1_000;
const ASKED: usize = 300;
const LIMIT: PageLimit = PageLimit { items: 20, bytes: usize::MAX };
const KINDS: [EntityKind; 5] =
    [EntityKind::Person, EntityKind::Place, EntityKind::Organisation, EntityKind::Topic, EntityKind::Product];
const RELATIONS: [&str; 10] =
    ["likes", "works-at", "lives-in", "uses", "owns", "friend", "version", "decided", "speaks", "member-of"];
const SYLLABLES: [&str; 20] = [
    "an", "be", "co", "da", "el", "fi", "go", "ha", "is", "jo", "ka", "lu", "mi", "no", "or", "pe", "ri", "sa", "to",
    "vi",
];

/// Names by how often they are used.
struct Names {
    /// The sums of 1/rank.
    sums: Vec<f64>,
}

impl Names {
    fn new() -> Self {
        let mut sum = 0.0;
        let add = |rank: usize| {
            sum += 1.0 / rank as f64;
            sum
        };
        Self { sums: (1..=NAMES).map(add).collect() }
    }

    /// The rank of a name.
    fn draw(&self, random: &mut SmallRng) -> usize {
        let at = random.random::<f64>() * self.sums[NAMES - 1];
        self.sums.partition_point(|sum| *sum < at)
    }
}

fn kind(rank: usize) -> EntityKind {
    KINDS[rank % KINDS.len()]
}

fn name(rank: usize) -> String {
    let (mut rest, mut text) = (rank, String::new());
    for syllable in 0..5 {
        if syllable == 3 {
            text.push(' ');
        }
        text.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
    }
    text
}

fn id(rank: usize) -> Uuid {
    entity_id(SPACE, kind(rank), &name(rank)).unwrap_or_default()
}

fn end(rank: usize) -> End {
    End { kind: Some(kind(rank)), name: name(rank) }
}

fn reading(number: u64, names: &Names, random: &mut SmallRng) -> Change {
    let mention = |at: u32, random: &mut SmallRng| {
        let rank = names.draw(random);
        Mention { start: at * 20, end: at * 20 + 11, kind: kind(rank), name: name(rank), confidence: 900 }
    };
    // Ids that begin with the time, as those of messages do.
    let made = |number: u64, random: &mut SmallRng| Uuid::from_u64_pair(number << 16, random.random());
    let facts = random.random_bool(0.2).then(|| Fact {
        fact_id: Uuid::from_u128(random.random()),
        start: 0,
        end: 40,
        subject: end(names.draw(random)),
        relation: RELATIONS[random.random_range(0..RELATIONS.len())].into(),
        object: end(names.draw(random)),
        polarity: "affirmed".into(),
        modality: "asserted".into(),
        valid_from: None,
        valid_until: None,
        confidence: 900,
    });
    Change::Read(Reading {
        message_id: made(number, random),
        facets: Facets {
            space: SPACE.into(),
            thread: format!("thread-{}", random.random_range(0..2_000)),
            author: format!("author-{}", random.random_range(0..50)),
            role: "user".into(),
            sent_at: number as i64 * 1_000_000,
            accepted_at: number as i64 * 1_000_000,
        },
        extractor: "patterns-1".into(),
        mentions: (0..3).map(|at| mention(at, random)).collect(),
        facts: facts.into_iter().collect(),
    })
}

fn size(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// How long this thread has been at work: on a busy machine, the time on the clock says little.
fn at_work() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// Asks about each, and prints how long it took.
fn measure<T>(
    what: &str,
    asked: &[T],
    mut ask: impl FnMut(&T) -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (mut times, mut items) = (Vec::new(), 0);
    let work_begun = at_work();
    for one in asked {
        let begun = Instant::now();
        items += ask(one)?;
        times.push(begun.elapsed());
    }
    let mean = items as f64 / asked.len() as f64;
    let work = (at_work() - work_begun).as_secs_f64() * 1_000.0 / asked.len() as f64;
    times.sort();
    let share =
        |times: &[Duration], share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
    println!(
        "{what:<36} p50 {:>7.3} ms  p99 {:>7.3} ms  at work {work:>7.3} ms  {mean:.1} items",
        share(&times, 0.5),
        share(&times, 0.99),
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let messages: u64 = env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let directory = tempfile::tempdir_in(".")?;
    let store = GraphStore::open(directory.path())?;
    let (names, mut random) = (Names::new(), SmallRng::seed_from_u64(7));
    let partition = Partition { topic: Topic::Messages, id: 0 };
    let (mut spent, mut work, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut applied = 0;
    while applied < messages {
        let batch: Vec<_> = (applied..applied + BATCH).map(|number| reading(number, &names, &mut random)).collect();
        applied += BATCH;
        let (begun, work_begun) = (Instant::now(), at_work());
        store.apply(&batch, &Checkpoints::from_iter([(partition, applied)]))?;
        let took = begun.elapsed();
        (spent, work, longest) = (spent + took, work + (at_work() - work_begun), longest.max(took));
        if applied % 100_000 == 0 || applied >= messages {
            let rate = |time: Duration| applied as f64 / time.as_secs_f64();
            let (clock, work) = (rate(spent), rate(work));
            println!("{applied} messages: {clock:.0} a second, {work:.0} at work; longest batch {longest:?}");
        }
    }
    println!("{:.0} bytes a message on disk", size(directory.path()) as f64 / messages as f64);
    println!("{:?}", store.counts(SPACE)?);
    ask(&store, &names, &mut random)?;
    let merges: Vec<_> = (0..5_000)
        .map(|at| {
            let (from, into) = (at * KINDS.len() + 1_000, at * KINDS.len());
            let (reason, author) = ("similarity".to_owned(), String::new());
            let (from, into, kind) = (name(from), name(into), kind(into));
            Change::Merged(Merged { space: SPACE.into(), kind, from, into, reason, confidence: 900, author, at: 1 })
        })
        .collect();
    let begun = Instant::now();
    store.apply(&merges, &Checkpoints::from_iter([(partition, applied)]))?;
    println!("\n{} merges in {:?}; then:", merges.len(), begun.elapsed());
    ask(&store, &names, &mut random)
}

fn ask(store: &GraphStore, names: &Names, random: &mut SmallRng) -> Result<(), Box<dyn Error>> {
    let hottest: Vec<usize> = (0..20).cycle().take(ASKED).collect();
    let drawn: Vec<usize> = (0..ASKED).map(|_| names.draw(random)).collect();
    let space = || SPACE.to_owned();
    for (which, ranks) in [("hottest", &hottest), ("drawn", &drawn)] {
        measure(&format!("node, {which}"), ranks, |rank| Ok(usize::from(store.node(SPACE, id(*rank))?.is_some())))?;
        for (filter, what) in [
            (NeighbourFilter::default(), "neighbours"),
            (NeighbourFilter { at: Some(i64::MAX), ..NeighbourFilter::default() }, "neighbours, at a time"),
            (NeighbourFilter { kinds: vec![EntityKind::Place], ..NeighbourFilter::default() }, "neighbours, places"),
            (NeighbourFilter { relation: Some("likes".into()), ..NeighbourFilter::default() }, "neighbours, likes"),
        ] {
            measure(&format!("{what}, {which}"), ranks, |rank| {
                let filter = NeighbourFilter { space: space(), id: id(*rank), ..filter.clone() };
                Ok(store.neighbours(&filter, LIMIT, None)?.items.len())
            })?;
        }
        let all = FactFilter { space: space(), ..FactFilter::default() };
        let every = FactFilter { include: Include::All, ..all.clone() };
        let lives_in = Some("lives-in".to_owned());
        measure(&format!("facts about, {which}"), ranks, |rank| {
            let filter = FactFilter { subject: Some(id(*rank)), ..all.clone() };
            Ok(store.facts(&filter, LIMIT, None)?.items.len())
        })?;
        measure(&format!("facts about, lives-in, {which}"), ranks, |rank| {
            let filter = FactFilter { subject: Some(id(*rank)), relation: lives_in.clone(), ..every.clone() };
            Ok(store.facts(&filter, LIMIT, None)?.items.len())
        })?;
        measure(&format!("facts to, {which}"), ranks, |rank| {
            let filter = FactFilter { object: Some(id(*rank)), ..all.clone() };
            Ok(store.facts(&filter, LIMIT, None)?.items.len())
        })?;
        measure(&format!("timeline, {which}"), ranks, |rank| {
            let query = TimelineQuery { space: space(), id: id(*rank), order: Order::NewestFirst };
            Ok(store.timeline(&query, LIMIT, None)?.items.len())
        })?;
        let ends: Vec<_> = ranks.iter().map(|rank| [*rank, names.draw(random)]).collect();
        measure(&format!("path, {which}"), &ends, |ends| {
            let path = store.path(SPACE, ends.map(id), None, 6)?;
            Ok(path.steps.map_or(0, |steps| steps.len()))
        })?;
        measure(&format!("path, at a time, {which}"), &ends, |ends| {
            let path = store.path(SPACE, ends.map(id), Some(i64::MAX), 6)?;
            Ok(path.steps.map_or(0, |steps| steps.len()))
        })?;
        measure(&format!("together, {which}"), &ends, |ends| {
            Ok(store.together(SPACE, ends.map(id), LIMIT, None)?.items.len())
        })?;
    }
    for length in [1, 2, 4, 9] {
        let texts: Vec<String> = drawn.iter().map(|rank| name(*rank)[..length].to_owned()).collect();
        measure(&format!("search, {length} letters"), &texts, |text| {
            let query = SearchQuery { space: space(), text: text.clone(), kinds: vec![] };
            Ok(store.search(&query, LIMIT, None)?.items.len())
        })?;
    }
    let filter = FactFilter { space: space(), relation: Some("lives-in".into()), ..FactFilter::default() };
    measure("facts, lives-in", &[(); 50], |()| Ok(store.facts(&filter, LIMIT, None)?.items.len()))?;
    measure("facts, all", &[(); 50], |()| {
        Ok(store.facts(&FactFilter { space: space(), ..FactFilter::default() }, LIMIT, None)?.items.len())
    })
}
