//! Metrics: how good one ranking is, and the mean over many.
//!
//! Sessions are found in the order in which their threads first appear in the ranking. Gold that is named twice counts
//! once. A question without gold of a kind has no score of that kind, and does not enter its means.

use std::collections::HashSet;

use serde::Serialize;

/// One result of a ranking, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    /// The thread it lies in.
    pub(super) thread: &'a str,
    /// The id its sender gave it.
    pub(super) source_id: Option<&'a str>,
}

/// How good one ranking is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    /// By sessions; `None` when no session is gold.
    pub(super) session: Option<SessionScore>,
    /// By messages; `None` when no message is gold.
    pub(super) turn: Option<TurnScore>,
}

/// How good one ranking is by sessions, each number from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct SessionScore {
    /// 1 when the first result lies in a gold session.
    hit_at_1: f64,
    /// The part of the gold sessions among the first 5 different threads.
    recall_at_5: f64,
    /// The same among the first 10.
    recall_at_10: f64,
    /// 1 when all gold sessions are among the first 10.
    all_at_10: f64,
}

/// How good one ranking is by messages, each number from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct TurnScore {
    /// 1 when the first result is gold.
    hit_at_1: f64,
    /// The part of the gold messages among the first 10 results.
    recall_at_10: f64,
    /// The same among the first 20.
    recall_at_20: f64,
}

impl Score {
    /// The score of a ranking, best first.
    pub(super) fn of(answers: &[Answer<'_>], sessions: &[String], evidence: &[String]) -> Self {
        let sessions: HashSet<&str> = sessions.iter().map(String::as_str).collect();
        let evidence: HashSet<&str> = evidence.iter().map(String::as_str).collect();
        Self {
            session: (!sessions.is_empty()).then(|| SessionScore::of(answers, &sessions)),
            turn: (!evidence.is_empty()).then(|| TurnScore::of(answers, &evidence)),
        }
    }
}

impl SessionScore {
    fn of(answers: &[Answer<'_>], gold: &HashSet<&str>) -> Self {
        let mut seen = HashSet::new();
        let threads: Vec<_> =
            answers.iter().map(|answer| answer.thread).filter(|thread| seen.insert(*thread)).collect();
        let recall_at_10 = recall(&threads, gold, 10);
        Self {
            hit_at_1: hit(&threads, gold),
            recall_at_5: recall(&threads, gold, 5),
            recall_at_10,
            all_at_10: f64::from(u8::from(recall_at_10 == 1.0)),
        }
    }

    /// The mean of several; `None` of none.
    pub(super) fn mean(scores: &[Self]) -> Option<Self> {
        Some(Self {
            hit_at_1: mean(scores, |score| score.hit_at_1)?,
            recall_at_5: mean(scores, |score| score.recall_at_5)?,
            recall_at_10: mean(scores, |score| score.recall_at_10)?,
            all_at_10: mean(scores, |score| score.all_at_10)?,
        })
    }

    /// The numbers in the order of the headings in the report.
    pub(super) fn numbers(&self) -> [f64; 4] {
        [self.hit_at_1, self.recall_at_5, self.recall_at_10, self.all_at_10]
    }
}

impl TurnScore {
    fn of(answers: &[Answer<'_>], gold: &HashSet<&str>) -> Self {
        // A message without an id of its sender cannot be gold, but takes a place.
        let ids: Vec<_> = answers.iter().map(|answer| answer.source_id.unwrap_or_default()).collect();
        Self { hit_at_1: hit(&ids, gold), recall_at_10: recall(&ids, gold, 10), recall_at_20: recall(&ids, gold, 20) }
    }

    /// The mean of several; `None` of none.
    pub(super) fn mean(scores: &[Self]) -> Option<Self> {
        Some(Self {
            hit_at_1: mean(scores, |score| score.hit_at_1)?,
            recall_at_10: mean(scores, |score| score.recall_at_10)?,
            recall_at_20: mean(scores, |score| score.recall_at_20)?,
        })
    }

    /// The numbers in the order of the headings in the report.
    pub(super) fn numbers(&self) -> [f64; 3] {
        [self.hit_at_1, self.recall_at_10, self.recall_at_20]
    }
}

fn hit(ranking: &[&str], gold: &HashSet<&str>) -> f64 {
    let hit = ranking.first().is_some_and(|first| gold.contains(first));
    f64::from(u8::from(hit))
}

/// The part of the gold among the first `depth`; 1 exactly when all of it is there.
fn recall(ranking: &[&str], gold: &HashSet<&str>, depth: usize) -> f64 {
    let found: HashSet<_> = ranking.iter().take(depth).filter(|entry| gold.contains(*entry)).collect();
    found.len() as f64 / gold.len() as f64
}

fn mean<T>(scores: &[T], number: impl Fn(&T) -> f64) -> Option<f64> {
    if scores.is_empty() {
        return None;
    }
    Some(scores.iter().map(number).sum::<f64>() / scores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ranking written as `thread:id`, or `thread` for a message without an id.
    fn ranking<'a>(entries: &[&'a str]) -> Vec<Answer<'a>> {
        let answer = |entry: &&'a str| match entry.split_once(':') {
            Some((thread, id)) => Answer { thread, source_id: Some(id) },
            None => Answer { thread: entry, source_id: None },
        };
        entries.iter().map(answer).collect()
    }

