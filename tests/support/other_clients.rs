//! Other programs that speak Kafka, against the broker and the registry that `make unit` starts.

use std::{
    env,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use meshlog_pipeline::{ClearSealer, EventLog, KafkaLog, KafkaOptions, NewEvent, ReadLimit, default_layout};
use meshlog_schemas::{Event, EventId, MessageAccepted, Topic, Trust};
use serde_json::Value;

/// Where the others are.
pub struct OtherClients {
    pub broker: String,
    pub registry: String,
    libs: String,
    packages: String,
}

/// What the scripts started, or `None` where they did not, which is said.
pub fn other_clients() -> Option<OtherClients> {
    let found = || {
        Some(OtherClients {
            broker: env::var("MESHLOG_TEST_KAFKA").ok()?,
            registry: env::var("MESHLOG_TEST_REGISTRY").ok()?,
            libs: env::var("MESHLOG_TEST_KAFKA_LIBS").ok()?,
            packages: env::var("MESHLOG_TEST_PYTHON").ok()?,
        })
    };
    let clients = found();
    if clients.is_none() {
        eprintln!("left out: no broker, registry and other clients; see scripts/with-clients.sh");
    }
    clients
}

impl OtherClients {
    /// Options for topics that no other test has.
    pub fn options(&self) -> KafkaOptions {
        KafkaOptions {
            brokers: self.broker.clone(),
            prefix: format!("test.{}.", EventId::fresh()),
            registry: Some(self.registry.clone()),
            ..KafkaOptions::default()
        }
    }

    /// kcat, Debian's build.
    pub fn kcat(&self, arguments: &[&str]) -> Vec<u8> {
        run(Command::new("kcat").args(["-b", &self.broker]).args(arguments), b"")
    }

    /// Kafka's own console consumer.
    pub fn console_consumer(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("java");
        command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &self.libs]);
        command.arg("org.apache.kafka.tools.consumer.ConsoleConsumer").args(["--bootstrap-server", &self.broker]);
        run(command.args(arguments), b"")
    }

    /// A Python program of this repository; answers the lines of JSON that it prints.
    pub fn python(&self, program: &str, arguments: &[&str], input: &str) -> Vec<Value> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(program);
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", &self.packages).arg(program).args(arguments);
        let printed = String::from_utf8(run(&mut command, input.as_bytes())).unwrap();
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The events on a log on Kafka, with all topics.
pub fn events(options: &KafkaOptions) -> EventLog {
    EventLog::new(Arc::new(KafkaLog::open(default_layout(), options).unwrap()), Arc::new(ClearSealer))
}

/// All events of a topic by partition, once there are as many.
pub fn all(events: &EventLog, topic: Topic, count: usize) -> Vec<meshlog_pipeline::Entry> {
    let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let partitions = events.partitions(topic);
    super::eventually(&format!("{count} events on {topic}"), || {
        events.log().synchronize(topic).unwrap();
        let ends = partitions.iter().map(|partition| events.log().bounds(*partition).unwrap().end);
        ends.sum::<u64>() >= count as u64
    });
    partitions.into_iter().flat_map(|partition| events.read(partition, 0, limit).unwrap()).collect()
}

pub fn message(thread: &str, text: &str) -> NewEvent {
    let event = Event::MessageAccepted(MessageAccepted {
        source_id: None,
        space: "main".into(),
        thread: thread.into(),
        author: "Ines".into(),
        role: "user".into(),
        sent_at: 1_767_225_600_000_000,
        text: text.into(),
    });
    NewEvent::first(EventId::fresh(), "/test", Trust::Client, event)
}

/// What a program prints that must end well.
fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // Short enough for a pipe.
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
