//! A matrix of weights, and its product with rows of numbers.
//!
//! Owns: how weights lie in memory. Whatever blocks a file has, here they are integers of 8 bits with one step size for
//! 32 of them, which is what 8-bit files have; the error is at most a 254th of the largest of the 32, a sixteenth of that
//! of a 4-bit file. Files in 32-bit floats, which only tests have, and rows that are no multiple of 64 become floats.
//! Promises: a row's product does not depend on the rows beside it, nor on how many threads share the work, but for the
//! last bits between one row and many.
//!
//! candle's kernels for its blocks are not used. They split each product over threads of their own, as many as the
//! machine has cores, which spin until the last is done: beside other work, where one of them always waits for its
//! turn, they were measured to be five times slower. They also have none but scalar loops for some kinds of blocks.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::attention::multiply_add;

/// Weights that lie together.
const GROUP: usize = 64;

/// Words that they lie in, as many as the widest register has: the word `n` holds the weights `n`, `n + 16`, `n + 32` and
/// `n + 48`, so that one shift of a register gives as many neighbours.
const WORDS: usize = GROUP / 4;

/// Weights that share a step.
const BLOCK: usize = GROUP / 2;

/// The most steps either side of zero.
const MOST_STEPS: f32 = 127.0;

/// What is added to a number of steps, so that it is a byte.
const OFFSET: f32 = 128.0;

/// The bits of the float 2^23, whose last bits count ones.
const ONES: u32 = 0x4B00_0000;

/// Rows of weights that are multiplied together.
const PANEL: usize = 4;

/// Rows of numbers that are multiplied together: with four rows of weights, twelve sums, which with their operands fit in
/// the 16 registers of most machines.
const TOGETHER: usize = 3;

/// Rows that are read from a file's blocks at once, so that a vocabulary is never in memory as floats.
const ROWS_READ: usize = 256;

/// Weights that are worth a second thread.
const LEAST_TOGETHER: usize = 64 * 1024;

/// A matrix, ready to be multiplied.
pub(super) struct Matrix {
    columns: usize,
    weights: Weights,
}

enum Weights {
    Exact(Vec<f32>),
    Stepped(Vec<Group>),
}

/// Weights of a row, as whole steps.
#[derive(Clone, Copy)]
struct Group {
    steps: [f32; GROUP / BLOCK],
    words: [u32; WORDS],
}

impl Matrix {
    /// Takes over a tensor of two dimensions, in the threads of the current pool.
    ///
    /// # Errors
    /// candle cannot read the tensor's blocks.
    pub(super) fn new(tensor: &QTensor) -> Result<Self> {
        let (rows, columns) = tensor.shape().dims2()?;
        if tensor.dtype() == GgmlDType::F32 || columns % GROUP != 0 {
            let weights = tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?;
            return Ok(Self { columns, weights: Weights::Exact(weights) });
        }
        let mut groups = vec![Group { steps: [0.0; 2], words: [0; WORDS] }; rows * columns / GROUP];
        let parts = groups.par_chunks_mut(ROWS_READ * columns / GROUP).enumerate();
        parts.try_for_each(|(part, groups)| {
            let first = part * ROWS_READ;
            let ids: Vec<u32> = (first..rows.min(first + ROWS_READ)).map(|row| row as u32).collect();
            let ids = Tensor::from_slice(&ids, ids.len(), &Device::Cpu)?;
            let weights: Vec<f32> = tensor.embedding(&ids)?.flatten_all()?.to_vec1()?;
            for (group, weights) in groups.iter_mut().zip(weights.as_chunks().0) {
                *group = Group::of(weights);
            }
            candle_core::Result::Ok(())
        })?;
        Ok(Self { columns, weights: Weights::Stepped(groups) })
    }

    /// How many rows it has, and numbers a row of a product.
    pub(super) fn rows(&self) -> usize {
        match &self.weights {
            Weights::Exact(weights) => weights.len() / self.columns,
            Weights::Stepped(groups) => groups.len() * GROUP / self.columns,
        }
    }

    /// A row of it. Nothing when there is no such row.
    pub(super) fn row(&self, row: usize) -> Option<Vec<f32>> {
        if row >= self.rows() {
            return None;
        }
        let mut out = vec![0.0; self.columns];
        Arch::new().dispatch(Unpack { matrix: self, start: row * self.columns, out: &mut out });
        Some(out)
    }

    /// The product of each row of `x`: as many numbers as the matrix has rows. Uses the threads of the current pool.
    pub(super) fn times(&self, x: &[f32]) -> Vec<f32> {
        let (rows, height) = (self.rows(), x.len() / self.columns);
        let mut products = vec![0.0; rows * height];
        let least = LEAST_TOGETHER.div_ceil(PANEL * self.columns * height);
        let panels = products.par_chunks_mut(PANEL * height).enumerate().with_min_len(least);
        let arch = Arch::new();
        panels.for_each_init(Vec::new, |scratch, (panel, products)| {
            arch.dispatch(Panel { matrix: self, x, first: panel * PANEL, height, scratch, products });
        });
        if height > 1 { transposed(&products, height) } else { products }
    }

