//! Any machine: the definition, in a form that a compiler makes fast.

use std::ops::Range;

use super::{MOST_ROWS, Numbers, Quad, Sums, Tile};
use crate::embedding::bert::{levels::Scale, panel::WIDTH};

/// See [`super::Kernel::split`].
pub(super) fn split(numbers: Numbers<'_>, panels: Range<usize>, scale: Scale, out: &mut [Quad]) {
    /// 1.5 * 2^23: adding it rounds, and the last bits then count ones, also from a little below zero.
    const ONES: f32 = 12_582_912.0;
    let steps = 1.0 / scale.step;
    let first = numbers.first().min(out.len());
    let mut quads = out[first..].iter_mut().step_by(numbers.layout.between_quads);
    for panel in panels {
        let bytes = numbers.of(panel).map(|number| ((number - scale.low) * steps + ONES).to_bits() as u8);
        for (bytes, quad) in bytes.as_chunks().0.iter().zip(quads.by_ref()) {
            *quad = *bytes;
        }
    }
}

/// Quads whose sums are whole numbers that a float tells apart: 4 * 32 * 255 * 128 is below 2^24.
const DEEP: usize = 32;

/// See [`super::Ready::sums`], of any layout. In floats, for compilers find vectors of these where they find none of bytes.
pub(super) fn sums(tile: Tile<'_>, sums: &mut Sums) {
    for (panel, right) in tile.right.into_iter().enumerate() {
        let mut totals = [[0_i32; WIDTH]; MOST_ROWS];
        let mut floats = [[[0.0_f32; WIDTH]; 4]; DEEP];
        for (chunk, right) in right.chunks(DEEP).enumerate() {
            for (floats, right) in floats.iter_mut().zip(right) {
                *floats = std::array::from_fn(|part| std::array::from_fn(|column| f32::from(right.0[column][part])));
            }
            for (row, totals) in totals[..tile.rows].iter_mut().enumerate() {
                let mut sums = [0.0_f32; WIDTH];
                for (quad, floats) in tile.quads(row, chunk * DEEP).take(right.len()).zip(&floats) {
                    for (number, weights) in quad.iter().zip(floats) {
                        sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += f32::from(*number) * weight);
                    }
                }
                totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum as i32);
            }
        }
        for (totals, out) in totals[..tile.rows].iter().zip(&mut *sums) {
            out[panel] = totals.map(|total| total as f32);
        }
    }
}
