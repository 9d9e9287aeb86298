#![no_main]

#[path = "../bounded.rs"]
mod bounded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::run(meshlog_processors::fuzzing::model_summary, bytes));
