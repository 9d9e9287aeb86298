//! Kernels: numbers as bytes, and sums of products of bytes, with the instructions that a machine has.
//!
//! Owns: every intrinsic and all `unsafe` of the embedder, one file for each instruction set.
//! Promises: each kernel gives the same bytes of the same numbers, the even one of a number half way between two, and the same sums of
//! the same bytes, for they are sums of integers.
//! Never: allocates, starts a thread, knows what a number means, or runs an instruction that the machine has not.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod plain;

use std::{fmt, ops::Range};

use pulp::Arch;

use super::levels::Scale;
use super::panel::{Panels, Row, WIDTH};

/// The most rows of a tile in vector registers: with two panels, 24 of the 32 of AVX-512 hold sums.
const MOST_VECTOR_ROWS: usize = 12;

/// Rows of a tile register of AMX.
const TILE_ROWS: usize = 16;

/// Quads in a row of a tile register of AMX.
const TILE_QUADS: usize = 16;

/// The most rows of a [`Tile`]: two tile registers.
pub(super) const MOST_ROWS: usize = 2 * TILE_ROWS;

/// Four neighbouring numbers of a row of activations.
pub(super) type Quad = [u8; 4];

/// Four neighbouring weights of each output of a panel: what one instruction multiplies at once. Aligned, so that no load crosses a
/// cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct WeightQuads(pub(super) [[i8; 4]; WIDTH]);

impl WeightQuads {
    /// No weights.
    pub(super) const ZERO: Self = Self([[0; 4]; WIDTH]);
}

/// For each row of a tile, one row of each of its two panels.
pub(super) type Sums = [[Row; 2]];

/// Of a tile, the sums of the coarse inputs and of the fine ones.
pub(super) type PartSums = [Vec<[Row; 2]>; 2];

/// A block of a product of bytes: some rows by two panels.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// As the kernel's [`Layout`] has them.
    left: &'a [Quad],
    layout: Layout,
    rows: usize,
    /// For each quad, the weights of both panels.
    right: [&'a [WeightQuads]; 2],
}

impl<'a> Tile<'a> {
    /// The quads of a row, beginning at one of them.
    fn quads(&self, row: usize, first: usize) -> impl Iterator<Item = &'a Quad> + use<'a> {
        let Layout { between_rows, between_quads, .. } = self.layout;
        self.left[row * between_rows + first * between_quads..].iter().step_by(between_quads)
    }
}

/// Where the quads of a tile's left side lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Quads from a row to the next.
    between_rows: usize,
    /// Quads from one of a row's quads to the next.
    between_quads: usize,
    /// How many there are.
    pub(super) quads: usize,
}

#[cfg(test)]
impl Layout {
    /// Where a quad of a row lies.
    pub(super) fn place(self, row: usize, quad: usize) -> usize {
        row * self.between_rows + quad * self.between_quads
    }
}

/// The numbers of a token, and where their bytes go.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a> {
    pub(super) left: Panels<'a>,
    pub(super) token: usize,
    /// Which row of its tile the token is.
    pub(super) row: usize,
    /// The tile's.
    pub(super) layout: Layout,
}

impl Numbers<'_> {
    /// The numbers of a panel.
    #[inline(always)]
    fn of(&self, panel: usize) -> &Row {
        &self.left.panel(panel, self.token..self.token + 1)[0]
    }

    /// Where its first quad goes.
    fn first(&self) -> usize {
        self.row * self.layout.between_rows
    }
}

/// A set of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Those that every machine has.
    Plain,
    /// AVX2 with FMA (x86-64-v3).
    Avx2,
    /// AVX-512 with its products of bytes (VNNI).
    Avx512Vnni,
    /// As that, with the products of bytes of AMX.
    Amx,
}

impl Kernel {
    /// All there are, the slowest first.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Avx2, Self::Avx512Vnni, Self::Amx];

    /// The fastest that this machine has.
    pub fn fastest() -> Self {
        Self::ALL.into_iter().rfind(|kernel| kernel.is_available()).unwrap_or(Self::Plain)
    }

