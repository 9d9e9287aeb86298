//! A linear layer whose weights are packed once, when the model is loaded.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use pulp::Arch;

use super::operand;
use super::panel::{Finish, PackedRow, Product, Row, WIDTH};
use super::spread::Spread;

/// `finish(x * weights + bias)`.
pub(super) struct Linear {
    /// For each panel of outputs, one row for each input.
    weights: Vec<PackedRow>,
    /// One row for each panel of outputs.
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
        // The transposed tensor is read through its strides; (outputs / 16, inputs, 16) is what the product walks.
        let packed = weights.reshape((outputs / WIDTH, WIDTH, inputs))?.transpose(1, 2)?.flatten_all()?;
        let weights = packed.to_vec1::<f32>()?.as_chunks().0.iter().map(|row| PackedRow(*row)).collect();
        let bias = bias.to_vec1::<f32>()?.as_chunks().0.to_vec();
        Ok(Self { weights, bias, inputs, finish, arch: Arch::new() })
    }

    /// Applies the layer to activations of shape (inputs / 16, tokens, 16).
    pub(super) fn forward(&self, x: &Tensor, spread: Spread) -> Result<Tensor> {
        x.apply_op1_no_bwd(&Forward { layer: self, spread })
    }
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
        let Linear { weights, bias, inputs, finish, arch } = self.layer;
        let (left, panels) = operand::panels(storage, layout)?;
        if panels * WIDTH != *inputs {
            bail!("a layer of {inputs} inputs was given {}", panels * WIDTH);
        }
        Ok(operand::storage(bias.len(), left.height(), |out| {
            self.spread.for_each_chunk(out, left.height(), |panel, out| {
                let right = &weights[panel * inputs..][..*inputs];
                Product { left, window: 0..left.height(), right, start: bias[panel], finish: *finish, out }
                    .compute(*arch);
            });
        }))
    }
}
