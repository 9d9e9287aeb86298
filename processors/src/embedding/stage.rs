//! The embedder: gives every message its vector.
//!
//! Owns: the stage from `messages` to `embeddings`, and what of a message the model reads (see [`embedded_text`]).
//! Promises: a vector is computed once and recorded; a replay reads it and needs no model.
//! Never: compares vectors. Another model is another stage name, so it starts from the beginning beside the old one.

use std::sync::Arc;

use meshlog_pipeline::{Derived, Stage, StageError, StoredEvent};
use meshlog_schemas::{Event, MessageAccepted, TextEmbedded, Topic};

use super::Encoder;

/// The embedding stage of one model.
pub struct Embedder {
    encoder: Arc<dyn Encoder>,
    name: String,
}

impl Embedder {
    /// A stage that embeds with `encoder`.
    pub fn new(encoder: Arc<dyn Encoder>) -> Self {
        let name = Self::stage_name(encoder.model_id());
        Self { encoder, name }
    }

    /// The name of the stage for a model.
    pub fn stage_name(model_id: &str) -> String {
        format!("embed:{model_id}")
    }
}

impl Stage for Embedder {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&self) -> Topic {
        Topic::Messages
    }

    fn steps_back(&self) -> bool {
        true
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        let messages: Vec<_> =
            events.iter().enumerate().filter_map(|(cause, event)| Some((cause, event, message(event)?))).collect();
        let texts: Vec<String> = messages.iter().map(|(_, _, body)| embedded_text(&body.author, &body.text)).collect();
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = self.encoder.encode(&borrowed).map_err(|error| StageError::Retriable(error.to_string()))?;
        let derived = messages.into_iter().zip(&texts).zip(vectors);
        Ok(derived
            .map(|(((cause, event, body), text), vector)| Derived {
                cause,
                index: "0".to_owned(),
                event: Event::TextEmbedded(TextEmbedded {
                    message_id: event.envelope.id,
                    space: body.space.clone(),
                    thread: body.thread.clone(),
                    author: body.author.clone(),
                    role: body.role.clone(),
                    sent_at: body.sent_at,
                    accepted_at: event.appended_at,
                    model: self.encoder.model_id().to_owned(),
                    // Invariant: a model has far fewer dimensions than an i32 counts.
                    dims: self.encoder.dims() as i32,
                    content_hash: blake3::hash(text.as_bytes()).as_bytes().to_vec(),
                    vector: vector.iter().flat_map(|number| number.to_le_bytes()).collect(),
                }),
            })
            .collect())
    }
}

/// What the model reads of a message. The author comes first: questions name people, and the model reads only the
/// beginning of a long text.
pub fn embedded_text(author: &str, text: &str) -> String {
    format!("{author}: {text}")
}

fn message(event: &StoredEvent) -> Option<&MessageAccepted> {
    match &event.event {
        Event::MessageAccepted(body) => Some(body),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        embedding::testing::HashEncoder,
        testing::{message, stored},
    };

    #[test]
    fn every_message_gets_the_vector_of_author_and_text() {
        let encoder = Arc::new(HashEncoder::new(64));
        let stage = Embedder::new(encoder.clone());
        let events = [stored(0, message("s", "t", "Ada", "red kites")), stored(1, message("s", "t", "Bob", "blue"))];
        let derived = stage.process(&events).unwrap();
        assert_eq!(derived.iter().map(|derived| derived.cause).collect::<Vec<_>>(), [0, 1]);
        let expected = encoder.encode(&["Ada: red kites"]).unwrap();
        let Event::TextEmbedded(body) = &derived[0].event else { panic!("an embedding") };
        let bytes: Vec<u8> = expected[0].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(body.vector, bytes);
        assert_eq!(body.message_id, events[0].envelope.id);
        assert_eq!(body.accepted_at, events[0].appended_at);
        assert_eq!(body.content_hash, blake3::hash(b"Ada: red kites").as_bytes());
    }
}
