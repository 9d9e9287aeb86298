//! A residual sum followed by layer normalisation.

use candle_core::{Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

use super::panel::{Panels, Row, WIDTH, multiply_add};

/// `normalise(x + residual) * gain + bias`, over each token's features.
pub(super) struct Norm {
    gain: Vec<Row>,
    bias: Vec<Row>,
    epsilon: f32,
    arch: Arch,
}

impl Norm {
    /// Takes the gain and the bias of as many features each.
    ///
    /// # Errors
    /// They are not vectors of one length that is a multiple of sixteen.
    pub(super) fn new(gain: &Tensor, bias: &Tensor, epsilon: f32, arch: Arch) -> Result<Self> {
        if gain.dims() != bias.dims() || gain.dims1()? % WIDTH != 0 {
            bail!("a normalisation with gain {:?} and bias {:?} is not supported", gain.dims(), bias.dims());
        }
        let rows = |tensor: &Tensor| -> Result<Vec<Row>> { Ok(tensor.to_vec1::<f32>()?.as_chunks().0.to_vec()) };
        Ok(Self { gain: rows(gain)?, bias: rows(bias)?, epsilon, arch })
    }

    /// Puts `normalise(x + residual) * gain + bias` in the place of the residual; both have as many panels as the gain.
    pub(super) fn forward(&self, x: Panels<'_>, residual: &mut [Row]) {
        self.arch.dispatch(Forward { norm: self, x, out: residual });
    }
}

struct Forward<'a, 'out> {
    norm: &'a Norm,
    x: Panels<'a>,
    /// The residual, and then the result.
    out: &'out mut [Row],
}

impl WithSimd for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let height = self.x.height();
        for token in 0..height {
            self.normalise(simd, token, height);
        }
    }
}

impl Forward<'_, '_> {
    #[inline(always)]
    fn normalise<S: Simd>(&mut self, simd: S, token: usize, height: usize) {
        let norm = self.norm;
        let features = (norm.gain.len() * WIDTH) as f32;
        let mut sum = simd.splat_f32s(0.0);
        for panel in 0..norm.gain.len() {
            let x = S::as_simd_f32s(&self.x.panel(panel, token..token + 1)[0]).0;
            let out = S::as_mut_simd_f32s(&mut self.out[panel * height + token]).0;
            for (out, x) in out.iter_mut().zip(x) {
                *out = simd.add_f32s(*x, *out);
                sum = simd.add_f32s(sum, *out);
            }
        }
        let mean = simd.splat_f32s(simd.reduce_sum_f32s(sum) / features);

        // Two passes: the difference of two large sums would lose what the deviation is made of.
        let mut squares = simd.splat_f32s(0.0);
        for row in self.out[token..].iter_mut().step_by(height) {
            for out in S::as_mut_simd_f32s(row).0 {
                *out = simd.sub_f32s(*out, mean);
                squares = multiply_add(simd, *out, *out, squares);
            }
        }
        let deviation = (simd.reduce_sum_f32s(squares) / features + norm.epsilon).sqrt();
        let scale = simd.splat_f32s(1.0 / deviation);

        for (panel, row) in self.out[token..].iter_mut().step_by(height).enumerate() {
            let gain = S::as_simd_f32s(&norm.gain[panel]).0;
            let bias = S::as_simd_f32s(&norm.bias[panel]).0;
            for ((out, gain), bias) in S::as_mut_simd_f32s(row).0.iter_mut().zip(gain).zip(bias) {
                *out = multiply_add(simd, simd.mul_f32s(*out, scale), *gain, *bias);
            }
        }
    }
}
