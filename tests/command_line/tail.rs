//! Following a topic over lost connections.

use serde_json::{Value, json};

use super::{
    code, json as parsed, run,
    server::{Reply, Server},
    stderr, stdout,
};

fn event(offset: u64) -> Value {
    json!({"position": {"topic": "messages", "partition": 0, "offset": offset}, "key": "t", "id": format!("e{offset}"),
        "type": "meshlog.message.accepted", "source": "test", "time": "2025-04-05T09:41:00Z", "space": "home",
        "causation_id": null, "correlation_id": null, "traceparent": null, "trust": null,
        "data": {"author": "Mara", "text": format!("message\n{offset}")}, "appended_at": "2025-04-05T09:41:00Z"})
}

fn frame(offset: u64) -> String {
    format!(
        "id: messages/0/{offset};0={},1=9\nevent: meshlog.message.accepted\ndata: {}\n\n",
        offset + 1,
        event(offset)
    )
}

/// Serves two streams that break off, and then a problem that ends the command.
fn breaking() -> Server {
    let mut streams = 0;
    Server::start(move |request| {
        if request.is("GET", "/v1/topics") {
            let partitions = json!([{"partition": 0, "start": 0, "end": 5}, {"partition": 1, "start": 0, "end": 9}]);
            return Reply::ok(json!({"topics": [{"name": "messages", "partitions": partitions}]}));
        }
        assert_eq!(request.headers["accept"], "text/event-stream");
        streams += 1;
        match streams {
            1 => Reply::Stream(": nothing yet\n\n".to_owned()),
            2 => Reply::Stream(frame(5) + &frame(6) + "id: messages/0/7\ndata: {\"cut"),
            _ => Reply::Stream(format!(
                "event: problem\ndata: {}\n\n",
                json!({"type": "x", "title": "x", "status": 500, "code": "internal", "detail": "the log failed", "help": "look"})
            )),
        }
    })
}

#[test]
fn a_stream_is_taken_up_where_it_was_lost() {
    let server = breaking();
    let output = run(&server.url, ["tail"]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert_eq!(
        stdout(&output),
        "messages/0/5 2025-04-05T09:41:00Z meshlog.message.accepted home Mara: message 5\n\
         messages/0/6 2025-04-05T09:41:00Z meshlog.message.accepted home Mara: message 6\n"
    );
    assert!(stderr(&output).contains("the log failed"), "{output:?}");
    let streams: Vec<_> = server.requests().into_iter().filter(|request| request.is("GET", "/v1/events")).collect();
    // The end was asked for first, so that nothing is missed between the first stream and the second.
    assert!(
        streams.iter().all(|request| request.path == "/v1/events?topic=messages&from=0%3D5%2C1%3D9"),
        "{streams:?}"
    );
    let ids: Vec<_> = streams.iter().map(|request| request.headers.get("last-event-id").map(String::as_str)).collect();
    assert_eq!(ids, [None, None, Some("messages/0/6;0=7,1=9")]);
}

#[test]
fn with_json_each_event_is_one_object_on_a_line() {
    let server = breaking();
    let shown = stdout(&run(&server.url, ["--json", "tail", "--from", "5"]));
    let events: Vec<_> = shown.lines().map(parsed).collect();
    assert_eq!(events, [event(5), event(6)]);
}

#[test]
fn an_id_between_events_is_remembered_and_a_gap_is_told() {
    let mut streams = 0;
    let server = Server::start(move |_| {
        streams += 1;
        let problem = |code: &str, detail: &str| {
            let problem =
                json!({"type": "x", "title": "x", "status": 410, "code": code, "detail": detail, "help": "x"});
            format!("event: problem\ndata: {problem}\n\n")
        };
        match streams {
            1 => Reply::Stream(frame(5) + "id: 0=90,1=9\n\n"),
            2 => {
                Reply::Stream(format!("id: 0=95,1=9\n{}", problem("events_removed", "90 to 95 are gone")) + &frame(95))
            }
            _ => Reply::Stream(problem("internal", "the log failed")),
        }
    });
    let output = run(&server.url, ["tail", "--from", "5", "--space", "home", "--space", "work", "--thread", "a b"]);
    assert_eq!((code(&output), stdout(&output).lines().count()), (1, 2), "{output:?}");
    assert!(stderr(&output).contains("note: 90 to 95 are gone"), "{output:?}");
    let requests = server.requests();
    let asked = "/v1/events?topic=messages&from=5&space=home&space=work&thread=a%20b";
    assert!(requests.iter().all(|request| request.path == asked), "{requests:?}");
    let ids: Vec<_> = requests.iter().map(|request| request.headers.get("last-event-id").map(String::as_str)).collect();
    assert_eq!(ids, [None, Some("0=90,1=9"), Some("messages/0/95;0=96,1=9")]);
}