    fn score(entries: &[&str], sessions: &[&str], evidence: &[&str]) -> Score {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Score::of(&ranking(entries), &owned(sessions), &owned(evidence))
    }

    fn session(entries: &[&str], sessions: &[&str]) -> [f64; 4] {
        score(entries, sessions, &[]).session.expect("sessions are gold").numbers()
    }

    fn turn(entries: &[&str], evidence: &[&str]) -> [f64; 3] {
        score(entries, &[], evidence).turn.expect("messages are gold").numbers()
    }

    #[test]
    fn sessions_count_by_the_first_appearance_of_their_thread() {
        // Nine results, but only four different threads: d stands at the fourth place.
        let entries = ["a:1", "a:2", "b:3", "b:4", "b:5", "c:6", "c:7", "c:8", "d:9"];
        assert_eq!(session(&entries, &["a"]), [1.0, 1.0, 1.0, 1.0]);
        assert_eq!(session(&entries, &["d"]), [0.0, 1.0, 1.0, 1.0]);
        assert_eq!(session(&entries, &["d", "z"]), [0.0, 0.5, 0.5, 0.0]);
    }

    #[test]
    fn the_depth_counts_different_threads() {
        let entries = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
        assert_eq!(session(&entries, &["e", "f"]), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(session(&entries, &["j", "k"]), [0.0, 0.0, 0.5, 0.0]);
    }

    #[test]
    fn turns_count_by_their_place_in_the_ranking() {
        let entries: Vec<String> = (1..=25).map(|number| format!("a:{number}")).collect();
        let entries: Vec<_> = entries.iter().map(String::as_str).collect();
        assert_eq!(turn(&entries, &["1"]), [1.0, 1.0, 1.0]);
        assert_eq!(turn(&entries, &["10", "11", "20", "21"]), [0.0, 0.25, 0.75]);
    }

    #[test]
    fn a_message_without_an_id_takes_a_place_and_is_never_gold() {
        let mut entries = vec!["a"; 10];
        entries.push("a:x");
        assert_eq!(turn(&entries, &["x"]), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn gold_named_twice_counts_once() {
        assert_eq!(turn(&["a:1"], &["1", "1", "2"]), [1.0, 0.5, 0.5]);
        assert_eq!(session(&["a:1"], &["a", "a"]), [1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn an_empty_ranking_finds_nothing() {
        assert_eq!(session(&[], &["a"]), [0.0; 4]);
        assert_eq!(turn(&[], &["1"]), [0.0; 3]);
    }

    #[test]
    fn a_question_without_gold_has_no_score() {
        let score = score(&["a:1"], &[], &[]);
        assert_eq!((score.session, score.turn), (None, None));
    }

    #[test]
    fn the_mean_of_nothing_is_no_number() {
        assert_eq!(TurnScore::mean(&[]), None);
        let scores = [score(&["a:1"], &["a"], &["1"]), score(&["a:2"], &["b"], &["1"])];
        let turns = scores.map(|score| score.turn.expect("messages are gold"));
        assert_eq!(TurnScore::mean(&turns).map(|mean| mean.numbers()), Some([0.5; 3]));
        let sessions = scores.map(|score| score.session.expect("sessions are gold"));
        assert_eq!(SessionScore::mean(&sessions).map(|mean| mean.numbers()), Some([0.5; 4]));
    }
}
