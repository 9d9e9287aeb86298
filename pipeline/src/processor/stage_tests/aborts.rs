//! A handler that takes its process down, on a real log in a real process: this test program again, running [`child`].

use std::{
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use tempfile::tempdir;

use super::*;
use crate::{EmbeddedLog, EmbeddedOptions};

const DIRECTORY: &str = "MESHLOG_TEST_ABORT_DIRECTORY";

fn open(directory: &Path) -> EventLog {
    let log = EmbeddedLog::open(directory, EmbeddedOptions::default()).unwrap();
    EventLog::new(Arc::new(log), Arc::new(ClearSealer))
}

/// Not a test of its own: a life of the process. It ends in order once everything is processed or parked.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let events = open(Path::new(&directory));
    let handler: Handler = Box::new(|events| match events.iter().any(|event| text(event) == "deadly") {
        true => std::process::abort(),
        false => Ok(()),
    });
    let mut runner = Scripted::start(&events, 1, handler);
    wait(runner.progress(), &ends(&events, Topic::Messages));
    runner.stop();
}

fn live(directory: &Path) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processor::stage_tests::aborts::child", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn an_event_that_aborts_the_process_is_parked_after_so_many_starts_and_other_keys_flow() {
    let directory = tempdir().unwrap();
    let events = open(directory.path());
    let deadly = say(&events, "a", "deadly");
    say(&events, "a", "second");
    say(&events, "b", "fine");
    drop(events);

    // The first start is not written down, for without a crash none is; then each is.
    let most = Settings::default().most_starts + 1;
    let deaths = (0..10).take_while(|_| !live(directory.path()).success()).count();
    assert_eq!(deaths, most as usize);

    let events = open(directory.path());
    let letters = letters(&events);
    let told: Vec<_> = letters.iter().map(|letter| (letter.class.as_str(), letter.head_offset)).collect();
    assert_eq!(told, [("crashed", -1), ("waiting", deadly.offset as i64)]);
    assert_eq!(letters[0].attempts, most as i32 - 1, "those that were written down");
    assert_eq!(derived(&events), ["fine"]);
    drop(events);
    assert!(live(directory.path()).success(), "it is not started again");
}
