#![no_main]

#[path = "../bounded.rs"]
mod bounded;
#[path = "../checks/envelope_headers.rs"]
mod envelope_headers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::run(envelope_headers::check, bytes));
