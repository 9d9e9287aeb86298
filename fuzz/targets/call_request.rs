#![no_main]

#[path = "../bounded.rs"]
mod bounded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::run(meshlog_connectors::fuzzing::call_request, bytes));
