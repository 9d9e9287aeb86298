//! A bound on memory: a check may take so much for each byte of its input, and no more. A length that lies, and is believed,
//! ends the run.

use std::alloc::System;

use cap::Cap;

/// What a check may take, whatever its input.
const BASE: usize = 1024 * 1024;
/// What it may take besides for each byte of its input: several copies of it, as frames of a few bytes each.
const EACH: usize = 256;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

pub(crate) fn run(check: fn(&[u8]), bytes: &[u8]) {
    let bound = MEMORY.allocated() + BASE + EACH * bytes.len();
    // It can be less than what is taken only by another thread, and there is none.
    MEMORY.set_limit(bound).expect("the bound is above what is taken");
    check(bytes);
    MEMORY.set_limit(usize::MAX).expect("there is no higher bound");
}
