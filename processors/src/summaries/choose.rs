//! Choosing: the sentences that say most together.
//!
//! Owns: centrality (what other turns speak of too counts more), the penalty for repeating what is chosen already (MMR,
//! Carbonell and Goldstein 1998), and the greedy choice under a budget, the most worth for its length first.
//! Promises: whole numbers and fixed order, so that every machine chooses the same; near-duplicates are never chosen together.
//! Never: reads texts or a store.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

/// How alike two sentences are that say the same, in thousandths of all their terms.
const ALIKE: u32 = 600;

/// In how many further turns a term counts as spoken of.
const SHARED_MOST: u32 = 6;

/// What a sentence is worth more for each of these turns, on the average of its terms.
const CENTRAL: u32 = 15;

/// How much of its worth a second sentence of the same turn keeps, in thousandths.
const SAME_TURN: u64 = 700;

/// A sentence that may stand in a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Candidate {
    /// Its turn: its place in the thread.
    #[serde(rename = "t")]
    pub(super) turn: u64,
    /// Where it begins in the message, in bytes.
    #[serde(rename = "b")]
    pub(super) start: u32,
    /// What it is worth by itself, in thousandths.
    #[serde(rename = "s")]
    pub(super) score: u32,
    /// About how many tokens it has.
    #[serde(rename = "c")]
    pub(super) tokens: u32,
    /// Whether it is to stand only where nothing else does.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_filler: bool,
    /// What it is compared by; in order, each once.
    #[serde(rename = "w")]
    pub(super) terms: Vec<u32>,
}

/// How much a summary may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// So many tokens, by an estimate: four Latin letters are one, two of other alphabets, or one Chinese or Japanese character.
    Tokens(u32),
    /// So many sentences.
    Sentences(u32),
}

/// The candidates that say most together, by their index and in their order, which has to be that of the thread.
pub(super) fn choose(candidates: &[Candidate], budget: Budget) -> Vec<usize> {
    let mut choice = Choice::new(candidates, budget);
    let mut chosen = Vec::new();
    while let Some(index) = choice.best() {
        choice.take(index);
        chosen.push(index);
    }
    chosen.sort_unstable();
    chosen
}

/// A choice that is being made.
struct Choice<'a> {
    candidates: &'a [Candidate],
    budget: Budget,
    /// What of the budget is not spent.
    left: u32,
    /// Which candidates have a term, of those that may be chosen at all.
    spoken: HashMap<u32, Vec<u32>>,
    /// What each is worth, before anything is chosen.
    worth: Vec<u64>,
    /// How alike each is to the nearest chosen one, in thousandths; `None` once it can be chosen no more.
    nearest: Vec<Option<u32>>,
    /// The turns of which a sentence is chosen.
    turns: HashSet<u64>,
}

impl<'a> Choice<'a> {
    fn new(candidates: &'a [Candidate], budget: Budget) -> Self {
        let has_content = candidates.iter().any(|candidate| !candidate.is_filler);
        let mut spoken: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut nearest = vec![None; candidates.len()];
        for (index, candidate) in candidates.iter().enumerate().filter(|(_, one)| one.is_filler != has_content) {
            nearest[index] = Some(0);
            for term in &candidate.terms {
                spoken.entry(*term).or_default().push(index as u32);
            }
        }
        let worth = candidates.iter().map(|candidate| worth(candidate, candidates, &spoken)).collect();
        let (Budget::Tokens(left) | Budget::Sentences(left)) = budget;
        Self { candidates, budget, left, spoken, worth, nearest, turns: HashSet::new() }
    }

