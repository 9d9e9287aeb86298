use tempfile::tempdir;

use crate::support::{Server, example, invented};

#[test]
fn every_imported_message_is_found_by_its_own_words() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let lines = example();
    server.import(&lines);
    let mut count = 0;
    for line in lines.lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let (id, space, text) = (&message["id"], &message["space"], &message["text"]);
        let found = server.recalled(space.as_str().unwrap(), text.as_str().unwrap(), 10);
        assert!(found.iter().any(|found| found == id.as_str().unwrap()), "{id} is not among {found:?}");
        count += 1;
    }
    assert_eq!(server.events_on("messages"), count);
    assert_eq!(server.events_on("embeddings"), count);
    assert!(server.resident_bytes() < 400 << 20, "{} bytes resident", server.resident_bytes());
}

#[test]
fn importing_again_changes_nothing() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let lines = invented(60);
    server.import(&lines);
    let digests = server.digests();
    let again = server.import(&lines);
    assert_eq!((&again["accepted"], &again["duplicates"]), (&0.into(), &60.into()));
    assert_eq!(server.digests(), digests);
    assert_eq!((server.events_on("messages"), server.events_on("embeddings")), (60, 60));
}

#[test]
fn a_write_that_waits_is_recallable_when_it_is_answered() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    for number in 0..10 {
        let message = serde_json::json!({"id": format!("{number}"), "thread": "t", "author": "Mina",
            "text": format!("The lighthouse keeper's parrot has learnt word number {number}.")});
        let (status, receipt) = server.post_json("/v1/messages?wait=indexed", message);
        assert_eq!((status, &receipt["reached"]), (202, &"indexed".into()), "{receipt}");
        let found = server.recalled("main", &format!("the parrot and word number {number}"), 20);
        assert_eq!(found.len(), number + 1);
        assert!(found.contains(&number.to_string()));
    }
}

#[test]
fn the_same_id_with_other_words_is_refused_and_the_first_stays() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let message = |text: &str| serde_json::json!({"id": "1", "thread": "t", "author": "Teo", "text": text});
    let (status, first) = server.post_json("/v1/messages", message("one"));
    assert_eq!(status, 202);
    let (status, problem) = server.post_json("/v1/messages", message("another"));
    assert_eq!((status, &problem["code"]), (409, &"id_conflict".into()), "{problem}");
    let (status, again) = server.post_json("/v1/messages", message("one"));
    assert_eq!((status, &again["duplicate"], &again["id"]), (202, &true.into(), &first["id"]));
}

#[test]
fn filters_hold_and_signals_explain() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    server.import(&invented(120));
    let ask = |filter: serde_json::Value| {
        let mut question = serde_json::json!({"query": "who repaired the kites?", "limit": 50, "explain": true});
        question.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
        server.post_json("/v1/recall", question).1["results"].as_array().unwrap().clone()
    };
    for (filter, field, expected) in [
        (serde_json::json!({"spaces": ["space-1"]}), "space", "space-1"),
        (serde_json::json!({"threads": ["thread-3"]}), "thread_id", "thread-3"),
        (serde_json::json!({"authors": ["mina"]}), "author", "Mina"),
    ] {
        let results = ask(filter);
        assert!(!results.is_empty() && results.iter().all(|result| result[field] == expected), "{field}");
    }
    let spring = ask(serde_json::json!({"after": "2025-03-01T00:00:00Z", "before": "2025-06-01T00:00:00Z"}));
    assert!(!spring.is_empty());
    for result in &spring {
        assert!(("2025-03".."2025-06").contains(&&result["sent_at"].as_str().unwrap()[..7]), "{result}");
    }
    assert!(ask(serde_json::json!({"as_of": "2020-01-01T00:00:00Z"})).is_empty(), "nothing was known then");
    for result in ask(serde_json::json!({})) {
        let signals = result["signals"].as_object().unwrap();
        assert!(["bm25", "cosine", "text", "vector", "date", "role"].iter().all(|name| signals.contains_key(*name)));
        assert!(result["position"]["offset"].is_u64() && result["snippet"].is_string());
    }
}
