//! What does the Kafka engine cost over a plain librdkafka client?
//!
//! ```text
//! scripts/with-kafka.sh cargo bench -p meshlog-pipeline --bench kafka -- [--seconds S] [--bytes N] [--rounds R] [--records N]
//! ```
//! Both sides use the same client library with the same settings against the same broker, in turn: closed-loop producers (tasks
//! on one thread a processor, each waits for its acknowledgement), then many records at once, then one thread that reads
//! them all. One setting of ours is not librdkafka's default, two requests under way instead of five; so the plain client
//! is measured with both. Kafka's own performance tools then write and read as many, with the same settings as far as they have them. The
//! last line is one JSON object with every figure.
//!
//! A log of which nothing is read follows nothing; a producer with identities follows what it appends to.

#[path = "closed_loop.rs"]
mod closed_loop;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use closed_loop::{Run, letters, median, produce, record, runtime};
use meshlog_pipeline::{Batch, KafkaLog, KafkaOptions, Log, NewRecord, ReadLimit, TopicLayout, partition_of};
use meshlog_schemas::{EventId, Partition, Topic};
use rdkafka::{
    ClientConfig, ClientContext, Message as _, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::sync::oneshot;

const PRODUCERS: [usize; 3] = [1, 8, 64];
const PARTITIONS: u32 = 4;
/// How many requests the log has under way at a broker.
const UNDER_WAY: Option<&str> = Some("2");
/// Seconds of each kind of load before anything is measured; twice.
const WARM_UP: u64 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: u64| -> u64 {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let (seconds, bytes, rounds) = (option("--seconds", 3), option("--bytes", 1024) as usize, option("--rounds", 3));
    let Ok(brokers) = std::env::var("MESHLOG_TEST_KAFKA") else {
        eprintln!("MESHLOG_TEST_KAFKA names no broker; run scripts/with-kafka.sh cargo bench ...");
        std::process::exit(1);
    };
    println!(
        "{bytes} bytes, {PARTITIONS} partitions, idempotent, acks=all, linger.ms=0, two requests under way, lz4; {rounds} rounds of {seconds} s, medians"
    );
    println!("{:<28} {:>14} {:>14} {:>7} {:>9} {:>9}", "", "meshlog/s", "librdkafka/s", "ratio", "p99 ms", "p99 ms");
    let mut figures = Vec::new();
    let mut tell = |name: &str, ours: Vec<Run>, plain: Vec<Run>| {
        let (ours, plain) = (median(ours), median(plain));
        let ratio = ours.rate / plain.rate;
        println!(
            "{name:<28} {:>14.0} {:>14.0} {ratio:>7.2} {:>9.2} {:>9.2}",
            ours.rate, plain.rate, ours.p99, plain.p99
        );
        let name = name.replace(' ', "_");
        figures.push(format!("\"{name}_per_s\": {:.0}, \"{name}_over_librdkafka\": {ratio:.3}", ours.rate));
    };
    let plain = |seconds, producers, under_way| {
        let (client, topic) = (Arc::new(client(&brokers, under_way)), open(&brokers).1);
        closed_loop(producers, seconds, move |producer, end| send(client.clone(), topic.clone(), producer, end, bytes))
    };
    let ours = |seconds, producers| {
        let log = Arc::new(open(&brokers).0);
        closed_loop(producers, seconds, move |producer, end| produce(log.clone(), producer, end, bytes))
    };
    let once = |seconds, producers| {
        let log = Arc::new(open_for(&brokers, [Topic::Messages].into()).0);
        closed_loop(producers, seconds, move |producer, end| produce_once(log.clone(), producer, end, bytes))
    };
    // The broker is compiled as it runs, for each kind of load.
    for _ in 0..2 {
        plain(WARM_UP, 64, UNDER_WAY);
        ours(WARM_UP, 64);
        once(WARM_UP, 64);
    }
    for producers in PRODUCERS {
        let (mut log, mut same, mut defaults) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            log.push(ours(seconds, producers));
            same.push(plain(seconds, producers, UNDER_WAY));
            defaults.push(plain(seconds, producers, None));
        }
        tell(&format!("append {producers}"), log.clone(), same);
        tell(&format!("append {producers} over defaults"), log, defaults);
    }
    let (mut log, mut same) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        log.push(once(seconds, 64));
        same.push(plain(seconds, 64, UNDER_WAY));
    }
    tell("append 64 with identities", log, same);
    let records = option("--records", 300_000);
    let (mut writes, mut plain_writes, mut reads, mut plain_reads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut tool_writes, mut tool_reads) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (log, topic) = open(&brokers);
        writes.push(timed(records, || append_all(&log, records, bytes)));
        reads.push(timed(records, || read_all(&log, records)));
        plain_reads.push(timed(records, || poll_all(&brokers, &topic, records)));
        drop(log);
        let topic = open(&brokers).1;
        plain_writes.push(timed(records, || send_all(&client(&brokers, UNDER_WAY), &topic, records, bytes)));
        let topic = open(&brokers).1;
        tool_writes.extend(tool_produces(&brokers, &topic, records, bytes));
        tool_reads.extend(tool_consumes(&brokers, &topic, records));
    }
    tell("append in batches of 500", writes.clone(), plain_writes);
    tell("read from the start", reads.clone(), plain_reads);
    if !tool_writes.is_empty() {
        println!("in place of librdkafka, Kafka's own tools in Java:");
        tell("produce over the tool", writes, tool_writes);
        tell("consume over the tool", reads, tool_reads);
    }
    println!("{{\"figures\": {{{}}}}}", figures.join(", "));
}

