#![no_main]

#[path = "../bounded.rs"]
mod bounded;
#[path = "../checks/checkpoints_text.rs"]
mod checkpoints_text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::run(checkpoints_text::check, bytes));
