//! A residual sum followed by layer normalisation.

use candle_core::{Result, Tensor, bail};
use pulp::{Arch, Simd};

use super::panel::{InVectors, Panels, Row, WIDTH, load, multiply_add, total};

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
        Forward { norm: self, x, out: residual }.compute(self.arch);
    }
}

struct Forward<'a, 'out> {
    norm: &'a Norm,
    x: Panels<'a>,
    /// The residual, and then the result.
    out: &'out mut [Row],
}

impl InVectors for Forward<'_, '_> {
    #[inline(always)]
    fn in_vectors<S: Simd, const VECTORS: usize>(mut self, simd: S) {
        let height = self.x.height();
        for token in 0..height {
            self.normalise::<S, VECTORS>(simd, token, height);
        }
    }
}

impl Forward<'_, '_> {
    #[inline(always)]
    fn normalise<S: Simd, const VECTORS: usize>(&mut self, simd: S, token: usize, height: usize) {
        let norm = self.norm;
        let features = (norm.gain.len() * WIDTH) as f32;
        let mut sums = [simd.splat_f32s(0.0); VECTORS];
        for panel in 0..norm.gain.len() {
            let x = load::<S, VECTORS>(simd, &self.x.panel(panel, token..token + 1)[0]);
            let out = S::as_mut_simd_f32s(&mut self.out[panel * height + token]).0;
            for index in 0..VECTORS {
                out[index] = simd.add_f32s(x[index], out[index]);
                sums[index] = simd.add_f32s(sums[index], out[index]);
            }
        }
        let mean = simd.splat_f32s(total::<S, VECTORS>(sums) / features);

        // Two passes: the difference of two large sums would lose what the deviation is made of.
        let mut squares = [simd.splat_f32s(0.0); VECTORS];
        for row in self.out[token..].iter_mut().step_by(height) {
            let out = S::as_mut_simd_f32s(row).0;
            for index in 0..VECTORS {
                out[index] = simd.sub_f32s(out[index], mean);
                squares[index] = multiply_add(simd, out[index], out[index], squares[index]);
            }
        }
        let deviation = (total::<S, VECTORS>(squares) / features + norm.epsilon).sqrt();
        let scale = simd.splat_f32s(1.0 / deviation);

        for (panel, row) in self.out[token..].iter_mut().step_by(height).enumerate() {
            let gain = load::<S, VECTORS>(simd, &norm.gain[panel]);
            let bias = load::<S, VECTORS>(simd, &norm.bias[panel]);
            let out = S::as_mut_simd_f32s(row).0;
            for index in 0..VECTORS {
                out[index] = multiply_add(simd, simd.mul_f32s(out[index], scale), gain[index], bias[index]);
            }
        }
    }
}
