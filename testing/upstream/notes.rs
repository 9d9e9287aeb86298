//! Notes: what a model noted of the messages that it was given, or how it summed them up, as JSON.
//!
//! Owns: what is noted: who keeps what, by the word "keeps". Behind that stand a name and a fact that no message has. A summary has
//! a sentence for each turn or note that has a text, with its first line, and behind them one that nobody said.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::script::Notes;

/// The text of an answer to these user messages, of which the first quotes.
pub(super) fn of(texts: &[Cow<'_, str>], how: Notes) -> String {
    let noted = noted(texts.first().map(AsRef::as_ref).unwrap_or_default());
    match how {
        Notes::Whole | Notes::Plain => noted,
        Notes::Fenced => format!("Here is what {{I}} noted:\n```json\n{noted}\n```\nTell me if you need {{more}}."),
        Notes::Cut => noted[..noted.len() - 40].to_owned(),
        Notes::Again if texts.len() > 1 => noted,
        Notes::Again | Notes::Never => "I had rather talk about the weather.".to_owned(),
    }
}

fn noted(quoted: &str) -> String {
    if let Some(mark) = ["turn", "note"].into_iter().find(|mark| quoted.starts_with(&format!("<{mark} "))) {
        return summed_up(quoted, mark);
    }
    let (mut names, mut facts) = (Vec::new(), Vec::new());
    let mut number = 0;
    for line in quoted.lines() {
        if let Some(opened) = line.strip_prefix("<message ") {
            number = opened.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        }
        for sentence in line.split_inclusive('.') {
            let Some((keeper, kept)) = sentence.trim().trim_end_matches('.').split_once(" keeps ") else { continue };
            names.push(json!({"message": number, "name": keeper, "kind": "person"}));
            facts.push(fact(number, keeper, kept, sentence.trim()));
        }
    }
    facts.push(fact(1, "Zorblax", "unicorns", "Zorblax keeps unicorns."));
    names.push(json!({"message": 1, "name": "Zorblax", "kind": "person"}));
    // Names first, so that what is cut off at the end is what nobody stated.
    let list = |values: Vec<Value>| Value::from(values).to_string();
    format!("{{\"names\":{},\"facts\":{}}}", list(names), list(facts))
}

fn summed_up(quoted: &str, mark: &str) -> String {
    let (open, mut sentences) = (format!("<{mark} "), Vec::new());
    for quote in quoted.split(&open).skip(1) {
        let number = quote.split([' ', '>']).next().and_then(|number| number.parse::<u64>().ok());
        let (_, said) = quote.split_once(">\n").unwrap_or_default();
        let line = said.lines().next().filter(|line| !line.starts_with("</")).unwrap_or_default();
        if !line.is_empty() {
            sentences.push(json!({"text": format!("In short: {line}"), "from": [number]}));
        }
    }
    sentences.push(json!({"text": "Zorblax keeps 77777 unicorns.", "from": [1]}));
    json!({ "sentences": sentences }).to_string()
}

fn fact(message: i64, subject: &str, object: &str, quote: &str) -> Value {
    json!({
        "message": message, "quote": quote, "subject": subject, "subject_kind": "person", "relation": "owns",
        "object": object, "object_kind": "none", "polarity": "affirmed", "modality": "asserted", "since": null,
        "until": null, "is_over": false, "confidence": 0.95
    })
}