    /// Those that tests can try here. Where only AMX is missing its tiles are computed by `plain`, so that its layout is tried.
    #[cfg(test)]
    pub(crate) fn tried() -> impl Iterator<Item = Self> {
        let is_tried = |kernel: &Self| kernel.is_available() || *kernel == Self::Amx && Self::Avx512Vnni.is_available();
        Self::ALL.into_iter().filter(is_tried)
    }

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Amx => "amx-int8",
        }
    }

    /// Whether this machine has its instructions.
    pub fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => pulp::x86::V4::try_new().is_some() && std::is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Amx => amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The instructions for everything beside the products of bytes.
    pub(super) fn arch(self) -> Arch {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni | Self::Amx => pulp::x86::V4::try_new().map_or(Arch::Scalar, Arch::V4),
            // Elsewhere the crate knows the machine's own.
            #[cfg(not(target_arch = "x86_64"))]
            _ => Arch::new(),
            #[cfg(target_arch = "x86_64")]
            Self::Plain => Arch::Scalar,
        }
    }

    /// The rows of each tile of a product with this many.
    pub(super) fn tiles(self, height: usize) -> impl Iterator<Item = Range<usize>> {
        let count = height.div_ceil(if self == Self::Amx { MOST_ROWS } else { MOST_VECTOR_ROWS });
        (0..count).map(move |tile| match self {
            // Every tile but the last whole: a register that is half empty takes as long.
            Self::Amx => tile * MOST_ROWS..height.min((tile + 1) * MOST_ROWS),
            // Even heights, for a low tile keeps few sums in flight.
            _ => height * tile / count..height * (tile + 1) / count,
        })
    }

    /// A depth that is a multiple of what the kernel takes at once, both in quads. What is added on either side is zero.
    pub(super) fn depth(self, quads: usize) -> usize {
        if self == Self::Amx { quads.next_multiple_of(TILE_QUADS) } else { quads }
    }

    /// How the left side of a tile of this many rows and of a [`Kernel::depth`] lies in memory.
    pub(super) fn layout(self, rows: usize, depth: usize) -> Layout {
        match self {
            // Row by row, whole tile registers.
            Self::Amx => {
                let stored = rows.next_multiple_of(TILE_ROWS);
                Layout { between_rows: depth, between_quads: 1, quads: stored * depth }
            }
            // Quad by quad: the first quad of each row, then the second of each.
            _ => Layout { between_rows: 1, between_quads: rows, quads: rows * depth },
        }
    }

    /// Writes the numbers of some panels as levels of a scale to their places among the quads of a tile.
    pub(super) fn split(self, numbers: Numbers<'_>, panels: Range<usize>, scale: Scale, out: &mut [Quad]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni | Self::Amx => avx512::split(numbers, panels, scale, out),
            _ => plain::split(numbers, panels, scale, out),
        }
    }

    /// Makes this thread ready for products, until what is given back is dropped. No second one may be made before that.
    pub(super) fn ready(self) -> Ready {
        Ready {
            kernel: self,
            #[cfg(target_arch = "x86_64")]
            tiles: (self == Self::Amx && self.is_available()).then(amx::Tiles::shaped),
        }
    }
}

/// A kernel on a thread that is ready for its products.
pub(super) struct Ready {
    kernel: Kernel,
    #[cfg(target_arch = "x86_64")]
    tiles: Option<amx::Tiles>,
}

