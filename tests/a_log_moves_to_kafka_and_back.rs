use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{BINARY, Server, example};

const KILLS: u32 = 5;

/// `meshlog migrate` between two logs, with topics that no other test has.
fn migrate(from: &str, to: &str, prefix: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["migrate", "--json", "--from", from, "--to", to, "--topic-prefix", prefix]);
    command
}

/// Moves a log, killed on the way at moments that are spread over the time `whole` that this takes, and answers what the last
/// run says.
fn moved(from: &str, to: &str, prefix: &str, whole: Duration) -> Value {
    for kill in 1..=KILLS {
        let mut child = migrate(from, to, prefix).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * kill / (KILLS + 1));
        // SIGKILL; it may have ended already.
        let _ = child.kill();
        child.wait().unwrap();
    }
    let last = migrate(from, to, prefix).output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let report: Value = serde_json::from_slice(&last.stdout).unwrap();
    assert_eq!(report["equal"], true, "{report}");
    report
}

/// How long a move takes that nobody kills.
fn undisturbed(from: &str, to: &str, prefix: &str) -> Duration {
    let begun = Instant::now();
    assert!(migrate(from, to, prefix).output().unwrap().status.success());
    begun.elapsed()
}

fn embedded(data: &Path) -> String {
    format!("embedded:{}", data.display())
}

#[test]
fn what_was_imported_is_moved_with_its_positions_through_kills_and_serves_as_before() {
    let Ok(brokers) = std::env::var("MESHLOG_TEST_KAFKA") else {
        eprintln!("left out: MESHLOG_TEST_KAFKA names no broker; run scripts/with-kafka.sh cargo test");
        return;
    };
    let kafka = format!("kafka://{brokers}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let prefix = format!("moved.{now}.");
    let (before, after) = (tempdir().unwrap(), tempdir().unwrap());

    let server = Server::start(before.path());
    server.import(&example());
    let expected = server.digests();
    let messages = server.events_on("messages");
    let refused = migrate(&embedded(before.path()), &kafka, &prefix).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "a log that is in use is not moved");
    assert!(server.terminate().success());

    let whole = undisturbed(&embedded(before.path()), &kafka, &format!("{prefix}undisturbed."));
    let there = moved(&embedded(before.path()), &kafka, &prefix, whole);
    let whole = undisturbed(&kafka, &embedded(tempdir().unwrap().path()), &prefix);
    let back = moved(&kafka, &embedded(after.path()), &prefix, whole);
    assert_eq!(there["partitions"], back["partitions"], "the same offsets and digests both ways");

    let compared = migrate(&embedded(before.path()), &embedded(after.path()), &prefix).arg("--verify-only").output();
    let compared = compared.unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
    let data = after.path().to_str().unwrap();
    let doctor = Command::new(BINARY).args(["--json", "doctor", "--data", data]).output().unwrap();
    let found: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let log = found["findings"].as_array().unwrap().iter().find(|finding| finding["subject"] == "log").unwrap();
    assert_eq!(log["level"], "ok", "{found}");

    let server = Server::start(after.path());
    assert_eq!(server.digests(), expected, "views built from the moved log say the same");
    server.import(&example());
    assert_eq!(server.events_on("messages"), messages, "what was stored once stays so");
    assert!(server.terminate().success());

    let other = tempdir().unwrap();
    let server = Server::start(other.path());
    server.import("{\"id\": \"x\", \"thread\": \"t\", \"author\": \"Ines\", \"text\": \"Something else.\"}\n");
    assert!(server.terminate().success());
    let refused = migrate(&embedded(other.path()), &kafka, &prefix).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("choose a target that is empty"), "{refused}");
    let differing = migrate(&embedded(other.path()), &kafka, &prefix).arg("--verify-only").output().unwrap();
    assert_eq!(differing.status.code(), Some(4));
}