    /// Writes weights as floats, from a place that begins a group on.
    #[inline(always)]
    fn unpack<S: Simd>(&self, simd: S, start: usize, out: &mut [f32]) {
        match &self.weights {
            Weights::Exact(weights) => out.copy_from_slice(&weights[start..start + out.len()]),
            Weights::Stepped(groups) => {
                for (group, out) in groups[start / GROUP..].iter().zip(out.as_chunks_mut::<GROUP>().0) {
                    group.unpack(simd, out);
                }
            }
        }
    }
}

impl Group {
    /// Rounds weights to whole steps.
    fn of(weights: &[f32; GROUP]) -> Self {
        // Adding it rounds to a whole number and leaves that in the low bits, with the offset: 1.5 * 2^23 and 128.
        const ROUNDING: f32 = 12_582_912.0 + OFFSET;
        let mut group = Self { steps: [0.0; 2], words: [0; WORDS] };
        let (blocks, _) = weights.as_chunks::<BLOCK>();
        for (step, block) in group.steps.iter_mut().zip(blocks) {
            let largest = block.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
            // What is no number must not become one: the step carries it into every product.
            *step = if block.iter().all(|weight| weight.is_finite()) { largest / MOST_STEPS } else { f32::NAN };
        }
        for (place, weight) in weights.iter().enumerate() {
            let step = group.steps[place / BLOCK];
            let steps = if step > 0.0 { weight / step } else { 0.0 };
            group.words[place % WORDS] |= ((steps + ROUNDING).to_bits() & 0xFF) << (place / WORDS * 8);
        }
        group
    }

    // No closure and no iterator adapter that computes here and below: a call that is not inlined loses the registers.
    #[inline(always)]
    fn unpack<S: Simd>(&self, simd: S, out: &mut [f32; GROUP]) {
        let (words, _) = S::as_simd_u32s(&self.words);
        let (out, _) = S::as_mut_simd_f32s(out);
        let ones = simd.splat_u32s(ONES);
        let zero = simd.splat_f32s(f32::from_bits(ONES) + OFFSET);
        for place in 0..words.len() {
            for byte in 0..4 {
                let steps = simd.wrapping_dyn_shr_u32s(words[place], simd.splat_u32s(byte as u32 * 8));
                let steps = simd.or_u32s(simd.and_u32s(steps, simd.splat_u32s(0xFF)), ones);
                let steps = simd.sub_f32s(simd.transmute_f32s_u32s(steps), zero);
                out[byte * words.len() + place] = simd.mul_f32s(steps, simd.splat_f32s(self.steps[byte / 2]));
            }
        }
    }
}

/// Weights as floats.
struct Unpack<'a> {
    matrix: &'a Matrix,
    start: usize,
    out: &'a mut [f32],
}

impl WithSimd for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.matrix.unpack(simd, self.start, self.out);
    }
}

/// Rows of as many numbers as there were rows before.
fn transposed(columns: &[f32], height: usize) -> Vec<f32> {
    /// Numbers of a row that are gathered at once: those of all rows of columns then stay in the cache.
    const STRIP: usize = 16;
    let width = columns.len() / height;
    let mut rows = vec![0.0; columns.len()];
    rows.par_chunks_mut(STRIP * width).enumerate().for_each(|(strip, rows)| {
        for (column, numbers) in columns.chunks_exact(height).enumerate() {
            for (row, number) in rows.chunks_exact_mut(width).zip(&numbers[strip * STRIP..]) {
                row[column] = *number;
            }
        }
    });
    rows
}

/// Up to four rows of weights with all rows of numbers.
struct Panel<'a> {
    matrix: &'a Matrix,
    x: &'a [f32],
    /// The first row of weights.
    first: usize,
    /// Rows of numbers.
    height: usize,
    scratch: &'a mut Vec<f32>,
    /// For each row of weights, its products with all rows of numbers.
    products: &'a mut [f32],
}

impl WithSimd for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { matrix, x, first, height, scratch, products } = self;
        let columns = matrix.columns;
        // Rows past the last stay zero, and their products are not kept.
        scratch.resize(PANEL * columns, 0.0);
        let kept = products.len() / height;
        matrix.unpack(simd, first * columns, &mut scratch[..kept * columns]);
        let mut place = 0;
        while place + TOGETHER <= height {
            let sums = dots::<S, TOGETHER>(simd, &x[place * columns..], scratch, columns);
            for (row, sums) in sums.iter().enumerate() {
                keep(products, height, place + row, sums);
            }
            place += TOGETHER;
        }
        while place < height {
            let [sums] = dots::<S, 1>(simd, &x[place * columns..], scratch, columns);
            keep(products, height, place, &sums);
            place += 1;
        }
    }
}

#[inline(always)]
fn keep(products: &mut [f32], height: usize, place: usize, sums: &[f32; PANEL]) {
    for (products, sum) in products.chunks_exact_mut(height).zip(sums) {
        products[place] = *sum;
    }
}

