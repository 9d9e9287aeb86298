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
    let from = span.from_text(from, Edge::Start)?;
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
    span.from_text(query.from.as_deref().unwrap_or("end"), Edge::End)
}

async fn page(gateway: &Gateway, span: &Span, from: Checkpoints, limit: ReadLimit) -> Result<Page<EventView>, Problem> {
    let items = gateway.ports.events.read(from.clone(), limit).await?;
    let mut places = from;
    for event in &items {
        places.advance(span.partition(event.position.partition), event.position.offset + 1);
    }
    let at_end = items.is_empty() || places.covers(&span.at(Edge::End));
    let next = (!at_end).then(|| span.to_text(&places));
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
    Problem::new(Code::UnknownTopic, detail, format!("read one of {}", names.join(", "))).with("allowed", names.as_slice())
}
