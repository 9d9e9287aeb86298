//! Word pieces: what the model reads instead of text.

use std::path::Path;

use tokenizers::{Tokenizer, TruncationParams};

use super::ModelError;

/// Word pieces of a text that count, with the two marks around it. The model was trained on no more.
pub(super) const MOST_PIECES: usize = 256;

/// Bytes of a text that are looked at: 254 pieces of prose take about 1,300, and splitting megabytes to use these
/// would let one text hold up all others.
const MOST_BYTES: usize = 8 * 1024;

/// Splits texts into word pieces.
pub(super) struct Pieces {
    tokenizer: Tokenizer,
}

impl Pieces {
    /// Reads the content of the tokenizer file `path`. Its own limits are replaced: the file of MiniLM cuts at 128
    /// pieces and pads to as many.
    ///
    /// # Errors
    /// The content is not a tokenizer.
    pub(super) fn parse(content: &[u8], path: &Path) -> Result<Self, ModelError> {
        let corrupt =
            |cause: tokenizers::Error| ModelError::Corrupt { path: path.to_owned(), cause: cause.to_string() };
        let mut tokenizer = Tokenizer::from_bytes(content).map_err(corrupt)?;
        let limit = TruncationParams { max_length: MOST_PIECES, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(limit)).map_err(corrupt)?.with_padding(None);
        Ok(Self { tokenizer })
    }

    /// The word pieces of a text, with the marks for its begin and end. Never none: the marks count.
    ///
    /// # Errors
    /// The tokenizer lacks the mark for unknown words, or those for begin and end.
    pub(super) fn split(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let beginning = &text[..text.floor_char_boundary(MOST_BYTES)];
        let encoding = self
            .tokenizer
            .encode_fast(beginning, true)
            .map_err(|cause| ModelError::Tokenizer { cause: cause.to_string() })?;
        if encoding.is_empty() {
            return Err(ModelError::Tokenizer { cause: "its file sets no marks for begin and end".to_owned() });
        }
        Ok(encoding.get_ids().to_vec())
    }
}
