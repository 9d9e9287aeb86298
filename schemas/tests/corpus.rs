//! The fuzz targets' checks over their kept corpus (see `fuzz/Cargo.toml`), without libFuzzer.

use std::{fs, path::Path};

#[path = "../../fuzz/checks/checkpoints_text.rs"]
mod checkpoints_text;
#[path = "../../fuzz/checks/envelope_headers.rs"]
mod envelope_headers;
#[path = "../../fuzz/checks/event_decode.rs"]
mod event_decode;

/// Runs a check over a folder of inputs; a failing one is named by its own panic, after its file's name.
fn replay(folder: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut inputs = 0;
    for file in fs::read_dir(&folder).expect("the folder is there") {
        let file = file.expect("the folder can be read").path();
        println!("{}", file.display());
        check(&fs::read(&file).expect("the input can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}

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
