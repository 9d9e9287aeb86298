use std::{collections::BTreeMap, fs, path::Path};

use meshlog_pipeline::{EmbeddedTransfer, Record, TransferSource as _, TransferTarget as _, default_layout};
use meshlog_schemas::{Partition, Topic};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::Server;

/// 100 days, in microseconds.
const LONG_AGO: i64 = 100 * 24 * 3_600_000_000;
/// A word that stands in what was taken in long ago alone.
const OLD: &str = "quillwort";

fn say(server: &Server, lines: &[(&str, &str, &str, &str)]) {
    let lines = lines.iter().map(|(id, thread, author, text)| {
        format!("{}\n", json!({"id": id, "thread": thread, "author": author, "text": text}))
    });
    server.import(&lines.collect::<String>());
    server.settle();
}

/// Makes the log one whose messages were taken in 100 days earlier; what stages derived of them is derived anew.
fn age(data: &Path) {
    let (old, new) = (data.join("log"), data.join("aged"));
    let mut source = EmbeddedTransfer::open(&old).unwrap();
    let mut target = EmbeddedTransfer::open_or_make(&new, &default_layout(), BTreeMap::new()).unwrap();
    for id in 0..4 {
        let partition = Partition { topic: Topic::Messages, id };
        let bounds = source.bounds(partition).unwrap();
        if bounds.start < bounds.end {
            let records = source.read(partition, bounds.start..bounds.end, usize::MAX).unwrap();
            let aged = |record: Record| Record { appended_at: record.appended_at - LONG_AGO, ..record };
            target.write(records.into_iter().map(aged).collect()).unwrap();
        }
    }
    target.flush().unwrap();
    drop((source, target));
    fs::remove_dir_all(&old).unwrap();
    fs::rename(new, old).unwrap();
    fs::remove_dir_all(data.join("projections")).unwrap();
}

/// Everything that the server says of anything, in one text.
fn answers(server: &Server) -> String {
    let mut said = String::new();
    let mut add = |(status, answer): (u16, Value)| {
        assert!(status == 200 || status == 404, "{answer}");
        said.push_str(&answer.to_string());
    };
    for query in ["what grows under the glass?", "where is the ladder?"] {
        add(server.post_json("/v1/recall", json!({"query": query})));
        add(server.post_json("/v1/context", json!({"thread": "garden", "query": query})));
    }
    for path in [
        "/v1/threads/garden/messages",
        "/v1/threads/garden/summary",
        "/v1/graph/export",
        "/v1/events?topic=messages&limit=100",
        "/v1/events?topic=knowledge&limit=100",
    ] {
        add(server.get(path));
    }
    said
}

#[test]
fn what_was_taken_in_before_the_days_that_are_kept_is_in_no_answer_and_what_is_pinned_stays() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    say(
        &server,
        &[
            ("1", "garden", "Teo", "The quillwort grows under the glass of Nadia Holm."),
            ("2", "garden", "Mina", "Nadia Holm came by with more quillwort."),
        ],
    );
    assert!(server.terminate().success());
    age(data.path());

    let server = Server::start(data.path());
    let insight = json!({"text": "Water the garden in the evening.", "author": "Mina"});
    assert_eq!(server.post_json("/v1/memory/insights", insight).0, 202);
    say(&server, &[("3", "garden", "Mina", "The ladder is beside the glass, says Nadia Holm.")]);
    assert!(answers(&server).contains(OLD));

    let shown = server.run(&["memory", "retain"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("for ever"), "{shown:?}");
    let set = ["memory", "retain", "--days", "90", "--author", "Mina", "--reason", "a season is enough"];
    let set = server.run(&set);
    assert!(set.status.success(), "{set:?}");
    let check = |server: &Server| {
        let said = answers(server);
        assert!(!said.contains(OLD) && said.contains("The ladder is") && said.contains("in the evening"), "{said}");
        let (_, found) = server.get("/v1/graph/nodes?query=nadia");
        assert_eq!(found["items"][0]["mentions"], 1, "{found}");
        let (_, retention) = server.get("/v1/memory/retention");
        let [set] = retention["items"].as_array().unwrap().as_slice() else { panic!("{retention}") };
        assert_eq!(
            (&set["space"], &set["keep_days"], &set["reason"]),
            (&json!("main"), &json!(90), &json!("a season is enough"))
        );
    };
    // At once: the command waits for the views.
    check(&server);

    // Set again within the hour it forgets nothing new; for ever, nothing comes back.
    let for_ever = json!({"keep_days": null, "author": "Mina"});
    let put = |body: &Value| server.put_json("/v1/memory/retention?wait=indexed", body.clone());
    assert_eq!(put(&for_ever).0, 202);
    assert!(!answers(&server).contains(OLD));
    let (status, receipt) = put(&json!({"keep_days": 90, "author": "Mina", "reason": "a season is enough"}));
    assert_eq!((status, &receipt["reached"]), (202, &json!("indexed")), "{receipt}");
    let (_, events) = server.get("/v1/events?topic=memory&limit=100");
    let forgotten = |event: &&Value| event["type"] == "meshlog.memory.forgotten";
    let forgotten: Vec<_> = events["items"].as_array().unwrap().iter().filter(forgotten).collect();
    // One, or two where the hour has turned meanwhile.
    assert!((1..=2).contains(&forgotten.len()), "{events}");
    assert_eq!((&forgotten[0]["data"]["author"], &forgotten[0]["trust"]), (&json!("meshlog"), &json!("system")));

    for days in [json!(0), json!(-3), json!(36_501)] {
        let (status, problem) = put(&json!({"keep_days": days, "author": "Mina"}));
        assert_eq!((status, &problem["field"]), (400, &json!("keep_days")), "{problem}");
    }

    let digests = server.digests();
    assert!(server.terminate().success());
    fs::remove_dir_all(data.path().join("projections")).unwrap();
    let server = Server::start(data.path());
    assert_eq!(server.digests(), digests);
    check(&server);
}
