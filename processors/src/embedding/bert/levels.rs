//! Levels: activations as bytes.
//!
//! Owns: how a token's numbers become whole steps between their lowest and their highest, and the order in which kernels read them.
//! Promises: a token's steps depend on its numbers alone.
//!
//! In sentence models a few features are ten times as large as all others, always the same ones; with one step size for all, little
//! would be left of the others (Dettmers et al., LLM.int8(), 2022). The model's features are put in an order in which the large ones
//! come first (see `order`), and these, the coarse ones, have a step of their own. Zero is a level, so that the many numbers near
//! zero behind an activation function do not all err to one side.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::kernel::{Kernel, MOST_ROWS, Numbers, Quad};
use super::panel::{Panels, WIDTH};
use super::spread::Spread;

/// Steps from the lowest number to the highest: one less than a byte has, for both ends are rounded to whole steps from zero.
const STEPS: f32 = 254.0;

/// Numbers nearer to each other are the same.
const LEAST_STEP: f32 = 1e-30;

/// Quads in a panel.
const QUADS: usize = WIDTH / 4;

/// Activations of some tokens as levels.
pub(super) struct Levels {
    /// Block by block, in each as a tile has them.
    quads: Vec<Quad>,
    tokens: Vec<TokenLevels>,
    depth: usize,
    coarse: usize,
}

/// What the levels of a token are worth.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TokenLevels {
    pub(super) fine: Scale,
    pub(super) coarse: Scale,
}

/// A number is `low + step * level`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scale {
    pub(super) low: f32,
    pub(super) step: f32,
}

impl Scale {
    /// The scale on which zero and both of these are whole steps away, or nearly.
    fn between((lowest, highest): (f32, f32)) -> Self {
        let (lowest, highest) = (lowest.min(0.0), highest.max(0.0));
        let step = ((highest - lowest) / STEPS).max(LEAST_STEP);
        Self { low: (lowest / step).round_ties_even() * step, step }
    }
}

impl Levels {
    /// The levels of `panels` panels, of which the first `coarse` have coarse ones.
    pub(super) fn of(left: Panels<'_>, panels: usize, coarse: usize, kernel: Kernel, spread: Spread) -> Self {
        let height = left.height();
        let mut levels = Self {
            quads: vec![Quad::default(); height * panels * QUADS],
            tokens: vec![TokenLevels::default(); height],
            depth: panels * QUADS,
            coarse: coarse * QUADS,
        };
        let (mut quads, mut tokens) = (levels.quads.as_mut_slice(), levels.tokens.as_mut_slice());
        let mut parts = Vec::new();
        for block in blocks(height) {
            let (of_block, rest) = std::mem::take(&mut tokens).split_at_mut(block.len());
            let (its_quads, quads_left) = std::mem::take(&mut quads).split_at_mut(block.len() * panels * QUADS);
            parts.push((block.start, of_block, its_quads));
            (tokens, quads) = (rest, quads_left);
        }
        spread.for_each(parts, |(first, tokens, quads)| {
            kernel.arch().dispatch(Scales { left, first, panels, coarse, tokens });
            let (of_coarse, of_fine) = quads.split_at_mut(coarse * QUADS * tokens.len());
            for (row, levels) in tokens.iter().enumerate() {
                let numbers = Numbers { left, token: first + row, row, rows: tokens.len() };
                kernel.split(numbers, 0..coarse, levels.coarse, of_coarse);
                kernel.split(numbers, coarse..panels, levels.fine, of_fine);
            }
        });
        levels
    }