impl Ready {
    /// For each row and each column of both panels the sum of the products over the depth, in 32 bits, as a float. Rows of `sums`
    /// beyond those of the tile keep what they hold.
    ///
    /// # Panics
    /// The sides do not fit together, to the kernel or to the sums; only a mistake in this folder leads here.
    pub(super) fn sums(&self, left: &[Quad], rows: usize, right: [&[WeightQuads]; 2], sums: &mut Sums) {
        let depth = right[0].len();
        assert!((1..=MOST_ROWS.min(sums.len())).contains(&rows), "a tile of {rows} rows");
        let layout = self.kernel.layout(rows, depth);
        assert!(right[1].len() == depth && left.len() == layout.quads, "sides do not fit");
        let tile = Tile { left, layout, rows, right };
        #[cfg(target_arch = "x86_64")]
        match (self.kernel, &self.tiles) {
            (_, Some(tiles)) => tiles.sums(tile, sums),
            (Kernel::Avx2, _) => avx2::sums(tile, sums),
            (Kernel::Avx512Vnni, _) => avx512::sums(tile, sums),
            _ => plain::sums(tile, sums),
        }
        #[cfg(not(target_arch = "x86_64"))]
        plain::sums(tile, sums);
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Calls `$sums::<ROWS>` for the number of rows that a tile has.
#[cfg(target_arch = "x86_64")]
macro_rules! by_rows {
    ($sums:ident, $tile:expr, $out:expr, $($rows:literal)*) => {
        match $tile.rows {
            $($rows => $sums::<$rows>($tile, $out),)*
            rows => unreachable!("a tile of {rows} rows"),
        }
    };
}
#[cfg(target_arch = "x86_64")]
use by_rows;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sums by the definition, in 64 bits.
    fn naive(left: &[Quad], right: &[WeightQuads], column: usize) -> f32 {
        let of = |(left, right): (&Quad, &WeightQuads)| -> i64 {
            left.iter().zip(right.0[column]).map(|(left, right)| i64::from(*left) * i64::from(right)).sum()
        };
        left.iter().zip(right).map(of).sum::<i64>() as f32
    }

    fn check(rows: usize, depth: usize, left: &[u8], right: &[i8]) {
        let byte = |index: usize| left[index % left.len()];
        let of_row = |row: usize| -> Vec<Quad> {
            (0..depth).map(|quad| std::array::from_fn(|part| byte((row * depth + quad) * 4 + part))).collect()
        };
        let left: Vec<Vec<Quad>> = (0..rows).map(of_row).collect();
        let of_panel = |panel: usize| -> Vec<WeightQuads> {
            let at = |index: usize| right[index % right.len()];
            let quad =
                |quad: usize, column: usize| std::array::from_fn(|part| at(panel * 7 + quad * 64 + column * 4 + part));
            (0..depth).map(|index| WeightQuads(std::array::from_fn(|column| quad(index, column)))).collect()
        };
        let panels = [of_panel(0), of_panel(1)];
        for kernel in Kernel::tried() {
            let filled = panels.clone().map(|mut panel| {
                panel.resize(kernel.depth(depth), WeightQuads::ZERO);
                panel
            });
            for tile in kernel.tiles(rows) {
                let layout = kernel.layout(tile.len(), kernel.depth(depth));
                let mut quads = vec![Quad::default(); layout.quads];
                for (row, from) in left[tile.clone()].iter().enumerate() {
                    for (quad, from) in from.iter().enumerate() {
                        quads[layout.place(row, quad)] = *from;
                    }
                }
                let mut sums = [[[f32::NAN; WIDTH]; 2]; MOST_ROWS];
                kernel.ready().sums(&quads, tile.len(), [&filled[0], &filled[1]], &mut sums);
                for (row, of_row) in tile.clone().zip(&sums) {
                    for (panel, columns) in of_row.iter().enumerate() {
                        for (column, sum) in columns.iter().enumerate() {
                            let expected = naive(&left[row], &panels[panel], column);
                            assert_eq!(*sum, expected, "{kernel}: {row}, {panel}, {column}");
                        }
                    }
                }
                let beyond = sums[tile.len()..].iter().flatten().flatten();
                assert!(beyond.copied().all(f32::is_nan), "{kernel} wrote beyond the tile");
            }
        }
    }

    proptest! {
        #[test]
        fn every_kernel_sums_as_the_definition_says(
            rows in 1..=MOST_ROWS + 8,
            depth in 0..40_usize,
            left in prop::collection::vec(any::<u8>(), 1..300),
            right in prop::collection::vec(any::<i8>(), 1..900),
        ) {
            check(rows, depth, &left, &right);
        }
    }

    #[test]
    fn the_largest_numbers_of_the_deepest_layer_do_not_overflow() {
        for right in [i8::MAX, i8::MIN] {
            check(MOST_ROWS, 1_024, &[u8::MAX], &[right]);
        }
    }

    #[test]
    fn tiles_leave_nothing_out_and_are_even_in_vectors_and_whole_in_tile_registers() {
        let heights = |kernel: Kernel, height| kernel.tiles(height).map(|tile| tile.len()).collect::<Vec<_>>();
        let of = |kernel| [0, 1, 12, 13, 41].map(|height| heights(kernel, height));
        for kernel in [Kernel::Plain, Kernel::Avx2, Kernel::Avx512Vnni] {
            assert_eq!(of(kernel), [vec![], vec![1], vec![12], vec![6, 7], vec![10, 10, 10, 11]]);
        }
        assert_eq!(of(Kernel::Amx), [vec![], vec![1], vec![12], vec![13], vec![32, 9]]);
        assert_eq!(heights(Kernel::Amx, 64), [32, 32]);
    }

    #[test]
    fn a_kernel_is_named_and_the_fastest_is_available() {
        assert!(Kernel::fastest().is_available() && Kernel::Plain.is_available());
        assert_eq!(Kernel::ALL.map(Kernel::name), ["plain", "avx2", "avx512-vnni", "amx-int8"]);
    }
}
