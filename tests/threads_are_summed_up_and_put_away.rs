use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::Server;

fn items(server: &Server, path: &str) -> Vec<Value> {
    let (status, page) = server.get(path);
    assert_eq!(status, 200, "{path}: {page}");
    page["items"].as_array().unwrap().clone()
}

#[test]
fn a_summary_cites_what_was_said_and_a_quiet_thread_is_archived_until_somebody_speaks() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let said = [
        "Hello!",
        "We decided to move the workshop to Bergen on 9 June 2025.",
        "Thanks!",
        "The deadline for the harbour report is 15 March, and Nadia Holm writes it.",
        "How are you?",
        "The budget for the roof is 12,000 euros.",
    ];
    let lines = (0..120).map(|number| {
        let text = if number % 20 == 7 { said[number / 20] } else { "Fine, let us see." };
        let message = json!({"id": format!("m{number}"), "thread": "plans", "author": if number % 2 == 0 { "Mina" } else { "Teo" },
            "sent_at": format!("2025-01-{:02}T10:00:00Z", 1 + number % 28), "text": text});
        format!("{message}\n")
    });
    server.import(&lines.collect::<String>());
    server.settle();
    let (status, summary) = server.get("/v1/threads/plans/summary?budget_tokens=80");
    assert_eq!((status, &summary["turns"]), (200, &json!(120)), "{summary}");
    let sentences = summary["sentences"].as_array().unwrap();
    let text = sentences.iter().map(|sentence| sentence["text"].as_str().unwrap()).collect::<Vec<_>>().join("\n");
    assert!(text.contains("9 June 2025") && text.contains("15 March") && text.contains("12,000"), "{text}");
    for sentence in sentences {
        let (_, message) = server.get(&format!("/v1/messages/{}", sentence["message_id"].as_str().unwrap()));
        assert!(message["text"].as_str().unwrap().contains(sentence["text"].as_str().unwrap()), "{sentence} {message}");
    }
    let (_, statistics) = server.get("/v1/threads/plans/statistics");
    assert_eq!((&statistics["messages"], &statistics["authors"][0]["messages"]), (&json!(120), &json!(60)));
    assert_eq!(server.get("/v1/statistics").1["days"].as_array().unwrap().len(), 28);
    // A context that has no room for the whole thread has what says most of the rest.
    let request = json!({"thread": "plans", "query": "what is left to do?", "budget_tokens": 600});
    let (_, context) = server.post_json("/v1/context", request);
    let sections = context["sections"].as_array().unwrap();
    assert!(sections.iter().any(|section| section["name"] == "summary"), "{context}");

    assert_eq!(items(&server, "/v1/archive?quiet_since=2025-06-01T00:00:00Z")[0]["thread_id"], "plans");
    let output = server.run(&["memory", "archive", "plans", "--author", "Mina"]);
    assert!(output.status.success(), "{output:?}");
    assert!(items(&server, "/v1/threads").is_empty());
    assert_eq!(items(&server, "/v1/archive")[0]["thread_id"], "plans");
    assert!(!server.recalled("main", "when is the deadline of the report?", 3).is_empty(), "it is found all the same");
    let output = server.run(&["summary", "plans"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("in the archive"));

    let message = json!({"thread": "plans", "author": "Teo", "text": "One more thing: the boat is sold."});
    assert_eq!(server.post_json("/v1/messages?wait=indexed", message).0, 202);
    assert_eq!(items(&server, "/v1/threads")[0]["thread_id"], "plans");
    for command in ["archive", "restore"] {
        assert!(server.run(&["memory", command, "plans", "--author", "Mina"]).status.success());
    }
    assert_eq!(items(&server, "/v1/threads").len(), 1);

    // What is forgotten is in no summary and counts for nothing.
    let report = sentences.iter().find(|sentence| sentence["text"].as_str().unwrap().contains("15 March")).unwrap();
    let forget = json!({"message_id": report["message_id"], "author": "Mina"});
    assert_eq!(server.post_json("/v1/memory/forgettings?wait=indexed", forget).0, 202);
    let (_, summary) = server.get("/v1/threads/plans/summary?budget_tokens=2000");
    assert!(!summary.to_string().contains("15 March") && summary["turns"] == 120, "{summary}");
}
