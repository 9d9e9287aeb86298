//! Moving logs, on the embedded engine; and to Kafka and back where MESHLOG_TEST_KAFKA names a broker.

use std::{env, path::Path};

use meshlog_pipeline::{
    AppendError, Batch, EmbeddedLog, EmbeddedOptions, EmbeddedTransfer, KafkaLog, KafkaOptions, KafkaTransfer, Log,
    NewRecord, ReadLimit,
};
use meshlog_schemas::{Checkpoints, EventId, Headers};
use pollster::block_on;
use proptest::prelude::*;
use tempfile::tempdir;
use uuid::Uuid;

use super::*;

const LAYOUT: [TopicLayout; 2] =
    [TopicLayout { topic: Topic::Messages, partitions: 2 }, TopicLayout { topic: Topic::Registry, partitions: 1 }];
const FIRST: Partition = Partition { topic: Topic::Messages, id: 0 };

/// What a log holds.
#[derive(Debug, Clone)]
struct Given {
    partitions: Vec<Vec<Record>>,
    starts: BTreeMap<Partition, Offset>,
    progress: BTreeMap<String, StoredProgress>,
}

impl Given {
    /// A log with it in `path`.
    fn write(&self, path: &Path) -> EmbeddedTransfer {
        let mut log = EmbeddedTransfer::open_or_make(path, &LAYOUT, self.starts.clone()).unwrap();
        for records in &self.partitions {
            log.write(records.clone()).unwrap();
        }
        log.flush().unwrap();
        for (processor, progress) in &self.progress {
            log.set_progress(processor, progress.clone()).unwrap();
        }
        log
    }

    fn records(&self) -> u64 {
        self.partitions.iter().map(|records| records.len() as u64).sum()
    }
}

/// A record before it has its place: how much later than the last it was appended, and the rest of it.
type Loose = (i64, Vec<u8>, Vec<(String, Vec<u8>)>, Vec<u8>, Option<u128>);

fn loose() -> impl Strategy<Value = Loose> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    let headers = proptest::collection::vec(("[a-z_]{1,12}", bytes(20)), 0..5);
    // Few identities, so that some come back.
    (0..3_000_000_i64, bytes(20), headers, bytes(300), proptest::option::of(0..30_u128))
}

fn partition() -> impl Strategy<Value = (Offset, i64, Vec<Loose>)> {
    let start = prop_oneof![3 => Just(0), 1 => 1..2_000_u64];
    (start, 0..2_000_000_000_000_000_i64, proptest::collection::vec(loose(), 0..60))
}

fn given() -> impl Strategy<Value = Given> {
    let each = proptest::collection::vec(partition(), 3);
    let note = ("\\PC{0,30}", 0..90_u64);
    (each, proptest::collection::btree_map("[a-z]{1,8}", note, 0..4)).prop_map(|(loose, notes)| {
        let mut given = Given { partitions: Vec::new(), starts: BTreeMap::new(), progress: BTreeMap::new() };
        for (partition, (start, mut appended_at, records)) in partitions(&LAYOUT).into_iter().zip(loose) {
            if start > 0 {
                given.starts.insert(partition, start);
            }
            let records = (start..).zip(records).map(|(offset, (later, key, headers, body, identity))| {
                appended_at += later;
                Record {
                    position: Position { partition, offset },
                    appended_at,
                    key: key.into(),
                    headers: headers.into_iter().collect(),
                    body: body.into(),
                    identity: identity.map(|id| EventId(Uuid::from_u128(id))),
                }
            });
            given.partitions.push(records.collect());
        }
        given.progress = notes
            .into_iter()
            .map(|(name, (note, next))| {
                (name, StoredProgress { checkpoints: [(FIRST, next)].into_iter().collect(), note })
            })
            .collect();
        given
    })
}

/// A log of `count` records on the first partition.
fn plain(count: u64) -> Given {
    let record = |offset| Record {
        position: Position { partition: FIRST, offset },
        appended_at: 1_000_007 + offset as i64,
        key: "k".into(),
        headers: Headers::from_iter([("h", "v")]),
        body: format!("body {offset}").into(),
        identity: None,
    };
    let partitions = vec![(0..count).map(record).collect()];
    Given { partitions, starts: BTreeMap::new(), progress: BTreeMap::new() }
}

fn moved(source: &mut dyn TransferSource, target: &mut dyn TransferTarget) -> Carried {
    let carried = migrate(source, target, &mut |_| ()).unwrap();
    let verified = verify(source, target, &mut |_| ()).unwrap();
    assert!(verified.is_equal(), "{verified:?}");
    carried
}

