//! Panels: a matrix kept as groups of sixteen columns, and the one product everything else is made of.
//!
//! Owns: the layout `[columns / 16][rows][16]` that weights and activations share, and the register-blocked product.
//! Promises: an element of a product is summed over the depth in one fixed order, whatever the number of rows, the
//! block it falls into, the thread that computes it or the width of the machine's registers. A text's vector therefore depends
//! neither on its neighbours nor on the machine.
//! Never: allocates, or starts a thread.
//!
//! Why not the general matrix product of candle: it repacks the weights on every call, which for a question costs more
//! than the product. Packed once, each weight is read once and nothing but the result is written.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd, bytemuck};

use super::elementary::gelu;

/// Columns in a panel: two AVX2 registers, four of NEON.
pub(super) const WIDTH: usize = 16;

/// Rows computed together: six rows of two AVX2 registers leave four of the sixteen registers for the operands.
const MOST_ROWS: usize = 6;

/// Rows computed together where a register is as wide as a panel: there are 32 of these registers.
const MOST_WIDE_ROWS: usize = 12;

/// One row of one panel of activations.
pub(super) type Row = [f32; WIDTH];

/// One row of one panel of a right operand.
pub(super) trait RightRow: Copy + Sync {
    /// Whether steps are fused also where that is slow, so that every machine gives the same.
    const ALWAYS_FUSED: bool;

    /// The sixteen numbers, in `VECTORS` registers.
    fn load<S: Simd, const VECTORS: usize>(&self, simd: S) -> [S::f32s; VECTORS];
}

/// A row as it is. Aligned, so that no load crosses a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct ExactRow(pub(super) Row);

impl ExactRow {
    /// All zero.
    pub(super) const ZERO: Self = Self([0.0; WIDTH]);
}

impl RightRow for ExactRow {
    const ALWAYS_FUSED: bool = true;

    #[inline(always)]
    fn load<S: Simd, const VECTORS: usize>(&self, simd: S) -> [S::f32s; VECTORS] {
        load::<S, VECTORS>(simd, &self.0)
    }
}

/// A [`SteppedRow`], unpacked.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct UnpackedRow(Row);

impl UnpackedRow {
    /// All zero.
    pub(super) const ZERO: Self = Self([0.0; WIDTH]);
}

impl RightRow for UnpackedRow {
    const ALWAYS_FUSED: bool = false;

    #[inline(always)]
    fn load<S: Simd, const VECTORS: usize>(&self, simd: S) -> [S::f32s; VECTORS] {
        load::<S, VECTORS>(simd, &self.0)
    }
}

/// A row in integers of 16 bits, offset by [`Self::OFFSET`]; column `i` in the low and column `i + 8` in the high half
/// of word `i`. What one step is worth, each column says once for all rows.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct SteppedRow([u32; WIDTH / 2]);

impl SteppedRow {
    /// The most steps either side of zero.
    pub(super) const MOST_STEPS: f32 = 32_767.0;
    const OFFSET: f32 = 32_768.0;

    /// Packs whole numbers of up to [`Self::MOST_STEPS`] either side of zero.
    pub(super) fn pack(steps: &Row) -> Self {
        let word = |column: usize| (steps[column].round() + Self::OFFSET) as u32;
        Self(std::array::from_fn(|index| word(index) | word(index + WIDTH / 2) << 16))
    }

    /// Writes the numbers of each of `rows` to the row of `unpacked` at its place.
    pub(super) fn unpack(rows: &[Self], unpacked: &mut [UnpackedRow], arch: Arch) {
        Unpack { rows, unpacked }.compute(arch);
    }
}

impl RightRow for SteppedRow {
    const ALWAYS_FUSED: bool = false;

