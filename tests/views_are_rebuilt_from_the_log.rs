use std::fs;

use tempfile::tempdir;

use crate::support::{BINARY, Server, invented, model};

const QUESTIONS: [&str; 4] = ["who painted the ferry?", "bread", "what did Mina dream of in May?", "the archive"];

fn answers(server: &Server) -> Vec<Vec<String>> {
    QUESTIONS.iter().map(|question| server.recalled("space-0", question, 10)).collect()
}

#[test]
fn without_any_projection_the_next_start_gives_the_same_answers_and_digests() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    server.import(&invented(150));
    let (digests, answered) = (server.digests(), answers(&server));
    assert!(answered.iter().all(|answer| !answer.is_empty()));
    assert!(server.terminate().success());

    fs::remove_dir_all(data.path().join("projections")).unwrap();
    let server = Server::start(data.path());
    assert_eq!(server.digests(), digests);
    assert_eq!(answers(&server), answered);
    assert_eq!(server.events_on("embeddings"), 150, "a replay computes no vector again");
}

#[test]
fn a_rebuild_while_serving_ends_in_the_same_view_and_verifies() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    server.import(&invented(150));
    let (digests, answered) = (server.digests(), answers(&server));
    for projection in ["threads", "text", "vectors"] {
        let (status, rebuild) = server.post_json("/v1/rebuilds", serde_json::json!({"projection": projection}));
        assert_eq!(status, 202, "{rebuild}");
        let path = format!("/v1/rebuilds/{}", rebuild["id"].as_str().unwrap());
        server.eventually("the rebuild ends", || {
            assert_eq!(answers(&server), answered, "the old view serves until the new one does");
            server.get(&path).1["phase"] == "done"
        });
        assert_eq!(server.get(&path).1["done"], 150);
    }
    assert_eq!(server.digests(), digests);
    let (status, report) = server.post_json("/v1/verifications", serde_json::json!({}));
    assert_eq!(status, 200, "{report}");
    let results = report["results"].as_array().unwrap();
    assert!(results.len() == 6 && results.iter().all(|result| result["equal"] == true), "{report}");
}

#[test]
fn a_stopped_directory_can_be_verified_rebuilt_and_examined() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    server.import(&invented(40));
    let digests = server.digests();
    assert!(server.terminate().success());
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(BINARY);
        let output =
            command.env("MESHLOG_MODEL", model()).args(arguments).arg("--data").arg(data.path()).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    };
    run(&["replay", "verify"]);
    run(&["replay", "rebuild", "text"]);
    assert!(run(&["doctor"]).contains("every checksum holds"));
    assert_eq!(Server::start(data.path()).digests(), digests);
}