fn to_embedded(source: &mut dyn TransferSource, path: &Path) -> (EmbeddedTransfer, Carried) {
    let starts = starts(source).unwrap();
    let mut target = EmbeddedTransfer::open_or_make(path, source.layout(), starts).unwrap();
    let carried = moved(source, &mut target);
    (target, carried)
}

fn to_kafka(source: &mut dyn TransferSource, options: &KafkaOptions) -> KafkaTransfer {
    let starts = starts(source).unwrap();
    let mut target = KafkaTransfer::open_or_make(options, source.layout(), &starts).unwrap();
    moved(source, &mut target);
    target
}

/// Kafka topics of one test, or `None` where there is no broker, which is said.
fn kafka() -> Option<KafkaOptions> {
    let Ok(brokers) = env::var("MESHLOG_TEST_KAFKA") else {
        eprintln!("left out: MESHLOG_TEST_KAFKA names no broker; run scripts/with-kafka.sh cargo test");
        return None;
    };
    let prefix = format!("migrate.{}.", Uuid::now_v7().simple());
    Some(KafkaOptions { brokers, prefix, ..KafkaOptions::default() })
}

/// Whether the log in `path` holds exactly what was given, by its own account and by the doctor's.
fn holds(path: &Path, given: &Given) {
    let inspection = EmbeddedLog::inspect(path).unwrap();
    assert_eq!(inspection.findings, []);
    let log =
        EmbeddedLog::open(path, EmbeddedOptions { layout: LAYOUT.to_vec(), ..EmbeddedOptions::default() }).unwrap();
    for (partition, records) in partitions(&LAYOUT).into_iter().zip(&given.partitions) {
        let start = given.starts.get(&partition).copied().unwrap_or(0);
        assert_eq!(log.bounds(partition).unwrap(), Bounds { start, end: start + records.len() as u64 });
        let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
        assert_eq!(&log.read(partition, start, all).unwrap(), records);
    }
    for (processor, progress) in &given.progress {
        assert_eq!(&log.progress(processor).unwrap(), progress);
    }
    let appended = append(&log, "new", None);
    let partition = appended.partition;
    let last =
        log.read(partition, appended.offset.saturating_sub(1).max(log.bounds(partition).unwrap().start), ALL).unwrap();
    assert!(last.is_sorted_by_key(|record| record.appended_at), "time goes on from what was given");
}

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

fn append(log: &dyn Log, body: &str, identity: Option<u128>) -> Position {
    let record = NewRecord {
        topic: Topic::Messages,
        key: "k".into(),
        headers: Headers::default(),
        body: body.to_owned().into(),
        identity: identity.map(|id| EventId(Uuid::from_u128(id))),
    };
    block_on(log.append(Batch { records: vec![record], progress: None })).unwrap()[0].position
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_log_that_was_moved_holds_what_it_held(given in given()) {
        let directories = [(); 3].map(|()| tempdir().unwrap());
        let mut first = given.write(directories[0].path());
        let (mut second, carried) = to_embedded(&mut first, directories[1].path());
        prop_assert_eq!(carried, Carried { found: 0, written: given.records(), has_grown: false });
        drop(to_embedded(&mut second, directories[2].path()));
        drop((first, second));
        for directory in &directories {
            holds(directory.path(), &given);
        }
    }

    #[test]
    fn a_move_that_is_broken_off_goes_on_where_it_stopped(given in given(), stops in proptest::collection::vec(0..25_usize, 0..6)) {
        let directories = [(); 2].map(|()| tempdir().unwrap());
        let mut source = given.write(directories[0].path());
        for stop in stops {
            let starts = starts(&mut source).unwrap();
            let target = EmbeddedTransfer::open_or_make(directories[1].path(), &LAYOUT, starts).unwrap();
            // It may come to the end.
            let _ = migrate(&mut source, &mut Stopping { log: target, left: stop }, &mut |_| ());
        }
        let (target, carried) = to_embedded(&mut source, directories[1].path());
        prop_assert_eq!(carried.found + carried.written, given.records());
        drop(target);
        holds(directories[1].path(), &given);
    }
}