    #[inline(always)]
    fn load<S: Simd, const VECTORS: usize>(&self, simd: S) -> [S::f32s; VECTORS] {
        let mut vectors = [simd.splat_f32s(0.0); VECTORS];
        if VECTORS == 1 {
            // The register is as wide as the row, the words fill half of it.
            let mut steps = [0; WIDTH];
            for (index, word) in self.0.into_iter().enumerate() {
                steps[index] = word & 0xFFFF;
                steps[index + WIDTH / 2] = word >> 16;
            }
            vectors[0] = float(simd, S::as_simd_u32s(&steps).0[0]);
            return vectors;
        }
        // No closure and no iterator adapter here: a call that is not inlined loses the wide registers.
        let (words, _) = S::as_simd_u32s(&self.0);
        for index in 0..VECTORS / 2 {
            vectors[index] = float(simd, simd.and_u32s(words[index], simd.splat_u32s(0xFFFF)));
            vectors[VECTORS / 2 + index] = float(simd, simd.wrapping_dyn_shr_u32s(words[index], simd.splat_u32s(16)));
        }
        vectors
    }
}

struct Unpack<'a, 'out> {
    rows: &'a [SteppedRow],
    unpacked: &'out mut [UnpackedRow],
}

impl InVectors for Unpack<'_, '_> {
    #[inline(always)]
    fn in_vectors<S: Simd, const VECTORS: usize>(self, simd: S) {
        for (row, unpacked) in self.rows.iter().zip(self.unpacked) {
            let (unpacked, _) = S::as_mut_simd_f32s(&mut unpacked.0);
            for (number, vector) in unpacked.iter_mut().zip(row.load::<S, VECTORS>(simd)) {
                *number = vector;
            }
        }
    }
}

/// The numbers that offset steps stand for: as the last bits of the float 2^23 they count ones.
#[inline(always)]
fn float<S: Simd>(simd: S, steps: S::u32s) -> S::f32s {
    const ONES: u32 = 0x4B00_0000;
    let shifted = simd.transmute_f32s_u32s(simd.or_u32s(steps, simd.splat_u32s(ONES)));
    simd.sub_f32s(shifted, simd.splat_f32s(f32::from_bits(ONES) + SteppedRow::OFFSET))
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

/// One panel of a product: `out = finish(left[window] * right * scale + bias)`.
pub(super) struct Product<'a, 'out, R> {
    /// The left operand; its column `k` meets the row `k` of `right`.
    pub(super) left: Panels<'a>,
    /// The rows of the left operand that are wanted.
    pub(super) window: Range<usize>,
    /// The right operand's panel: as many rows as the product is deep.
    pub(super) right: &'a [R],
    /// What each column's sum is multiplied with.
    pub(super) scale: Row,
    /// What is then added to it.
    pub(super) bias: Row,
    /// What happens to each sum.
    pub(super) finish: Finish,
    /// One row for each row of the window.
    pub(super) out: &'out mut [Row],
}

impl<R: RightRow> InVectors for Product<'_, '_, R> {
    #[inline(always)]
    fn in_vectors<S: Simd, const VECTORS: usize>(mut self, simd: S) {
        let rows = self.window.len();
        let blocks = rows.div_ceil(if VECTORS == 1 { MOST_WIDE_ROWS } else { MOST_ROWS }).max(1);
        let mut done = 0;
        for block in 0..blocks {
            // Even blocks: eight rows as four and four keep more sums in flight than six and two.
            let count = (rows - done).div_ceil(blocks - block);
            let first = self.window.start + done;
            match count {
                0 => {}
                1 => self.multiply_rows::<S, VECTORS, 1>(simd, first),
                2 => self.multiply_rows::<S, VECTORS, 2>(simd, first),
                3 => self.multiply_rows::<S, VECTORS, 3>(simd, first),
                4 => self.multiply_rows::<S, VECTORS, 4>(simd, first),
                5 => self.multiply_rows::<S, VECTORS, 5>(simd, first),
                MOST_ROWS => self.multiply_rows::<S, VECTORS, MOST_ROWS>(simd, first),
                7 => self.multiply_rows::<S, VECTORS, 7>(simd, first),
                8 => self.multiply_rows::<S, VECTORS, 8>(simd, first),
                9 => self.multiply_rows::<S, VECTORS, 9>(simd, first),
                10 => self.multiply_rows::<S, VECTORS, 10>(simd, first),
                11 => self.multiply_rows::<S, VECTORS, 11>(simd, first),
                _ => self.multiply_rows::<S, VECTORS, MOST_WIDE_ROWS>(simd, first),
            }
            done += count;
        }
    }
}

impl<R: RightRow> Product<'_, '_, R> {
    /// `ROWS` rows of the product from `first` on, all their sums in registers.
    #[inline(always)]
    fn multiply_rows<S: Simd, const VECTORS: usize, const ROWS: usize>(&mut self, simd: S, first: usize) {
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for (index, depths) in self.right.chunks(WIDTH).enumerate() {
            let rows = self.left.panel(index, first..first + ROWS);
            let Ok(rows) = <&[Row; ROWS]>::try_from(rows) else { unreachable!("the range has {ROWS} rows") };
            for (depth, right) in depths.iter().enumerate() {
                let vectors = right.load::<S, VECTORS>(simd);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    // A chunk has at most sixteen rows; the remainder tells the compiler so.
                    let factor = simd.splat_f32s(row[depth % WIDTH]);
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = if S::IS_SCALAR && !R::ALWAYS_FUSED {
                            simd.add_f32s(simd.mul_f32s(factor, vector), *sum)
                        } else {
                            multiply_add(simd, factor, vector, *sum)
                        };
                    }
                }
            }
        }
        let (scale, bias) = (load::<S, VECTORS>(simd, &self.scale), load::<S, VECTORS>(simd, &self.bias));
        for (out, sums) in self.out[first - self.window.start..].iter_mut().zip(sums) {
            let (out, _) = S::as_mut_simd_f32s(out);
            for (((out, sum), scale), bias) in out.iter_mut().zip(sums).zip(scale).zip(bias) {
                let sum = multiply_add(simd, sum, scale, bias);
                *out = match self.finish {
                    Finish::Plain => sum,
                    Finish::Gelu => gelu(simd, sum),
                };
            }
        }
    }
}