    /// The one that says most for what it costs; of equals the first.
    fn best(&mut self) -> Option<usize> {
        let mut best: Option<(u64, usize)> = None;
        for index in 0..self.candidates.len() {
            let Some(nearest) = self.nearest[index] else { continue };
            if self.cost(index) > self.left {
                // What is left only becomes less.
                self.nearest[index] = None;
                continue;
            }
            let gain = self.gain(index, nearest);
            if best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, index));
            }
        }
        best.map(|(_, index)| index)
    }

    fn cost(&self, index: usize) -> u32 {
        match self.budget {
            Budget::Tokens(_) => self.candidates[index].tokens,
            Budget::Sentences(_) => 1,
        }
    }

    /// What a candidate adds to what is chosen. Where tokens are spent, a longer one has to say more, by the root of its length:
    /// in proportion to the length, scraps would win.
    fn gain(&self, index: usize, nearest: u32) -> u64 {
        let candidate = &self.candidates[index];
        let mut gain = self.worth[index] * u64::from(1_000 - nearest);
        if self.turns.contains(&candidate.turn) {
            gain = gain * SAME_TURN / 1_000;
        }
        match self.budget {
            Budget::Tokens(_) => gain * 16 / (u64::from(candidate.tokens + 4) * 256).isqrt(),
            Budget::Sentences(_) => gain,
        }
    }

    /// Spends the budget on one, and looks who says the same.
    fn take(&mut self, index: usize) {
        let candidate = &self.candidates[index];
        self.left -= self.cost(index);
        self.nearest[index] = None;
        self.turns.insert(candidate.turn);
        let mut shared: HashMap<usize, u32> = HashMap::new();
        for other in candidate.terms.iter().filter_map(|term| self.spoken.get(term)).flatten() {
            *shared.entry(*other as usize).or_default() += 1;
        }
        for (other, both) in shared {
            let all = (candidate.terms.len() + self.candidates[other].terms.len()) as u32 - both;
            let alike = both * 1_000 / all.max(1);
            self.nearest[other] = self.nearest[other].filter(|_| alike < ALIKE).map(|nearest| nearest.max(alike));
        }
    }
}

/// What a candidate is worth among all.
fn worth(candidate: &Candidate, candidates: &[Candidate], spoken: &HashMap<u32, Vec<u32>>) -> u64 {
    let mut others = 0;
    for term in &candidate.terms {
        let mut turns = 0;
        let mut last = candidate.turn;
        for other in spoken.get(term).into_iter().flatten() {
            let turn = candidates[*other as usize].turn;
            if turn != last && turn != candidate.turn {
                turns += 1;
                last = turn;
            }
            if turns == SHARED_MOST {
                break;
            }
        }
        others += turns;
    }
    u64::from(candidate.score + CENTRAL * others / (candidate.terms.len().max(3) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::{Chance, for_each_seed};

    fn candidate(turn: u64, score: u32, terms: &[u32]) -> Candidate {
        Candidate { turn, start: 0, score, tokens: 10, is_filler: false, terms: terms.to_vec() }
    }

    #[test]
    fn near_duplicates_do_not_stand_together_and_fillers_only_alone() {
        let mut all = [candidate(0, 900, &[1, 2, 3]), candidate(1, 800, &[1, 2, 3]), candidate(2, 500, &[7, 8])];
        assert_eq!(choose(&all, Budget::Sentences(9)), [0, 2]);
        assert_eq!(choose(&all, Budget::Tokens(19)), [0]);
        assert!(choose(&all, Budget::Tokens(9)).is_empty());
        all[0].is_filler = true;
        assert_eq!(choose(&all, Budget::Sentences(9)), [1, 2]);
        all.iter_mut().for_each(|one| one.is_filler = true);
        assert_eq!(choose(&all, Budget::Sentences(1)), [0]);
    }

    #[test]
    fn what_others_speak_of_too_counts_more() {
        let all = [
            candidate(0, 500, &[1, 2, 3]),
            candidate(1, 500, &[4, 5, 6]),
            candidate(2, 100, &[4, 5, 9]),
            candidate(3, 100, &[4, 6, 8]),
        ];
        assert_eq!(choose(&all, Budget::Sentences(1)), [1]);
    }

    #[test]
    fn a_choice_keeps_to_its_budget_and_to_the_order() {
        for_each_seed(300, |seed| {
            let mut chance = Chance(seed);
            let all: Vec<_> = (0..chance.below(60))
                .map(|turn| {
                    let mut terms: Vec<_> = (0..chance.below(9)).map(|_| chance.below(30) as u32).collect();
                    terms.sort_unstable();
                    terms.dedup();
                    Candidate {
                        tokens: 1 + chance.below(40) as u32,
                        is_filler: chance.below(4) == 0,
                        ..candidate(turn / 2, chance.below(2_000) as u32, &terms)
                    }
                })
                .collect();
            let most = chance.below(300) as u32;
            let chosen = choose(&all, Budget::Tokens(most));
            assert!(chosen.is_sorted() && chosen.iter().map(|index| all[*index].tokens).sum::<u32>() <= most);
            assert!(choose(&all, Budget::Sentences(most)).len() <= most as usize);
            assert!(choose(&[], Budget::Tokens(most)).is_empty());
        });
    }
}
