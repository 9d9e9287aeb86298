//! Events: reading the log a page at a time, and following it as it grows.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt};
use meshlog_schemas::{Checkpoints, Position, Topic};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::Parameters,
    offsets::{Edge, Span},
    tree::quote,
};
use crate::{
    api::{EventView, Page},
    checks,
    ports::{ReadLimit, Tail},
    problem::{Code, Problem},
};

/// How many events a page has when the client does not say.
const DEFAULT_EVENTS: u32 = 100;
/// The most events of a page.
const EVENTS_LIMIT: u32 = 1000;
/// How many bytes the bodies of a page's events may hold together.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// How often a stream without events sends a comment, so that nobody between takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Where a client says which event of a stream it saw last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Keeps proxies from collecting a stream before they pass it on.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// The topic's name.
    topic: String,
    /// The partition's number. Absent: every partition of the topic.
    partition: Option<u32>,
    /// Where to begin: `start`, `end`, an offset, or the `next` of an earlier answer. Absent: a page begins at the start,
    /// a stream at the end.
    from: Option<String>,
    /// How many events at most. A stream has no limit.
    #[param(default = 100, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Events of a topic, decoded: a page of them, or a stream that follows the log.
///
/// With `Accept: text/event-stream` the answer is a stream of server-sent events: `id` is the event's position (with the
/// places in the other partitions after a semicolon, where several are read), `event` its type, `data` the same object
/// as in a page. A stream is resumed after the event that the header `Last-Event-ID` names. If the log fails, the last
/// event is called `problem` and holds a problem document.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "log",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The last event seen of a stream")),
    responses((
        status = 200,
        description = "The events, in the order of partition and offset",
        content((Page<EventView> = "application/json"), (EventView = "text/event-stream"))
    ))
)]
pub(super) async fn events(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_EVENTS);
    checks::range("limit", limit.into(), 1, EVENTS_LIMIT.into())?;
    let span = span(&gateway, &query).await?;
    if wants_stream(&headers) {
        let from = first(&span, &query, &headers)?;
        return stream(&gateway, span, from).await;
    }
    let from = query.from.as_deref().unwrap_or("start");
    let from = span.places(from, Edge::Start)?;
    let limit = ReadLimit { events: limit as usize, bytes: PAGE_BYTES };
    page(&gateway, &span, from, limit).await.map(|page| Json(page).into_response())
}

