//! Normalisation and activation, row by row and number by number.

use rayon::prelude::*;

/// Sums that are kept apart, so that the compiler may compute them together.
const LANES: usize = 16;

/// Numbers that one thread takes at least: handing out fewer costs more than computing them.
const LEAST_TOGETHER: usize = 8 * 1024;

/// Normalisation by the root of the mean square.
pub(super) struct Norm {
    gain: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    pub(super) fn new(gain: Vec<f32>, epsilon: f32) -> Self {
        Self { gain, epsilon }
    }

    /// The rows, normalised; each as long as the gain.
    pub(super) fn applied(&self, rows: &[f32]) -> Vec<f32> {
        let mut rows = rows.to_vec();
        self.apply(&mut rows);
        rows
    }

    /// Normalises rows in place.
    pub(super) fn apply(&self, rows: &mut [f32]) {
        let width = self.gain.len();
        let least = LEAST_TOGETHER.div_ceil(width);
        rows.par_chunks_exact_mut(width).with_min_len(least).for_each(|row| {
            let scale = 1.0 / (squares(row) / width as f32 + self.epsilon).sqrt();
            row.iter_mut().zip(&self.gain).for_each(|(value, gain)| *value = *value * scale * gain);
        });
    }
}

fn squares(row: &[f32]) -> f32 {
    let (lanes, rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for lane in lanes {
        sums.iter_mut().zip(lane).for_each(|(sum, value)| *sum += value * value);
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>()
}

/// How a feed-forward lets numbers through.
#[derive(Debug, Clone, Copy)]
pub(super) enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU in its "tanh" approximation, which is how Gemma was trained.
    Gelu,
}

impl Activation {
    /// `gate` becomes the activated gate times `up`.
    pub(super) fn apply(self, gate: &mut [f32], up: &[f32]) {
        let pairs = gate.par_iter_mut().zip(up).with_min_len(LEAST_TOGETHER);
        match self {
            Self::Silu => pairs.for_each(|(gate, up)| *gate *= sigmoid(*gate) * up),
            Self::Gelu => pairs.for_each(|(gate, up)| *gate *= sigmoid(gelu_exponent(*gate)) * up),
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `(1 + tanh(y)) / 2` is `sigmoid(2 * y)`, which needs one exponential.
fn gelu_exponent(x: f32) -> f32 {
    const TWICE_ROOT_OF_TWO_OVER_PI: f32 = 1.595_769;
    TWICE_ROOT_OF_TWO_OVER_PI * (x + 0.044_715 * x * x * x)
}
