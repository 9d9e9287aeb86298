use std::io::{BufRead, BufReader};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{Server, invented};

fn follow(server: &Server, query: &str, last: Option<&str>) -> impl Iterator<Item = (String, Value)> + use<> {
    let mut request = ureq::get(format!("{}/v1/events?{query}", server.url)).header("accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut id = String::new();
    let lines = BufReader::new(request.call().unwrap().into_body().into_reader()).lines();
    lines.map_while(Result::ok).filter_map(move |line| {
        if let Some(value) = line.strip_prefix("id:") {
            id = value.trim().to_owned();
        }
        let data = line.strip_prefix("data:")?;
        Some((id.clone(), serde_json::from_str(data).unwrap()))
    })
}

#[test]
fn a_tail_shows_events_as_they_are_appended_and_resumes_where_it_was() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    server.import(&invented(10));
    let mut tail = follow(&server, "topic=messages&partition=0", None);
    let mut said = Vec::new();
    let mut last = String::new();
    for number in 0..40 {
        let message =
            json!({"id": format!("new-{number}"), "thread": format!("t{number}"), "author": "Teo", "text": "hi"});
        let (_, receipt) = server.post_json("/v1/messages", message);
        if receipt["position"]["partition"] == 0 {
            said.push(format!("new-{number}"));
            if said.len() <= 3 {
                let (id, event) = tail.next().unwrap();
                assert_eq!(event["data"]["source_id"], said[said.len() - 1].as_str());
                assert_eq!(event["type"], "meshlog.message.accepted");
                last = id;
            }
        }
    }
    assert!(said.len() > 4, "some of 40 threads belong to partition 0");
    drop(tail);
    let resumed: Vec<_> = follow(&server, "topic=messages&partition=0", Some(&last)).take(said.len() - 3).collect();
    let ids: Vec<_> = resumed.iter().map(|(_, event)| event["data"]["source_id"].as_str().unwrap()).collect();
    assert_eq!(ids, said[3..]);
}

#[test]
fn a_tail_of_one_space_and_thread_over_topics_is_resumed_by_its_last_id() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    for number in 0..12 {
        let (space, thread) = (["home", "work"][number % 2], format!("t{}", number % 4));
        let message =
            json!({"id": format!("{number}"), "space": space, "thread": thread, "author": "Teo", "text": "hi"});
        server.post_json("/v1/messages?wait=embedded", message);
    }
    let query = "topic=messages,embeddings&space=home&thread=t2&from=start";
    let (mut seen, mut last) = (Vec::new(), None);
    // Each stream is lost after one event.
    for _ in 0..6 {
        let (id, event) = follow(&server, query, last.as_deref()).next().unwrap();
        assert_eq!((&event["space"], &event["data"]["thread"]), (&json!("home"), &json!("t2")));
        seen.push((event["position"]["topic"].as_str().unwrap().to_owned(), event["position"]["offset"].clone()));
        last = Some(id);
    }
    let of = |topic: &str| seen.iter().filter(|(found, _)| found == topic).count();
    assert_eq!((of("messages"), of("embeddings")), (3, 3), "{seen:?}");
    let (_, page) = server.get("/v1/events?topic=messages,embeddings&space=home&thread=t2");
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (6, &Value::Null));
    let (_, page) = server.get("/v1/events?topic=messages&space=nobody");
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (0, &Value::Null));
    let (_, letters) = server.get("/v1/dead-letters");
    assert_eq!(letters, json!({"items": [], "next": null}));
}

#[test]
fn derived_events_name_their_causes() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let (_, receipt) =
        server.post_json("/v1/messages?wait=embedded", json!({"thread": "t", "author": "Ines", "text": "a violin"}));
    let pages = (0..4).map(|partition| server.get(&format!("/v1/events?topic=embeddings&partition={partition}")).1);
    let events: Vec<Value> = pages.flat_map(|page| page["items"].as_array().unwrap().clone()).collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["causation_id"], receipt["id"]);
    assert_eq!(events[0]["data"]["dims"], 384);
    let (_, schemas) = server.get("/v1/events?topic=schemas&limit=100");
    let known = meshlog_schemas::catalog().len();
    assert_eq!(schemas["items"].as_array().unwrap().len(), known, "the log describes itself");
}
