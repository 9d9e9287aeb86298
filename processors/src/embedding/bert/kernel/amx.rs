//! AMX: `TDPBUSD` multiplies sixteen rows of 64 bytes with 64 rows of sixteen columns, and adds the products to 256 sums.
//!
//! In assembly, for the compiler has no intrinsics of it yet and does not touch these registers. Two by two tiles of sums are under
//! way at once: with fewer, a product waits for the one before it.
//!
//! Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18 (Programming with Intel AMX), and
//! volume 2, TDPBUSD; Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter 20 (Intel AMX), for the blocking; the Linux kernel's
//! Documentation/arch/x86/xstate.rst, for the permission.

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _mm512_cvtepi32_ps, _mm512_loadu_si512, _mm512_storeu_ps, _xgetbv};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use super::{Kernel, Sums, TILE_QUADS, TILE_ROWS, Tile};
use crate::embedding::bert::panel::WIDTH;

/// Bytes in a row of a tile register.
const ROW_BYTES: usize = 64;

/// Sums of two by two tiles, as they are stored.
type Whole = [[[i32; WIDTH]; 2]; 2 * TILE_ROWS];

/// Whether the processor has the instructions, and the kernel lets this process use them. Asks for that the first time.
pub(super) fn is_available() -> bool {
    static IS_AVAILABLE: OnceLock<bool> = OnceLock::new();
    *IS_AVAILABLE.get_or_init(|| Kernel::Avx512Vnni.is_available() && has_tiles() && is_permitted())
}

/// Whether the processor has tile registers and their products of bytes, and the kernel saves them.
fn has_tiles() -> bool {
    const XSAVE_IN_USE: u32 = 1 << 27;
    const TILES_AND_BYTES: u32 = 1 << 24 | 1 << 25;
    const STATES: u64 = 1 << 17 | 1 << 18;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & XSAVE_IN_USE == 0 {
        return false;
    }
    // SAFETY: the kernel says by XSAVE_IN_USE that the instruction may be used.
    let saved = unsafe { _xgetbv(0) };
    __cpuid_count(7, 0).edx & TILES_AND_BYTES == TILES_AND_BYTES && saved & STATES == STATES
}

/// Asks Linux for the registers, which it gives a process that wants them; one that has not asked ends at the first instruction.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_STATE: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the call reads and writes no memory of the process; the two registers are those that a system call changes.
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") REQUEST_STATE, in("rsi") TILE_DATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The tile registers of a thread, in their shapes until this is dropped. Not to be held by a thread twice: what is dropped first
/// clears the registers of the other, too.
pub(super) struct Tiles(PhantomData<*const ()>);

/// What `LDTILECFG` reads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    first_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Gives all eight registers their largest shape: sixteen rows of 64 bytes.
    ///
    /// # Panics
    /// The machine has not the instructions.
    pub(super) fn shaped() -> Self {
        assert!(Kernel::Amx.is_available(), "this machine has no AMX with products of bytes");
        let mut shapes = Shapes { palette: 1, first_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        shapes.row_bytes[..8].fill(ROW_BYTES as u16);
        shapes.rows[..8].fill(TILE_ROWS as u8);
        // SAFETY: the machine has the instruction, and these are 64 bytes of a shape that it has.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly, preserves_flags)) };
        Self(PhantomData)
    }

    /// See [`super::Ready::sums`]. Both sides are whole tiles; rows of `sums` that the tile has not are not written.
    pub(super) fn sums(&self, tile: Tile<'_>, sums: &mut Sums) {
        let depth = tile.right[0].len();
        assert!(depth.is_multiple_of(TILE_QUADS) && tile.left.len() >= depth * tile.rows.next_multiple_of(TILE_ROWS));
        let mut whole = MaybeUninit::<Whole>::uninit();
        let [first, second] = tile.right.map(|quads| quads.as_ptr().cast::<u8>());
        let sides = Sides { left: tile.left.as_ptr().cast(), first, second, steps: depth / TILE_QUADS, row: depth * 4 };
        // SAFETY: the registers have their shapes, the machine has AVX-512, and each side has as many whole tiles as are read: on the
        // left one below the other, on the right sixteen quads of weights each.
        unsafe {
            if depth == 0 {
                whole.write([[[0; WIDTH]; 2]; 2 * TILE_ROWS]);
            } else if tile.rows > TILE_ROWS {
                two_by_two(sides, whole.as_mut_ptr().cast());
            } else {
                one_by_two(sides, whole.as_mut_ptr().cast());
            }
            to_floats(whole.as_ptr().cast(), &mut sums[..tile.rows]);
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the machine has the instruction, or there were no tiles. A thread without tiles costs the kernel less to switch.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

/// What a product reads.
struct Sides {
    left: *const u8,
    first: *const u8,
    second: *const u8,
    /// Tiles in the depth; at least one.
    steps: usize,
    /// Bytes from one row of the left side to the next.
    row: usize,
}

/// The products of 32 rows with both panels. On the right one step is a tile as it lies in memory.
///
/// # Safety
/// See [`Tiles::sums`].
unsafe fn two_by_two(sides: Sides, out: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{upper} + {row} * 1]",
            "tileloadd tmm6, [{first} + {line} * 1]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{second} + {line} * 1]",
            "tdpbusd tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {row} * 1]",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {first}, 1024",
            "add {second}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {line} * 2], tmm0",
            "tilestored [{out} + {line} * 2 + 64], tmm1",
            "tilestored [{out} + {line} * 2 + 2048], tmm2",
            "tilestored [{out} + {line} * 2 + 2112], tmm3",
            upper = inout(reg) sides.left => _,
            lower = inout(reg) sides.left.wrapping_add(TILE_ROWS * sides.row) => _,
            first = inout(reg) sides.first => _,
            second = inout(reg) sides.second => _,
            steps = inout(reg) sides.steps => _,
            row = in(reg) sides.row,
            line = in(reg) ROW_BYTES,
            out = in(reg) out,
            options(nostack),
        );
    }
}

/// The products of sixteen rows with both panels.
///
/// # Safety
/// See [`Tiles::sums`].
unsafe fn one_by_two(sides: Sides, out: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloadd tmm4, [{left} + {row} * 1]",
            "tileloadd tmm6, [{first} + {line} * 1]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{second} + {line} * 1]",
            "tdpbusd tmm1, tmm4, tmm7",
            "add {left}, 64",
            "add {first}, 1024",
            "add {second}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {line} * 2], tmm0",
            "tilestored [{out} + {line} * 2 + 64], tmm1",
            left = inout(reg) sides.left => _,
            first = inout(reg) sides.first => _,
            second = inout(reg) sides.second => _,
            steps = inout(reg) sides.steps => _,
            row = in(reg) sides.row,
            line = in(reg) ROW_BYTES,
            out = in(reg) out,
            options(nostack),
        );
    }
}

/// Writes as many rows of sums as there are in `sums`.
///
/// # Safety
/// So many rows were written.
#[target_feature(enable = "avx512f")]
unsafe fn to_floats(whole: *const [[i32; WIDTH]; 2], sums: &mut [[super::Row; 2]]) {
    for (row, sums) in sums.iter_mut().enumerate() {
        for (panel, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's; a row of a panel is sixteen numbers.
            unsafe {
                let from = whole.add(row).cast::<[i32; WIDTH]>().add(panel);
                _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_cvtepi32_ps(_mm512_loadu_si512(from.cast())));
            }
        }
    }
}
