//! Self-attention over texts laid end to end.
//!
//! Promises: a token sees the tokens of its own text and no others. Texts of different lengths need no padding, so
//! there is nothing to mask.
//! Expects: queries already divided by the square root of the head's width (folded into the weights at loading).

use std::ops::Range;

use pulp::{Arch, Simd};

use super::elementary::exponential;
use super::panel::{ExactRow, Finish, InVectors, Panels, Product, Row, WIDTH, total};
use super::spread::Spread;

/// Turns queries, keys and values, as many panels of each, into contexts.
pub(super) struct Attention<'a> {
    /// Each text's tokens.
    pub(super) texts: &'a [Range<usize>],
    /// Heads of the layer.
    pub(super) heads: usize,
    pub(super) spread: Spread,
    pub(super) arch: Arch,
}

impl Attention<'_> {
    /// Writes as many panels as there are of queries, which are a multiple of the heads.
    pub(super) fn forward(&self, activations: Panels<'_>, out: &mut [Row]) {
        let height = activations.height();
        let panels = out.len() / height;
        let panels_per_head = panels / self.heads;
        self.spread.for_each_chunk(out, panels_per_head * height, Scratch::default, |scratch, head, out| {
            let first = head * panels_per_head;
            let head = Head {
                queries: activations.skip(first),
                keys: activations.skip(panels + first),
                values: activations.skip(2 * panels + first),
                panels: panels_per_head,
                arch: self.arch,
            };
            for text in self.texts {
                head.attend(text.clone(), scratch, out);
            }
        });
    }
}

/// Memory that is used again for each text.
#[derive(Default)]
struct Scratch {
    weights: Vec<Row>,
    exact: Vec<ExactRow>,
}

/// One head of one layer.
struct Head<'a> {
    queries: Panels<'a>,
    keys: Panels<'a>,
    values: Panels<'a>,
    panels: usize,
    arch: Arch,
}

impl Head<'_> {
    /// Writes the contexts of one text's tokens into `out`, the head's panels over all tokens.
    fn attend(&self, text: Range<usize>, scratch: &mut Scratch, out: &mut [Row]) {
        let Scratch { weights, exact } = scratch;
        self.weigh(text.clone(), weights, exact);
        let height = self.queries.height();
        for panel in 0..self.panels {
            exact.clear();
            exact.extend(self.values.panel(panel, text.clone()).iter().map(|row| ExactRow(*row)));
            Product {
                left: Panels::new(weights, text.len()),
                window: 0..text.len(),
                right: exact,
                scale: [1.0; WIDTH],
                bias: [0.0; WIDTH],
                finish: Finish::Plain,
                out: &mut out[panel * height..][text.clone()],
            }
            .compute(self.arch);
        }
    }

    /// How much each token of a text (a row) attends to each token of it (a column, in panels).
    fn weigh(&self, text: Range<usize>, weights: &mut Vec<Row>, keys: &mut Vec<ExactRow>) {
        let length = text.len();
        weights.resize(length.div_ceil(WIDTH) * length, [0.0; WIDTH]);
        for (index, out) in weights.chunks_mut(length).enumerate() {
            let first = text.start + index * WIDTH;
            self.transpose_keys(first..text.end.min(first + WIDTH), keys);
            Product {
                left: self.queries,
                window: text.clone(),
                right: keys,
                scale: [1.0; WIDTH],
                bias: [0.0; WIDTH],
                finish: Finish::Plain,
                out,
            }
            .compute(self.arch);
        }
        Softmax { scores: weights, length }.compute(self.arch);
    }

    /// The keys of up to sixteen tokens as columns; columns that are left are zero.
    fn transpose_keys(&self, tokens: Range<usize>, columns: &mut Vec<ExactRow>) {
        columns.clear();
        columns.resize(self.panels * WIDTH, ExactRow::ZERO);
        for (panel, columns) in columns.chunks_mut(WIDTH).enumerate() {
            for (token, key) in self.keys.panel(panel, tokens.clone()).iter().enumerate() {
                for (column, value) in columns.iter_mut().zip(key) {
                    column.0[token] = *value;
                }
            }
        }
    }
}

/// Makes each row of square scores, in panels, positive with sum one.
struct Softmax<'a> {
    scores: &'a mut [Row],
    /// Rows, and columns that count. Columns past it only fill the last panel.
    length: usize,
}

impl InVectors for Softmax<'_> {
    #[inline(always)]
    fn in_vectors<S: Simd, const VECTORS: usize>(self, simd: S) {
        let filled = self.length % WIDTH;
        if filled > 0 {
            let last = self.scores.len() - self.length;
            for row in &mut self.scores[last..] {
                row[filled..].fill(f32::NEG_INFINITY);
            }
        }
        for row in 0..self.length {
            let mut highest = simd.splat_f32s(f32::NEG_INFINITY);
            for scores in self.scores[row..].iter().step_by(self.length) {
                for score in S::as_simd_f32s(scores).0 {
                    highest = simd.max_f32s(highest, *score);
                }
            }
            let highest = simd.splat_f32s(simd.reduce_max_f32s(highest));
            let mut sums = [simd.splat_f32s(0.0); VECTORS];
            for scores in self.scores[row..].iter_mut().step_by(self.length) {
                let scores = S::as_mut_simd_f32s(scores).0;
                for index in 0..VECTORS {
                    scores[index] = exponential(simd, simd.sub_f32s(scores[index], highest));
                    sums[index] = simd.add_f32s(sums[index], scores[index]);
                }
            }
            let share = simd.splat_f32s(1.0 / total::<S, VECTORS>(sums));
            for scores in self.scores[row..].iter_mut().step_by(self.length) {
                for score in S::as_mut_simd_f32s(scores).0 {
                    *score = simd.mul_f32s(*score, share);
                }
            }
        }
    }
}
