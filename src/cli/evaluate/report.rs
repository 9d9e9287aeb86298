//! Report: the figures of an evaluation, over all questions and by category.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Failure,
    latency::Percentiles,
    metrics::{Score, SessionScore, TurnScore},
};
use crate::cli::{Output, import::Summary, table::Table};

/// What one question gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    /// The kind of question.
    pub(super) category: String,
    /// How good the ranking was.
    pub(super) score: Score,
    /// From sending the question to having read the answer, in milliseconds.
    pub(super) round_trip_ms: f64,
    /// What the server says it took, in milliseconds.
    pub(super) took_ms: f64,
}

/// The figures of an evaluation.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// How many results were asked for.
    limit: u32,
    overall: Figures,
    categories: BTreeMap<String, Figures>,
    /// The HTTP round trip, in milliseconds.
    latency_ms: Option<Percentiles>,
    /// The server's own time, in milliseconds.
    took_ms: Option<Percentiles>,
    /// How the import went, if there was one.
    import: Option<Summary>,
}

/// The figures over some questions.
#[derive(Debug, PartialEq, Serialize)]
struct Figures {
    questions: usize,
    /// How many are left out of the session figures.
    without_sessions: usize,
    /// How many are left out of the turn figures.
    without_evidence: usize,
    session: Option<SessionScore>,
    turn: Option<TurnScore>,
}

impl Report {
    /// The figures of these measurements.
    pub(super) fn new(limit: u32, import: Option<Summary>, measured: &[Measured]) -> Self {
        let mut categories: BTreeMap<String, Vec<&Measured>> = BTreeMap::new();
        for one in measured {
            categories.entry(one.category.clone()).or_default().push(one);
        }
        Self {
            limit,
            overall: Figures::of(&measured.iter().collect::<Vec<_>>()),
            categories: categories.into_iter().map(|(name, measured)| (name, Figures::of(&measured))).collect(),
            latency_ms: Percentiles::of(measured.iter().map(|one| one.round_trip_ms).collect()),
            took_ms: Percentiles::of(measured.iter().map(|one| one.took_ms).collect()),
            import,
        }
    }

    /// Shows the figures.
    pub(super) fn show(&self, output: &mut Output) -> Result<(), Failure> {
        if output.is_json() {
            return output.document(self);
        }
        if let Some(import) = &self.import {
            output.line(import)?;
            output.line("")?;
        }
        let mut table = Table::new([
            "category",
            "questions",
            "ses Hit@1",
            "ses R@5",
            "ses R@10",
            "all@10",
            "turn Hit@1",
            "turn R@10",
            "turn R@20",
        ]);
        let mut categories: Vec<_> = self.categories.iter().collect();
        // Numbers in the order of numbers, then names.
        categories.sort_by_key(|(name, _)| (name.parse::<u64>().unwrap_or(u64::MAX), name.as_str()));
        table.row(self.overall.row("all"));
        for (name, figures) in categories {
            table.row(figures.row(name));
        }
        table.write(output)?;
        let Figures { without_sessions, without_evidence, .. } = self.overall;
        output.line(format!(
            "left out: {without_sessions} questions without sessions, {without_evidence} without evidence; {} results each",
            self.limit
        ))?;
        output.line("")?;
        let mut table = Table::new(["milliseconds", "p50", "p90", "p99", "max"]);
        for (name, percentiles) in [("round trip", self.latency_ms), ("server", self.took_ms)] {
            let Some(Percentiles { p50, p90, p99, max }) = percentiles else { continue };
            let [p50, p90, p99, max] = [p50, p90, p99, max].map(|number| format!("{number:.2}"));
            table.row([name.to_owned(), p50, p90, p99, max]);
        }
        table.write(output)
    }
}

impl Figures {
    fn of(measured: &[&Measured]) -> Self {
        let sessions: Vec<_> = measured.iter().filter_map(|one| one.score.session).collect();
        let turns: Vec<_> = measured.iter().filter_map(|one| one.score.turn).collect();
        Self {
            questions: measured.len(),
            without_sessions: measured.len() - sessions.len(),
            without_evidence: measured.len() - turns.len(),
            session: SessionScore::mean(&sessions),
            turn: TurnScore::mean(&turns),
        }
    }

    fn row(&self, name: &str) -> [String; 9] {
        let session = self.session.map_or([None; 4], |score| score.numbers().map(Some));
        let turn = self.turn.map_or([None; 3], |score| score.numbers().map(Some));
        let shown = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"));
        let [session_hit, session_5, session_10, session_all] = session.map(shown);
        let [turn_hit, turn_10, turn_20] = turn.map(shown);
        let questions = self.questions.to_string();
        [name.to_owned(), questions, session_hit, session_5, session_10, session_all, turn_hit, turn_10, turn_20]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::evaluate::metrics::Answer;

    fn measured(category: &str, first: &str, evidence: &[&str]) -> Measured {
        let answers = [Answer { thread: "t", source_id: Some(first) }];
        let evidence: Vec<_> = evidence.iter().map(|id| (*id).to_owned()).collect();
        let score = Score::of(&answers, &["t".to_owned()], &evidence);
        Measured { category: category.to_owned(), score, round_trip_ms: 2.0, took_ms: 1.0 }
    }

    #[test]
    fn figures_are_means_and_what_has_no_evidence_is_left_out_and_counted() {
        let measured = [measured("2", "a", &["a"]), measured("2", "a", &["b"]), measured("10", "a", &[])];
        let report = Report::new(100, None, &measured);
        assert_eq!(
            (report.overall.questions, report.overall.without_evidence, report.overall.without_sessions),
            (3, 1, 0)
        );
        assert_eq!(report.overall.turn.map(|turn| turn.numbers()), Some([0.5; 3]));
        assert_eq!(report.categories["10"].turn, None);
        assert_eq!(report.categories["10"].row("10")[6], "-");
        assert_eq!(report.categories["2"].questions, 2);
    }
}