/// Work on rows, with the registers that a machine has.
pub(super) trait InVectors: Sized {
    /// Does it, where the sixteen numbers of a row fill `VECTORS` registers. To be inlined always, as everything that it calls:
    /// whatever is not loses the wide registers. Closures and adapters of iterators often are not.
    fn in_vectors<S: Simd, const VECTORS: usize>(self, simd: S);

    /// Does it with these instructions.
    fn compute(self, arch: Arch) {
        arch.dispatch(ByRegisters(self));
    }
}

struct ByRegisters<W>(W);

impl<W: InVectors> WithSimd for ByRegisters<W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match WIDTH / S::F32_LANES {
            1 => self.0.in_vectors::<S, 1>(simd),
            2 => self.0.in_vectors::<S, 2>(simd),
            4 => self.0.in_vectors::<S, 4>(simd),
            _ => self.0.in_vectors::<S, WIDTH>(simd),
        }
    }
}

/// `a * b + c` in one rounding, on every machine.
#[inline(always)]
pub(super) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if S::IS_SCALAR {
        return bytemuck::cast(fused(bytemuck::cast(a), bytemuck::cast(b), bytemuck::cast(c)));
    }
    simd.mul_add_f32s(a, b, c)
}

/// `a * b + c` in one rounding, without the instruction for it; the library's own is several times as slow.
///
/// In 64 bits the product is exact. The sum is rounded to odd, so that rounding it once more gives what rounding once gives
/// (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008).
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    let (product, addend) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + addend;
    let of_addend = sum - product;
    let lost = (product - (sum - of_addend)) + (addend - of_addend);
    let bits = sum.to_bits();
    let is_even = bits & 1 == 0;
    // Away from zero where what was lost has the sign of the sum. What is lost of an infinite sum is not a number.
    let odd = if (lost > 0.0) == (sum > 0.0) { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let rounded = if is_even && lost.abs() > 0.0 { odd } else { bits };
    f64::from_bits(rounded) as f32
}

