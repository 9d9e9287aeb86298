//! Objects: the JSON objects of an answer, whatever stands around them.
//!
//! Promises: any text is read without a panic, in bounded time. Of an object that was cut off at the end of the answer the whole
//! ones within it are given by themselves.
//! Never: judges what an object has.

use serde_json::{Map, Value};

/// The most of an answer that is read, in bytes.
const MOST_BYTES: usize = 256 * 1024;
/// The most places at which an object is looked for.
const MOST_TRIES: usize = 4_096;

/// The objects of an answer in order, those within another left out.
pub(crate) fn objects(answer: &str) -> impl Iterator<Item = Map<String, Value>> {
    let answer = &answer[..answer.floor_char_boundary(MOST_BYTES)];
    let mut place = 0;
    let tries = (0..MOST_TRIES).map_while(move |_| {
        place += answer[place..].find('{')?;
        let mut values = serde_json::Deserializer::from_str(&answer[place..]).into_iter::<Map<String, Value>>();
        let object = values.next().and_then(Result::ok);
        // It may have been cut off: what is whole within it is read by itself.
        place += if object.is_some() { values.byte_offset() } else { 1 };
        Some(object)
    });
    tries.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_within_words_and_fences_and_what_was_cut_off() {
        let found = |answer: &str| objects(answer).map(|object| Value::from(object).to_string()).collect::<Vec<_>>();
        assert_eq!(found("Sure {!}\n```json\n{\"a\": {\"b\": 1}}\n``` {\"c\":2}."), ["{\"a\":{\"b\":1}}", "{\"c\":2}"]);
        assert_eq!(found("{\"a\": [{\"b\": 1}, {\"b\": 2}, {\"b\""), ["{\"b\":1}", "{\"b\":2}"]);
        assert!(found("").is_empty() && found("{").is_empty() && found("no").is_empty());
        assert_eq!(found(&"{\"a\":1}".repeat(MOST_TRIES + 9)).len(), MOST_TRIES);
        assert!(found(&"{".repeat(MOST_BYTES + 9)).is_empty());
    }
}
