#![no_main]

#[path = "../checks/checkpoints_text.rs"]
mod checkpoints_text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checkpoints_text::check(bytes));
