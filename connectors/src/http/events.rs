//! Events: reading the log a page at a time, and following it as it grows.
//!
//! Promises: a stream that is taken up again after the last id it sent misses nothing and repeats nothing, whatever was
//! filtered out in between. It reads the log at its own client's pace and holds one batch, so it slows nobody else down.

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
use futures_util::{Stream, StreamExt, stream};
use meshlog_schemas::{Checkpoints, Position};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::Parameters,
    offsets::{Edge, Span, removed},
};
use crate::{
    api::{EventView, Page},
    checks,
    ports::{EventBatch, EventFilter, Gap, ReadLimit, Tail},
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
/// How long events may go by that a stream does not show until it sends an id, so that a client that comes back need not
/// read past them again.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// Where a client says which event of a stream it saw last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Keeps proxies from collecting a stream before they pass it on.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// The topic's name; several times, or with commas between, for several topics.
    topic: Vec<String>,
    /// The partition's number, in each topic. Absent: every partition.
    partition: Option<u32>,
    /// Only events of this space; several times for several spaces.
    #[serde(default)]
    space: Vec<String>,
    /// Only events of this thread.
    thread: Option<String>,
    /// Only events of this type, such as `meshlog.message.accepted`; several times, or with commas between, for several.
    #[serde(default)]
    r#type: Vec<String>,
    /// Where to begin: `start`, `end`, an offset, or the `next` of an earlier answer: `partition=offset` pairs with
    /// commas between, a topic before them where there are several (`messages/0=7,1=9,registry/0=2`). Absent: a page
    /// begins at the start, a stream at the end.
    from: Option<String>,
    /// How many events at most. A stream has no limit.
    #[param(default = 100, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Events, decoded: a page of them, or a stream that follows the log.
///
/// A page may have fewer events than asked for, or none, and yet a `next`: then it has been looked through many events
/// that are not shown, and there are more.
///
/// With `Accept: text/event-stream` the answer is a stream of server-sent events: `event` is the event's type, `data` the
/// same object as in a page, `id` its position and the places in all partitions that are read. A stream is resumed after
/// the id that the header `Last-Event-ID` names, with no gap and no repetition in any partition. At the beginning, and at
/// the latest every few seconds while events go by that are not shown, an id comes without data: clients of the standard
/// remember it and show nothing.
///
/// An event called `problem` holds a problem document. `events_removed` tells that retention has removed events before
/// this stream came to them, names them, and the stream goes on behind them. Any other is the last event of the stream.
/// A client that takes nothing for a minute is cut off; it may come back.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "log",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The last id of a stream")),
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
    let filter = EventFilter {
        spaces: query.space.clone(),
        thread: query.thread.clone(),
        types: split(&query.r#type).map(str::to_owned).collect(),
    };
    checks::events(&filter)?;
    let span = span(&gateway, &query).await?;
    if wants_stream(&headers) {
        let from = first(&span, &query, &headers)?;
        return stream(&gateway, span, from, filter).await;
    }
    let from = query.from.as_deref().unwrap_or("start");
    let from = span.places(from, Edge::Start)?;
    let limit = ReadLimit { events: limit as usize, bytes: PAGE_BYTES };
    page(&gateway, &span, from, filter, limit).await.map(|page| Json(page).into_response())
}

/// The values of a parameter that may come several times and with commas between.
fn split(values: &[String]) -> impl Iterator<Item = &str> {
    values.iter().flat_map(|value| value.split(','))
}

async fn span(gateway: &Gateway, query: &EventsQuery) -> Result<Span, Problem> {
    let mut view = gateway.ports.operations.topics().await?;
    let mut topics = Vec::new();
    for name in split(&query.topic) {
        let topic = checks::topic(name)?;
        if topics.iter().any(|(known, _)| *known == topic) {
            continue;
        }
        let found = view.topics.iter_mut().find(|view| view.name == topic.name());
        let found = found.ok_or_else(|| {
            let detail = format!("this log has no topic {topic}");
            Problem::new(Code::UnknownTopic, detail, "GET /v1/topics lists the topics")
        })?;
        topics.push((topic, std::mem::take(&mut found.partitions)));
    }
    Span::new(topics, query.partition)
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

async fn page(
    gateway: &Gateway,
    span: &Span,
    from: Checkpoints,
    filter: EventFilter,
    limit: ReadLimit,
) -> Result<Page<EventView>, Problem> {
    let EventBatch { gaps, events, next } = gateway.ports.events.read(from, filter, limit).await?;
    if let Some(gap) = gaps.first() {
        return Err(removed(gap));
    }
    let next = (!next.covers(&span.at(Edge::End))).then(|| span.text(&next));
    Ok(Page { items: events, next })
}

async fn stream(gateway: &Gateway, span: Span, from: Checkpoints, filter: EventFilter) -> Result<Response, Problem> {
    let tail = gateway.ports.events.tail(from.clone(), filter).await?;
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    let frames = Sse::new(frames(gateway.clone(), Follower::new(tail, span, from))).keep_alive(keep_alive);
    Ok(([UNBUFFERED], frames).into_response())
}

fn frames(gateway: Gateway, follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let open = gateway.metrics.open_tail();
    let frames = stream::unfold(follower, |mut follower| async move {
        let frame = follower.next().await?;
        Some((Ok(frame), follower))
    });
    let frames = frames.map(move |frame| {
        let _counted = &open;
        frame
    });
    frames.take_until(async move { gateway.closed().await })
}

/// Turns the batches of a tail into frames, each with the id after which the stream can be resumed.
struct Follower {
    tail: Tail,
    span: Span,
    batch: std::vec::IntoIter<EventView>,
    gaps: std::vec::IntoIter<Gap>,
    /// Everything before has been sent, or is not shown.
    places: Checkpoints,
    /// What holds once the batch has been sent.
    reached: Checkpoints,
    /// Whether the client knows the places from the last id.
    is_told: bool,
    /// When it is told of them at the latest.
    due: Instant,
    has_ended: bool,
}

impl Follower {
    fn new(tail: Tail, span: Span, from: Checkpoints) -> Self {
        let (batch, gaps) = (Vec::new().into_iter(), Vec::new().into_iter());
        let (places, reached) = (from.clone(), from);
        Self { tail, span, batch, gaps, places, reached, is_told: false, due: Instant::now(), has_ended: false }
    }

    async fn next(&mut self) -> Option<Event> {
        if self.has_ended {
            return None;
        }
        loop {
            if let Some(gap) = self.gaps.next() {
                return Some(self.gap(gap));
            }
            if let Some(event) = self.batch.next() {
                return Some(self.event(&event));
            }
            if self.places != self.reached {
                self.places.clone_from(&self.reached);
                self.is_told = false;
            }
            tokio::select! {
                // The id first: events that are not shown may go by without a pause.
                biased;
                () = tokio::time::sleep_until(self.due), if !self.is_told => return Some(self.checkpoint()),
                batch = self.tail.next() => match batch? {
                    Ok(batch) => self.take(batch),
                    Err(problem) => {
                        self.has_ended = true;
                        return Some(Event::default().event("problem").data(json(&problem)));
                    }
                },
            }
        }
    }

    fn take(&mut self, batch: EventBatch) {
        let EventBatch { gaps, events, next } = batch;
        (self.gaps, self.batch, self.reached) = (gaps.into_iter(), events.into_iter(), next);
    }

    fn gap(&mut self, gap: Gap) -> Event {
        self.places.advance(gap.partition, gap.start);
        let id = self.span.checkpoint_id(&self.places);
        self.tell(id).event("problem").data(json(&removed(&gap)))
    }

    fn event(&mut self, event: &EventView) -> Event {
        let at = &event.position;
        let partition =
            self.span.partition(&at.topic, at.partition).expect("a tail gives events of what it was asked for");
        self.places.advance(partition, at.offset + 1);
        let id = self.span.event_id(Position { partition, offset: at.offset }, &self.places);
        // The framing forbids line breaks in a name; a foreign producer could have put one there.
        let kind = event.kind.replace(char::is_control, " ");
        self.tell(id).event(kind).data(json(event))
    }

    fn checkpoint(&mut self) -> Event {
        let id = self.span.checkpoint_id(&self.places);
        self.tell(id)
    }

    /// A frame with an id, which the client then knows.
    fn tell(&mut self, id: String) -> Event {
        self.is_told = true;
        self.due = Instant::now() + CHECKPOINT_INTERVAL;
        Event::default().id(id)
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("views and problems are JSON")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{body::Body, http::Request};
    use proptest::prelude::*;
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

        /// The fields of the next event; `None` at the end of the stream. What has no data is passed over.
        async fn next(&mut self) -> Option<(String, String, Value)> {
            loop {
                let (id, kind, data) = self.frame().await?;
                if !data.is_empty() {
                    return Some((id, kind, serde_json::from_str(&data).expect("data is JSON")));
                }
            }
        }

        /// The next frame, as id, type and data.
        async fn frame(&mut self) -> Option<(String, String, String)> {
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
            let found = (field("id"), field("event"), field("data"));
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
        // A client that is cut off before the first event can be taken up again too.
        assert_eq!(client.frame().await, Some(("0=2,1=2".to_owned(), String::new(), String::new())));
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
    async fn a_page_and_a_stream_show_only_what_passes_the_filter() {
        let fake = Fake::new();
        for (space, thread, text) in
            [("a", "t0", "1"), ("b", "t0", "2"), ("a", "u0", "3"), ("c", "t1", "4"), ("a", "t1", "5")]
        {
            fake.append_to(space, thread, text);
        }
        for (filter, expected) in [
            ("space=a", "135"),
            ("space=a&space=c", "1345"),
            ("thread=t0", "12"),
            ("space=a&thread=t1", "5"),
            ("type=meshlog.message.accepted&space=b", "2"),
            ("type=meshlog.other,meshlog.another", ""),
        ] {
            let query = format!("/v1/events?topic=messages&{filter}");
            let page = ask(fake.router(), plain("GET", &query)).await.json();
            assert_eq!((texts(&page).as_str(), &page["next"]), (expected, &json!(null)), "{filter}");
            let mut client = Client::open(&fake, &format!("&from=start&{filter}"), None).await;
            for text in expected.chars() {
                assert_eq!(client.next_text().await.1, text.to_string(), "{filter}");
            }
        }
        for (query, code) in
            [("space=", "invalid_field"), ("thread=%07", "invalid_field"), ("topic=moon", "unknown_topic")]
        {
            let reply = ask(fake.router(), plain("GET", &format!("/v1/events?topic=messages&{query}"))).await;
            assert_eq!(reply.problem().code(), code, "{query}");
        }
    }

    #[tokio::test]
    async fn a_topic_that_is_named_twice_is_read_once() {
        for query in ["topic=messages&topic=messages", "topic=messages,messages"] {
            let page = ask(four().router(), plain("GET", &format!("/v1/events?{query}"))).await.json();
            assert_eq!(texts(&page), "acbd", "{query}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ids_come_while_events_go_by_that_are_not_shown() {
        let fake = four();
        let mut client = Client::open(&fake, "&space=other", None).await;
        assert_eq!(client.frame().await.expect("the first id").0, "0=2,1=2");
        fake.append("t1", "not shown");
        assert_eq!(client.frame().await.expect("an id without an event").0, "0=2,1=3");
        drop(client);
        fake.append_to("other", "t1", "shown");
        let mut client = Client::open(&fake, "&space=other", Some("0=2,1=3")).await;
        assert_eq!(client.next_text().await, ("messages/1/3;0=2,1=4".to_owned(), "shown".to_owned()));
    }

    #[tokio::test]
    async fn a_stream_that_retention_has_overtaken_names_the_gap_and_goes_on_behind_it() {
        let fake = four();
        let mut client = Client::open(&fake, "&from=start", None).await;
        let (last, text) = client.next_text().await;
        assert_eq!((last.as_str(), text.as_str()), ("messages/0/0;0=1,1=0", "a"));
        drop(client);
        fake.remove_before(1, 1);
        let mut client = Client::open(&fake, "", Some(&last)).await;
        let (id, kind, problem) = client.next().await.expect("the gap is told");
        assert_eq!((id.as_str(), kind.as_str(), &problem["code"]), ("0=1,1=1", "problem", &json!("events_removed")));
        assert_eq!((&problem["partition"], &problem["from"], &problem["start"]), (&json!(1), &json!(0), &json!(1)));
        assert_eq!((client.next_text().await.1, client.next_text().await.1), ("c".to_owned(), "d".to_owned()));
        // One who does not come back but names the place itself is refused.
        let reply = ask(fake.router(), plain("GET", "/v1/events?topic=messages&from=1=0")).await;
        assert_eq!(reply.problem().code(), "offset_out_of_range");
    }

    /// Messages of two spaces and two threads, and so of two partitions.
    fn messages() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
        let space = prop::sample::select(vec!["a", "b"]);
        prop::collection::vec((space, prop::sample::select(vec!["t0", "t1"])), 0..14)
    }

    /// Where an event stands in its topic.
    fn place(event: &EventView) -> (u32, u64) {
        (event.position.partition, event.position.offset)
    }

    /// Follows the fake log by streams that are lost after so many frames each, while messages are appended.
    async fn followed(fake: &Arc<Fake>, filter: &str, later: &[(&str, &str)], frames: &[usize]) -> Vec<(u32, u64)> {
        let (mut seen, mut last) = (Vec::new(), None);
        let mut later = later.iter();
        // The last stream is lost only once nothing more comes.
        let lives = frames.iter().copied().chain([usize::MAX]);
        for frames in lives {
            let mut client = Client::open(fake, &format!("&from=start{filter}"), last.as_deref()).await;
            for _ in 0..frames {
                if let Some((space, thread)) = later.next() {
                    fake.append_to(space, thread, "");
                }
                // The clock of the test stands still while anything can happen.
                let frame = tokio::time::timeout(CHECKPOINT_INTERVAL * 2, client.frame()).await;
                let Ok(Some((id, _, data))) = frame else { break };
                last = Some(id);
                seen.extend(serde_json::from_str(&data).ok().as_ref().map(place));
            }
            if let Some((space, thread)) = later.next() {
                fake.append_to(space, thread, "");
            }
        }
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn however_often_a_stream_is_lost_it_shows_every_event_once(
            before in messages(),
            later in messages(),
            filter in prop::sample::select(vec!["", "&space=a", "&thread=t1", "&space=b&thread=t0", "&space=moon"]),
            frames in prop::collection::vec(0_usize..5, 0..12),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            let (mut seen, expected) = runtime.expect("a runtime starts").block_on(async {
                let fake = Fake::new();
                for (space, thread) in &before {
                    fake.append_to(space, thread, "");
                }
                let seen = followed(&fake, filter, &later, &frames).await;
                let page = ask(fake.router(), plain("GET", &format!("/v1/events?topic=messages{filter}"))).await;
                let page: Page<EventView> = serde_json::from_slice(&page.body).expect("it is a page");
                (seen, page.items.iter().map(place).collect::<Vec<_>>())
            });
            // Partitions are read side by side; within each the order is that of the log.
            seen.sort_by_key(|(partition, _)| *partition);
            prop_assert_eq!(seen, expected);
        }
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
