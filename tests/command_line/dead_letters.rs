//! Showing and settling dead letters.

use serde_json::{Value, json};

use super::{
    code, json as parsed, meshlog, run,
    server::{Reply, Server},
    stderr, stdout,
};

const HEAD: &str = "embed@m~messages~0~12";

fn dead_letter(offset: u64, waits_behind: Option<u64>) -> Value {
    json!({"id": format!("embed@m~messages~0~{offset}"), "processor": "embed@m",
        "position": {"topic": "messages", "partition": 0, "offset": offset}, "key": "home/roof", "event_id": "e",
        "event_type": "meshlog.message.accepted", "class": if waits_behind.is_some() { "waiting" } else { "permanent" },
        "error": "the text\nis no text", "attempts": 1, "failed_at": "2025-04-05T09:41:00Z",
        "waits_behind": waits_behind, "waiting": if waits_behind.is_some() { 0 } else { 1 }})
}

/// A server with one dead letter, and one that waits behind it on a second page.
fn server() -> Server {
    Server::start(|request| {
        let position = json!({"topic": "dead-letters", "partition": 0, "offset": 3});
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", path) if path.starts_with("/v1/dead-letters?") => match path.contains("cursor=more") {
                false => Reply::ok(json!({"items": [dead_letter(12, None)], "next": "more"})),
                true => Reply::ok(json!({"items": [dead_letter(15, Some(12))], "next": null})),
            },
            ("GET", "/v1/dead-letters/embed%40m~messages~0~12") => {
                let mut view = dead_letter(12, None);
                view["event"] = Value::Null;
                Reply::ok(view)
            }
            ("POST", "/v1/dead-letters/embed%40m~messages~0~12/redrive") => {
                Reply::Json(202, json!({"id": HEAD, "position": position}))
            }
            ("POST", "/v1/dead-letters/embed%40m~messages~0~12/discard") => {
                Reply::Json(202, json!({"id": HEAD, "position": position}))
            }
            ("POST", "/v1/dead-letters/redrive") => Reply::Json(202, json!({"requested": 2})),
            ("POST", _) => Reply::problem(409, "dead_letter_waits", json!({"head": HEAD})),
            _ => Reply::problem(404, "unknown_dead_letter", json!({})),
        }
    })
}

#[test]
fn the_list_shows_what_failed_and_what_waits_from_every_page() {
    let server = server();
    let shown = stdout(&run(&server.url, ["dead-letters", "list", "--key", "home/roof"]));
    let rows: Vec<_> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        rows,
        [
            "id class key attempts failed waiting error",
            "embed@m~messages~0~12 permanent home/roof 1 2025-04-05T09:41:00Z 1 the text is no text",
            "embed@m~messages~0~15 waiting home/roof 1 2025-04-05T09:41:00Z behind 12 the text is no text",
        ]
    );
    assert!(
        server.requests().iter().all(|request| request.path.contains("key=home%2Froof")),
        "{:?}",
        server.requests()
    );
    let first = parsed(&stdout(&run(&server.url, ["--json", "dead-letters", "list", "--limit", "1"])));
    assert_eq!((&first["items"][0]["id"], &first["next"]), (&json!(HEAD), &json!("more")));
}

#[test]
fn one_is_shown_with_what_became_of_its_event() {
    let shown = stdout(&run(&server().url, ["dead-letters", "show", HEAD]));
    for line in ["position    messages/0/12", "error       the text", "event       removed by retention"] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
    let output = run(&server().url, ["dead-letters", "show", "moon"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("unknown_dead_letter"), "{output:?}");
}

#[test]
fn redrives_are_asked_for_one_by_one_or_all_at_once() {
    let server = server();
    assert_eq!(stdout(&run(&server.url, ["dead-letters", "redrive", HEAD])), format!("{HEAD} will be tried again\n"));
    let all = run(&server.url, ["dead-letters", "redrive", "--all", "--processor", "embed@m"]);
    assert_eq!(stdout(&all), "2 will be tried again, with what waits behind them\n");
    let requests = server.requests();
    assert_eq!(requests[1].json(), json!({"processor": "embed@m"}));
    let output = run(&server.url, ["dead-letters", "redrive", "embed@m~messages~0~15"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("dead_letter_waits"), "{output:?}");
    assert_eq!(code(&run(&server.url, ["dead-letters", "redrive"])), 2);
    assert_eq!(code(&run(&server.url, ["dead-letters", "redrive", HEAD, "--all"])), 2);
}

#[test]
fn a_discard_says_who_and_why() {
    let server = server();
    let discard = |user: Option<&str>, more: &[&str]| {
        let mut command = meshlog(&server.url);
        command.env_remove("USER").envs(user.map(|user| ("USER", user)));
        let output = command.args(["dead-letters", "discard", HEAD, "--reason", "sent twice"]).args(more).output();
        assert_eq!(stdout(&output.expect("the binary can be run")), format!("{HEAD} is discarded\n"));
    };
    discard(Some("mara"), &[]);
    discard(None, &[]);
    discard(Some("mara"), &["--author", "Ines"]);
    let bodies: Vec<_> = server.requests().iter().map(|request| request.json()).collect();
    let body = |author| json!({"author": author, "reason": "sent twice"});
    assert_eq!(bodies, [body("mara"), body("operator"), body("Ines")]);
    assert_eq!(code(&run(&server.url, ["dead-letters", "discard", HEAD])), 2, "a reason is asked for");
}
