//! Answers: what a model said, as far as it can be read and fits what it was told.
//!
//! Owns: which of the objects of an answer are sentences, and what of them is believed.
//! Promises: any text is read without a panic, in bounded time. A sentence that is taken names messages that share words with
//! it, and has no number that was not told.
//! Never: judges whether a sentence is true otherwise; that its messages are named is there for its readers.

use std::collections::{HashMap, HashSet};

use meshlog_schemas::{EventId, SentenceWritten};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::{Told, words};
use crate::asking::{objects::objects, quoting};

/// The most sentences of a summary.
pub(super) const MOST_SENTENCES: usize = 16;
/// The longest sentence, in bytes.
pub(super) const LONGEST: usize = 600;
/// The most messages that a sentence names; the first.
const MOST_SOURCES: usize = 6;

/// The sentences of an answer that are believed; none where it has none.
pub(super) fn read(answer: &str, told: &Told) -> Vec<SentenceWritten> {
    let notes = Notes::of(told);
    let mut sentences: Vec<SentenceWritten> = Vec::new();
    for object in written(answer) {
        let Some(sentence) = notes.believed(&object) else { continue };
        if sentences.len() < MOST_SENTENCES && sentences.iter().all(|known| known.text != sentence.text) {
            sentences.push(sentence);
        }
    }
    sentences
}

/// The sentences of an answer as they were written.
fn written(answer: &str) -> impl Iterator<Item = Map<String, Value>> {
    objects(answer).flat_map(|mut object| match object.remove("sentences") {
        Some(Value::Array(sentences)) => sentences
            .into_iter()
            .filter_map(|sentence| match sentence {
                Value::Object(sentence) => Some(sentence),
                _ => None,
            })
            .collect(),
        _ => vec![object],
    })
}

/// What was told, to hold a sentence to it.
struct Notes {
    /// Of each turn or note its terms and its messages.
    numbered: Vec<(HashSet<u32>, Vec<Uuid>)>,
    /// Every word with a digit.
    numbers: HashSet<String>,
    /// The terms of who said it.
    authors: HashMap<usize, HashSet<u32>>,
}

impl Notes {
    fn of(told: &Told) -> Self {
        let mut notes = Self { numbered: Vec::new(), numbers: HashSet::new(), authors: HashMap::new() };
        match told {
            Told::Turns(turns) => {
                for (index, turn) in turns.iter().enumerate() {
                    notes.add(&turn.text, vec![turn.message_id]);
                    notes.authors.insert(index, words::terms(&turn.author).into_iter().collect());
                    notes.numbers.extend(numbers(&turn.author));
                    notes.numbers.extend(numbers(&quoting::time(turn.sent_at)));
                }
            }
            Told::Sentences(sentences) => sentences.iter().for_each(|(text, sources)| notes.add(text, sources.clone())),
        }
        notes
    }

    fn add(&mut self, text: &str, sources: Vec<Uuid>) {
        // Terms are bounded for one sentence; a turn has several.
        let terms = text.split_inclusive(['.', '!', '?', '\n', '。']).flat_map(words::terms).collect();
        self.numbered.push((terms, sources));
        self.numbers.extend(numbers(text));
    }

    /// A sentence, if it is one.
    fn believed(&self, object: &Map<String, Value>) -> Option<SentenceWritten> {
        let text = object.get("text")?.as_str()?.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_fit = !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_control);
        if !is_fit || numbers(&text).any(|number| !self.numbers.contains(&number)) {
            return None;
        }
        let terms = words::terms(&text);
        let named = match object.get("from")? {
            Value::Array(named) => named.iter().filter_map(number).collect(),
            one => vec![number(one)?],
        };
        let mut sources: Vec<EventId> = Vec::new();
        for index in named.into_iter().filter_map(|number| number.checked_sub(1)) {
            let Some((told, messages)) = self.numbered.get(index) else { continue };
            let of_author = self.authors.get(&index);
            let shares = |term: &u32| told.contains(term) || of_author.is_some_and(|terms| terms.contains(term));
            if !terms.iter().any(shares) {
                continue;
            }
            for message in messages.iter().map(|message| EventId(*message)) {
                if sources.len() < MOST_SOURCES && !sources.contains(&message) {
                    sources.push(message);
                }
            }
        }
        (!sources.is_empty()).then_some(SentenceWritten { text, sources })
    }
}

