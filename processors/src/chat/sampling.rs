//! Sampling: which token comes next.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Tokens that are put in order before all are, to find those that `top_p` keeps.
const FEW: usize = 1024;

/// How an answer is chosen and where it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// How freely to choose; 0, what is below it and what is no number take the likeliest token each time.
    pub temperature: f64,
    /// Choose among the likeliest tokens that make this share together. Default 1: among all.
    pub top_p: f64,
    /// Choose among this many of the likeliest tokens.
    pub top_k: Option<usize>,
    /// The same seed gives the same choices. Without one, each answer is another.
    pub seed: Option<u64>,
    /// Tokens that the answer may take. Without, and beyond it, what the prompt leaves of the context.
    pub max_tokens: Option<usize>,
    /// The answer ends before the first of these texts. Empty ones stop nothing.
    pub stop: Vec<String>,
}

impl Default for Sampling {
    /// One free choice among all tokens, as OpenAI's interface defaults.
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, top_k: None, seed: None, max_tokens: None, stop: Vec::new() }
    }
}

/// The choices of one answer.
pub(super) struct Sampler {
    /// None takes the likeliest.
    temperature: Option<f32>,
    top_p: f64,
    top_k: usize,
    random: StdRng,
}

impl Sampler {
    pub(super) fn new(settings: &Sampling) -> Self {
        let seed = settings.seed.unwrap_or_else(|| rand::rng().random());
        Self {
            temperature: (settings.temperature > 0.0).then_some(settings.temperature as f32),
            top_p: settings.top_p,
            top_k: settings.top_k.unwrap_or(usize::MAX).max(1),
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// The next token by the scores of all; of equal ones the first. Nothing when a score is not a number, which is what
    /// damaged weights compute.
    pub(super) fn choose(&mut self, scores: &[f32]) -> Option<u32> {
        if scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let best = (0..).zip(scores).max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.cmp(a)))?;
        let Some(temperature) = self.temperature else {
            return Some(best.0);
        };
        let highest = *best.1;
        if !highest.is_finite() {
            return None;
        }
        let likelihood = |score: f32| f64::from(((score - highest) / temperature).exp());
        let mut tokens: Vec<(u32, f64)> = (0..).zip(scores.iter().map(|score| likelihood(*score))).collect();
        keep_likeliest(&mut tokens, self.top_k);
        keep_share(&mut tokens, self.top_p);
        let total: f64 = tokens.iter().map(|(_, likelihood)| likelihood).sum();
        let mut left = self.random.random::<f64>() * total;
        for (token, likelihood) in &tokens {
            left -= likelihood;
            if left < 0.0 {
                return Some(*token);
            }
        }
        Some(best.0)
    }
}

/// The likelier first; of equal ones the lower number, so that the order is the same each time.
fn by_likelihood(a: &(u32, f64), b: &(u32, f64)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

fn keep_likeliest(tokens: &mut Vec<(u32, f64)>, most: usize) {
    if most < tokens.len() {
        tokens.select_nth_unstable_by(most - 1, by_likelihood);
        tokens.truncate(most);
    }
    // Selecting leaves no order that a seed could rely on.
    tokens.sort_unstable_by_key(|(token, _)| *token);
}

/// Keeps the likeliest tokens that make `share` of the sum, at least one.
fn keep_share(tokens: &mut Vec<(u32, f64)>, share: f64) {
    if share >= 1.0 || share.is_nan() {
        return;
    }
    let wanted = tokens.iter().map(|(_, likelihood)| likelihood).sum::<f64>() * share;
    // Nearly always few tokens make the share, and to sort all 262,144 of gemma takes as long as a layer.
    let few = tokens.len().min(FEW);
    if few < tokens.len() {
        tokens.select_nth_unstable_by(few, by_likelihood);
    }
    tokens[..few].sort_unstable_by(by_likelihood);
    let kept = share_end(&tokens[..few], wanted).unwrap_or_else(|| {
        tokens.sort_unstable_by(by_likelihood);
        share_end(tokens, wanted).unwrap_or(tokens.len())
    });
    tokens.truncate(kept);
}

/// How many of the first tokens make the wanted sum, if they do.
fn share_end(tokens: &[(u32, f64)], wanted: f64) -> Option<usize> {
    let mut sum = 0.0;
    let place = tokens.iter().position(|(_, likelihood)| {
        sum += likelihood;
        sum >= wanted
    })?;
    Some(place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 6] = [0.5, 3.0, 1.0, 3.0, 2.0, -4.0];

    fn chosen(settings: &Sampling, scores: &[f32], times: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(settings);
        (0..times).map(|_| sampler.choose(scores).expect("the scores are numbers")).collect()
    }

    fn seeded(seed: u64) -> Sampling {
        Sampling { seed: Some(seed), ..Sampling::default() }
    }

    #[test]
    fn without_temperature_the_first_of_the_likeliest_is_taken() {
        for temperature in [0.0, -1.0, f64::NAN] {
            assert_eq!(chosen(&Sampling { temperature, ..Sampling::default() }, &SCORES, 3), [1, 1, 1]);
        }
    }

    #[test]
    fn a_seed_repeats_its_choices_and_another_does_not() {
        assert_eq!(chosen(&seeded(7), &SCORES, 50), chosen(&seeded(7), &SCORES, 50));
        assert_ne!(chosen(&seeded(7), &SCORES, 50), chosen(&seeded(8), &SCORES, 50));
        assert_ne!(chosen(&Sampling::default(), &SCORES, 50), chosen(&Sampling::default(), &SCORES, 50));
    }

    #[test]
    fn choices_follow_the_likelihood() {
        let choices = chosen(&seeded(1), &[0.0, 2.0_f32.ln(), 0.0], 40_000);
        let share = choices.iter().filter(|token| **token == 1).count() as f64 / 40_000.0;
        assert!((share - 0.5).abs() < 0.02, "{share}");
    }

    #[test]
    fn top_k_and_top_p_keep_the_likeliest() {
        let kept = |settings: Sampling, scores: &[f32]| {
            let mut tokens = chosen(&settings, scores, 2000);
            tokens.sort_unstable();
            tokens.dedup();
            tokens
        };
        assert_eq!(kept(Sampling { top_k: Some(3), ..seeded(1) }, &SCORES), [1, 3, 4]);
        assert_eq!(kept(Sampling { top_k: Some(0), ..seeded(1) }, &SCORES), [1]);
        assert_eq!(kept(Sampling { top_p: 0.0, ..seeded(1) }, &SCORES), [1]);
        assert_eq!(kept(Sampling { top_p: 0.7, ..seeded(1) }, &SCORES), [1, 3]);
        assert_eq!(kept(Sampling { top_p: 0.999, ..seeded(1) }, &SCORES), [0, 1, 2, 3, 4]);
        // More than are sorted at first, and all alike.
        let many = kept(Sampling { top_p: 0.9, ..seeded(1) }, &vec![1.0; 20_000]);
        assert!(many.len() > 1800 && many.iter().all(|token| *token < 18_001), "{}", many.len());
    }

    #[test]
    fn what_is_not_a_number_is_not_chosen_from() {
        for scores in [&[][..], &[1.0, f32::NAN], &[f32::INFINITY, 1.0]] {
            assert_eq!(Sampler::new(&seeded(1)).choose(scores), None);
        }
    }
}
