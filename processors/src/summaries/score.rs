//! Scores: what a sentence is worth by itself, and which sentences of a message are kept for summaries.
//!
//! Owns: that a statement of numbers, names, dates and decisions is worth more, a user's more than an assistant's, and that
//! greetings, thanks, code and logs are fillers, which are shown only where nothing else was said.
//! Promises: whole numbers only, so that every machine finds the same; a message of any length gives [`MOST_KEPT`] sentences
//! at the most.
//! Never: looks at other messages; `choose` does.

use serde::{Deserialize, Serialize};

use super::{
    cues,
    sentences::{Part, Span, sentences},
    words::{self, Word},
};

/// The most sentences that are kept of a message.
const MOST_KEPT: usize = 4;

/// In a message with more items than this, they are an enumeration.
const SHORT_LIST: usize = 3;

/// What a sentence is to a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// It says something.
    #[serde(rename = "s")]
    Statement,
    /// It asks something.
    #[serde(rename = "q")]
    Question,
    /// It says nothing, or is no sentence.
    #[serde(rename = "f")]
    Filler,
}

/// A sentence of a message that is kept for summaries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Where it begins in the message, in bytes.
    pub(super) start: u32,
    /// Its words.
    pub(super) text: String,
    /// What it is.
    pub(super) kind: Kind,
    /// What it is worth by itself, in thousandths.
    pub(super) score: u32,
}

/// The best sentences of a message, in its order.
pub(super) fn best_of(text: &str, role: &str) -> Vec<Kept> {
    let spans = sentences(text);
    let is_enumeration = spans.iter().filter(|span| span.part == Part::Item).count() > SHORT_LIST;
    let mut best: Vec<(Kind, u32, Span)> = Vec::with_capacity(MOST_KEPT + 1);
    for span in spans {
        let (kind, score) = assess(&text[span.range.clone()], span.part, role, is_enumeration);
        // Of equals the first stays.
        let rank = |kind: Kind, score: u32| (kind != Kind::Filler, kind != Kind::Question, score);
        let place = best.partition_point(|(k, s, _)| rank(*k, *s) >= rank(kind, score));
        if place < MOST_KEPT {
            best.insert(place, (kind, score, span));
            best.truncate(MOST_KEPT);
        }
    }
    // Fillers stand in only for a message that has nothing else.
    if best.first().is_some_and(|(kind, ..)| *kind != Kind::Filler) {
        best.retain(|(kind, ..)| *kind != Kind::Filler);
    } else {
        best.truncate(1);
    }
    best.sort_by_key(|(.., span)| span.range.start);
    best.into_iter()
        .map(|(kind, score, span)| Kept {
            start: span.range.start as u32,
            text: text[span.range].to_owned(),
            kind,
            score,
        })
        .collect()
}

/// What a sentence is, and what it is worth.
fn assess(sentence: &str, part: Part, role: &str, is_enumeration: bool) -> (Kind, u32) {
    let words: Vec<_> = words::words(sentence).collect();
    let seen = Features::of(sentence, &words);
    // A lone digit is a smiley ("<3") or a mark, not a number.
    let is_empty = seen.content == 0 || !sentence.contains(char::is_alphabetic) && sentence.len() < 4;
    if part == Part::Set || is_empty || cues::is_pasted(sentence, &words) {
        return (Kind::Filler, 100);
    }
    let mut score = 400 + 60 * seen.content.min(10);
    score += 250 * seen.numbers.min(2) + 200 * seen.names.min(3) + 350 * seen.times.min(2);
    score += match (seen.is_own, seen.is_theirs) {
        (true, false) => 250,
        (false, true) => 0,
        _ => 100,
    };
    score += if seen.decides { 500 } else { 0 };
    let percent = match (role, part) {
        ("user", _) => 100,
        ("assistant", Part::Item) if is_enumeration => 30,
        ("assistant", _) => 60,
        ("tool" | "system", _) => 25,
        _ => 80,
    };
    score = score * percent / 100;
    if is_enumeration && part == Part::Item && role != "assistant" {
        score = score * 7 / 10;
    }
    // "Here is the plan:" only leads to what follows.
    if sentence.ends_with([':', '：']) {
        score /= 2;
    }
    if asks(sentence) { (Kind::Question, score / 3) } else { (Kind::Statement, score) }
}

/// What is counted in a sentence.
#[derive(Debug, Default)]
struct Features {
    /// Words that say something; two characters of a script without spaces are one.
    content: u32,
    numbers: u32,
    /// Words with a capital inside the sentence.
    names: u32,
    times: u32,
    is_own: bool,
    is_theirs: bool,
    decides: bool,
}

