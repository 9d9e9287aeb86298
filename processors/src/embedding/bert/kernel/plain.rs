//! Any machine: the definition, in a form that a compiler makes fast.

use std::ops::Range;

use super::{Numbers, Quad, Sums, Tile};
use crate::embedding::bert::{levels::Scale, panel::WIDTH};

/// See [`super::Kernel::split`].
pub(super) fn split(numbers: Numbers<'_>, panels: Range<usize>, scale: Scale, out: &mut [Quad]) {
    /// 1.5 * 2^23: adding it rounds, and the last bits then count ones, also from a little below zero.
    const ONES: f32 = 12_582_912.0;
    let steps = 1.0 / scale.step;
    let first = numbers.row.min(out.len());
    let mut quads = out[first..].iter_mut().step_by(numbers.rows);
    for panel in panels {
        let bytes = numbers.of(panel).map(|number| ((number - scale.low) * steps + ONES).to_bits() as u8);
        for (bytes, quad) in bytes.as_chunks().0.iter().zip(quads.by_ref()) {
            *quad = *bytes;
        }
    }
}

/// See [`super::Kernel::sums`].
pub(super) fn sums(tile: Tile<'_>, sums: &mut Sums) {
    for (row, out) in sums.iter_mut().take(tile.rows).enumerate() {
        for (right, out) in tile.right.iter().zip(out) {
            let mut sums = [0_i32; WIDTH];
            for (left, right) in tile.left[row.min(tile.left.len())..].iter().step_by(tile.rows).zip(*right) {
                let left = left.map(i32::from);
                for (sum, right) in sums.iter_mut().zip(&right.0) {
                    *sum += left.iter().zip(right).map(|(left, right)| left * i32::from(*right)).sum::<i32>();
                }
            }
            *out = sums.map(|sum| sum as f32);
        }
    }
}
