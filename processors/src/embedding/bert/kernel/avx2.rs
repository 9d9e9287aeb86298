//! AVX2: bytes widened to 16 bits, multiplied and added in pairs by `VPMADDWD`. (`VPMADDUBSW`, which multiplies bytes, gives other
//! sums: it cuts them off at 16 bits.)

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm_set1_epi32, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_cvtepi32_ps,
    _mm256_cvtepu8_epi16, _mm256_hadd_epi32, _mm256_madd_epi16, _mm256_permute4x64_epi64, _mm256_setzero_si256,
    _mm256_storeu_ps,
};

use super::{Kernel, Quad, Sums, Tile, WeightQuads};
use crate::embedding::bert::panel::Row;

/// Rows at a time: with four registers of sums each, three leave room for the operands.
const TOGETHER: usize = 3;

/// Four columns of weights, four of each.
const QUARTERS: usize = 4;

/// See [`super::Ready::sums`].
///
/// # Panics
/// The machine has not the instructions.
pub(super) fn sums(tile: Tile<'_>, sums: &mut Sums) {
    assert!(Kernel::Avx2.is_available(), "this machine has no AVX2");
    let rows = tile.rows;
    for (panel, right) in tile.right.into_iter().enumerate() {
        for first in (0..rows).step_by(TOGETHER) {
            // Rows that are missing in the last group are computed as the last row, and not stored.
            let places: [usize; TOGETHER] = std::array::from_fn(|index| (first + index).min(rows - 1));
            // SAFETY: the machine has the instructions.
            let totals = unsafe { of_rows(tile, places, right) };
            for (place, total) in places.into_iter().zip(totals) {
                sums[place][panel] = total;
            }
        }
    }
}

#[target_feature(enable = "avx2")]
fn of_rows(tile: Tile<'_>, places: [usize; TOGETHER], right: &[WeightQuads]) -> [Row; TOGETHER] {
    let mut totals = [[_mm256_setzero_si256(); QUARTERS]; TOGETHER];
    for (left, right) in tile.left.chunks_exact(tile.rows).zip(right) {
        add(&mut totals, places.map(|place| left[place]), right);
    }
    let mut rows = [[0.0; _]; TOGETHER];
    for (totals, row) in totals.into_iter().zip(&mut rows) {
        let [first, second, third, fourth] = totals;
        for (index, (low, high)) in [(first, second), (third, fourth)].into_iter().enumerate() {
            // Neighbours are the two halves of a column; each half register gives two columns of `low`, then two of `high`.
            let columns = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high));
            // SAFETY: there are eight floats behind the place.
            unsafe { _mm256_storeu_ps(row[index * 8..][..8].as_mut_ptr(), _mm256_cvtepi32_ps(columns)) };
        }
    }
    rows
}

/// Adds the products of one quad of each row.
#[inline]
#[target_feature(enable = "avx2")]
fn add(totals: &mut [[__m256i; QUARTERS]; TOGETHER], left: [Quad; TOGETHER], right: &WeightQuads) {
    let left: [__m256i; TOGETHER] = left.map(|quad| _mm256_cvtepu8_epi16(_mm_set1_epi32(i32::from_le_bytes(quad))));
    for (quarter, weights) in right.0.chunks_exact(QUARTERS).enumerate() {
        // SAFETY: four times four bytes.
        let weights = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weights.as_ptr().cast()) });
        for (totals, left) in totals.iter_mut().zip(left) {
            totals[quarter] = _mm256_add_epi32(totals[quarter], _mm256_madd_epi16(left, weights));
        }
    }
}
