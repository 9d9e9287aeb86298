//! What must hold for any bytes, for each decoder of this crate: the fuzz targets call these (see `fuzz/Cargo.toml`), and
//! the tests here run them over the kept inputs.

pub use crate::{
    embedded::fuzzing::{frames, index, journal_group, manifest},
    processor::stage_note,
};

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn the_corpus_of_each_decoder_holds() {
        replay("fuzz/corpus/log_frames", frames);
        replay("fuzz/corpus/segment_index", index);
        replay("fuzz/corpus/journal_group", journal_group);
        replay("fuzz/corpus/manifest", manifest);
        replay("fuzz/corpus/stage_note", stage_note);
    }
}
