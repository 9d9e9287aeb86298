//! Panels: a matrix kept as groups of sixteen columns, and the one product everything else is made of.
//!
//! Owns: the layout `[columns / 16][rows][16]` that weights and activations share, and the register-blocked product.
//! Promises: an element of a product is summed over the depth in one fixed order, whatever the number of rows, the
//! block it falls into or the thread that computes it. A text's vector therefore does not depend on its neighbours.
//! Never: allocates, or starts a thread.
//!
//! Why not the general matrix product of candle: it repacks the weights on every call. Packed once, a short question
//! reads each weight once and writes nothing but its result.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::elementary::gelu;

/// Columns in a panel: two AVX2 registers, four of NEON.
pub(super) const WIDTH: usize = 16;

/// Rows computed together: six rows of two AVX2 registers leave four of the sixteen registers for the operands.
const MOST_ROWS: usize = 6;

/// One row of one panel of activations.
pub(super) type Row = [f32; WIDTH];

/// One row of one panel of a right operand. Aligned, so that no load crosses a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct PackedRow(pub(super) Row);

impl PackedRow {
    /// All zero.
    pub(super) const ZERO: Self = Self([0.0; WIDTH]);
}

/// Activations in panels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panels<'a> {
    rows: &'a [Row],
    height: usize,
}

impl<'a> Panels<'a> {
    /// Views `rows` as panels of `height` rows each.
    pub(super) fn new(rows: &'a [Row], height: usize) -> Self {
        Self { rows, height }
    }

    /// How many rows each panel has.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// The rows `range` of the panel `index`.
    #[inline(always)]
    pub(super) fn panel(&self, index: usize, range: Range<usize>) -> &'a [Row] {
        let first = index * self.height;
        &self.rows[first + range.start..first + range.end]
    }

    /// These panels from `first` on.
    pub(super) fn skip(&self, first: usize) -> Self {
        Self { rows: &self.rows[first * self.height..], height: self.height }
    }
}

/// What happens to a sum before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// Nothing.
    Plain,
    /// The activation function of BERT.
    Gelu,
}

/// One panel of a product: `out = finish(start + left[window] * right)`.
pub(super) struct Product<'a, 'out> {
    /// The left operand; its column `k` meets the row `k` of `right`.
    pub(super) left: Panels<'a>,
    /// The rows of the left operand that are wanted.
    pub(super) window: Range<usize>,
    /// The right operand's panel: as many rows as the product is deep.
    pub(super) right: &'a [PackedRow],
    /// Where each sum starts: the bias.
    pub(super) start: Row,
    /// What happens to each sum.
    pub(super) finish: Finish,
    /// One row for each row of the window.
    pub(super) out: &'out mut [Row],
}

impl Product<'_, '_> {
    /// Computes the product with the best instructions this machine has.
    pub(super) fn compute(self, arch: Arch) {
        arch.dispatch(self);
    }

    #[inline(always)]
    fn in_vectors<S: Simd, const VECTORS: usize>(self, simd: S) {
        let rows = self.window.len();
        let blocks = rows.div_ceil(MOST_ROWS).max(1);
        let mut done = 0;
        for block in 0..blocks {
            // Even blocks: eight rows as four and four keep more sums in flight than six and two.
            let count = (rows - done).div_ceil(blocks - block);
            let first = self.window.start + done;
            let out = &mut self.out[done..done + count];
            let (left, right, start, finish) = (self.left, self.right, &self.start, self.finish);
            match count {
                0 => {}
                1 => multiply_rows::<S, VECTORS, 1>(simd, left, first, right, start, finish, out),
                2 => multiply_rows::<S, VECTORS, 2>(simd, left, first, right, start, finish, out),
                3 => multiply_rows::<S, VECTORS, 3>(simd, left, first, right, start, finish, out),
                4 => multiply_rows::<S, VECTORS, 4>(simd, left, first, right, start, finish, out),
                5 => multiply_rows::<S, VECTORS, 5>(simd, left, first, right, start, finish, out),
                _ => multiply_rows::<S, VECTORS, MOST_ROWS>(simd, left, first, right, start, finish, out),
            }
            done += count;
        }
    }
}

