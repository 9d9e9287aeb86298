//! AVX-512 with VNNI: `VPDPBUSD` multiplies 64 pairs of bytes and adds the products in fours to sixteen sums.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, VPDPBUSD.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m512i, _mm_storeu_si128, _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_cvtusepi32_epi8, _mm512_dpbusd_epi32,
    _mm512_load_si512, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
    _mm512_storeu_ps, _mm512_sub_ps,
};
use std::ops::Range;

use super::{Kernel, Numbers, Quad, Sums, Tile, WeightQuads, by_rows};
use crate::embedding::bert::{levels::Scale, panel::WIDTH};

/// See [`Kernel::split`].
///
/// # Panics
/// The machine has not the instructions.
pub(super) fn split(numbers: Numbers<'_>, panels: Range<usize>, scale: Scale, out: &mut [Quad]) {
    assert!(Kernel::Avx512Vnni.is_available(), "this machine has no AVX-512 with VNNI");
    // SAFETY: the machine has the instructions.
    unsafe { of_token(numbers, panels, scale, out) }
}

#[target_feature(enable = "avx512f")]
fn of_token(numbers: Numbers<'_>, panels: Range<usize>, scale: Scale, out: &mut [Quad]) {
    let (low, steps) = (_mm512_set1_ps(scale.low), _mm512_set1_ps(1.0 / scale.step));
    // An index, not an iterator with steps: that one costs three hundredths of all the time.
    let (mut place, step) = (numbers.first(), numbers.layout.between_quads);
    for panel in panels {
        // SAFETY: a row is sixteen floats.
        let row = unsafe { _mm512_loadu_ps(numbers.of(panel).as_ptr()) };
        let levels = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(row, low), steps));
        let mut bytes = [0_u8; WIDTH];
        // SAFETY: sixteen bytes.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtusepi32_epi8(levels)) };
        for quad in bytes.as_chunks::<4>().0 {
            out[place] = *quad;
            place += step;
        }
    }
}

/// See [`super::Ready::sums`].
///
/// # Panics
/// The machine has not the instructions.
pub(super) fn sums(tile: Tile<'_>, sums: &mut Sums) {
    assert!(Kernel::Avx512Vnni.is_available(), "this machine has no AVX-512 with VNNI");
    // SAFETY: the machine has the instructions.
    unsafe { by_rows!(of_rows, tile, sums, 1 2 3 4 5 6 7 8 9 10 11 12) }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn of_rows<const ROWS: usize>(tile: Tile<'_>, sums: &mut Sums) {
    let mut totals = [[_mm512_setzero_si512(); 2]; ROWS];
    let (left, _) = tile.left.as_chunks::<ROWS>();
    for ((left, first), second) in left.iter().zip(tile.right[0]).zip(tile.right[1]) {
        let (first, second) = (load(first), load(second));
        for row in 0..ROWS {
            let quad = _mm512_set1_epi32(i32::from_le_bytes(left[row]));
            totals[row][0] = _mm512_dpbusd_epi32(totals[row][0], quad, first);
            totals[row][1] = _mm512_dpbusd_epi32(totals[row][1], quad, second);
        }
    }
    for (totals, out) in totals.into_iter().zip(sums) {
        for (total, out) in totals.into_iter().zip(out) {
            // SAFETY: a row is sixteen floats.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), _mm512_cvtepi32_ps(total)) };
        }
    }
}

#[target_feature(enable = "avx512f")]
fn load(quads: &WeightQuads) -> __m512i {
    // SAFETY: it is 64 bytes at a multiple of 64.
    unsafe { _mm512_load_si512(std::ptr::from_ref(quads).cast()) }
}
