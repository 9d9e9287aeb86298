//! Weights in steps of 16 bits, and their product with floats.
//!
//! Half the memory of floats, so a question, which reads every weight for a dozen word pieces, evicts half as much from the caches.
//! An error of one part in 65,000 of an output's largest weight moves a vector by a cosine of about 1e-8; sums stay in 32-bit floats.

use pulp::Arch;

use super::panel::{Finish, InVectors, Panels, Product, Row, SteppedRow, UnpackedRow, WIDTH};

/// From this many rows on, unpacking a panel once costs less than unpacking it for every few rows. The numbers, and so
/// the results, are the same.
const TALL: usize = 24;

/// The weights of a layer, with one step size for each output.
pub(super) struct SteppedWeights {
    /// For each panel of outputs, one row for each input.
    rows: Vec<SteppedRow>,
    /// What a step of each output's weights is worth: one row for each panel of outputs.
    steps: Vec<Row>,
    bias: Vec<Row>,
    inputs: usize,
}

impl SteppedWeights {
    /// Packs one row of weights for each output, and their bias. The number of outputs is a multiple of sixteen.
    pub(super) fn pack(rows: &[Vec<f32>], bias: &[Row]) -> Self {
        let inputs = rows.first().map_or(0, Vec::len);
        let steps: Vec<f32> = rows.iter().map(|row| step(row)).collect();
        let mut packed = Vec::with_capacity(rows.len() / WIDTH * inputs);
        for (rows, steps) in rows.chunks(WIDTH).zip(steps.chunks(WIDTH)) {
            packed.extend(
                (0..inputs).map(|input| SteppedRow::pack(&std::array::from_fn(|row| rows[row][input] / steps[row]))),
            );
        }
        Self { rows: packed, steps: steps.as_chunks().0.to_vec(), bias: bias.to_vec(), inputs }
    }

    /// Writes one panel, of as many rows as `left` has. `unpacked` is kept between calls to save its memory.
    pub(super) fn multiply(
        &self,
        left: Panels<'_>,
        panel: usize,
        finish: Finish,
        arch: Arch,
        unpacked: &mut Vec<UnpackedRow>,
        out: &mut [Row],
    ) {
        let right = &self.rows[panel * self.inputs..][..self.inputs];
        let (window, scale, bias) = (0..left.height(), self.steps[panel], self.bias[panel]);
        if left.height() < TALL {
            return Product { left, window, right, scale, bias, finish, out }.compute(arch);
        }
        unpacked.resize(self.inputs, UnpackedRow::ZERO);
        SteppedRow::unpack(right, unpacked, arch);
        Product { left, window, right: unpacked, scale, bias, finish, out }.compute(arch);
    }
}

/// The step with which the largest of an output's weights takes the most steps.
fn step(weights: &[f32]) -> f32 {
    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    // An output whose weights are all zero has no steps to divide by.
    if largest > 0.0 { largest / SteppedRow::MOST_STEPS } else { 1.0 }
}
