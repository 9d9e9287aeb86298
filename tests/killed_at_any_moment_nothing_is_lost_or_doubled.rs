use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Server, invented};

const MESSAGES: usize = 240;
const KILLS: u64 = 30;
const LINES_A_REQUEST: usize = 4;

/// Moments to kill at, in milliseconds after the import goes on: spread by a multiplicative generator, the same in
/// every run, so that a failure can be seen again.
fn moments() -> impl Iterator<Item = u64> {
    let mut state: u64 = 20_260_101;
    (0..KILLS).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 250
    })
}

/// Sends lines until all are acknowledged or the server is gone; notes every receipt.
fn import_until_killed(
    server: &Server,
    requests: &[String],
    at: &mut usize,
    acknowledged: &mut BTreeMap<String, Value>,
) {
    while let Some(lines) = requests.get(*at) {
        let Ok((202, answer)) = server.try_post("/v1/messages", "application/x-ndjson", lines.as_bytes()) else {
            return;
        };
        for receipt in answer["receipts"].as_array().unwrap() {
            let id = receipt["source_id"].as_str().unwrap().to_owned();
            let position = receipt["position"].clone();
            let before = acknowledged.insert(id.clone(), position.clone());
            assert!(before.is_none_or(|before| before == position), "{id} moved");
        }
        *at += 1;
    }
}

#[test]
fn thirty_kills_during_import_and_queries_leave_what_an_undisturbed_run_leaves() {
    let lines: Vec<String> = invented(MESSAGES).lines().map(|line| format!("{line}\n")).collect();
    let requests: Vec<String> = lines.chunks(LINES_A_REQUEST).map(<[String]>::concat).collect();

    let undisturbed = tempdir().unwrap();
    let server = Server::start(undisturbed.path());
    server.import(&lines.concat());
    let expected = server.digests();
    drop(server);

    let data = tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut at = 0;
    for (kill, moment) in moments().enumerate() {
        let server = Server::start(data.path());
        // The share of the import that this life may do, so that some is left for the last ones.
        let share = requests.len() * (kill + 1) / KILLS as usize;
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // Whether it is answered does not matter here; the server may be gone.
                    let _ = server.try_post("/v1/recall", "application/json", br#"{"query":"who sold the maps?"}"#);
                }
            });
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(moment));
                let pid = server.pid().to_string();
                std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
                is_over.store(true, Ordering::Relaxed);
            });
            import_until_killed(&server, &requests[..share], &mut at, &mut acknowledged);
        });
        server.kill();
    }

    let server = Server::start(data.path());
    for (id, position) in &acknowledged {
        let (topic, partition, offset) = (&position["topic"], &position["partition"], &position["offset"]);
        let path = format!("/v1/events?topic={}&partition={partition}&from={offset}&limit=1", topic.as_str().unwrap());
        let (_, page) = server.get(&path);
        assert_eq!(page["items"][0]["data"]["source_id"], id.as_str(), "an acknowledged message stands where it did");
    }
    server.import(&lines.concat());
    assert_eq!(server.digests(), expected);
    assert_eq!(server.events_on("messages"), MESSAGES as u64);
    assert_eq!(server.events_on("embeddings"), MESSAGES as u64, "no event is derived twice");
    assert!(!acknowledged.is_empty());
}

#[test]
fn a_shutdown_in_the_middle_of_an_import_loses_nothing_acknowledged() {
    let lines: Vec<String> = invented(MESSAGES).lines().map(|line| format!("{line}\n")).collect();
    let requests: Vec<String> = lines.chunks(LINES_A_REQUEST).map(<[String]>::concat).collect();
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let mut acknowledged = BTreeMap::new();
    let mut at = 0;
    let pid = server.pid().to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(40));
            std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        });
        import_until_killed(&server, &requests, &mut at, &mut acknowledged);
    });
    assert!(server.terminate().success(), "the exit is clean");
    let server = Server::start(data.path());
    assert!(server.events_on("messages") >= acknowledged.len() as u64);
    server.import(&lines.concat());
    assert_eq!(server.events_on("messages"), MESSAGES as u64);
    assert_eq!(server.events_on("embeddings"), MESSAGES as u64);
}
