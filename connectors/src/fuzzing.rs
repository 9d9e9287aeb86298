//! What must hold for any bytes, for each decoder of this crate: the fuzz targets call these (see `fuzz/Cargo.toml`), and
//! the tests here run them over the kept inputs.

pub use crate::calls::fuzzing::{call_request, model_answer};
pub use crate::http::fuzzing::{message_json, query_string, resume_places, text_forms};

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn the_corpus_of_each_decoder_holds() {
        replay("fuzz/corpus/call_request", call_request);
        replay("fuzz/corpus/model_answer", model_answer);
        replay("fuzz/corpus/message_json", message_json);
        replay("fuzz/corpus/query_string", query_string);
        replay("fuzz/corpus/resume_places", resume_places);
        replay("fuzz/corpus/text_forms", text_forms);
    }
}
