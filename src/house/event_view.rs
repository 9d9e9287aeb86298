//! Events as the gateway shows them: envelope and body as JSON.

use meshlog_connectors::{
    api::{EventView, Timestamp},
    context::has_context,
};
use meshlog_pipeline::{Entry, StoredEvent, Unreadable};
use meshlog_processors::{Facets, Hidden};
use meshlog_schemas::{AttemptFailed, CallRequested, CallSettled, Event, KnowledgeExtracted, TextEmbedded};
use serde_json::{Value, json};

use super::calls::OWN_CALLS;

/// The fields that tell what a message says.
const WORDING: [&str; 5] = ["text", "content_hash", "vector", "mentions", "facts"];

/// What an offset holds, as JSON.
pub(super) fn event_view(entry: Entry) -> EventView {
    match entry {
        Ok(stored) => readable(stored),
        Err(unreadable) => unreadable_view(*unreadable),
    }
}

/// Takes out of an event what is hidden: of one that is forgotten all data, of a message that was redacted every wording.
pub(super) fn hide(view: &mut EventView, hidden: &Hidden) {
    let text = |field: &str| view.data[field].as_str().unwrap_or_default().to_owned();
    let time = |field: &str| view.data[field].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let taken_in = time("accepted_at").or(time("requested_at")).unwrap_or(view.appended_at).micros();
    let (space, thread) = (text("space"), text("thread"));
    let message_id = match view.kind.as_str() {
        "meshlog.message.accepted" => view.id.clone(),
        "meshlog.message.edited" | "meshlog.text.embedded" | "meshlog.knowledge.extracted" => text("message_id"),
        "meshlog.call.requested" | "meshlog.attempt.failed" | "meshlog.call.settled" => {
            let may_quote = view.source == OWN_CALLS
                || view.data["body"].as_str().is_some_and(|request| has_context(request.as_bytes()));
            if hidden.has_call(&space, &thread, taken_in) || may_quote && hidden.has_quotes(&space, taken_in) {
                view.data = json!({"forgotten": true, "space": space, "thread": thread});
            }
            return;
        }
        // Made of several messages, so hidden as a call is that was told them.
        "meshlog.thread.summarised" => {
            let told = time("told_at").map_or(taken_in, Timestamp::micros);
            if hidden.has_call(&space, &thread, told) || hidden.has_quotes(&space, told) {
                view.data = json!({"forgotten": true, "space": space, "thread": thread});
            }
            return;
        }
        _ => return,
    };
    // What is of no message has the id of none.
    let message_id = message_id.parse().unwrap_or_default();
    let facets = Facets { author: text("author"), ..Facets::of_call(&space, &thread, taken_in) };
    if hidden.has_forgotten(message_id, &facets) {
        view.data = json!({"forgotten": true, "space": space, "thread": thread});
        return;
    }
    if hidden.has_redacted(message_id, &space)
        && let Value::Object(data) = &mut view.data
    {
        WORDING.iter().for_each(|field| _ = data.remove(*field));
        data.insert("redacted".to_owned(), true.into());
    }
}

fn readable(stored: StoredEvent) -> EventView {
    let envelope = stored.envelope;
    EventView {
        position: stored.position.into(),
        key: stored.key,
        id: envelope.id.to_string(),
        kind: envelope.kind,
        source: envelope.source,
        time: Timestamp::from_micros(envelope.time),
        space: envelope.space,
        causation_id: envelope.causation.map(|id| id.to_string()),
        correlation_id: envelope.correlation.map(|id| id.to_string()),
        traceparent: envelope.traceparent,
        trust: Some(envelope.trust.label().to_owned()),
        data: data(&stored.event),
        unreadable: None,
        appended_at: Timestamp::from_micros(stored.appended_at),
    }
}

fn unreadable_view(unreadable: Unreadable) -> EventView {
    let envelope = unreadable.envelope;
    EventView {
        position: unreadable.position.into(),
        key: unreadable.key,
        id: envelope.as_ref().map(|envelope| envelope.id.to_string()).unwrap_or_default(),
        kind: envelope.as_ref().map(|envelope| envelope.kind.clone()).unwrap_or_default(),
        source: envelope.as_ref().map(|envelope| envelope.source.clone()).unwrap_or_default(),
        time: Timestamp::from_micros(envelope.as_ref().map_or(unreadable.appended_at, |envelope| envelope.time)),
        space: envelope.as_ref().and_then(|envelope| envelope.space.clone()),
        causation_id: envelope.as_ref().and_then(|envelope| Some(envelope.causation?.to_string())),
        correlation_id: envelope.as_ref().and_then(|envelope| Some(envelope.correlation?.to_string())),
        traceparent: envelope.as_ref().and_then(|envelope| envelope.traceparent.clone()),
        trust: envelope.as_ref().map(|envelope| envelope.trust.label().to_owned()),
        data: Value::Null,
        unreadable: Some(unreadable.cause.to_string()),
        appended_at: Timestamp::from_micros(unreadable.appended_at),
    }
}