impl Features {
    fn of(sentence: &str, words: &[Word<'_>]) -> Self {
        let mut seen = Self { decides: cues::decides(&sentence.to_lowercase()), ..Self::default() };
        let mut unspaced = 0;
        // Where everything is written in capitals, they name nothing.
        let capitals = words.iter().filter(|word| word.text.starts_with(char::is_uppercase)).count();
        let tells_names = capitals * 2 <= words.len().max(4);
        for (index, word) in words.iter().enumerate() {
            if word.is_unspaced {
                unspaced += 1;
                continue;
            }
            let lower = word.text.to_lowercase();
            seen.is_own |= cues::is_own(&lower);
            seen.is_theirs |= cues::is_theirs(&lower);
            if word.text.contains(|c: char| c.is_numeric()) {
                seen.numbers += 1;
                seen.content += 1;
                continue;
            }
            let is_time = cues::is_time(&lower);
            seen.times += u32::from(is_time);
            if words::is_empty_word(&lower) || cues::is_polite(&lower) || word.text.len() < 2 {
                continue;
            }
            seen.content += 1;
            let is_name = index > 0
                && tells_names
                && !is_time
                && word.text.starts_with(char::is_uppercase)
                && !is_address(sentence, word);
            seen.names += u32::from(is_name);
        }
        // Greetings and thanks have two or three characters.
        seen.content += u32::saturating_sub(unspaced, 2) / 2;
        seen
    }
}

/// Whether a name, set off by a comma at the end of a sentence, only calls the listener: "Thanks for coming, Ada!".
fn is_address(sentence: &str, word: &Word<'_>) -> bool {
    let behind = &sentence[word.start + word.text.len()..];
    sentence[..word.start].trim_end().ends_with(',') && !behind.contains(char::is_alphanumeric)
}

/// Whether a sentence asks.
fn asks(sentence: &str) -> bool {
    let marks = |c: char| matches!(c, '"' | '\'' | ')' | '”' | '’' | '*' | '_' | '!' | ' ');
    sentence.trim_end_matches(marks).ends_with(['?', '？', '؟', '⁈', '⁇']) || sentence.ends_with("吗")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(sentence: &str) -> Kind {
        assess(sentence, Part::Prose, "user", false).0
    }

    fn score_of(sentence: &str, role: &str) -> u32 {
        assess(sentence, Part::Prose, role, false).1
    }

    #[test]
    fn what_says_nothing_is_a_filler() {
        let fillers = [
            "Hi there!",
            "Thank you so much!",
            "Wow, that's great!",
            "let mut total = values.iter().sum::<u64>();",
            "2024-05-01T10:00:00Z INFO server started on port 80",
            "    at com.example.Main.run(Main.java:42)".trim(),
            "{\"id\": 1, \"name\": \"x\"}",
            "🙂🙂",
        ];
        for text in fillers {
            assert_eq!(kind_of(text), Kind::Filler, "{text}");
        }
        for text in ["Where do you live?", "你在哪里？", "¿Dónde vives?"] {
            assert_eq!(kind_of(text), Kind::Question, "{text}");
        }
        for text in [
            "I moved to Oslo in May.",
            "我住在东京。",
            "Я переехал в Москву",
            "Use https://example.com/a_b for the tests of our shop",
        ] {
            assert_eq!(kind_of(text), Kind::Statement, "{text}");
        }
    }

    #[test]
    fn what_states_facts_is_worth_more() {
        let plain = score_of("The weather makes people walk slowly.", "user");
        for text in [
            "We decided that people walk slowly there.",
            "I walk slowly to Oslo on Friday.",
            "The 3 trains cost 40 euros now.",
        ] {
            assert!(score_of(text, "user") > plain, "{text}");
        }
        assert!(score_of("I moved to Oslo in May.", "user") > score_of("I moved to Oslo in May.", "assistant"));
    }

    #[test]
    fn a_long_message_keeps_its_best_sentences_in_its_order() {
        let noise = "This is quite plain. ".repeat(200);
        let text = format!("{noise}I moved to Oslo on 3 May. {noise}We decided to use Kafka in 2024. Thanks!");
        let kept = best_of(&text, "user");
        assert_eq!(kept.len(), MOST_KEPT);
        assert!(
            kept.iter().any(|kept| kept.text.contains("Oslo")) && kept.iter().any(|kept| kept.text.contains("Kafka"))
        );
        assert!(kept.is_sorted_by_key(|kept| kept.start));
        for sentence in &kept {
            assert_eq!(&text[sentence.start as usize..][..sentence.text.len()], sentence.text);
        }
        assert_eq!(best_of("Thanks! Bye!", "user").len(), 1);
        assert_eq!(best_of("", "user"), []);
    }
}
