//! Weights as bytes, and their product with levels.
//!
//! Owns: the layout in which kernels read weights, and what becomes of their sums.
//! Promises: as `panel`: an element depends on its row alone, not on the block that it falls into, the thread or the machine.

use std::ops::Range;

use pulp::Simd;

use super::elementary::gelu;
use super::kernel::{Kernel, PartSums, WeightQuads};
use super::levels::{Levels, TokenLevels};
use super::panel::{Finish, InVectors, Row, WIDTH, load, multiply_add};

/// The most steps of a weight either side of zero.
const MOST_STEPS: f32 = 127.0;

/// The weights of a layer, with one step size for each output.
pub(super) struct ByteWeights {
    /// For each panel of outputs, one for each four inputs.
    quads: Vec<WeightQuads>,
    /// For each panel of outputs.
    columns: Vec<Columns>,
    /// Quads of inputs with coarse levels, as a kernel takes them.
    coarse: usize,
    /// Quads of inputs, as a kernel takes them.
    depth: usize,
    kernel: Kernel,
}

/// What the sums of a panel of outputs are worth.
#[derive(Debug, Clone, Copy)]
struct Columns {
    fine: Part,
    coarse: Part,
    bias: Row,
}

/// The weights of some of the inputs.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// A step of each output's weights.
    steps: Row,
    /// The sum of each output's weights: what the lowest number of all inputs counts.
    total: Row,
}

impl ByteWeights {
    /// Packs one row of weights for each output, and their bias, for a kernel; the first `coarse` inputs have coarse levels. The
    /// numbers of outputs and of inputs are multiples of sixteen.
    pub(super) fn pack(rows: &[Vec<f32>], bias: &[Row], coarse: usize, kernel: Kernel) -> Self {
        let inputs = rows.first().map_or(0, Vec::len);
        let of_coarse = kernel.depth(coarse / 4);
        let depth = of_coarse + kernel.depth((inputs - coarse) / 4);
        let quads = Vec::with_capacity(rows.len() / WIDTH * depth);
        let mut packed = Self { quads, columns: Vec::new(), coarse: of_coarse, depth, kernel };
        for (rows, bias) in rows.chunks_exact(WIDTH).zip(bias) {
            let part = packed.pack_part(rows, 0..coarse);
            let fine = packed.pack_part(rows, coarse..inputs);
            packed.columns.push(Columns { fine, coarse: part, bias: *bias });
        }
        packed
    }

    /// Packs these inputs of a panel's outputs.
    fn pack_part(&mut self, rows: &[Vec<f32>], inputs: Range<usize>) -> Part {
        let steps: Row = std::array::from_fn(|row| step(&rows[row][inputs.clone()]));
        let weight = |row: usize, input: usize| (rows[row][input] / steps[row]).round() as i8;
        self.quads.extend(inputs.clone().step_by(4).map(|first| {
            WeightQuads(std::array::from_fn(|row| std::array::from_fn(|part| weight(row, first + part))))
        }));
        let missing = self.kernel.depth(inputs.len() / 4) - inputs.len() / 4;
        self.quads.extend(std::iter::repeat_n(WeightQuads::ZERO, missing));
        let total = |row: usize| inputs.clone().map(|input| i32::from(weight(row, input))).sum::<i32>() as f32;
        Part { steps, total: std::array::from_fn(|row| steps[row] * total(row)) }
    }

    /// Panels of outputs.
    pub(super) fn panels(&self) -> usize {
        self.columns.len()
    }

    /// Writes the panels `first` and, as far as `out` and the layer have it, the next: as many rows each as there are tokens. The
    /// levels are the kernel's; what `sums` holds before and after means nothing.
    pub(super) fn multiply(&self, levels: &Levels, first: usize, finish: Finish, sums: &mut PartSums, out: &mut [Row]) {
        let panel = |index: usize| &self.quads[index * self.depth..][..self.depth];
        // Where there is no second one the first is computed twice.
        let second = (first + 1).min(self.panels() - 1);
        let (arch, height) = (self.kernel.arch(), levels.height());
        let kernel = self.kernel.ready();
        for (tile, coarse, fine) in levels.tiles() {
            let [of_coarse, of_fine] = &mut *sums;
            let right = [panel(first), panel(second)].map(|quads| quads.split_at(self.coarse));
            if self.coarse > 0 {
                kernel.sums(coarse, tile.len(), right.map(|(coarse, _)| coarse), of_coarse);
            }
            kernel.sums(fine, tile.len(), right.map(|(_, fine)| fine), of_fine);
            for (index, out) in out.chunks_exact_mut(height).enumerate() {
                let (columns, tokens) = (&self.columns[first + index], levels.tokens(tile.clone()));
                let out = &mut out[tile.clone()];
                Finished { sums, index, columns, tokens, finish, out }.compute(arch);
            }
        }
    }
}