/// A new log, and the Kafka topic of its messages.
fn open(brokers: &str) -> (KafkaLog, String) {
    open_for(brokers, BTreeSet::new())
}

/// A new log to which records with identities may be appended on these topics.
fn open_for(brokers: &str, once: BTreeSet<Topic>) -> (KafkaLog, String) {
    let prefix = format!("bench.{}.", uuid::Uuid::now_v7().simple());
    let options = KafkaOptions { brokers: brokers.to_owned(), prefix, once, ..KafkaOptions::default() };
    let layout = vec![TopicLayout { topic: Topic::Messages, partitions: PARTITIONS }];
    (KafkaLog::open(layout, &options).expect("the log opens"), options.topic_name(Topic::Messages))
}

/// Bodies that are not alike, more of them than a compressor looks back over.
fn bodies(bytes: usize) -> Vec<bytes::Bytes> {
    (0..1000).map(|seed| letters(seed, bytes)).collect()
}

fn timed(records: u64, work: impl FnOnce()) -> Run {
    let started = Instant::now();
    work();
    Run { rate: records as f64 / started.elapsed().as_secs_f64(), ..Run::default() }
}

fn closed_loop<F>(producers: usize, seconds: u64, produce: impl Fn(usize, Instant) -> F) -> Run
where
    F: Future<Output = Vec<u32>> + Send + 'static,
{
    let runtime = runtime();
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..producers).map(|producer| runtime.spawn(produce(producer, end))).collect();
    let latencies = tasks.into_iter().flat_map(|task| runtime.block_on(task).expect("a producer ends")).collect();
    Run::new(latencies, started.elapsed())
}

fn append_all(log: &KafkaLog, records: u64, bytes: usize) {
    let bodies = bodies(bytes);
    let appends = (0..records / 500).map(|batch| {
        let body = |count| &bodies[(batch * 500 + count) as usize % bodies.len()];
        let records = (0..500).map(|count| record(batch as usize, count, body(count))).collect();
        log.append(Batch { records, progress: None })
    });
    // Enough under way that the client never waits for one of them.
    use futures_util::{StreamExt as _, TryStreamExt as _};
    let appends = futures_util::stream::iter(appends).buffer_unordered(64).try_for_each(|_| async { Ok(()) });
    runtime().block_on(appends).expect("the log takes them");
}

fn read_all(log: &KafkaLog, records: u64) {
    let mut count = 0;
    for id in 0..PARTITIONS {
        let partition = Partition { topic: Topic::Messages, id };
        let mut next = 0;
        loop {
            let read = log.read(partition, next, ReadLimit { records: 4096, bytes: 1 << 20 }).expect("it is there");
            let Some(last) = read.last() else { break };
            next = last.position.offset + 1;
            count += read.len() as u64;
        }
    }
    assert_eq!(count, records / 500 * 500);
}

/// As [`produce`], of records that are stored once.
async fn produce_once(log: Arc<KafkaLog>, producer: usize, end: Instant, bytes: usize) -> Vec<u32> {
    let body = letters(producer, bytes);
    let mut latencies = Vec::new();
    let mut begun = Instant::now();
    while begun < end {
        let identity = Some(EventId(uuid::Uuid::now_v7()));
        let record = NewRecord { identity, ..record(producer, latencies.len() as u64, &body) };
        log.append(Batch { records: vec![record], progress: None }).await.expect("the log takes it");
        latencies.push(begun.elapsed().as_micros() as u32);
        begun = Instant::now();
    }
    latencies
}

/// Kafka's own producer of load, or nothing where its jars are not named.
fn tool_produces(brokers: &str, topic: &str, records: u64, bytes: usize) -> Option<Run> {
    let (records, bytes) = (records.to_string(), bytes.to_string());
    let server = format!("bootstrap.servers={brokers}");
    let sizes = ["--topic", topic, "--num-records", &records, "--record-size", &bytes, "--throughput", "-1"];
    let properties =
        ["--producer-props", &server, "acks=all", "enable.idempotence=true", "linger.ms=0", "compression.type=lz4"];
    let said = tool("ProducerPerformance", &[&sizes[..], &properties].concat())?;
    // The last line: "300000 records sent, 54321.0 records/sec (53.05 MB/sec), ...".
    let line = said.lines().rfind(|line| line.contains("records/sec"))?;
    let rate = line.split(", ").find_map(|part| part.split(" records/sec").next()?.trim().parse().ok())?;
    Some(Run { rate, ..Run::default() })
}