/// The sum of a row's numbers, in one order on every machine.
#[inline(always)]
pub(super) fn total<S: Simd, const VECTORS: usize>(vectors: [S::f32s; VECTORS]) -> f32 {
    let mut row: Row = [0.0; WIDTH];
    S::as_mut_simd_f32s(&mut row).0.copy_from_slice(&vectors);
    for half in [8, 4, 2, 1] {
        for index in 0..half {
            row[index] += row[index + half];
        }
    }
    row[0]
}

/// The sixteen numbers of a row, in `VECTORS` registers.
#[inline(always)]
pub(super) fn load<S: Simd, const VECTORS: usize>(simd: S, row: &Row) -> [S::f32s; VECTORS] {
    let (from, _) = S::as_simd_f32s(row);
    let mut vectors = [simd.splat_f32s(0.0); VECTORS];
    for (vector, from) in vectors.iter_mut().zip(from) {
        *vector = *from;
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_unpacked_as_they_were_packed() {
        let steps = |row: usize| std::array::from_fn(|column| (row * 4096 + column * 13) as f32 - 32_767.0);
        let packed: Vec<SteppedRow> = (0..16).map(|row| SteppedRow::pack(&steps(row))).collect();
        let mut unpacked = vec![UnpackedRow::ZERO; packed.len()];
        SteppedRow::unpack(&packed, &mut unpacked, Arch::new());
        for (row, unpacked) in unpacked.iter().enumerate() {
            assert_eq!(unpacked.0, steps(row));
        }
    }

    #[test]
    fn a_fused_step_is_rounded_once() {
        let numbers: Vec<f32> = (0..4_000_u32)
            .map(|index| f32::from_bits(index.wrapping_mul(0x9E37_79B9)))
            .chain([0.0, -0.0, 1.0, 1.0 + f32::EPSILON, f32::MIN_POSITIVE, f32::MAX, f32::from_bits(1), f32::INFINITY])
            .collect();
        let at = |index: usize| numbers[index % numbers.len()];
        let same =
            |found: f32, expected: f32| found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
        for index in 0..60_000 {
            let (a, b) = (at(index * 7), at(index * 13 + 5));
            // Near the product's own size, too: there the bits that are lost decide.
            for c in [at(index * 31 + 3), -(a * b), a * b * 1.000_000_1, a * b * 3e-8, a * b * 7e-9] {
                let (found, expected) = (fused(a, b, c), a.mul_add(b, c));
                assert!(same(found, expected), "{a:e} * {b:e} + {c:e}: {found:e}, not {expected:e}");
            }
        }
    }

    /// Left, right and bias with values that differ everywhere, and the product computed the plain way.
    fn check(height: usize, window: Range<usize>, depth: usize) {
        let panels = depth.div_ceil(WIDTH);
        let value = |index: usize| ((index * 7919) % 101) as f32 / 50.0 - 1.0;
        let left: Vec<Row> = (0..panels * height).map(|row| std::array::from_fn(|k| value(row * WIDTH + k))).collect();
        let right: Vec<ExactRow> =
            (0..depth).map(|k| ExactRow(std::array::from_fn(|column| value(k * 31 + column * 3)))).collect();
        let bias: Row = std::array::from_fn(value);
        let mut out = vec![[0.0; WIDTH]; window.len()];
        Product {
            left: Panels::new(&left, height),
            window: window.clone(),
            right: &right,
            scale: [0.5; WIDTH],
            bias,
            finish: Finish::Plain,
            out: &mut out,
        }
        .compute(Arch::new());
        for (out, row) in out.iter().zip(window) {
            for column in 0..WIDTH {
                let products = (0..depth).map(|k| left[(k / WIDTH) * height + row][k % WIDTH] * right[k].0[column]);
                let expected = bias[column] + 0.5 * products.sum::<f32>();
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
        for rows in 0..40 {
            check(43, 2..2 + rows, 48);
        }
    }

    #[test]
    fn product_is_right_for_a_depth_that_does_not_fill_a_panel() {
        for depth in [1, 15, 16, 17, 33] {
            check(9, 0..9, depth);
        }
    }
}