#[test]
fn a_log_moves_to_kafka_and_back_also_when_it_is_broken_off() {
    if kafka().is_none() {
        return;
    }
    let config = ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(given in given(), stops in proptest::collection::vec(0..60_usize, 0..3))| {
        let options = kafka().unwrap();
        let directories = [(); 2].map(|()| tempdir().unwrap());
        let mut first = given.write(directories[0].path());
        for stop in stops {
            let starts = starts(&mut first).unwrap();
            let target = KafkaTransfer::open_or_make(&options, &LAYOUT, &starts).unwrap();
            let _ = migrate(&mut first, &mut Stopping { log: target, left: stop }, &mut |_| ());
        }
        drop(to_kafka(&mut first, &options));
        let mut second = KafkaTransfer::open(&options).unwrap();
        drop(to_embedded(&mut second, directories[1].path()));
        holds(directories[1].path(), &given);
    });
}

#[test]
fn the_log_on_kafka_goes_on_from_what_was_moved_there() {
    let Some(options) = kafka() else { return };
    let directory = tempdir().unwrap();
    let mut given = plain(30);
    given.starts.insert(FIRST, 1_000);
    for record in &mut given.partitions[0] {
        record.position.offset += 1_000;
        record.identity = Some(EventId(Uuid::from_u128(u128::from(record.position.offset))));
    }
    let checkpoints = Checkpoints::from_iter([(FIRST, 1_007)]);
    given.progress.insert("embedder".to_owned(), StoredProgress { checkpoints, note: "at work".to_owned() });
    drop(to_kafka(&mut given.write(directory.path()), &options));
    let log = KafkaLog::open(LAYOUT.to_vec(), &options).unwrap();
    assert_eq!(log.bounds(FIRST).unwrap(), Bounds { start: 1_000, end: 1_030 });
    assert_eq!(&log.read(FIRST, 1_000, ALL).unwrap(), &given.partitions[0], "with the times that they had");
    assert_eq!(log.progress("embedder").unwrap(), given.progress["embedder"]);
    let again = append(&log, "again", Some(1_003));
    assert_eq!(again, Position { partition: FIRST, offset: 1_003 }, "an identity is stored once across the move");
    let new = append(&log, "new", None);
    let [last] = &log.read(new.partition, new.offset, ALL).unwrap()[..] else { panic!("one is new") };
    assert!(last.appended_at > given.partitions[0][29].appended_at);
}

/// A target that breaks off after some records, as a process does that is killed.
struct Stopping<T> {
    log: T,
    left: usize,
}

impl<T: TransferTarget> TransferSource for Stopping<T> {
    fn layout(&self) -> &[TopicLayout] {
        self.log.layout()
    }

    fn bounds(&mut self, partition: Partition) -> Result<Bounds, LogError> {
        self.log.bounds(partition)
    }

    fn read(&mut self, partition: Partition, range: Range<Offset>, bytes: usize) -> Result<Vec<Record>, LogError> {
        self.log.read(partition, range, bytes)
    }

    fn progress(&mut self) -> Result<BTreeMap<String, StoredProgress>, LogError> {
        self.log.progress()
    }
}

