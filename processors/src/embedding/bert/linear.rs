//! A linear layer whose weights are packed once, when the model is loaded.

use candle_core::{Result, Tensor, bail};

use super::Numerics;
use super::bytes::ByteWeights;
use super::kernel::Kernel;
use super::levels::Levels;
use super::panel::{Finish, Panels, Row, WIDTH};
use super::spread::Spread;
use super::stepped::SteppedWeights;
use crate::embedding::Precision;

/// `finish(x * weights + bias)`.
pub(super) struct Linear {
    weights: Weights,
    /// Panels of inputs.
    inputs: usize,
    /// Panels of outputs.
    outputs: usize,
    finish: Finish,
    kernel: Kernel,
}

enum Weights {
    /// For [`Precision::F32`].
    Stepped(SteppedWeights),
    /// For [`Precision::Int8`], with the panels of inputs that have coarse levels.
    Bytes(ByteWeights, usize),
}

impl Linear {
    /// Packs weights of shape (outputs, inputs), as PyTorch stores them, and a bias of as many outputs. Of the inputs the first
    /// `coarse` panels may be much larger than the others.
    ///
    /// # Errors
    /// The shapes do not fit together, or a side is not a multiple of sixteen.
    pub(super) fn pack(
        weights: &Tensor,
        bias: &Tensor,
        coarse: usize,
        finish: Finish,
        numerics: Numerics,
    ) -> Result<Self> {
        let (outputs, inputs) = weights.dims2()?;
        if bias.dims() != [outputs] || outputs == 0 || outputs % WIDTH != 0 || inputs % WIDTH != 0 {
            bail!("a layer of {outputs} outputs and {inputs} inputs with bias {:?} cannot be packed", bias.dims());
        }
        let (rows, bias) = (weights.to_vec2::<f32>()?, bias.to_vec1::<f32>()?);
        let bias: &[Row] = bias.as_chunks().0;
        let weights = match numerics.precision {
            Precision::F32 => Weights::Stepped(SteppedWeights::pack(&rows, bias)),
            Precision::Int8 => Weights::Bytes(ByteWeights::pack(&rows, bias, coarse * WIDTH, numerics.kernel), coarse),
        };
        Ok(Self { weights, inputs: inputs / WIDTH, outputs: outputs / WIDTH, finish, kernel: numerics.kernel })
    }

    /// Panels of outputs.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Applies the layer to as many panels of activations as it has inputs, and writes all its outputs.
    pub(super) fn forward(&self, left: Panels<'_>, spread: Spread, out: &mut [Row]) {
        let (height, finish, kernel) = (left.height(), self.finish, self.kernel);
        match &self.weights {
            Weights::Stepped(weights) => spread.for_each_chunk(out, height, Vec::new, |unpacked, panel, out| {
                weights.multiply(left, panel, finish, kernel.arch(), unpacked, out);
            }),
            Weights::Bytes(weights, coarse) => {
                let levels = Levels::of(left, self.inputs, *coarse, kernel, spread);
                spread.for_each_chunk(
                    out,
                    2 * height,
                    || levels.part_sums(),
                    |sums, pair, out| {
                        weights.multiply(&levels, 2 * pair, finish, sums, out);
                    },
                );
            }
        }
    }
}
