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
fn what_served_before_a_rebuild_can_be_gone_back_to_and_dropped() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    server.import(&invented(60));
    let (digests, answered) = (server.digests(), answers(&server));
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(BINARY).args(arguments).args(["--url", &server.url]).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    };
    run(&["replay", "rebuild", "--all"]);
    let listed = run(&["replay", "versions"]);
    assert_eq!(listed.matches("kept").count(), 6, "{listed}");
    assert!(run(&["replay", "rollback", "text"]).contains("serves again"));
    run(&["replay", "rollback", "vectors"]);
    assert_eq!((server.digests(), answers(&server)), (digests.clone(), answered.clone()));
    server.import(&invented(90));
    assert_ne!(server.digests(), digests, "what was gone back to is kept up to date");
    assert!(run(&["replay", "drop", "text"]).contains("dropped"));
    assert_eq!(run(&["replay", "versions"]).matches("kept").count(), 5);
    let (status, problem) =
        server.post_json("/v1/rebuilds", serde_json::json!({"projection": "text", "rollback": true}));
    assert_eq!((status, problem["code"].as_str()), (404, Some("unknown_version")));
}

#[test]
fn a_rebuild_that_is_killed_at_any_moment_goes_on_and_what_serves_is_never_touched() {
    let rounds: u32 = std::env::var("MESHLOG_KILLS").map_or(8, |text| text.parse().unwrap());
    let data = tempdir().unwrap();
    let mut server = Server::start(data.path());
    server.import(&invented(300));
    let (digests, answered) = (server.digests(), answers(&server));
    let mut chance = 7_u64;
    for round in 0..rounds {
        for projection in ["threads", "text", "vectors", "graph", "summaries", "calls"] {
            // One that was cut off goes on by itself, and refuses another.
            let (status, rebuild) = server.post_json("/v1/rebuilds", serde_json::json!({"projection": projection}));
            assert!(matches!(status, 202 | 409), "{rebuild}");
        }
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(std::time::Duration::from_millis((chance >> 33) % 300));
        server.kill();
        server = Server::start(data.path());
        assert_eq!(answers(&server), answered, "round {round}");
    }
    server.eventually("what was cut off is done", || {
        let (_, view) = server.get("/v1/rebuilds");
        let rebuilds = view["rebuilds"].as_array().unwrap().clone();
        assert!(rebuilds.iter().all(|rebuild| rebuild["phase"] != "failed"), "{view}");
        rebuilds.iter().all(|rebuild| rebuild["phase"] == "done")
    });
    assert_eq!((server.digests(), answers(&server)), (digests, answered));
    let (_, report) = server.post_json("/v1/verifications", serde_json::json!({}));
    assert!(report["results"].as_array().unwrap().iter().all(|result| result["equal"] == true), "{report}");
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