fn data(event: &Event) -> Value {
    let value = match event {
        Event::MessageAccepted(body) => {
            serde_json::to_value(body).map(|value| with_time(value, "sent_at", Some(body.sent_at)))
        }
        Event::MessageEdited(body) => serde_json::to_value(body).map(|value| {
            let value = with_time(value, "sent_at", Some(body.sent_at));
            let value = with_time(value, "accepted_at", Some(body.accepted_at));
            with_time(value, "edited_at", Some(body.edited_at))
        }),
        Event::MessageRouted(body) => serde_json::to_value(body),
        Event::TextEmbedded(body) => return embedded(body),
        Event::KnowledgeExtracted(body) => extracted(body),
        Event::EntitiesMerged(body) => serde_json::to_value(body),
        Event::EntitiesParted(body) => serde_json::to_value(body),
        Event::ThreadSummarised(body) => {
            serde_json::to_value(body).map(|value| with_time(value, "told_at", Some(body.told_at)))
        }
        Event::InsightPinned(body) => {
            serde_json::to_value(body).map(|value| with_time(value, "pinned_at", Some(body.pinned_at)))
        }
        Event::FactCorrected(body) => serde_json::to_value(body).map(|value| {
            let value = with_time(value, "valid_from", body.valid_from);
            with_time(with_time(value, "valid_until", body.valid_until), "corrected_at", Some(body.corrected_at))
        }),
        Event::ThreadFiled(body) => {
            serde_json::to_value(body).map(|value| with_time(value, "filed_at", Some(body.filed_at)))
        }
        Event::RetentionSet(body) => {
            serde_json::to_value(body).map(|value| with_time(value, "set_at", Some(body.set_at)))
        }
        Event::MemoryForgotten(body) => serde_json::to_value(body).map(|value| {
            with_time(with_time(value, "until", Some(body.until)), "forgotten_at", Some(body.forgotten_at))
        }),
        Event::CallRequested(body) => serde_json::to_value(CallRequested { body: Default::default(), ..body.clone() })
            .map(|value| with_bytes(value, "body", &body.body)),
        Event::AttemptStarted(body) => serde_json::to_value(body),
        Event::AttemptFailed(body) => serde_json::to_value(AttemptFailed { body: Vec::new(), ..body.clone() })
            .map(|value| with_bytes(value, "body", &body.body)),
        Event::CallSettled(body) => settled(body),
        Event::SubscriptionAdded(body) => serde_json::to_value(body),
        Event::SubscriptionRemoved(body) => serde_json::to_value(body),
        Event::SchemaRegistered(body) => serde_json::to_value(body),
        Event::EventFailed(body) => {
            let failed_at = Some(body.failed_at).filter(|micros| *micros != 0);
            serde_json::to_value(body).map(|value| with_time(value, "failed_at", failed_at))
        }
        Event::RedriveRequested(body) => serde_json::to_value(body),
        Event::DeadLetterRedriven(body) => serde_json::to_value(body),
        Event::DeadLetterDiscarded(body) => serde_json::to_value(body),
    };
    // Bodies are plain records of texts and numbers, which JSON can always hold.
    value.unwrap_or_default()
}

/// The body with a time as people read it; null where it was not written down.
fn with_time(mut value: Value, field: &str, micros: Option<i64>) -> Value {
    value[field] = json!(micros.map(Timestamp::from_micros));
    value
}

/// The body with bytes that are nearly always text: as text where they are, and else with what is none replaced.
fn with_bytes(mut value: Value, field: &str, bytes: &[u8]) -> Value {
    value[field] = String::from_utf8_lossy(bytes).into();
    value
}

fn extracted(body: &KnowledgeExtracted) -> serde_json::Result<Value> {
    let value = with_time(serde_json::to_value(body)?, "sent_at", Some(body.sent_at));
    let mut value = with_time(value, "accepted_at", Some(body.accepted_at));
    for (index, fact) in body.facts.iter().enumerate() {
        let shown = with_time(value["facts"][index].take(), "valid_from", fact.valid_from);
        value["facts"][index] = with_time(shown, "valid_until", fact.valid_until);
    }
    Ok(value)
}

fn settled(body: &CallSettled) -> serde_json::Result<Value> {
    let plain = CallSettled { response: Default::default(), timings: Default::default(), ..body.clone() };
    // As it came; packed only if that cannot be read any more, and then it says so.
    let response = body.answer();
    let mut value = with_bytes(serde_json::to_value(plain)?, "response", response.as_ref().unwrap_or(&body.response));
    if response.is_ok() {
        value["response_encoding"] = "".into();
    }
    value["timings"] = body.timings.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    Ok(with_time(value, "requested_at", Some(body.requested_at)))
}

/// Bytes as people read them: the hash in hexadecimal, the vector as numbers.
fn embedded(body: &TextEmbedded) -> Value {
    let hash: String = body.content_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let vector: Vec<f32> =
        body.vector.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    json!({
        "message_id": body.message_id,
        "space": body.space,
        "thread": body.thread,
        "author": body.author,
        "role": body.role,
        "sent_at": Timestamp::from_micros(body.sent_at),
        "accepted_at": Timestamp::from_micros(body.accepted_at),
        "model": body.model,
        "dims": body.dims,
        "content_hash": hash,
        "vector": vector,
    })
}