async fn span(gateway: &Gateway, query: &EventsQuery) -> Result<Span, Problem> {
    let topic: Topic = query.topic.parse().map_err(|_| unknown_topic(&query.topic))?;
    let view = gateway.ports.operations.topics().await?;
    let found = view.topics.into_iter().find(|view| view.name == topic.name());
    let found = found.ok_or_else(|| unknown_topic(topic.name()))?;
    Span::new(topic, found.partitions, query.partition)
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(','));
    types.any(|stated| stated.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Where a stream begins. A client that comes back repeats its first `from`, so what it saw last goes before.
fn first(span: &Span, query: &EventsQuery, headers: &HeaderMap) -> Result<Checkpoints, Problem> {
    if let Some(id) = headers.get(LAST_EVENT_ID) {
        return span.after_event(&String::from_utf8_lossy(id.as_bytes()), Edge::End);
    }
    span.places(query.from.as_deref().unwrap_or("end"), Edge::End)
}

async fn page(gateway: &Gateway, span: &Span, from: Checkpoints, limit: ReadLimit) -> Result<Page<EventView>, Problem> {
    let items = gateway.ports.events.read(from.clone(), limit).await?;
    let mut places = from;
    for event in &items {
        places.advance(span.partition(event.position.partition), event.position.offset + 1);
    }
    let at_end = items.is_empty() || places.covers(&span.at(Edge::End));
    let next = (!at_end).then(|| span.text(&places));
    Ok(Page { items, next })
}

async fn stream(gateway: &Gateway, span: Span, from: Checkpoints) -> Result<Response, Problem> {
    let tail = gateway.ports.events.tail(from.clone()).await?;
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    let frames = Sse::new(frames(gateway.clone(), tail, span, from)).keep_alive(keep_alive);
    Ok(([UNBUFFERED], frames).into_response())
}

fn frames(
    gateway: Gateway,
    tail: Tail,
    span: Span,
    from: Checkpoints,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let open = gateway.metrics.open_tail();
    let mut places = from;
    let frames = tail.map(move |result| {
        let _counted = &open;
        Ok(match result {
            Ok(event) => frame(&span, &mut places, &event),
            Err(problem) => Event::default().event("problem").data(json(&problem)),
        })
    });
    frames.take_until(async move { gateway.closed().await })
}

fn frame(span: &Span, places: &mut Checkpoints, event: &EventView) -> Event {
    let position = Position { partition: span.partition(event.position.partition), offset: event.position.offset };
    places.advance(position.partition, position.offset + 1);
    // The framing forbids line breaks in a name; a foreign producer could have put one there.
    let kind = event.kind.replace(char::is_control, " ");
    Event::default().id(span.event_id(position, places)).event(kind).data(json(event))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("views and problems are JSON")
}

fn unknown_topic(name: &str) -> Problem {
    let names = Topic::ALL.map(Topic::name);
    let detail = format!("there is no topic \"{}\"", quote(name));
    Problem::new(Code::UnknownTopic, detail, format!("read one of {}", names.join(", ")))
        .with("allowed", names.as_slice())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{body::Body, http::Request};
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::http::fake::{Fake, ask, plain};

    /// Four messages: offsets 0 and 1 of both partitions.
    fn four() -> Arc<Fake> {
        let fake = Fake::new();
        for (thread, text) in [("t0", "a"), ("t1", "b"), ("t0", "c"), ("t1", "d")] {
            fake.append(thread, text);
        }
        fake
    }

    fn texts(page: &Value) -> String {
        let items = page["items"].as_array().expect("a page has items");
        items.iter().filter_map(|event| event["data"]["text"].as_str()).collect()
    }

    #[tokio::test]
    async fn pages_lead_from_the_start_to_the_end_of_each_partition() {
        let fake = four();
        let get = |query: String| ask(fake.router(), plain("GET", &format!("/v1/events?topic=messages{query}")));
        let first = get("&limit=3".to_owned()).await.json();
        assert_eq!((texts(&first).as_str(), &first["next"]), ("acb", &json!("0=2,1=1")));
        let last = get(format!("&limit=3&from={}", first["next"].as_str().expect("there is more"))).await.json();
        assert_eq!((texts(&last).as_str(), &last["next"]), ("d", &json!(null)));
        let one = get("&partition=1&limit=1".to_owned()).await.json();
        assert_eq!((texts(&one).as_str(), &one["next"]), ("b", &json!("1")));
        let rest = get("&partition=1&from=1".to_owned()).await.json();
        assert_eq!((texts(&rest).as_str(), &rest["next"]), ("d", &json!(null)));
        assert_eq!(get("&from=end".to_owned()).await.json(), json!({"items": [], "next": null}));
    }

    #[tokio::test]
    async fn places_that_are_not_there_are_problems() {
        for (query, code) in [
            ("topic=moon", "unknown_topic"),
            ("topic=embeddings", "unknown_topic"),
            ("topic=messages&partition=7", "unknown_partition"),
            ("topic=messages&partition=0&from=3", "offset_out_of_range"),
            ("topic=messages&from=soon", "invalid_field"),
            ("topic=messages&limit=1001", "out_of_range"),
            ("topic=messages&partition=one", "wrong_type"),
        ] {
            let reply = ask(four().router(), plain("GET", &format!("/v1/events?{query}"))).await;
            assert_eq!(reply.problem().code(), code, "{query}");
        }
    }

    /// A stream as a client sees it: reads whole events.
    struct Client {
        body: axum::body::BodyDataStream,
        text: String,
    }

    impl Client {
        async fn open(fake: &Arc<Fake>, query: &str, last_event_id: Option<&str>) -> Self {
            let mut request =
                Request::get(format!("/v1/events?topic=messages{query}")).header("accept", "text/event-stream");
            if let Some(id) = last_event_id {
                request = request.header("last-event-id", id);
            }
            let request = request.body(Body::empty()).expect("the request is well formed");
            let response = fake.router().oneshot(request).await.expect("a router cannot fail");
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            assert_eq!(response.headers()["x-accel-buffering"], "no");
            Self { body: response.into_body().into_data_stream(), text: String::new() }
        }

        /// The fields of the next event; `None` at the end of the stream.
        async fn next(&mut self) -> Option<(String, String, Value)> {
            while !self.text.contains("\n\n") {
                let chunk =
                    tokio::time::timeout(Duration::from_secs(5), self.body.next()).await.expect("something comes");
                self.text
                    .push_str(std::str::from_utf8(&chunk?.expect("the stream is whole")).expect("the stream is UTF-8"));
            }
            let (event, rest) = self.text.split_once("\n\n").expect("an event is there");
            let field = |name: &str| {
                let value = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                value.unwrap_or_default().to_owned()
            };
            let data = serde_json::from_str(&field("data")).expect("data is JSON");
            let found = (field("id"), field("event"), data);
            self.text = rest.to_owned();
            Some(found)
        }

        async fn next_text(&mut self) -> (String, String) {
            let (id, kind, data) = self.next().await.expect("the stream goes on");
            assert_eq!(kind, "meshlog.message.accepted");
            let event: EventView = serde_json::from_value(data).expect("data is an event");
            (id, event.data["text"].as_str().unwrap_or_default().to_owned())
        }
    }

    #[tokio::test]
    async fn a_stream_begins_at_the_end_and_follows_the_log() {
        let fake = four();
        let mut client = Client::open(&fake, "", None).await;
        fake.append("t1", "new");
        assert_eq!(client.next_text().await, ("messages/1/2;0=2,1=3".to_owned(), "new".to_owned()));
    }

    #[tokio::test]
    async fn a_stream_is_resumed_after_the_last_event_seen_in_every_partition() {
        let fake = four();
        let mut client = Client::open(&fake, "&from=start", None).await;
        let mut seen = String::new();
        let mut last = String::new();
        for _ in 0..3 {
            let (id, text) = client.next_text().await;
            seen.push_str(&text);
            last = id;
        }
        drop(client);
        fake.append("t0", "e");
        // A browser that comes back repeats its first query.
        let mut client = Client::open(&fake, "&from=start", Some(&last)).await;
        for _ in 0..2 {
            seen.push_str(&client.next_text().await.1);
        }
        assert_eq!(seen, "acbed");
    }

    #[tokio::test]
    async fn a_stream_of_one_partition_has_plain_positions_as_ids() {
        let fake = four();
        let mut client = Client::open(&fake, "&partition=1&from=1", None).await;
        assert_eq!(client.next_text().await, ("messages/1/1".to_owned(), "d".to_owned()));
        let mut client = Client::open(&fake, "&partition=1", Some("messages/1/0")).await;
        assert_eq!(client.next_text().await.1, "d");
    }

    #[tokio::test]
    async fn a_log_that_fails_ends_the_stream_with_a_problem() {
        let fake = Fake::new();
        fake.append("t0", "break the log");
        let mut client = Client::open(&fake, "&from=start", None).await;
        let (_, kind, data) = client.next().await.expect("the problem is sent");
        assert_eq!((kind.as_str(), &data["code"]), ("problem", &json!("log_stopped")));
        assert!(client.next().await.is_none());
    }

    #[tokio::test]
    async fn streams_are_counted_while_they_are_open() {
        let fake = four();
        let router = fake.router();
        let tails = || async {
            let metrics = ask(router.clone(), plain("GET", "/metrics")).await.text();
            metrics.lines().find_map(|line| line.strip_prefix("meshlog_http_tails ").map(str::to_owned))
        };
        let mut request = plain("GET", "/v1/events?topic=messages");
        request.headers_mut().insert(header::ACCEPT, "text/html, text/event-stream;q=0.9".parse().expect("a header"));
        let response = router.clone().oneshot(request).await.expect("a router cannot fail");
        assert_eq!(tails().await.as_deref(), Some("1"));
        drop(response);
        assert_eq!(tails().await.as_deref(), Some("0"));
    }
}
