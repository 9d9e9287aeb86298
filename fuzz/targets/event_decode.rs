#![no_main]

#[path = "../bounded.rs"]
mod bounded;
#[path = "../checks/event_decode.rs"]
mod event_decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::run(event_decode::check, bytes));
