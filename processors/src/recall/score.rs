//! Scores: from what is known of each candidate to the order of all.
//!
//! Owns: the formula. The engine ranks with it what one node holds, and whoever asks several nodes ranks with it again what
//! they answered.
//! Never: depends on a candidate's node. Signals say what a node knows of a message by itself; only the calibration is over
//! all candidates, and those of several nodes add up to one.

use super::Weights;

/// A part of a score, by its name.
pub type Signal = (&'static str, f32);

/// What brings raw scores to 0..1 for one question.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Calibration {
    /// The best score by words; the worst is a message without any of them, whose score is 0.
    pub best_text: f32,
    /// The lowest and the highest cosine among the messages scored; `None` if there were none.
    pub cosines: Option<(f32, f32)>,
}

impl Calibration {
    /// The calibration over the candidates of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let cosines = match (self.cosines, other.cosines) {
            (Some((lowest, highest)), Some((other_lowest, other_highest))) => {
                Some((lowest.min(other_lowest), highest.max(other_highest)))
            }
            (one, other) => one.or(other),
        };
        Self { best_text: self.best_text.max(other.best_text), cosines }
    }

    fn text(&self, score: f32) -> f32 {
        if self.best_text > 0.0 { score / self.best_text } else { 0.0 }
    }

    fn vector(&self, cosine: f32) -> f32 {
        let (lowest, highest) = self.cosines.unwrap_or_default();
        let range = highest - lowest;
        if range > 0.0 { ((cosine - lowest) / range).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Everything that a score is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Signals {
    /// The score by words.
    pub bm25: f32,
    /// The nearness in meaning, where the message has its vector already.
    pub cosine: Option<f32>,
    /// `bm25`, calibrated.
    pub text: f32,
    /// `cosine`, calibrated.
    pub vector: f32,
    /// What is added for the date.
    pub date: f32,
    /// What is added for the author's role.
    pub role: f32,
    /// What is added for a message that only asks.
    pub question: f32,
    /// How rare is what the message names and the question otherwise; 0 where that was not asked for.
    pub entities: f32,
}

impl Signals {
    /// All of them by name.
    pub fn listed(&self) -> Vec<Signal> {
        let mut listed = vec![
            ("bm25", self.bm25),
            ("text", self.text),
            ("vector", self.vector),
            ("date", self.date),
            ("role", self.role),
            ("question", self.question),
            ("entities", self.entities),
        ];
        listed.extend(self.cosine.map(|cosine| ("cosine", cosine)));
        listed
    }

    /// What [`Signals::listed`] named; `None` if one is missing.
    pub fn from_listed(signal: impl Fn(&str) -> Option<f32>) -> Option<Self> {
        Some(Self {
            bm25: signal("bm25")?,
            cosine: signal("cosine"),
            text: signal("text")?,
            vector: signal("vector")?,
            date: signal("date")?,
            role: signal("role")?,
            question: signal("question")?,
            entities: signal("entities")?,
        })
    }

    fn calibrated(self, calibration: &Calibration) -> Self {
        let vector = self.cosine.map_or(0.0, |cosine| calibration.vector(cosine));
        Self { text: calibration.text(self.bm25), vector, ..self }
    }
}

/// A candidate in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked<T> {
    /// The sum of the weighted signals.
    pub score: f32,
    /// The signals, calibrated.
    pub signals: Signals,
    /// The candidate.
    pub candidate: T,
}

impl Weights {
    /// The best candidates, at most `limit`, best first; equal scores in the order of `id`.
    pub fn rank<T, Id: Ord + ?Sized>(
        &self,
        calibration: &Calibration,
        candidates: impl IntoIterator<Item = (Signals, T)>,
        id: impl Fn(&T) -> &Id,
        limit: usize,
    ) -> Vec<Ranked<T>> {
        let ranked = candidates.into_iter().map(|(signals, candidate)| {
            let signals = signals.calibrated(calibration);
            Ranked { score: self.score(&signals), signals, candidate }
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable_by(|left, right| {
            right.score.total_cmp(&left.score).then_with(|| id(&left.candidate).cmp(id(&right.candidate)))
        });
        ranked.truncate(limit);
        ranked
    }

    fn score(&self, signals: &Signals) -> f32 {
        let priors = signals.date + signals.role + signals.question;
        self.text * signals.text + self.vector * signals.vector + self.entities * signals.entities + priors
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WEIGHTS: Weights = Weights {
        text: 0.5,
        vector: 0.5,
        date: 0.5,
        assistant: -0.4,
        assistant_asked: -0.1,
        question: -0.05,
        entities: 0.1,
    };

    /// The calibration of a node that has exactly these candidates.
    fn calibration(candidates: &[(Signals, u32)]) -> Calibration {
        candidates.iter().fold(Calibration::default(), |calibration, (signals, _)| {
            let cosines = signals.cosine.map(|cosine| (cosine, cosine));
            calibration.and(Calibration { best_text: signals.bm25, cosines })
        })
    }

    fn candidates() -> impl Strategy<Value = Vec<(Signals, u32)>> {
        let signals = (0.0_f32..30.0, prop::option::of(-1.0_f32..1.0), 0.0_f32..0.5, -0.4_f32..0.0, 0.0_f32..1.0);
        let signals = signals.prop_map(|(bm25, cosine, date, role, entities)| Signals {
            bm25: bm25.floor(),
            cosine,
            date,
            role,
            entities,
            ..Signals::default()
        });
        prop::collection::vec(signals, 0..40)
            .prop_map(|signals| signals.into_iter().zip(0..).collect::<Vec<(Signals, u32)>>())
    }

    proptest! {
        #[test]
        fn what_nodes_ranked_apart_is_ranked_again_as_one_node_would(all in candidates(), of in 1_u32..4, limit in 0_usize..50) {
            let rank = |calibration: &Calibration, candidates: Vec<(Signals, u32)>, limit| {
                WEIGHTS.rank(calibration, candidates, |id| id, limit)
            };
            let together = rank(&calibration(&all), all.clone(), limit);
            let (mut answered, mut over_all) = (Vec::new(), Calibration::default());
            for share in 0..of {
                let held: Vec<_> = all.iter().filter(|(_, id)| id % of == share).copied().collect();
                let own = calibration(&held);
                over_all = over_all.and(own);
                // Through the form that travels.
                answered.extend(rank(&own, held, usize::MAX).into_iter().map(|ranked| {
                    let listed = ranked.signals.listed();
                    let of_name = |name: &str| listed.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
                    (Signals::from_listed(of_name).expect("all are listed"), ranked.candidate)
                }));
            }
            prop_assert_eq!(over_all, calibration(&all));
            prop_assert_eq!(rank(&over_all, answered, limit), together);
        }
    }

    #[test]
    fn a_node_without_candidates_does_not_move_the_calibration() {
        let found = Calibration { best_text: 3.0, cosines: Some((0.2, 0.7)) };
        assert_eq!(found.and(Calibration::default()), found);
        assert_eq!(Calibration::default().and(found), found);
    }
}