/// The step with which the largest of an output's weights takes the most steps.
fn step(weights: &[f32]) -> f32 {
    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    if largest > 0.0 { largest / MOST_STEPS } else { 1.0 }
}

/// What becomes of the sums of a panel within a tile.
struct Finished<'a, 'out> {
    /// Of the coarse inputs, and of the fine ones.
    sums: &'a PartSums,
    /// Which of the tile's panels.
    index: usize,
    columns: &'a Columns,
    tokens: &'a [TokenLevels],
    finish: Finish,
    out: &'out mut [Row],
}

impl InVectors for Finished<'_, '_> {
    #[inline(always)]
    fn in_vectors<S: Simd, const VECTORS: usize>(self, simd: S) {
        let Columns { fine, coarse, bias } = self.columns;
        let bias = load::<S, VECTORS>(simd, bias);
        let (fine_steps, fine_total) = (load::<S, VECTORS>(simd, &fine.steps), load::<S, VECTORS>(simd, &fine.total));
        let (coarse_steps, coarse_total) =
            (load::<S, VECTORS>(simd, &coarse.steps), load::<S, VECTORS>(simd, &coarse.total));
        let [of_coarse, of_fine] = self.sums;
        for (row, (token, out)) in self.tokens.iter().zip(self.out).enumerate() {
            let of_coarse = load::<S, VECTORS>(simd, &of_coarse[row][self.index]);
            let of_fine = load::<S, VECTORS>(simd, &of_fine[row][self.index]);
            let (coarse_low, coarse_step) = (simd.splat_f32s(token.coarse.low), simd.splat_f32s(token.coarse.step));
            let (fine_low, fine_step) = (simd.splat_f32s(token.fine.low), simd.splat_f32s(token.fine.step));
            let (out, _) = S::as_mut_simd_f32s(out);
            for index in 0..VECTORS {
                let value = multiply_add(simd, coarse_low, coarse_total[index], bias[index]);
                let value = multiply_add(simd, fine_low, fine_total[index], value);
                let weighed = simd.mul_f32s(of_coarse[index], coarse_steps[index]);
                let value = multiply_add(simd, weighed, coarse_step, value);
                let weighed = simd.mul_f32s(of_fine[index], fine_steps[index]);
                let value = multiply_add(simd, weighed, fine_step, value);
                out[index] = match self.finish {
                    Finish::Plain => value,
                    Finish::Gelu => gelu(simd, value),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::panel::Panels;
    use super::super::spread::Spread;
    use super::*;

    #[test]
    fn products_are_those_of_the_numbers_within_their_steps_for_every_kernel() {
        let (panels, outputs) = (4, 3 * WIDTH);
        let value = |index: usize| ((index * 7919) % 1009) as f32 / 500.0 - 1.0;
        let weights: Vec<Vec<f32>> =
            (0..outputs).map(|row| (0..panels * WIDTH).map(|input| value(row * 97 + input * 3)).collect()).collect();
        let bias: Vec<Row> = (0..3).map(|panel| std::array::from_fn(|column| value(panel * 16 + column))).collect();
        for height in [1, 12, 13, 41] {
            let large = |row: usize| if row < height { 40.0 } else { 1.0 };
            let left: Vec<Row> =
                (0..panels * height).map(|row| std::array::from_fn(|k| large(row) * value(row * WIDTH + k))).collect();
            for kernel in Kernel::tried() {
                let packed = ByteWeights::pack(&weights, &bias, WIDTH, kernel);
                let levels = Levels::of(Panels::new(&left, height), panels, 1, kernel, Spread::OneThread);
                let mut out = vec![[0.0; WIDTH]; 3 * height];
                for (pair, out) in out.chunks_mut(2 * height).enumerate() {
                    packed.multiply(&levels, pair * 2, Finish::Plain, &mut levels.part_sums(), out);
                }
                for (place, row) in out.iter().enumerate() {
                    let (panel, token) = (place / height, place % height);
                    for (column, found) in row.iter().enumerate() {
                        let output = panel * WIDTH + column;
                        let of = |input: usize| {
                            left[(input / WIDTH) * height + token][input % WIDTH] * weights[output][input]
                        };
                        let expected = bias[panel][column] + (0..panels * WIDTH).map(of).sum::<f32>();
                        // Sixteen numbers in steps of 80/255 and all weights in steps of 1/127, off by a quarter of a step on average.
                        assert!((found - expected).abs() < 2.5, "{kernel}, {height}: {found}, not {expected}");
                    }
                }
            }
        }
    }
}