impl WithSimd for Product<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match WIDTH / S::F32_LANES {
            1 => self.in_vectors::<S, 1>(simd),
            2 => self.in_vectors::<S, 2>(simd),
            4 => self.in_vectors::<S, 4>(simd),
            _ => self.in_vectors::<S, WIDTH>(simd),
        }
    }
}

/// `ROWS` rows of the product, all their sums in registers.
#[inline(always)]
fn multiply_rows<S: Simd, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    left: Panels<'_>,
    first: usize,
    right: &[PackedRow],
    start: &Row,
    finish: Finish,
    out: &mut [Row],
) {
    let mut sums = [load::<S, VECTORS>(start); ROWS];
    for (index, depths) in right.chunks(WIDTH).enumerate() {
        let Ok(rows) = <&[Row; ROWS]>::try_from(left.panel(index, first..first + ROWS)) else { return };
        for (depth, packed) in depths.iter().enumerate() {
            let vectors = load::<S, VECTORS>(&packed.0);
            for (sums, row) in sums.iter_mut().zip(rows) {
                // A chunk has at most sixteen rows; the remainder tells the compiler so.
                let factor = simd.splat_f32s(row[depth % WIDTH]);
                for (sum, vector) in sums.iter_mut().zip(vectors) {
                    *sum = multiply_add(simd, factor, vector, *sum);
                }
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        let (out, _) = S::as_mut_simd_f32s(out);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = match finish {
                Finish::Plain => sum,
                Finish::Gelu => gelu(simd, sum),
            };
        }
    }
}

/// `a * b + c`, in one rounding where the machine can.
#[inline(always)]
pub(super) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if S::IS_SCALAR {
        // Without the instruction a fused step is a slow library call.
        return simd.add_f32s(simd.mul_f32s(a, b), c);
    }
    simd.mul_add_f32s(a, b, c)
}

#[inline(always)]
fn load<S: Simd, const VECTORS: usize>(row: &Row) -> [S::f32s; VECTORS] {
    let (vectors, _) = S::as_simd_f32s(row);
    std::array::from_fn(|index| vectors[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left, right and bias with values that differ everywhere, and the product computed the plain way.
    fn check(height: usize, window: Range<usize>, depth: usize) {
        let panels = depth.div_ceil(WIDTH);
        let value = |index: usize| ((index * 7919) % 101) as f32 / 50.0 - 1.0;
        let left: Vec<Row> = (0..panels * height).map(|row| std::array::from_fn(|k| value(row * WIDTH + k))).collect();
        let right: Vec<PackedRow> =
            (0..depth).map(|k| PackedRow(std::array::from_fn(|column| value(k * 31 + column * 3)))).collect();
        let start: Row = std::array::from_fn(|column| value(column));
        let mut out = vec![[0.0; WIDTH]; window.len()];
        Product {
            left: Panels::new(&left, height),
            window: window.clone(),
            right: &right,
            start,
            finish: Finish::Plain,
            out: &mut out,
        }
        .compute(Arch::new());
        for (out, row) in out.iter().zip(window) {
            for column in 0..WIDTH {
                let products = (0..depth).map(|k| left[(k / WIDTH) * height + row][k % WIDTH] * right[k].0[column]);
                let expected = start[column] + products.sum::<f32>();
                assert!(
                    (out[column] - expected).abs() < 1e-3,
                    "row {row}, column {column}: {} {expected}",
                    out[column]
                );
            }
        }
    }

    #[test]
    fn product_is_right_for_every_number_of_rows() {
        for rows in 0..20 {
            check(23, 2..2 + rows, 48);
        }
    }

    #[test]
    fn product_is_right_for_a_depth_that_does_not_fill_a_panel() {
        for depth in [1, 15, 16, 17, 33] {
            check(9, 0..9, depth);
        }
    }
}