/// The products of the first rows of numbers with a panel.
#[inline(always)]
fn dots<S: Simd, const ROWS: usize>(simd: S, x: &[f32], weights: &[f32], columns: usize) -> [[f32; PANEL]; ROWS] {
    let mut x_rows = [&x[..0]; ROWS];
    for (row, x_row) in x_rows.iter_mut().enumerate() {
        *x_row = &x[row * columns..][..columns];
    }
    let mut weight_rows = [&weights[..0]; PANEL];
    for (row, weight_row) in weight_rows.iter_mut().enumerate() {
        *weight_row = &weights[row * columns..][..columns];
    }
    let count = columns / S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); PANEL]; ROWS];
    let mut x_vectors = [S::as_simd_f32s(x_rows[0]).0; ROWS];
    let mut weight_vectors = [S::as_simd_f32s(weight_rows[0]).0; PANEL];
    for row in 0..ROWS {
        x_vectors[row] = &S::as_simd_f32s(x_rows[row]).0[..count];
    }
    for row in 0..PANEL {
        weight_vectors[row] = &S::as_simd_f32s(weight_rows[row]).0[..count];
    }
    for place in 0..count {
        for column in 0..PANEL {
            let weight = weight_vectors[column][place];
            for row in 0..ROWS {
                sums[row][column] = multiply_add(simd, x_vectors[row][place], weight, sums[row][column]);
            }
        }
    }
    let mut products = [[0.0; PANEL]; ROWS];
    for row in 0..ROWS {
        for column in 0..PANEL {
            let mut product = simd.reduce_sum_f32s(sums[row][column]);
            for place in count * S::F32_LANES..columns {
                product += x_rows[row][place] * weight_rows[column][place];
            }
            products[row][column] = product;
        }
    }
    products
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|place| ((place * 37 + place * place % 101) % 200) as f32 / 100.0 - 1.0).collect()
    }

    fn matrix(rows: usize, columns: usize, kind: GgmlDType) -> (Matrix, Vec<f32>) {
        let tensor = Tensor::from_vec(numbers(rows * columns), (rows, columns), &Device::Cpu).expect("the sizes fit");
        let tensor = QTensor::quantize(&tensor, kind).expect("rows are whole blocks");
        let weights = tensor.dequantize(&Device::Cpu).and_then(|tensor| tensor.flatten_all()?.to_vec1());
        (Matrix::new(&tensor).expect("it is sound"), weights.expect("it is sound"))
    }

    /// Compares with the definition, in 64 bits. The error may be `error` for each number.
    fn check(rows: usize, columns: usize, height: usize, kind: GgmlDType, error: f64) {
        let (matrix, weights) = matrix(rows, columns, kind);
        assert_eq!((matrix.rows(), matrix.columns), (rows, columns));
        let x = numbers(height * columns);
        let products = matrix.times(&x);
        assert_eq!(products.len(), height * rows);
        for (place, product) in products.iter().enumerate() {
            let (x, weights) = (&x[place / rows * columns..][..columns], &weights[place % rows * columns..][..columns]);
            let expected: f64 = x.iter().zip(weights).map(|(x, weight)| f64::from(*x) * f64::from(*weight)).sum();
            let apart = (f64::from(*product) - expected).abs();
            assert!(apart <= error * columns as f64, "{kind:?} {rows}x{columns}, {height}: {product}, {expected}");
        }
    }

    #[test]
    fn products_are_sums_of_products() {
        for (rows, columns, height) in [(1, 1, 1), (4, 32, 3), (5, 33, 2), (7, 30, 7), (260, 64, 50), (16, 256, 17)] {
            check(rows, columns, height, GgmlDType::F32, 1e-6);
        }
    }

    #[test]
    fn blocks_of_files_are_kept_to_half_a_step() {
        for kind in
            [GgmlDType::F16, GgmlDType::Q8_0, GgmlDType::Q5_0, GgmlDType::Q5_1, GgmlDType::Q4_0, GgmlDType::Q4_1]
        {
            check(5, 192, 4, kind, 0.002);
            check(600, 64, 1, kind, 0.002);
        }
        for kind in [GgmlDType::Q2K, GgmlDType::Q3K, GgmlDType::Q4K, GgmlDType::Q5K, GgmlDType::Q6K] {
            check(9, 512, 5, kind, 0.002);
        }
    }

    #[test]
    fn eight_bits_are_kept_as_they_are() {
        let (matrix, weights) = matrix(600, 64, GgmlDType::Q8_0);
        for row in [0, 255, 256, 599] {
            let kept = matrix.row(row).expect("there is one");
            let apart = kept.iter().zip(&weights[row * 64..]).fold(0.0_f32, |apart, (a, b)| apart.max((a - b).abs()));
            assert!(apart < 1e-3, "{row}: {apart}");
        }
        assert!(matrix.row(600).is_none());
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for wrong in [f32::NAN, f32::INFINITY] {
            let mut weights = numbers(64);
            weights[40] = wrong;
            let tensor = Tensor::from_vec(weights, (1, 64), &Device::Cpu).expect("the sizes fit");
            let tensor = QTensor::quantize(&tensor, GgmlDType::F16).expect("any numbers can be");
            let product = Matrix::new(&tensor).expect("it can be read").times(&[1.0; 64]);
            assert!(product[0].is_nan(), "{product:?}");
        }
    }
}
