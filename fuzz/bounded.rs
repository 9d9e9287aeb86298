//! A bound on memory: a check may take so much for each byte of its input, and no more. A length that lies, and is believed,
//! ends the run.

use std::{alloc::System, panic, sync::Once};

use cap::Cap;

/// What a check may take, whatever its input.
const BASE: usize = 1024 * 1024;
/// What it may take besides for each byte of its input: several copies of it, as frames of a few bytes each.
const EACH: usize = 256;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

pub(crate) fn run(check: fn(&[u8]), bytes: &[u8]) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = panic::take_hook();
        // To tell of a panic takes more than any check may.
        panic::set_hook(Box::new(move |panic| {
            lift();
            told(panic);
        }));
    });
    let bound = MEMORY.allocated() + BASE + EACH * bytes.len();
    MEMORY.set_limit(bound).expect("no other thread takes memory");
    check(bytes);
    lift();
}

fn lift() {
    MEMORY.set_limit(usize::MAX).expect("there is no higher bound");
}
