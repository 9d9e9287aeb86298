//! What is asked of a vector store, and what it answers.

use std::cmp::Ordering;

use uuid::Uuid;

use crate::Filter;

/// A question to a vector store.
#[derive(Debug, Clone, Copy)]
pub struct VectorQuery<'a> {
    /// The question's vector: of unit length, with as many dimensions as the store.
    pub vector: &'a [f32],
    /// Which messages may be answers.
    pub filter: &'a Filter,
    /// How many answers are wanted at most.
    pub limit: usize,
}

/// The messages nearest to a question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VectorHits {
    /// Message ids with their exact cosines: best first, equal ones by message id.
    pub hits: Vec<(Uuid, f32)>,
    /// The lowest cosine among the messages scored; 0 if there were none.
    pub lowest: f32,
    /// The highest cosine among the messages scored; 0 if there were none.
    pub highest: f32,
    /// Whether every message that passed the filter was scored. If not, those were whose codes are near and some of the farthest;
    /// a hit can be missing, and `lowest` is nearly the lowest.
    pub exact: bool,
    /// How many messages were scored.
    pub considered: usize,
}

impl VectorHits {
    /// Ranks scored messages and keeps the best.
    pub(super) fn best_of(mut scored: Vec<(Uuid, f32)>, limit: usize, exact: bool) -> Self {
        let considered = scored.len();
        let lowest = scored.iter().map(|(_, cosine)| *cosine).reduce(f32::min).unwrap_or_default();
        let highest = scored.iter().map(|(_, cosine)| *cosine).reduce(f32::max).unwrap_or_default();
        if limit < scored.len() {
            scored.select_nth_unstable_by(limit, best_first);
            scored.truncate(limit);
        }
        scored.sort_unstable_by(best_first);
        Self { hits: scored, lowest, highest, exact, considered }
    }
}

fn best_first(left: &(Uuid, f32), right: &(Uuid, f32)) -> Ordering {
    right.1.total_cmp(&left.1).then(left.0.cmp(&right.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_are_ordered_by_message_id_and_the_limit_cuts_the_worst() {
        let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
        let hits = VectorHits::best_of(vec![(three, 0.5), (one, -0.25), (two, 0.5)], 2, true);
        assert_eq!(hits.hits, [(two, 0.5), (three, 0.5)]);
        assert_eq!((hits.lowest, hits.highest, hits.considered), (-0.25, 0.5, 3));
    }

    #[test]
    fn nothing_scored_gives_no_hits_and_zero_bounds() {
        assert_eq!(VectorHits::best_of(Vec::new(), 10, true), VectorHits { exact: true, ..VectorHits::default() });
    }
}
