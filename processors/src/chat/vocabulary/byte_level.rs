//! Byte-level pair encoding: the way of the `gpt2`, `llama 3` and `qwen` vocabularies.
//!
//! A text is cut into words by a pattern, and each word's bytes are merged in the order that the file lists. Merging
//! and cutting are the `tokenizers` crate's; here stands which pattern belongs to which name in a file.

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{PreTokenizerWrapper, Tokenizer};

use super::super::ChatError;
use super::super::gguf::{Gguf, Value, shown};
use super::{Kind, Token};

/// How the words of llama 3 are cut, as its tokenizer states.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How the words of qwen 2 and 3 are cut, as their tokenizers state: as llama 3, but each digit is a word.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Whether `tokenizer.ggml.pre` is one of the names of llama 3's way.
pub(super) fn is_llama3(dialect: &str) -> bool {
    matches!(dialect, "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe")
}

/// The tokenizer for a list of tokens, with the merges that the file lists.
///
/// # Errors
/// The merges are missing or do not fit the tokens, or the file cuts words in a way that is not known here.
pub(super) fn tokenizer(gguf: &mut Gguf, tokens: Vec<Token>, dialect: &str) -> Result<Tokenizer, ChatError> {
    let cut = cut(dialect).map_err(|cause| gguf.unsupported(cause.to_string()))?.ok_or_else(|| {
        gguf.unsupported(format!("its words are cut in the way {}; put its tokenizer.json beside it", shown(&dialect)))
    })?;
    let Some(Value::Texts(merges)) = gguf.take("tokenizer.ggml.merges") else {
        return Err(gguf.corrupt("tokenizer.ggml.merges is not an array of strings"));
    };
    let pair = |merge: &String| merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned()));
    let Some(merges) = merges.iter().map(pair).collect::<Option<Vec<_>>>() else {
        return Err(gguf.corrupt("an entry of tokenizer.ggml.merges is not two tokens"));
    };
    // Marks are found before; left in here, a text could be merged into one.
    let ordinary = (0..).zip(tokens).filter(|(_, token)| matches!(token.kind, Kind::Normal | Kind::Byte));
    let vocabulary: Vocab = ordinary.map(|(id, token)| (token.text, id)).collect();
    let model = BPE::builder().vocab_and_merges(vocabulary, merges).ignore_merges(is_llama3(dialect)).build();
    let model = model.map_err(|cause| gguf.corrupt(format!("tokens and merges do not fit together: {cause}")))?;
    let mut tokenizer = Tokenizer::new(model);
    if dialect == "qwen2" {
        let normalised = tokenizer.with_normalizer(Some(NFC)).map(|_| ());
        normalised.map_err(|cause| gguf.unsupported(cause.to_string()))?;
    }
    tokenizer.with_pre_tokenizer(Some(cut));
    Ok(tokenizer)
}

fn cut(dialect: &str) -> tokenizers::Result<Option<PreTokenizerWrapper>> {
    let bytes = |pattern: bool| PreTokenizerWrapper::from(ByteLevel::new(false, false, pattern));
    let by = |pattern: &str| -> tokenizers::Result<PreTokenizerWrapper> {
        let split = Split::new(SplitPattern::Regex(pattern.to_owned()), SplitDelimiterBehavior::Isolated, false)?;
        Ok(Sequence::new(vec![split.into(), bytes(false)]).into())
    };
    Ok(match dialect {
        dialect if is_llama3(dialect) => Some(by(LLAMA3)?),
        "qwen2" | "deepseek-r1-qwen" => Some(by(QWEN2)?),
        "smollm" => Some(Sequence::new(vec![Digits::new(true).into(), bytes(true)]).into()),
        "default" | "gpt-2" | "gpt2" => Some(bytes(true)),
        _ => None,
    })
}
