//! The embedder: gives every message its vector, and every edit of it a new one.
//!
//! Owns: the stage from `messages` to `embeddings`, and what of a message the model reads (see [`embedded_text`]).
//! Promises: a vector is computed once and recorded; a replay reads it and needs no model. Of a message that says nothing it is
//! recorded that it has none, for it may have had one before.
//! Never: compares vectors. Another model is another stage name, so it starts from the beginning beside the old one.

use std::sync::Arc;

use meshlog_pipeline::{Derived, Load, Stage, StageError, StageSettings, StoredEvent};
use meshlog_schemas::{Event, TextEmbedded, Topic};

use super::{Embedding, Encoder, Role};
use crate::{
    Facets,
    message::{Message, is_blank},
};

/// What the model is given at once. In bytes, because texts cost by their length: 32 turns as people speak are 5 KB, and this many bytes
/// of long ones take a second or two, which is how long a server may take to end.
const BATCH: Load = Load { events: 32, bytes: 64 * 1024 };

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

    /// So that the model's threads have texts of the next batch while the last of this one are computed: threads that sleep between
    /// batches are then often woken on one core, and share it.
    fn lanes(&self) -> usize {
        2
    }

    fn settings(&self) -> StageSettings {
        StageSettings { batch: BATCH, ..StageSettings::default() }
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        let messages: Vec<(usize, Message<'_>)> =
            events.iter().enumerate().filter_map(|(cause, event)| Some((cause, Message::of(event)?))).collect();
        let read = messages.iter().filter(|(_, message)| !is_blank(message.text));
        let texts: Vec<String> = read.map(|(_, message)| embedded_text(&message.facets.author, message.text)).collect();
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = match borrowed.is_empty() {
            true => Vec::new(),
            false => self
                .encoder
                .encode(Role::Document, &borrowed)
                .map_err(|error| StageError::Retriable(error.to_string()))?,
        };
        let mut embedded = texts.iter().zip(vectors);
        let derived = messages.into_iter().map(|(cause, message)| {
            let of_text = if is_blank(message.text) { None } else { embedded.next() };
            Derived { cause, index: "0".to_owned(), event: Event::TextEmbedded(self.embedded(message, of_text)) }
        });
        Ok(derived.collect())
    }
}

impl Embedder {
    /// What is recorded of a message, with what the model read and made of it; nothing where it says nothing.
    fn embedded(&self, message: Message<'_>, of_text: Option<(&String, Embedding)>) -> TextEmbedded {
        if let Some((_, embedding)) = of_text.as_ref().filter(|(_, embedding)| embedding.is_truncated) {
            let (id, tokens) = (message.id, embedding.tokens);
            tracing::info!(message = %id, tokens, "the embedding model read the beginning of a long message only");
        }
        let (text, vector) = of_text.map_or(("", Arc::default()), |(text, read)| (text.as_str(), read.vector));
        let Facets { space, thread, author, role, sent_at, accepted_at } = message.facets;
        TextEmbedded {
            message_id: message.id,
            space,
            thread,
            author,
            role,
            sent_at,
            accepted_at,
            model: self.encoder.model_id().to_owned(),
            // Invariant: a model has far fewer dimensions than an i32 counts.
            dims: vector.len() as i32,
            content_hash: blake3::hash(text.as_bytes()).as_bytes().to_vec(),
            vector: vector.iter().flat_map(|number| number.to_le_bytes()).collect(),
        }
    }
}

/// What the model reads of a message. The author comes first: questions name people.
pub fn embedded_text(author: &str, text: &str) -> String {
    format!("{author}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        embedding::testing::HashEncoder,
        testing::{edited, message, stored},
    };

    #[test]
    fn every_message_gets_the_vector_of_author_and_text() {
        let encoder = Arc::new(HashEncoder::new(64));
        let stage = Embedder::new(encoder.clone());
        let events = [stored(0, message("s", "t", "Ada", "red kites")), stored(1, message("s", "t", "Bob", "blue"))];
        let derived = stage.process(&events).unwrap();
        assert_eq!(derived.iter().map(|derived| derived.cause).collect::<Vec<_>>(), [0, 1]);
        let expected = encoder.encode(Role::Document, &["Ada: red kites"]).unwrap();
        let Event::TextEmbedded(body) = &derived[0].event else { panic!("an embedding") };
        let bytes: Vec<u8> = expected[0].vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(body.vector, bytes);
        assert_eq!(body.message_id, events[0].envelope.id);
        assert_eq!(body.accepted_at, events[0].appended_at);
        assert_eq!(body.content_hash, blake3::hash(b"Ada: red kites").as_bytes());
    }

    #[test]
    fn an_edit_gets_a_vector_of_its_own_and_what_says_nothing_none() {
        let encoder = Arc::new(HashEncoder::new(64));
        let said = stored(0, message("s", "t", "Ada", "red kites"));
        let events = [edited(1, &said, "edited", "blue kites"), edited(2, &said, "redacted", ""), said.clone()];
        let derived = Embedder::new(encoder.clone()).process(&events).unwrap();
        let bodies: Vec<_> = derived
            .iter()
            .map(|derived| match &derived.event {
                Event::TextEmbedded(body) => body,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(bodies.iter().all(|body| body.message_id == said.envelope.id && body.accepted_at == said.appended_at));
        assert_eq!(bodies.iter().map(|body| body.dims).collect::<Vec<_>>(), [64, 0, 64]);
        let expected = encoder.encode(Role::Document, &["Ada: blue kites"]).unwrap();
        let bytes: Vec<u8> = expected[0].vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!((&bodies[0].vector, bodies[1].vector.len()), (&bytes, 0));
        assert!(
            Embedder::new(encoder).process(&events[1..2]).unwrap().len() == 1,
            "also where there is nothing to read"
        );
    }
}