/// Kafka's own consumer of load.
fn tool_consumes(brokers: &str, topic: &str, records: u64) -> Option<Run> {
    let records = records.to_string();
    let asked = ["--bootstrap-server", brokers, "--topic", topic, "--num-records", &records, "--timeout", "60000"];
    let said = tool("ConsumerPerformance", &asked)?;
    // A heading that names the columns, then the figures. The time without that of joining a group counts.
    let mut lines = said.lines().filter(|line| line.contains(", "));
    let column = lines.next()?.split(", ").position(|name| name == "fetch.nMsg.sec")?;
    let rate = lines.next()?.split(", ").nth(column)?.trim().parse().ok()?;
    Some(Run { rate, ..Run::default() })
}

fn tool(name: &str, arguments: &[&str]) -> Option<String> {
    let libs = std::env::var("MESHLOG_KAFKA_LIBS").ok()?;
    let mut java = std::process::Command::new("java");
    java.args(["-cp", &format!("{libs}/*"), &format!("org.apache.kafka.tools.{name}")]).args(arguments);
    let output = java.output().expect("java runs");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A plain client: tells each delivery to whoever waits for it.
struct Plain;

impl ClientContext for Plain {}

impl ProducerContext for Plain {
    type DeliveryOpaque = Box<Option<oneshot::Sender<bool>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        match *waiting {
            Some(waiting) => drop(waiting.send(result.is_ok())),
            None => assert!(result.is_ok()),
        }
    }
}

fn client(brokers: &str, under_way: Option<&str>) -> ThreadedProducer<Plain> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("acks", "all");
    config.set("linger.ms", "0").set("compression.type", "lz4").set("message.timeout.ms", "0");
    config.set("queue.buffering.max.messages", "10000000").set("queue.buffering.max.kbytes", "2097151");
    if let Some(requests) = under_way {
        config.set("max.in.flight.requests.per.connection", requests);
    }
    config.create_with_context(Plain).expect("the client is made")
}

async fn send(
    client: Arc<ThreadedProducer<Plain>>,
    topic: String,
    producer: usize,
    end: Instant,
    bytes: usize,
) -> Vec<u32> {
    let body = letters(producer, bytes);
    let mut latencies = Vec::new();
    let mut begun = Instant::now();
    while begun < end {
        let (sender, delivered) = oneshot::channel();
        let count = latencies.len() % 16;
        let key = format!("key-{producer}-{count}");
        // As the log places it, so that as much comes together in a request.
        let partition = partition_of(Topic::Messages, key.as_bytes(), PARTITIONS).id as i32;
        let message =
            BaseRecord::with_opaque_to(&topic, Box::new(Some(sender))).partition(partition).key(&key).payload(&*body);
        client.send(message).map_err(|(error, _)| error).expect("the client takes it");
        assert!(delivered.await.expect("it is delivered"));
        latencies.push(begun.elapsed().as_micros() as u32);
        begun = Instant::now();
    }
    latencies
}

fn send_all(client: &ThreadedProducer<Plain>, topic: &str, records: u64, bytes: usize) {
    let bodies = bodies(bytes);
    for count in 0..records {
        let key = format!("key-{}", count % 16);
        // As much under way as the log lets in.
        while client.in_flight_count() > 32_000 {
            std::thread::sleep(Duration::from_micros(200));
        }
        let message = BaseRecord::with_opaque_to(topic, Box::new(None));
        let message = message.partition((count % u64::from(PARTITIONS)) as i32).key(&key);
        let message = message.payload(&*bodies[count as usize % bodies.len()]);
        client.send(message).map_err(|(error, _)| error).expect("the client takes it");
    }
    client.flush(Duration::from_secs(60)).expect("all is delivered");
}

fn poll_all(brokers: &str, topic: &str, records: u64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "bench").set("enable.auto.commit", "false");
    config.set("check.crcs", "true").set("fetch.queue.backoff.ms", "5").set("queued.max.messages.kbytes", "16384");
    let consumer: BaseConsumer = config.create().expect("the client is made");
    let mut places = TopicPartitionList::new();
    for id in 0..PARTITIONS {
        places.add_partition_offset(topic, id as i32, rdkafka::Offset::Beginning).expect("a place");
    }
    consumer.assign(&places).expect("the topic is there");
    let (mut count, mut sum) = (0, 0);
    while count < records / 500 * 500 {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.expect("it is there").detach();
            sum += message.payload().map_or(0, <[u8]>::len);
            count += 1;
        }
    }
    assert!(sum > 0);
}
