//! What must hold for any bytes that a client sends, as checks for the fuzz targets (see `fuzz/Cargo.toml`).

use axum::{body::Bytes, extract::Query, http::Uri};
use meshlog_schemas::{Offset, Partition, Position, Topic};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    calls::CallsQuery,
    dead_letters::DeadLettersQuery,
    decode,
    events::EventsQuery,
    lines::{LINE_LIMIT, Lines},
    messages::WriteQuery,
    offsets::{Edge, Span},
    operations::ProjectionsQuery,
    subscriptions::PageQuery,
    threads::SpacePageQuery,
    usage::UsageQuery,
};
use crate::{
    api::{DeadLetterId, NewMessage, NewSubscription, PartitionView, RecallRequest, Timestamp, WaitLevel},
    problem::Problem,
};

/// The most that a problem says in bytes, whatever was sent.
const PROBLEM_LIMIT: usize = 8 * 1024;

/// Any body is requests or problems, line by line. What the gateway reads, the import reads too and alike, for it prepares
/// lines by the same type; and what either has read is the same after it was written.
pub fn message_json(bytes: &[u8]) {
    let mut lines = Lines::default();
    let mut body = Bytes::copy_from_slice(bytes);
    let complete = std::iter::from_fn(|| lines.next(&mut body)).collect::<Vec<_>>();
    for line in complete.into_iter().chain(lines.last()) {
        let Some(line) = line.bytes else { continue };
        assert!(line.len() <= LINE_LIMIT);
        if let Some(message) = decoded::<NewMessage>(&line) {
            assert_eq!(serde_json::from_slice::<NewMessage>(&line).ok(), Some(message));
        }
        if let Ok(message) = serde_json::from_slice::<NewMessage>(&line) {
            written(&message);
        }
        let _ = decode::source_id(&line);
    }
    decoded::<RecallRequest>(bytes).inspect(written);
    decoded::<NewSubscription>(bytes).inspect(written);
}

/// A request; `None` where it is a problem, which never repeats all that was sent.
fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    decode::json(bytes).inspect_err(bounded).ok()
}

fn bounded(problem: &Problem) {
    let shown = serde_json::to_vec(problem).expect("a problem is JSON");
    assert!(shown.len() <= PROBLEM_LIMIT, "the problem has {} bytes", shown.len());
}

fn written<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_vec(value).expect("a request is JSON");
    assert_eq!(decode::json::<T>(&text).as_ref(), Ok(value));
}

/// Any query string is the parameters of a request or a problem, for every route that has parameters.
pub fn query_string(bytes: &[u8]) {
    let Some(uri) = std::str::from_utf8(bytes).ok().and_then(|text| format!("/?{text}").parse::<Uri>().ok()) else {
        return;
    };
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&uri) else { return };
    parameters::<EventsQuery>(&pairs);
    parameters::<WriteQuery>(&pairs);
    parameters::<DeadLettersQuery>(&pairs);
    parameters::<ProjectionsQuery>(&pairs);
    parameters::<PageQuery>(&pairs);
    parameters::<SpacePageQuery>(&pairs);
    parameters::<CallsQuery>(&pairs);
    parameters::<UsageQuery>(&pairs);
}

fn parameters<T: DeserializeOwned>(pairs: &[(String, String)]) {
    let _ = decode::query::<T>(pairs.to_vec()).inspect_err(bounded);
}

/// Any text names places that are there or is a problem, and places are the same after they were written.
pub fn resume_places(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let view = |partition, start, end| PartitionView { partition, start, end };
    let messages = || (Topic::Messages, vec![view(0, 0, 9), view(1, 5, 7)]);
    let last = || (Topic::Registry, vec![view(0, 3, Offset::MAX)]);
    for (topics, only) in [(vec![messages()], None), (vec![messages()], Some(1)), (vec![messages(), last()], None)] {
        let bounds: Vec<_> = topics
            .iter()
            .flat_map(|(topic, views)| {
                views.iter().map(|view| (Partition { topic: *topic, id: view.partition }, view.start, view.end))
            })
            .filter(|(partition, ..)| only.is_none_or(|only| partition.id == only))
            .collect();
        let span = Span::new(topics, only).expect("the partitions are there");
        if let Ok(places) = span.places(text, Edge::Start).inspect_err(bounded) {
            assert!(bounds.iter().all(|(partition, start, end)| (start..=end).contains(&&places.next(*partition))));
            assert_eq!(span.places(&span.text(&places), Edge::End), Ok(places));
        }
        if let Ok(places) = span.after_event(text, Edge::End).inspect_err(bounded) {
            assert!(bounds.iter().all(|(partition, _, end)| places.next(*partition) <= *end));
            assert_eq!(span.after_event(&span.checkpoint_id(&places), Edge::Start).as_ref(), Ok(&places));
            for (partition, ..) in &bounds {
                if let Some(offset) = places.next(*partition).checked_sub(1) {
                    let id = span.event_id(Position { partition: *partition, offset }, &places);
                    assert_eq!(span.after_event(&id, Edge::Start).map(|found| found.next(*partition)), Ok(offset + 1));
                }
            }
        }
    }
}

/// Any text is the text form of a value or none, and a value is the same after it was written.
pub fn text_forms(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(id) = text.parse::<DeadLetterId>() {
        assert_eq!(id.to_string(), text, "a dead letter has one id");
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!(Timestamp::from_micros(time.micros()), time);
    }
    if let Ok(level) = text.parse::<WaitLevel>() {
        assert_eq!(level.to_string(), text);
    }
}