impl<T: TransferTarget> TransferTarget for Stopping<T> {
    fn write(&mut self, mut records: Vec<Record>) -> Result<(), TransferError> {
        let is_over = records.len() > self.left;
        records.truncate(self.left);
        self.left -= records.len();
        self.log.write(records)?;
        if is_over { Err(AppendError::Stopped { reason: "the test stops it".to_owned() }.into()) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TransferError> {
        self.log.flush()
    }

    fn set_progress(&mut self, processor: &str, progress: StoredProgress) -> Result<(), TransferError> {
        if self.left == 0 {
            return Err(AppendError::Stopped { reason: "the test stops it".to_owned() }.into());
        }
        self.log.set_progress(processor, progress)
    }
}

#[test]
fn a_target_that_holds_something_else_is_refused_and_left_as_it_is() {
    let refused = |change: &dyn Fn(&mut Given)| {
        let directories = [(); 2].map(|()| tempdir().unwrap());
        let mut source = plain(10).write(directories[0].path());
        let mut other = plain(6);
        change(&mut other);
        let mut target = other.write(directories[1].path());
        let refused = migrate(&mut source, &mut target, &mut |_| ()).unwrap_err();
        drop(target);
        holds(directories[1].path(), &other);
        refused
    };
    let at = |offset| Position { partition: FIRST, offset };
    let differs = |change: &dyn Fn(&mut Record)| matches!(refused(&|given| change(&mut given.partitions[0][4])), MigrateError::Differs(position) if position == at(4));
    assert!(differs(&|record| record.body = "other".into()));
    assert!(differs(&|record| record.key = "other".into()));
    assert!(differs(&|record| record.headers = Headers::from_iter([("h", "w")])));
    assert!(differs(&|record| record.identity = Some(EventId(Uuid::from_u128(1)))));
    assert!(differs(&|record| record.appended_at += 1), "the time counts too");
    let longer = refused(&|given| given.partitions = plain(12).partitions);
    assert!(longer.to_string().contains("messages/0 holds offsets 0 to 12"), "{longer}");
    let further = StoredProgress { checkpoints: [(FIRST, 3)].into_iter().collect(), note: String::new() };
    let in_use = refused(&|given| drop(given.progress.insert("router".to_owned(), further.clone())));
    assert!(in_use.to_string().contains("the processor router"), "{in_use}");
}

#[test]
fn a_target_with_other_partitions_or_another_start_is_refused() {
    let directories = [(); 3].map(|()| tempdir().unwrap());
    let mut source = plain(3).write(directories[0].path());
    let wider = [TopicLayout { topic: Topic::Messages, partitions: 5 }];
    let mut target = EmbeddedTransfer::open_or_make(directories[1].path(), &wider, BTreeMap::new()).unwrap();
    let refused = migrate(&mut source, &mut target, &mut |_| ()).unwrap_err().to_string();
    assert!(refused.starts_with("messages has 2 partitions in the source and 5 in the target"), "{refused}");
    let starts = BTreeMap::from([(FIRST, 2)]);
    let mut target = EmbeddedTransfer::open_or_make(directories[2].path(), &LAYOUT, starts).unwrap();
    let refused = migrate(&mut source, &mut target, &mut |_| ()).unwrap_err();
    assert!(matches!(refused, MigrateError::Bounds { partition: FIRST, .. }), "{refused}");
}

#[test]
fn a_difference_is_named_with_its_first_position() {
    let directories = [(); 2].map(|()| tempdir().unwrap());
    let mut source = plain(10).write(directories[0].path());
    let mut other = plain(10);
    other.partitions[0][7].body = "other".into();
    other.partitions[0][8].body = "other".into();
    let mut target = other.write(directories[1].path());
    let verified = verify(&mut source, &mut target, &mut |_| ()).unwrap();
    assert!(!verified.is_equal());
    let differing: Vec<_> = verified.partitions.iter().filter_map(|one| one.first_difference).collect();
    assert_eq!(differing, [Position { partition: FIRST, offset: 7 }]);
    assert_ne!(verified.partitions[0].source, verified.partitions[0].target);
}

#[test]
fn of_an_identity_that_stands_twice_the_first_counts_even_when_the_index_is_made_again() {
    let directories = [(); 2].map(|()| tempdir().unwrap());
    let mut given = plain(5);
    for offset in [1, 3] {
        given.partitions[0][offset].identity = Some(EventId(Uuid::from_u128(9)));
    }
    let mut source = given.write(directories[0].path());
    drop(to_embedded(&mut source, directories[1].path()));
    let first = Position { partition: FIRST, offset: 1 };
    let path = directories[1].path();
    let open =
        || EmbeddedLog::open(path, EmbeddedOptions { layout: LAYOUT.to_vec(), ..EmbeddedOptions::default() }).unwrap();
    assert_eq!(append(&open(), "again", Some(9)), first);
    std::fs::remove_dir_all(path.join("identities")).unwrap();
    assert_eq!(append(&open(), "again", Some(9)), first);
}

/// A source to which somebody appends while it is read.
struct Growing {
    log: EmbeddedTransfer,
    more: Vec<Record>,
}

impl TransferSource for Growing {
    fn layout(&self) -> &[TopicLayout] {
        self.log.layout()
    }

    fn bounds(&mut self, partition: Partition) -> Result<Bounds, LogError> {
        self.log.bounds(partition)
    }

    fn read(&mut self, partition: Partition, range: Range<Offset>, bytes: usize) -> Result<Vec<Record>, LogError> {
        if let Some(record) = self.more.pop() {
            self.log.write(vec![record]).and_then(|()| self.log.flush()).unwrap();
        }
        self.log.read(partition, range, bytes)
    }

    fn progress(&mut self) -> Result<BTreeMap<String, StoredProgress>, LogError> {
        self.log.progress()
    }
}

#[test]
fn what_a_source_gains_meanwhile_is_carried_too_and_said() {
    let directories = [(); 2].map(|()| tempdir().unwrap());
    let log = plain(3).write(directories[0].path());
    let more = plain(5).partitions[0].drain(3..).rev().collect();
    let (target, carried) = to_embedded(&mut Growing { log, more }, directories[1].path());
    assert_eq!(carried, Carried { found: 0, written: 5, has_grown: true });
    drop(target);
    holds(directories[1].path(), &plain(5));
}
