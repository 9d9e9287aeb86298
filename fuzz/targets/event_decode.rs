#![no_main]

#[path = "../checks/event_decode.rs"]
mod event_decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| event_decode::check(bytes));