/// The words of a text that have a digit, as they are compared: without zeros before them, for `09:00` may be told as `9:00`.
fn numbers(text: &str) -> impl Iterator<Item = String> {
    let runs = text.split(|letter: char| !letter.is_numeric()).filter(|run| !run.is_empty());
    runs.map(|run| run.trim_start_matches('0').to_owned()).collect::<Vec<_>>().into_iter()
}

/// A whole number, also where it stands as a text.
fn number(value: &Value) -> Option<usize> {
    match value {
        Value::Number(number) => number.as_u64()?.try_into().ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::super::ToldTurn, *};

    fn told() -> Told {
        let turn = |number: u128, author: &str, text: &str| ToldTurn {
            message_id: Uuid::from_u128(number),
            author: author.into(),
            role: "user".into(),
            sent_at: 1_714_554_000_000_000,
            text: text.into(),
        };
        Told::Turns(vec![
            turn(1, "Ada", "I move to Oslo in May. The rent is 1,900 euros."),
            turn(2, "bot", "Look near the fjord, then."),
            turn(3, "Ada", "東京に三年住んでいます。"),
        ])
    }

    fn texts(answer: &str) -> Vec<(String, Vec<u128>)> {
        let ids = |sentence: &SentenceWritten| sentence.sources.iter().map(|id| id.0.as_u128()).collect();
        read(answer, &told()).iter().map(|sentence| (sentence.text.clone(), ids(sentence))).collect()
    }

    fn one(text: &str, from: &str) -> Vec<(String, Vec<u128>)> {
        texts(&format!(r#"{{"sentences": [{{"text": "{text}", "from": {from}}}]}}"#))
    }

    #[test]
    fn a_sentence_is_taken_with_the_messages_that_share_words_with_it() {
        assert_eq!(one("Ada moves to Oslo.", "[1]"), [("Ada moves to Oslo.".into(), vec![1])]);
        assert_eq!(one(" Ada  looks for a flat\\n near the fjord. ", "[2, 1, 2]")[0].1, [2, 1]);
        assert_eq!(one("東京に住んでいる。", "[1, 3]")[0].1, [3], "of turns that say nothing of it none is named");
        assert_eq!(one("Oslo is next.", "\"1\"")[0].1, [1]);
        for (text, from) in [("Oslo it is.", "[2]"), ("Oslo.", "[]"), ("Oslo.", "[0, 4, -1, null]"), ("", "[1]")] {
            assert_eq!(one(text, from), [], "{text} {from}");
        }
    }

    #[test]
    fn a_number_that_was_not_told_is_not_believed() {
        for text in
            ["The rent in Oslo is 1,900 euros.", "On 1 May 2024 Ada moved to Oslo.", "Ada wrote of Oslo at 9:00."]
        {
            assert_eq!(one(text, "[1]").len(), 1, "{text}");
        }
        for text in ["The rent in Oslo is 1,800 euros.", "Ada moved to Oslo in 2023.", "Oslo has 700000 people."] {
            assert_eq!(one(text, "[1]"), [], "{text}");
        }
    }

    #[test]
    fn answers_are_found_within_words_and_fences_and_as_far_as_they_go() {
        let whole = r#"{"sentences": [{"text": "Ada moves to Oslo.", "from": [1]}, {"text": "Look near the fjord.", "from": [2]}]}"#;
        assert_eq!(texts(whole).len(), 2);
        assert_eq!(texts(&format!("Sure {{!}}\n```json\n{whole}\n```\nAnything else?")).len(), 2);
        assert_eq!(texts(&whole[..whole.len() - 8]).len(), 1, "one that was cut off");
        assert_eq!(texts(&format!("{whole}{whole}")).len(), 2, "each once");
        for none in [
            "",
            "I cannot.",
            "{}",
            r#"{"sentences": "Ada"}"#,
            r#"{"sentences": [7, {"text": 7}]}"#,
            "{\"sentences\": [",
        ] {
            assert_eq!(texts(none), [], "{none}");
        }
        let many: Vec<_> =
            (0..40).map(|number| format!(r#"{{"text": "Oslo {}", "from": [1]}}"#, "x".repeat(number))).collect();
        assert_eq!(texts(&many.concat()).len(), MOST_SENTENCES);
        assert_eq!(one(&"Oslo ".repeat(200), "[1]"), [], "too long");
    }

    proptest! {
        #[test]
        fn no_answer_panics(answer in "\\PC{0,200}", from in any::<i64>(), text in "\\PC{0,60}") {
            read(&answer, &told());
            let text = Value::from(text);
            read(&format!(r#"{{"sentences": [{{"text": {text}, "from": [{from}]}}]}}"#), &told());
        }
    }
}
