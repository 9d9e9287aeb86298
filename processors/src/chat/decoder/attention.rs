//! Attention of new tokens to all that they see.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::cache::LayerCache;
use super::shape::Shape;

/// Vectors that are summed at once: enough to hide how long one addition takes.
const TOGETHER: usize = 4;

/// Vectors of a result that are kept in registers while the values are read.
const IN_REGISTERS: usize = 8;

/// Products that are worth a second thread.
const LEAST_TOGETHER: usize = 128 * 1024;

/// The contexts of rows of queries, the first of which is at `start`. Their keys and values are in the cache already.
pub(super) fn attend(
    shape: &Shape,
    queries: &[f32],
    cache: &LayerCache,
    start: usize,
    window: Option<usize>,
) -> Vec<f32> {
    let Shape { heads, key_heads, head_width, .. } = *shape;
    let (arch, scale) = (Arch::new(), shape.attention_scale());
    let rows = queries.len() / (heads * head_width);
    let mut contexts = vec![0.0; queries.len()];
    let seen = window.unwrap_or(usize::MAX).min(start + rows);
    let least = LEAST_TOGETHER.div_ceil(seen * head_width);
    let heads_of_rows = contexts.par_chunks_exact_mut(head_width).zip(queries.par_chunks_exact(head_width));
    heads_of_rows.enumerate().with_min_len(least).for_each_init(Vec::new, |scores, (index, (context, query))| {
        let (position, head) = (start + index / heads, index % heads);
        let from = window.map_or(0, |window| (position + 1).saturating_sub(window));
        let (keys, values) = cache.rows(head / (heads / key_heads), from, position);
        arch.dispatch(Head { query, keys, values, scale, scores, context });
    });
    contexts
}

/// One head of one token.
struct Head<'a> {
    query: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    scale: f32,
    scores: &'a mut Vec<f32>,
    context: &'a mut [f32],
}

impl WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { query, keys, values, scale, scores, context } = self;
        scores.clear();
        // No closure that computes with registers: a call that is not inlined loses them.
        let mut highest = f32::NEG_INFINITY;
        for key in keys.chunks_exact(query.len()) {
            let score = dot(simd, query, key) * scale;
            highest = highest.max(score);
            scores.push(score);
        }
        let mut sum = 0.0;
        for score in scores.iter_mut() {
            *score = (*score - highest).exp();
            sum += *score;
        }
        let share = 1.0 / sum;
        scores.iter_mut().for_each(|score| *score *= share);
        weigh(simd, scores, values, context);
    }
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let ((a, a_odd), (b, b_odd)) = (a.as_chunks::<TOGETHER>(), b.as_chunks::<TOGETHER>());
    let mut sums = [simd.splat_f32s(0.0); TOGETHER];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = multiply_add(simd, *a, *b, *sum);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_odd).zip(b_odd) {
        *sum = multiply_add(simd, *a, *b, *sum);
    }
    let [first, second, third, fourth] = sums;
    let sum = simd.add_f32s(simd.add_f32s(first, second), simd.add_f32s(third, fourth));
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    simd.reduce_sum_f32s(sum) + rest
}

/// The sum of rows, each times its weight.
#[inline(always)]
fn weigh<S: Simd>(simd: S, weights: &[f32], rows: &[f32], out: &mut [f32]) {
    let width = out.len();
    let block = IN_REGISTERS * (size_of::<S::f32s>() / size_of::<f32>());
    for (index, out) in out.chunks_mut(block).enumerate() {
        let columns = index * block..index * block + out.len();
        let mut sums = [simd.splat_f32s(0.0); IN_REGISTERS];
        let rest_at = out.len() - S::as_simd_f32s(out).1.len();
        out[rest_at..].fill(0.0);
        for (weight, row) in weights.iter().zip(rows.chunks_exact(width)) {
            let (values, rest) = S::as_simd_f32s(&row[columns.clone()]);
            let spread = simd.splat_f32s(*weight);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = multiply_add(simd, spread, *value, *sum);
            }
            out[rest_at..].iter_mut().zip(rest).for_each(|(out, value)| *out += weight * value);
        }
        S::as_mut_simd_f32s(out).0.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum);
    }
}

/// `a * b + c`, in one rounding where the machine can.
#[inline(always)]
pub(super) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if S::IS_SCALAR {
        // Without the instruction a fused step is a slow library call.
        return simd.add_f32s(simd.mul_f32s(a, b), c);
    }
    simd.mul_add_f32s(a, b, c)
}
