//! Answers: what a model said, as far as it can be read.
//!
//! Owns: which of the objects of an answer are notes.
//! Promises: any text is read without a panic, in bounded time; what has not the form of a note is left out, and the rest is kept.
//! Never: believes anything. What of a note is so is decided by `found`.

use serde_json::{Map, Value};

use crate::asking::objects::objects;

/// The most names, and the most facts, of an answer.
pub(super) const MOST_NOTES: usize = 400;

/// What a model noted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Notes {
    pub(super) names: Vec<Named>,
    pub(super) facts: Vec<Stated>,
}

/// A name that it noted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    /// The number of the message; `None` where it does not say.
    pub(super) message: Option<usize>,
    pub(super) name: String,
    pub(super) kind: String,
}

/// A fact that it noted; what it left out is empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stated {
    pub(super) message: Option<usize>,
    pub(super) quote: String,
    pub(super) subject: String,
    pub(super) subject_kind: String,
    pub(super) relation: String,
    pub(super) object: String,
    pub(super) object_kind: String,
    pub(super) polarity: String,
    pub(super) modality: String,
    pub(super) since: String,
    pub(super) until: String,
    pub(super) is_over: bool,
    pub(super) confidence: Option<f32>,
}

impl Notes {
    /// Reads an answer; `None` where there is nothing in it of the form that was asked for.
    pub(super) fn read(answer: &str) -> Option<Self> {
        let (mut notes, mut is_found) = (Self::default(), false);
        for object in objects(answer) {
            is_found |= notes.take(&object);
        }
        is_found.then_some(notes)
    }

    /// Takes an object in; whether it is of the form.
    fn take(&mut self, object: &Map<String, Value>) -> bool {
        let list = |name: &str| object.get(name).and_then(Value::as_array);
        if let (None, None) = (list("names"), list("facts")) {
            return self.take_note(object);
        }
        let notes = ["names", "facts"].into_iter().filter_map(list).flatten().filter_map(Value::as_object);
        notes.for_each(|note| _ = self.take_note(note));
        true
    }

    fn take_note(&mut self, note: &Map<String, Value>) -> bool {
        let text = |name: &str| note.get(name).map(plain).unwrap_or_default();
        let message = note.get("message").and_then(number).map(|number| number as usize);
        let is_fact = note.contains_key("relation") && note.contains_key("object");
        if is_fact && self.facts.len() < MOST_NOTES {
            self.facts.push(Stated {
                message,
                quote: text("quote"),
                subject: text("subject"),
                subject_kind: text("subject_kind"),
                relation: text("relation"),
                object: text("object"),
                object_kind: text("object_kind"),
                polarity: text("polarity"),
                modality: text("modality"),
                since: text("since"),
                until: text("until"),
                is_over: note.get("is_over") == Some(&Value::Bool(true)),
                confidence: note.get("confidence").and_then(number),
            });
        }
        let is_name = note.contains_key("name") && note.contains_key("kind");
        if is_name && self.names.len() < MOST_NOTES {
            self.names.push(Named { message, name: text("name"), kind: text("kind") });
        }
        is_fact || is_name
    }
}

/// A text, or a number where a text should stand; anything else is none.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// A number that is not negative, also where it stands as a text.
fn number(value: &Value) -> Option<f32> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().trim_end_matches('%').parse().ok()?,
        _ => return None,
    };
    (number.is_finite() && number >= 0.0).then_some(number as f32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACT: &str = r#"{"message": 1, "quote": "I live in Oslo", "subject": "author", "relation": "lives-in", "object": "Oslo", "confidence": 0.9}"#;
    const NAME: &str = r#"{"message": 1, "name": "Oslo", "kind": "place"}"#;

    fn counts(answer: &str) -> Option<(usize, usize)> {
        Notes::read(answer).map(|notes| (notes.names.len(), notes.facts.len()))
    }

    #[test]
    fn notes_are_found_in_whatever_stands_around_them() {
        let whole = format!(r#"{{"names": [{NAME}], "facts": [{FACT}]}}"#);
        for answer in [
            whole.clone(),
            format!("```json\n{whole}\n```"),
            format!("<think>{{maybe}}</think> Here are the notes: {whole} I hope that helps {{:"),
            format!("[{NAME}, {FACT}]"),
            format!("{FACT}\n{NAME}"),
        ] {
            assert_eq!(counts(&answer), Some((1, 1)), "{answer}");
        }
        assert_eq!(counts(r#"{"names": [], "facts": []}"#), Some((0, 0)));
        assert_eq!(counts(r#"{"facts": "none"}"#), None);
        for none in ["", "I cannot help with that.", "{}", "[]", r#"{"error": "no"}"#, "{{{{{", "null"] {
            assert_eq!(counts(none), None, "{none}");
        }
    }

    #[test]
    fn of_an_answer_that_was_cut_off_what_is_whole_is_kept() {
        let whole = format!(r#"{{"names": [{NAME}], "facts": [{FACT}, {FACT}]}}"#);
        assert_eq!(counts(&whole[..whole.len() - 12]), Some((1, 1)));
        for end in whole.char_indices().map(|(at, _)| at) {
            let _ = Notes::read(&whole[..end]);
        }
    }

    #[test]
    fn wrong_types_cost_only_what_has_them() {
        let answer = r#"{"names": [7, {"name": 12, "kind": "quantity", "message": "2"}, {"name": ["x"], "kind": null}],
            "facts": [null, {"relation": "age", "object": 34, "message": -1, "confidence": "90%", "is_over": "no"}]}"#;
        let notes = Notes::read(answer).unwrap();
        assert_eq!((notes.names.len(), notes.names[0].message, notes.names[0].name.as_str()), (2, Some(2), "12"));
        let fact = &notes.facts[0];
        assert_eq!((fact.object.as_str(), fact.message, fact.confidence), ("34", None, Some(90.0)));
        assert!(!fact.is_over && fact.quote.is_empty());
    }

    proptest! {
        #[test]
        fn any_answer_is_read(answer in "(\\{|\\}|\\[|\\]|\"|:|,|name|facts|relation|object|kind|1|é| ){0,300}") {
            let _ = Notes::read(&answer);
        }
    }

    #[test]
    fn what_is_made_to_take_long_does_not() {
        let begun = std::time::Instant::now();
        for piece in ["{", r#"{"a":"#, r#"{"a":[1,"#, r#"{"a":"","#, r#"{"name":"#] {
            assert_eq!(Notes::read(&piece.repeat(200_000)), None);
        }
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}
