#![no_main]

#[path = "../checks/envelope_headers.rs"]
mod envelope_headers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| envelope_headers::check(bytes));
