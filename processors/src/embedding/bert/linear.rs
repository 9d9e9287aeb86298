//! A linear layer whose weights are packed once, when the model is loaded.
//!
//! Weights become integers of 16 bits, with one step size for each output: half the memory, and a question, which reads
//! every weight for a dozen word pieces, evicts half as much from the caches. An error of one part in 65,000 of an
//! output's largest weight moves a vector by a cosine of about 1e-8; sums stay in 32-bit floats.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use pulp::Arch;

use super::operand;
use super::panel::{ExactRow, Finish, Product, Row, SteppedRow, WIDTH};
use super::spread::Spread;

/// From this many rows on, unpacking a panel once costs less than unpacking it for every six rows. The numbers, and so
/// the results, are the same.
const TALL: usize = 24;

/// `finish(x * weights + bias)`.
pub(super) struct Linear {
    /// For each panel of outputs, one row for each input.
    weights: Vec<SteppedRow>,
    /// What a step of each output's weights is worth: one row for each panel of outputs.
    steps: Vec<Row>,
    bias: Vec<Row>,
    inputs: usize,
    finish: Finish,
    arch: Arch,
}

impl Linear {
    /// Packs weights of shape (outputs, inputs), as PyTorch stores them, and a bias of as many outputs.
    ///
    /// # Errors
    /// The shapes do not fit together, or a side is not a multiple of sixteen.
    pub(super) fn pack(weights: &Tensor, bias: &Tensor, finish: Finish) -> Result<Self> {
        let (outputs, inputs) = weights.dims2()?;
        if bias.dims() != [outputs] || outputs % WIDTH != 0 || inputs % WIDTH != 0 {
            bail!("a layer of {outputs} outputs and {inputs} inputs with bias {:?} cannot be packed", bias.dims());
        }
        let rows = weights.to_vec2::<f32>()?;
        let steps: Vec<f32> = rows.iter().map(|row| step(row)).collect();
        let mut packed = Vec::with_capacity(outputs / WIDTH * inputs);
        for (rows, steps) in rows.chunks(WIDTH).zip(steps.chunks(WIDTH)) {
            packed.extend(
                (0..inputs).map(|input| SteppedRow::pack(&std::array::from_fn(|row| rows[row][input] / steps[row]))),
            );
        }
        let bias = bias.to_vec1::<f32>()?.as_chunks().0.to_vec();
        Ok(Self { weights: packed, steps: steps.as_chunks().0.to_vec(), bias, inputs, finish, arch: Arch::new() })
    }

    /// Applies the layer to activations of shape (inputs / 16, tokens, 16).
    pub(super) fn forward(&self, x: &Tensor, spread: Spread) -> Result<Tensor> {
        x.apply_op1_no_bwd(&Forward { layer: self, spread })
    }
}

/// The step with which the largest of an output's weights takes the most steps.
fn step(weights: &[f32]) -> f32 {
    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    // An output whose weights are all zero has no steps to divide by.
    if largest > 0.0 { largest / SteppedRow::MOST_STEPS } else { 1.0 }
}

struct Forward<'a> {
    layer: &'a Linear,
    spread: Spread,
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "packed-linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Linear { weights, steps, bias, inputs, finish, arch } = self.layer;
        let (left, panels) = operand::panels(storage, layout)?;
        if panels * WIDTH != *inputs {
            bail!("a layer of {inputs} inputs was given {}", panels * WIDTH);
        }
        Ok(operand::storage(bias.len(), left.height(), |out| {
            self.spread.for_each_chunk(out, left.height(), Vec::new, |exact: &mut Vec<ExactRow>, panel, out| {
                let right = &weights[panel * inputs..][..*inputs];
                let (window, scale, bias, finish) = (0..left.height(), steps[panel], bias[panel], *finish);
                if left.height() < TALL {
                    return Product { left, window, right, scale, bias, finish, out }.compute(*arch);
                }
                exact.resize(*inputs, ExactRow::ZERO);
                SteppedRow::unpack(right, exact, *arch);
                Product { left, window, right: exact, scale, bias, finish, out }.compute(*arch);
            });
        }))
    }
}
