//! The fuzz targets' checks over their kept corpus (see `fuzz/Cargo.toml`), without libFuzzer.

#[path = "../../fuzz/checks/checkpoints_text.rs"]
mod checkpoints_text;
#[path = "../../fuzz/checks/envelope_headers.rs"]
mod envelope_headers;
#[path = "../../fuzz/checks/event_decode.rs"]
mod event_decode;
#[path = "../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn the_corpus_of_event_decode_holds() {
    replay("fuzz/corpus/event_decode", event_decode::check);
    replay("schemas/fixtures", event_decode::check);
}

#[test]
fn the_corpus_of_envelope_headers_holds() {
    replay("fuzz/corpus/envelope_headers", envelope_headers::check);
}

#[test]
fn the_corpus_of_checkpoints_text_holds() {
    replay("fuzz/corpus/checkpoints_text", checkpoints_text::check);
}
