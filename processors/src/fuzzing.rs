//! What must hold for any bytes, for each decoder of this crate: the fuzz targets call these (see `fuzz/Cargo.toml`), and
//! the tests here run them over the kept inputs.

pub use crate::{knowledge::model::fuzzing::model_notes, summaries::writing::fuzzing::model_summary};

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn the_corpus_of_each_decoder_holds() {
        replay("fuzz/corpus/model_notes", model_notes);
        replay("fuzz/corpus/model_summary", model_summary);
    }
}