    /// How many tokens there are.
    pub(super) fn height(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens of each tile, with their coarse and their fine quads.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (Range<usize>, &[Quad], &[Quad])> {
        blocks(self.tokens.len()).map(|block| {
            let quads = &self.quads[block.start * self.depth..block.end * self.depth];
            let (coarse, fine) = quads.split_at(self.coarse * block.len());
            (block, coarse, fine)
        })
    }

    /// What the levels of these tokens are worth.
    pub(super) fn tokens(&self, block: Range<usize>) -> &[TokenLevels] {
        &self.tokens[block]
    }
}

/// The rows of each tile: as few tiles as possible, and of even heights, for a low one keeps few sums in flight.
fn blocks(height: usize) -> impl Iterator<Item = Range<usize>> {
    let count = height.div_ceil(MOST_ROWS);
    (0..count).map(move |block| height * block / count..height * (block + 1) / count)
}

struct Scales<'a, 'out> {
    left: Panels<'a>,
    /// The first of the tokens.
    first: usize,
    panels: usize,
    coarse: usize,
    tokens: &'out mut [TokenLevels],
}

impl WithSimd for Scales<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // No closure here: a call that is not inlined loses the wide registers.
        for (row, levels) in self.tokens.iter_mut().enumerate() {
            let token = self.first + row;
            levels.coarse = Scale::between(range(simd, self.left, token, 0..self.coarse));
            levels.fine = Scale::between(range(simd, self.left, token, self.coarse..self.panels));
        }
    }
}

/// The lowest and the highest number of a token within some panels; zero where there are none.
#[inline(always)]
fn range<S: Simd>(simd: S, left: Panels<'_>, token: usize, panels: Range<usize>) -> (f32, f32) {
    if panels.is_empty() {
        return (0.0, 0.0);
    }
    let (mut lowest, mut highest) = (simd.splat_f32s(f32::INFINITY), simd.splat_f32s(f32::NEG_INFINITY));
    for panel in panels {
        for numbers in S::as_simd_f32s(&left.panel(panel, token..token + 1)[0]).0 {
            lowest = simd.min_f32s(lowest, *numbers);
            highest = simd.max_f32s(highest, *numbers);
        }
    }
    (simd.reduce_min_f32s(lowest), simd.reduce_max_f32s(highest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::panel::Row;
    use super::*;

    fn check(rows: &[Row], height: usize, coarse: usize, kernel: Kernel) {
        let panels = rows.len() / height;
        let left = Panels::new(rows, height);
        let levels = Levels::of(left, panels, coarse, kernel, Spread::OneThread);
        for (block, coarse_quads, fine_quads) in levels.blocks() {
            let quads = [coarse_quads, fine_quads].concat();
            for (row, token) in block.clone().enumerate() {
                let TokenLevels { fine, coarse: of_coarse } = levels.tokens(block.clone())[row];
                for panel in 0..panels {
                    let Scale { low, step } = if panel < coarse { of_coarse } else { fine };
                    for (column, number) in left.panel(panel, token..token + 1)[0].iter().enumerate() {
                        let level = quads[(panel * QUADS + column / 4) * block.len() + row][column % 4];
                        let read = low + step * f32::from(level);
                        assert!(
                            (read - number).abs() <= step * 0.501,
                            "{kernel}: {number} read as {read}, step {step}"
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_number_is_read_within_half_a_step(
            height in 1..30_usize,
            (panels, coarse) in (1..5_usize).prop_flat_map(|panels| (Just(panels), 0..=panels)),
            numbers in prop::collection::vec(prop_oneof![-1.0..1.0_f32, -30.0..30.0_f32, Just(0.0_f32)], 1..200),
            larger in prop_oneof![Just(1.0_f32), Just(1e-3), Just(300.0), Just(1e6)],
        ) {
            let number = |index: usize| numbers[index % numbers.len()];
            let scale = |row: usize| if row < coarse * height { larger } else { 1.0 };
            let rows: Vec<Row> = (0..panels * height)
                .map(|row| std::array::from_fn(|column| scale(row) * number(row * 13 + column)))
                .collect();
            let of = |kernel| Levels::of(Panels::new(&rows, height), panels, coarse, kernel, Spread::OneThread);
            for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
                check(&rows, height, coarse, kernel);
                prop_assert_eq!(of(kernel).quads, of(Kernel::Plain).quads, "{} takes other levels", kernel);
            }
        }
    }

    #[test]
    fn blocks_are_even_and_leave_nothing_out() {
        let heights = |height| blocks(height).map(|block| block.len()).collect::<Vec<_>>();
        assert_eq!((heights(0), heights(1), heights(12), heights(13)), (vec![], vec![1], vec![12], vec![6, 7]));
        assert_eq!(heights(41), [10, 10, 10, 11]);
    }
}
