//! Self-attention over texts laid end to end.
//!
//! Promises: a token sees the tokens of its own text and no others. Texts of different lengths need no padding, so
//! there is nothing to mask.
//! Expects: queries already divided by the square root of the head's width (folded into the weights at loading).

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use pulp::{Arch, Simd, WithSimd};

use super::elementary::exponential;
use super::operand;
use super::panel::{ExactRow, Finish, Panels, Product, Row, WIDTH};
use super::spread::Spread;

/// Turns (queries, keys, values) of shape (3 * heads * panels per head, tokens, 16) into contexts of a third of that.
pub(super) struct Attention<'a> {
    /// Each text's tokens.
    pub(super) texts: &'a [Range<usize>],
    /// Heads of the layer.
    pub(super) heads: usize,
    pub(super) spread: Spread,
    pub(super) arch: Arch,
}

impl CustomOp1 for Attention<'_> {
    fn name(&self) -> &'static str {
        "attention-by-text"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (activations, panels) = operand::panels(storage, layout)?;
        let panels_per_head = panels / 3 / self.heads;
        if panels_per_head * 3 * self.heads != panels {
            bail!("{panels} panels cannot be split into queries, keys and values of {} heads", self.heads);
        }
        let height = activations.height();
        Ok(operand::storage(panels / 3, height, |out| {
            self.spread.for_each_chunk(
                out,
                panels_per_head * height,
                || (),
                |(), head, out| {
                    let first = head * panels_per_head;
                    let head = Head {
                        queries: activations.skip(first),
                        keys: activations.skip(panels / 3 + first),
                        values: activations.skip(2 * panels / 3 + first),
                        panels: panels_per_head,
                        arch: self.arch,
                    };
                    for text in self.texts {
                        head.attend(text.clone(), out);
                    }
                },
            );
        }))
    }
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
    fn attend(&self, text: Range<usize>, out: &mut [Row]) {
        let weights = self.weights(text.clone());
        let height = self.queries.height();
        for panel in 0..self.panels {
            let values: Vec<ExactRow> =
                self.values.panel(panel, text.clone()).iter().map(|row| ExactRow(*row)).collect();
            Product {
                left: Panels::new(&weights, text.len()),
                window: 0..text.len(),
                right: &values,
                scale: [1.0; WIDTH],
                bias: [0.0; WIDTH],
                finish: Finish::Plain,
                out: &mut out[panel * height..][text.clone()],
            }
            .compute(self.arch);
        }
    }

    /// How much each token of a text (a row) attends to each token of it (a column, in panels).
    fn weights(&self, text: Range<usize>) -> Vec<Row> {
        let length = text.len();
        let mut weights = vec![[0.0; WIDTH]; length.div_ceil(WIDTH) * length];
        for (index, out) in weights.chunks_mut(length).enumerate() {
            let first = text.start + index * WIDTH;
            let keys = self.transposed_keys(first..text.end.min(first + WIDTH));
            Product {
                left: self.queries,
                window: text.clone(),
                right: &keys,
                scale: [1.0; WIDTH],
                bias: [0.0; WIDTH],
                finish: Finish::Plain,
                out,
            }
            .compute(self.arch);
        }
        self.arch.dispatch(Softmax { scores: &mut weights, length });
        weights
    }

    /// The keys of up to sixteen tokens as columns.
    fn transposed_keys(&self, tokens: Range<usize>) -> Vec<ExactRow> {
        let mut columns = vec![ExactRow::ZERO; self.panels * WIDTH];
        for (panel, columns) in columns.chunks_mut(WIDTH).enumerate() {
            for (token, key) in self.keys.panel(panel, tokens.clone()).iter().enumerate() {
                for (column, value) in columns.iter_mut().zip(key) {
                    column.0[token] = *value;
                }
            }
        }
        columns
    }
}

/// Makes each row of square scores, in panels, positive with sum one.
struct Softmax<'a> {
    scores: &'a mut [Row],
    /// Rows, and columns that count. Columns past it only fill the last panel.
    length: usize,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
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
            let mut sum = simd.splat_f32s(0.0);
            for scores in self.scores[row..].iter_mut().step_by(self.length) {
                for score in S::as_mut_simd_f32s(scores).0 {
                    *score = exponential(simd, simd.sub_f32s(*score, highest));
                    sum = simd.add_f32s(sum, *score);
                }
            }
            let share = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(sum));
            for scores in self.scores[row..].iter_mut().step_by(self.length) {
                for score in S::as_mut_simd_f32s(scores).0 {
                    *score = simd.mul_f32s(*score, share);
                }
            }
        }
    }
}
