use std::collections::HashMap;

use meshlog_pipeline::{NewEvent, StageRunner, StoredEvent, partition_of};
use meshlog_processors::route::Router;
use meshlog_schemas::{Event, EventFailed, EventId, SubscriptionAdded, Topic, Trust};
use pollster::block_on;
use serde_json::{Value, json};

use crate::support::other_clients::{all, events, message, other_clients};

#[test]
fn messages_from_python_are_events_like_any_other_in_the_order_of_their_thread() {
    let Some(clients) = other_clients() else { return };
    let options = clients.options();
    let log = events(&options);
    let topic = options.topic_name(Topic::Messages);
    let single = vec!["--brokers", &clients.broker, "--topic", &topic];
    let confluent = [&single[..], &["--registry", &clients.registry]].concat();
    let mut sent = Vec::new();
    for (round, arguments) in [&single, &confluent, &single].into_iter().enumerate() {
        let ours = message("thread-1", &format!("ours, before round {round}"));
        let position = block_on(log.append(vec![ours.clone()], None)).unwrap()[0].position;
        sent.push((json!({"thread": "thread-1", "text": text(&ours.event)}), position.partition.id, position.offset));
        let messages: Vec<Value> = (0..12)
            .map(|number| {
                json!({
                    "space": "main", "thread": format!("thread-{}", number % 5), "author": "Jonas",
                    "source_id": format!("{round}.{number}"), "sent_at": 1_767_225_600_000_000_i64 + number,
                    "text": format!("round {round}, number {number} 🍲"),
                })
            })
            .collect();
        let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
        let mut answers = clients.python("examples/python/produce.py", arguments, &lines);
        assert_eq!(answers.len(), messages.len());
        // Partitions answer when they will, each in its order; so they are matched below by what is read.
        answers.sort_by_key(|answer| (answer["partition"].as_u64(), answer["offset"].as_u64()));
        let ids: HashMap<String, Value> =
            answers.into_iter().map(|answer| (answer["id"].as_str().unwrap().to_owned(), answer)).collect();
        let count = sent.len() + messages.len();
        let read: Vec<StoredEvent> = all(&log, Topic::Messages, count).into_iter().map(Result::unwrap).collect();
        assert_eq!(read.len(), count);
        let new = read.iter().filter(|event| ids.contains_key(&event.envelope.id.to_string()));
        for event in new {
            let answer = &ids[&event.envelope.id.to_string()];
            let Event::MessageAccepted(body) = &event.event else { panic!("a message") };
            let is_it = |message: &&Value| message["source_id"] == body.source_id.as_deref().unwrap();
            let message = messages.iter().find(is_it).unwrap();
            assert_eq!(
                json!({
                    "space": body.space, "thread": body.thread, "author": body.author, "source_id": body.source_id,
                    "sent_at": body.sent_at, "text": body.text,
                }),
                *message
            );
            assert_eq!(event.key, event.event.ordering_key());
            assert_eq!((event.envelope.trust, event.envelope.space.as_deref()), (Trust::Client, Some("main")));
            let (partition, offset) = (event.position.partition, event.position.offset);
            assert_eq!((&answer["partition"], &answer["offset"]), (&json!(partition.id), &json!(offset)));
            assert_eq!(partition, partition_of(Topic::Messages, event.key.as_bytes(), 4), "where we look for its key");
            sent.push((message.clone(), partition.id, offset));
        }
        assert_eq!(sent.len(), count);
    }
    // Of the thread to which both wrote, everything stands on one partition in the order in which it was sent.
    let of_both = all(&log, Topic::Messages, sent.len()).into_iter().map(Result::unwrap);
    let texts: Vec<String> =
        of_both.filter(|event| event.key == "main/thread-1").map(|event| text(&event.event).to_owned()).collect();
    let round = |round: u32| {
        let theirs = [1, 6, 11].map(|number| format!("round {round}, number {number} 🍲"));
        [format!("ours, before round {round}")].into_iter().chain(theirs)
    };
    assert_eq!(texts, (0..3).flat_map(round).collect::<Vec<_>>());
}

fn text(event: &Event) -> &str {
    match event {
        Event::MessageAccepted(body) => &body.text,
        other => panic!("no message: {other:?}"),
    }
}

#[test]
fn what_is_no_event_becomes_a_dead_letter_and_other_keys_go_on() {
    let Some(clients) = other_clients() else { return };
    let options = clients.options();
    let log = events(&options);
    let everything = Event::SubscriptionAdded(SubscriptionAdded {
        subscription_id: EventId::fresh(),
        subscriber: "ada".into(),
        space: "main".into(),
        thread: None,
        author: None,
    });
    block_on(log.append(vec![NewEvent::first(EventId::fresh(), "/test", Trust::Client, everything)], None)).unwrap();
    let topic = options.topic_name(Topic::Messages);
    clients.python("tests/support/malformed.py", &[&clients.broker, &topic], "");

    let mut runner = StageRunner::start(log.clone(), Box::<Router>::default()).unwrap();
    let mut routed: Vec<String> = all(&log, Topic::Deliveries, 3)
        .into_iter()
        .map(|entry| match entry.unwrap().event {
            Event::MessageRouted(body) => body.thread,
            other => panic!("no delivery: {other:?}"),
        })
        .collect();
    routed.sort();
    assert_eq!(routed, ["fine", "good", "whole"]);

    let letters: Vec<EventFailed> = all(&log, Topic::DeadLetters, 7)
        .into_iter()
        .map(|entry| match entry.unwrap().event {
            Event::EventFailed(letter) => letter,
            other => panic!("no dead letter: {other:?}"),
        })
        .collect();
    assert_eq!(letters.len(), 7);
    let letter = |key: &str, class: &str| {
        let found = letters.iter().find(|letter| letter.key == key && letter.class == class);
        found.unwrap_or_else(|| panic!("no {class} letter of {key} among {letters:?}"))
    };
    for (key, cause) in [
        ("main/garbage", "does not begin with Avro's single-object marker"),
        ("main/headless", "the header ce_specversion is missing"),
        ("main/cut", "does not fit its schema meshlog.messages.MessageAccepted v1"),
        ("main/long", "1 bytes are left over"),
        ("main/unregistered", "the schema id 2147483647, which was not found"),
        ("main/empty", "the header ce_specversion is missing"),
    ] {
        let letter = letter(key, "unreadable");
        assert!(letter.error.contains(cause), "{letter:?}");
    }
    let behind = letter("main/garbage", "waiting");
    assert_eq!(behind.head_offset, letter("main/garbage", "unreadable").offset, "it waits for the one before it");
    runner.stop();
}
