//! Kernels: numbers as bytes, and sums of products of bytes, with the instructions that a machine has.
//!
//! Owns: every intrinsic and all `unsafe` of the embedder, one file for each instruction set.
//! Promises: each kernel gives the same bytes of the same numbers, the even one of a number half way between two, and the same sums of
//! the same bytes, for they are sums of integers.
//! Never: allocates, starts a thread, knows what a number means, or runs an instruction that the machine has not.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod plain;

use std::{fmt, ops::Range};

use pulp::Arch;

use super::levels::Scale;
use super::panel::{Panels, Row, WIDTH};

/// The most rows of a [`Tile`]: with two panels, 24 of the 32 registers of AVX-512 hold sums.
pub(super) const MOST_ROWS: usize = 12;

/// Four neighbouring numbers of a row of activations.
pub(super) type Quad = [u8; 4];

/// Four neighbouring weights of each output of a panel: what one instruction multiplies at once. Aligned, so that no load crosses a
/// cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct WeightQuads(pub(super) [[i8; 4]; WIDTH]);

/// For each row of a tile, one row of each of its two panels.
pub(super) type Sums = [[Row; 2]; MOST_ROWS];

/// A block of a product of bytes: up to twelve rows by two panels.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// Quad by quad: the first quad of each row, then the second of each.
    left: &'a [Quad],
    rows: usize,
    /// For each quad, the weights of both panels.
    right: [&'a [WeightQuads]; 2],
}

impl<'a> Tile<'a> {
    /// # Panics
    /// The sides do not fit together; only a mistake in this folder leads here.
    pub(super) fn new(left: &'a [Quad], rows: usize, right: [&'a [WeightQuads]; 2]) -> Self {
        let depth = right[0].len();
        assert!((1..=MOST_ROWS).contains(&rows), "a tile of {rows} rows");
        assert!(right[1].len() == depth && left.len() == depth * rows, "sides do not fit");
        Self { left, rows, right }
    }
}

/// The numbers of a token, and where their bytes go.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a> {
    pub(super) left: Panels<'a>,
    pub(super) token: usize,
    /// Which row of its tile the token is.
    pub(super) row: usize,
    /// How many rows the tile has.
    pub(super) rows: usize,
}

impl Numbers<'_> {
    /// The numbers of a panel.
    #[inline(always)]
    fn of(&self, panel: usize) -> &Row {
        &self.left.panel(panel, self.token..self.token + 1)[0]
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
}

impl Kernel {
    /// All there are, the slowest first.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Avx2, Self::Avx512Vnni];

    /// The fastest that this machine has.
    pub fn fastest() -> Self {
        Self::ALL.into_iter().rfind(|kernel| kernel.is_available()).unwrap_or(Self::Plain)
    }

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512-vnni",
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
            Self::Avx512Vnni => pulp::x86::V4::try_new().map_or(Arch::Scalar, Arch::V4),
            // Elsewhere the crate knows the machine's own.
            #[cfg(not(target_arch = "x86_64"))]
            _ => Arch::new(),
            #[cfg(target_arch = "x86_64")]
            Self::Plain => Arch::Scalar,
        }
    }

    /// Writes the numbers of some panels as levels of a scale to their places among the quads of a tile.
    pub(super) fn split(self, numbers: Numbers<'_>, panels: Range<usize>, scale: Scale, out: &mut [Quad]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => avx512::split(numbers, panels, scale, out),
            _ => plain::split(numbers, panels, scale, out),
        }
    }

    /// For each row and each column of both panels the sum of the products over the depth, in 32 bits, as a float. Rows of `sums`
    /// beyond those of the tile keep what they hold.
    pub(super) fn sums(self, tile: Tile<'_>, sums: &mut Sums) {
        match self {
            Self::Plain => plain::sums(tile, sums),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::sums(tile, sums),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => avx512::sums(tile, sums),
            #[cfg(not(target_arch = "x86_64"))]
            _ => plain::sums(tile, sums),
        }
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
    fn naive(tile: Tile<'_>, row: usize, panel: usize, column: usize) -> f32 {
        let of = |(quad, right): (usize, &WeightQuads)| -> i64 {
            let (left, right) = (tile.left[quad * tile.rows + row], right.0[column]);
            left.iter().zip(right).map(|(left, right)| i64::from(*left) * i64::from(right)).sum()
        };
        tile.right[panel].iter().enumerate().map(of).sum::<i64>() as f32
    }

    fn check(rows: usize, depth: usize, left: &[u8], right: &[i8]) {
        let byte = |index: usize| left[index % left.len()];
        let left: Vec<Quad> = (0..depth * rows).map(|quad| std::array::from_fn(|part| byte(quad * 4 + part))).collect();
        let of_panel = |panel: usize| -> Vec<WeightQuads> {
            let at = |index: usize| right[index % right.len()];
            let quad =
                |quad: usize, column: usize| std::array::from_fn(|part| at(panel * 7 + quad * 64 + column * 4 + part));
            (0..depth).map(|index| WeightQuads(std::array::from_fn(|column| quad(index, column)))).collect()
        };
        let panels = [of_panel(0), of_panel(1)];
        let tile = Tile::new(&left, rows, [&panels[0], &panels[1]]);
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
            let mut sums = [[[f32::NAN; WIDTH]; 2]; MOST_ROWS];
            kernel.sums(tile, &mut sums);
            for (row, of_row) in sums[..rows].iter().enumerate() {
                for (panel, columns) in of_row.iter().enumerate() {
                    for (column, sum) in columns.iter().enumerate() {
                        assert_eq!(*sum, naive(tile, row, panel, column), "{kernel}: {row}, {panel}, {column}");
                    }
                }
            }
            assert!(sums[rows..].iter().flatten().flatten().all(|sum| sum.is_nan()), "{kernel} wrote beyond the tile");
        }
    }

    proptest! {
        #[test]
        fn every_kernel_sums_as_the_definition_says(
            rows in 1..=MOST_ROWS,
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
    fn a_kernel_is_named_and_the_fastest_is_available() {
        assert!(Kernel::fastest().is_available() && Kernel::Plain.is_available());
        assert_eq!(Kernel::ALL.map(Kernel::name), ["plain", "avx2", "avx512-vnni"]);
    }
}
