use meshlog_pipeline::{BodyFormat, KafkaOptions, NewEvent, Receipt};
use meshlog_schemas::{Event, Topic};
use pollster::block_on;
use serde_json::{Value, json};

use crate::support::other_clients::{events, message, other_clients};

/// What stands on Kafka for an event, as another client sees it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    partition: u32,
    offset: u64,
    key: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Appends messages of several threads, one with every kind of byte in it, and answers how they must be seen.
fn append(options: &KafkaOptions) -> (Vec<NewEvent>, Vec<Seen>) {
    let texts = [("ferry", "It leaves at nine."), ("soup", "|,\n\t\"\u{0}€ 🍲"), ("ferry", ""), ("tent", "a\r\nb")];
    let sent: Vec<NewEvent> = texts.iter().map(|(thread, text)| message(thread, text)).collect();
    let receipts = block_on(events(options).append(sent.clone(), None)).unwrap();
    let mut seen: Vec<Seen> = sent.iter().zip(receipts).map(|(event, receipt)| seen(event, receipt)).collect();
    seen.sort();
    (sent, seen)
}

fn seen(event: &NewEvent, Receipt { position, .. }: Receipt) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers: Vec<_> = event.envelope.to_headers().iter().map(|(name, value)| (name.into(), text(value))).collect();
    assert!(headers.iter().any(|(name, value)| name == "ce_type" && value == "meshlog.message.accepted"));
    Seen {
        partition: position.partition.id,
        offset: position.offset,
        key: event.event.ordering_key(),
        headers,
        body: meshlog_schemas::encode(&event.event).unwrap(),
    }
}

/// `name=value,name=value`
fn headers(text: &str, between: char) -> Vec<(String, String)> {
    let pair = |pair: &str| pair.split_once(between).map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    text.split(',').map(pair).collect()
}

/// Takes what stands before a separator, as text.
fn take<'a>(rest: &mut &'a [u8], separator: &str) -> &'a str {
    let at = rest.windows(separator.len()).position(|window| window == separator.as_bytes()).unwrap();
    let (taken, behind) = rest.split_at(at);
    *rest = &behind[separator.len()..];
    std::str::from_utf8(taken).unwrap()
}

#[test]
fn kcat_reads_key_headers_and_body() {
    let Some(clients) = other_clients() else { return };
    let options = clients.options();
    let (_, expected) = append(&options);
    let topic = options.topic_name(Topic::Messages);
    let printed = clients.kcat(&["-C", "-q", "-t", &topic, "-o", "beginning", "-e", "-f", "%p|%o|%k|%h|%S|%s"]);
    let mut rest = &printed[..];
    let mut read = Vec::new();
    while !rest.is_empty() {
        let partition = take(&mut rest, "|").parse().unwrap();
        let offset = take(&mut rest, "|").parse().unwrap();
        let key = take(&mut rest, "|").to_owned();
        let headers = headers(take(&mut rest, "|"), '=');
        let length: usize = take(&mut rest, "|").parse().unwrap();
        let (body, behind) = rest.split_at(length);
        rest = behind;
        read.push(Seen { partition, offset, key, headers, body: body.to_vec() });
    }
    read.sort();
    assert_eq!(read, expected);
}

#[test]
fn kafkas_console_consumer_reads_key_headers_and_body() {
    let Some(clients) = other_clients() else { return };
    let options = clients.options();
    let (_, expected) = append(&options);
    let topic = options.topic_name(Topic::Messages);
    let count = expected.len().to_string();
    let mut arguments = vec!["--topic", &topic, "--from-beginning", "--max-messages", &count, "--timeout-ms", "60000"];
    let end = "<end of a record>";
    let line = format!("line.separator={end}");
    for property in ["print.partition=true", "print.offset=true", "print.headers=true", "print.key=true"] {
        arguments.extend(["--formatter-property", property]);
    }
    for property in ["key.separator=|", &line] {
        arguments.extend(["--formatter-property", property]);
    }
    let printed = clients.console_consumer(&arguments);
    let mut rest = &printed[..];
    let mut read = Vec::new();
    while !rest.is_empty() {
        let partition = take(&mut rest, "|").strip_prefix("Partition:").unwrap().parse().unwrap();
        let offset = take(&mut rest, "|").strip_prefix("Offset:").unwrap().parse().unwrap();
        let headers = headers(take(&mut rest, "|"), ':');
        let key = take(&mut rest, "|").to_owned();
        let at = rest.windows(end.len()).position(|window| window == end.as_bytes()).unwrap();
        read.push(Seen { partition, offset, key, headers, body: rest[..at].to_vec() });
        rest = &rest[at + end.len()..];
    }
    read.sort();
    assert_eq!(read, expected);
}

#[test]
fn python_reads_both_forms_with_avros_and_the_registrys_schemas() {
    let Some(clients) = other_clients() else { return };
    for body_format in [BodyFormat::SingleObject, BodyFormat::Confluent] {
        let options = KafkaOptions { body_format, ..clients.options() };
        let (sent, expected) = append(&options);
        let topic = options.topic_name(Topic::Messages);
        let registry = ["--registry", &clients.registry];
        let mut arguments = vec!["--brokers", &clients.broker, "--topic", &topic];
        if body_format == BodyFormat::Confluent {
            arguments.extend(registry);
        }
        let read = clients.python("examples/python/consume.py", &arguments, "");
        assert_eq!(read.len(), sent.len());
        for record in &read {
            let place = |seen: &&Seen| record["partition"] == seen.partition && record["offset"] == seen.offset;
            let seen = expected.iter().find(place).unwrap();
            assert_eq!(record["key"], seen.key);
            let event = sent.iter().find(|event| record["headers"]["ce_id"] == event.envelope.id.to_string()).unwrap();
            let Event::MessageAccepted(body) = &event.event else { panic!("a message") };
            let fields = json!({
                "source_id": Value::Null, "space": body.space, "thread": body.thread, "author": body.author,
                "role": body.role, "sent_at": "2026-01-01 00:00:00+00:00", "text": body.text,
            });
            assert_eq!(record["event"], fields, "{body_format:?}");
        }
    }
}
