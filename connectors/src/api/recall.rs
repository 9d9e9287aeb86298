//! Recall: finding what was said.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Message, Timestamp};

/// Whether a question is answered by what it names too when it does not say so.
pub const ENTITIES: bool = false;

/// A question to memory. Empty lists and absent times set no condition; all conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecallRequest {
    /// What to look for, in plain words.
    #[schema(min_length = 1)]
    pub query: String,
    /// How many results at most.
    #[serde(default = "default_limit")]
    #[schema(default = json!(default_limit()), minimum = 1, maximum = 200)]
    pub limit: u32,
    /// Only messages of these spaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spaces: Vec<String>,
    /// Only messages of these threads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<String>,
    /// Only messages of these authors, compared without regard to ASCII case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Only what was said at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
    /// Only what was said before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// Only what had been taken in by this time: what was known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Whether messages that name what the question names under another name, which the graph knows to stand for the same, are looked
    /// at beside those found by words and by meaning, and count for more the rarer it is.
    #[serde(default = "entities_by_default")]
    #[schema(default = json!(entities_by_default()))]
    pub entities: bool,
    /// Whether to say with each result how its score came about.
    #[serde(default)]
    #[schema(default = json!(false))]
    pub explain: bool,
}

/// The results that a request gets when it does not say how many.
fn default_limit() -> u32 {
    10
}

/// [`ENTITIES`], in the form that serde asks for.
fn entities_by_default() -> bool {
    ENTITIES
}

/// What memory answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecallResponse {
    /// The results, best first.
    pub results: Vec<RecallResult>,
    /// What the answer could see: for each `topic/partition`, the offset of the next event to be applied.
    pub as_of: BTreeMap<String, u64>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// With `explain`: what brought the raw scores to 0..1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// What brings the raw scores of one answer to 0..1: the signal `bm25` to `text`, and `cosine` to `vector`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Calibration {
    /// The best score by words; the worst is 0.
    pub best_text: f64,
    /// The lowest cosine among the messages scored; `null` if there were none.
    #[schema(required)]
    pub lowest: Option<f64>,
    /// The highest of them.
    #[schema(required)]
    pub highest: Option<f64>,
}

/// One message that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecallResult {
    /// The message, whole.
    #[serde(flatten)]
    pub message: Message,
    /// The part of the text that answers best, matches marked by `**` before and after.
    pub snippet: String,
    /// Where the matches stand in `snippet`: `[start, end)` in bytes of UTF-8, the marks not included.
    #[schema(value_type = Vec<Vec<u64>>)]
    pub highlights: Vec<[u64; 2]>,
    /// How well it answers; comparable only within one response.
    pub score: f64,
    /// With `explain`: the numbers the score was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals: Option<BTreeMap<String, f64>>,
}

/// Marks the matches in a fragment of text: the `snippet` and its `highlights`.
///
/// `matches` are byte ranges of the fragment in ascending order. One that overlaps its predecessor, is empty, or does not
/// fall on character boundaries is left unmarked.
pub fn mark_matches(fragment: &str, matches: &[Range<usize>]) -> (String, Vec<[u64; 2]>) {
    let mut snippet = String::with_capacity(fragment.len() + 4 * matches.len());
    let mut highlights = Vec::with_capacity(matches.len());
    let mut done = 0;
    for range in matches {
        if range.start < done || range.is_empty() {
            continue;
        }
        let (Some(before), Some(matched)) = (fragment.get(done..range.start), fragment.get(range.clone())) else {
            continue;
        };
        snippet.push_str(before);
        snippet.push_str("**");
        let start = snippet.len() as u64;
        snippet.push_str(matched);
        highlights.push([start, snippet.len() as u64]);
        snippet.push_str("**");
        done = range.end;
    }
    snippet.push_str(&fragment[done..]);
    (snippet, highlights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_marked_and_their_places_point_at_the_words() {
        let fragment = "Ölpreis and dinner";
        let matches = [0..8, 8..8, 3..9, 13..19];
        let (snippet, highlights) = mark_matches(fragment, &matches);
        assert_eq!(snippet, "**Ölpreis** and **dinner**");
        let words: Vec<_> = highlights.iter().map(|[start, end]| &snippet[*start as usize..*end as usize]).collect();
        assert_eq!(words, ["Ölpreis", "dinner"]);
    }

    #[test]
    fn a_match_inside_a_character_or_past_the_end_is_left_unmarked() {
        assert_eq!(mark_matches("Öl", &[0..1, 2..9]), ("Öl".to_owned(), vec![]));
    }
}
