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

use super::kernel::{Kernel, Numbers, PartSums, Quad};
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
    /// Tile by tile, in each the coarse and then the fine ones, as the kernel has them.
    quads: Vec<Quad>,
    tokens: Vec<TokenLevels>,
    depths: Depths,
    kernel: Kernel,
}

/// As a kernel has them, in quads.
#[derive(Debug, Clone, Copy)]
struct Depths {
    coarse: usize,
    fine: usize,
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
        let depths = Depths { coarse: kernel.depth(coarse * QUADS), fine: kernel.depth((panels - coarse) * QUADS) };
        let layouts = |tokens: usize| [depths.coarse, depths.fine].map(|depth| kernel.layout(tokens, depth));
        let count = kernel.tiles(height).flat_map(|tile| layouts(tile.len())).map(|layout| layout.quads).sum();
        let quads = vec![Quad::default(); count];
        let mut levels = Self { quads, tokens: vec![TokenLevels::default(); height], depths, kernel };
        let (mut rest, mut tokens) = (levels.quads.as_mut_slice(), levels.tokens.as_mut_slice());
        let mut parts = Vec::new();
        for tile in kernel.tiles(height) {
            let of_tile = tokens.split_off_mut(..tile.len()).unwrap_or_default();
            let quads =
                layouts(tile.len()).map(|layout| (layout, rest.split_off_mut(..layout.quads).unwrap_or_default()));
            parts.push((tile.start, of_tile, quads));
        }
        spread.for_each(parts, |(first, tokens, [(coarse_layout, of_coarse), (fine_layout, of_fine)])| {
            kernel.arch().dispatch(Scales { left, first, panels, coarse, tokens });
            for (row, levels) in tokens.iter().enumerate() {
                let numbers = |layout| Numbers { left, token: first + row, row, layout };
                kernel.split(numbers(coarse_layout), 0..coarse, levels.coarse, of_coarse);
                kernel.split(numbers(fine_layout), coarse..panels, levels.fine, of_fine);
            }
        });
        levels
    }

    /// How many tokens there are.
    pub(super) fn height(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens of each tile, with their coarse and their fine quads.
    pub(super) fn tiles(&self) -> impl Iterator<Item = (Range<usize>, &[Quad], &[Quad])> {
        let mut rest = self.quads.as_slice();
        self.kernel.tiles(self.tokens.len()).map(move |tile| {
            let Depths { coarse, fine } = self.depths;
            let mut of = |depth| {
                let layout = self.kernel.layout(tile.len(), depth);
                rest.split_off(..layout.quads).unwrap_or_default()
            };
            let (coarse, fine) = (of(coarse), of(fine));
            (tile, coarse, fine)
        })
    }

    /// Room for the sums of any of the tiles.
    pub(super) fn part_sums(&self) -> PartSums {
        let rows = self.kernel.tiles(self.tokens.len()).map(|tile| tile.len()).max().unwrap_or_default();
        [vec![[[0.0; WIDTH]; 2]; rows], vec![[[0.0; WIDTH]; 2]; rows]]
    }

    /// What the levels of these tokens are worth.
    pub(super) fn tokens(&self, block: Range<usize>) -> &[TokenLevels] {
        &self.tokens[block]
    }
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
        for (tile, coarse_quads, fine_quads) in levels.tiles() {
            for (row, token) in tile.clone().enumerate() {
                let TokenLevels { fine, coarse: of_coarse } = levels.tokens(tile.clone())[row];
                for panel in 0..panels {
                    let (Scale { low, step }, quads, depth, first) = if panel < coarse {
                        (of_coarse, coarse_quads, levels.depths.coarse, 0)
                    } else {
                        (fine, fine_quads, levels.depths.fine, coarse)
                    };
                    let layout = kernel.layout(tile.len(), depth);
                    for (column, number) in left.panel(panel, token..token + 1)[0].iter().enumerate() {
                        let level = quads[layout.place(row, (panel - first) * QUADS + column / 4)][column % 4];
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

    /// The levels of each token, whatever the layout.
    fn by_token(levels: &Levels, panels: usize, coarse: usize) -> Vec<Quad> {
        let mut tokens = Vec::new();
        for (tile, of_coarse, of_fine) in levels.tiles() {
            for row in 0..tile.len() {
                for (quads, depth, count) in
                    [(of_coarse, levels.depths.coarse, coarse), (of_fine, levels.depths.fine, panels - coarse)]
                {
                    let layout = levels.kernel.layout(tile.len(), depth);
                    tokens.extend((0..count * QUADS).map(|quad| quads[layout.place(row, quad)]));
                }
            }
        }
        tokens
    }

    proptest! {
        #[test]
        fn a_number_is_read_within_half_a_step(
            height in 1..50_usize,
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
            for kernel in Kernel::tried() {
                check(&rows, height, coarse, kernel);
                let [found, expected] = [kernel, Kernel::Plain].map(|kernel| by_token(&of(kernel), panels, coarse));
                prop_assert_eq!(found, expected, "{} takes other levels", kernel);
            }
        }
    }
}
