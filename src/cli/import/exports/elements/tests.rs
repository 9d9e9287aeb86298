//! Documents cut into their members: whole, broken, cut off, and of any bytes.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1000;

/// Gives one byte at a time, so that every place of a document is the border of a block.
struct Slow(io::Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

fn elements(document: &[u8], into: &[&str]) -> Elements {
    let into: Vec<String> = into.iter().map(|key| (*key).to_owned()).collect();
    Elements::new(Box::new(Slow(io::Cursor::new(document.to_vec()))), &into, LIMIT)
}

fn all(mut elements: Elements) -> (Vec<Element>, Option<Stop>) {
    let mut found = Vec::new();
    loop {
        match elements.next() {
            Ok(Some(element)) => found.push(element),
            Ok(None) => return (found, None),
            Err(stop) => return (found, Some(stop)),
        }
    }
}

fn texts(found: &[Element]) -> Vec<&str> {
    found.iter().map(|element| std::str::from_utf8(&element.bytes).expect("it is text")).collect()
}

#[test]
fn an_array_is_cut_into_its_elements() {
    let (found, stop) = all(elements(br#" [ {"a":[1,"]}\"",{}]} , 7,"x", null ,[] ] "#, &[]));
    assert!(stop.is_none(), "{stop:?}");
    assert_eq!(texts(&found), [r#"{"a":[1,"]}\"",{}]}"#, "7", "\"x\"", "null", "[]"]);
    assert_eq!((found[0].number, found[0].start, found[4].number), (Some(1), 3, Some(5)));
}

#[test]
fn named_fields_of_an_object_are_cut_too() {
    let document = br#"{"guild":{"id":"1"},"messages":[{"id":"2"},{"id":"3"}],"count":2}"#;
    let (found, stop) = all(elements(document, &["messages"]));
    assert!(stop.is_none(), "{stop:?}");
    let members: Vec<_> =
        found.iter().map(|element| (element.key.as_deref().expect("a field"), element.number)).collect();
    assert_eq!(members, [("guild", None), ("messages", Some(1)), ("messages", Some(2)), ("count", None)]);
    assert_eq!(texts(&found), [r#"{"id":"1"}"#, r#"{"id":"2"}"#, r#"{"id":"3"}"#, "2"]);
}

#[test]
fn values_one_after_the_other_are_cut() {
    let source = Box::new(io::Cursor::new(b"{\"a\":1}\n{\"b\":2} 3".to_vec()));
    let (found, stop) = all(Elements::values(source, LIMIT));
    assert!(stop.is_none(), "{stop:?}");
    assert_eq!(texts(&found), [r#"{"a":1}"#, r#"{"b":2}"#, "3"]);
}

#[test]
fn objects_behind_an_object_are_its_next_values() {
    let (found, stop) = all(elements(br#"{"a":[1],"b":2} {"c":3} {"d":[4]}"#, &["a"]));
    assert!(stop.is_none(), "{stop:?}");
    assert_eq!(texts(&found), ["1", "2", r#"{"c":3}"#, r#"{"d":[4]}"#]);
    assert_eq!(found[3].number, Some(3));
    let (found, stop) = all(elements(b"[1] {}", &[]));
    assert_eq!(texts(&found), ["1"]);
    assert!(matches!(stop, Some(Stop::Unexpected { byte: b'{', position: 4 })), "{stop:?}");
}

#[test]
fn an_element_that_is_too_large_is_named_and_the_next_one_is_whole() {
    let document = format!("[\"{}\",{{\"next\":1}}]", "x".repeat(LIMIT));
    let mut cutter = elements(document.as_bytes(), &[]);
    let first = cutter.next().expect("it can be cut").expect("there is one");
    assert_eq!((first.too_large, first.bytes.len() <= LIMIT), (Some(LIMIT as u64 + 2), true));
    let second = cutter.next().expect("it can be cut").expect("there is one");
    assert_eq!((second.bytes.as_slice(), second.too_large), (&br#"{"next":1}"#[..], None));
    assert!(cutter.peak() <= LIMIT + READ_BUFFER, "{}", cutter.peak());
}

#[test]
fn a_broken_element_does_not_hide_the_next_ones() {
    for broken in [r#"{"a":[1}"#, r#"{"a" 1}"#, r#"{"a":oops}"#, "{\"a\":\"never closed\n}"] {
        let (found, _) = all(elements(format!("[{{\"id\":1}},{broken},{{\"id\":3}}]").as_bytes(), &[]));
        assert!(texts(&found).contains(&r#"{"id":3}"#), "{broken}: {:?}", texts(&found));
    }
}

#[test]
fn a_document_that_ends_early_says_where_and_in_which_element() {
    let whole = br#"{"a":1,"m":[{"id":"1"},{"id":"2"}]}"#;
    for length in 1..whole.len() {
        let (found, stop) = all(elements(&whole[..length], &["m"]));
        let Some(Stop::CutOff { position, number }) = stop else { panic!("{length}: {found:?} {stop:?}") };
        assert_eq!(position, length as u64);
        assert_eq!(
            number,
            match length {
                13..22 => Some(1),
                24..33 => Some(2),
                _ => None,
            }
        );
    }
}

#[test]
fn what_is_no_document_is_refused() {
    for document in ["oops", "]", "[1]]", "[1] 2", "{1:2}", "{\"a\" 1}", "[}"] {
        let (_, stop) = all(elements(document.as_bytes(), &[]));
        assert!(matches!(stop, Some(Stop::Unexpected { .. })), "{document}: {stop:?}");
    }
    let (_, stop) = all(elements(&b"[".repeat(DEPTH_LIMIT + 2), &[]));
    assert!(matches!(stop, Some(Stop::TooDeep { .. })), "{stop:?}");
    let (found, stop) = all(elements(b" \n", &[]));
    assert!(found.is_empty() && stop.is_none());
}

proptest! {
    #[test]
    fn any_bytes_end_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for document in [bytes.clone(), [b"[", &bytes[..]].concat(), [b"{\"m\":[", &bytes[..]].concat()] {
            let (found, _) = all(elements(&document, &["m"]));
            prop_assert!(found.len() <= document.len());
        }
    }

    #[test]
    fn any_array_comes_out_as_it_went_in(values in proptest::collection::vec("[ -~\n\"\\\\ä\\[\\]{}]{0,20}", 0..20)) {
        let elements_in: Vec<serde_json::Value> =
            values.iter().map(|value| serde_json::json!({"v": [value, {"w": value}]})).collect();
        let document = serde_json::to_vec(&elements_in).expect("it is JSON");
        let (found, stop) = all(elements(&document, &[]));
        prop_assert!(stop.is_none());
        let out: Vec<serde_json::Value> = found
            .iter()
            .map(|element| serde_json::from_slice(&element.bytes).expect("it is JSON"))
            .collect();
        prop_assert_eq!(out, elements_in);
    }
}
