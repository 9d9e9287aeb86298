//! The vocabulary: text as tokens, and tokens as bytes.
//!
//! Owns: what the file says about its tokens, or what a `tokenizer.json` beside it says, which takes precedence; which
//! tokens end an answer, and which begins a prompt.
//! Promises: a control token has no text, so no mark of the chat format is ever shown. The bytes of the tokens of a
//! text are the text again, but for what the model itself normalises.
//! Keep in mind: text that spells a control token, such as `<end_of_turn>`, is read as that token wherever it stands,
//! also in a message. A rendered template is one text, and the marks in it have to be found.

mod byte_level;
mod marks;
mod pieces;
mod sentencepiece;

use std::collections::HashSet;
use std::path::Path;

use tokenizers::Tokenizer;

use super::ChatError;
use super::gguf::{Gguf, Value, shown};
use marks::Marks;
use pieces::Pieces;
use sentencepiece::Sentencepiece;

/// The file beside a model that replaces the tokenizer in it.
const TOKENIZER: &str = "tokenizer.json";

/// Bytes of a `tokenizer.json`: that of the largest vocabulary known has 33 MB.
const MOST_TOKENIZER_BYTES: u64 = 256 << 20;

/// Control tokens that end an answer in the chat formats of the supported families, whatever the file states as its
/// end: files of chat models often state only the end of a document.
const ENDS: [&str; 9] = [
    "<end_of_turn>",
    "<eos>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "</s>",
];

/// The kinds of tokens that a file states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Ordinary text.
    Normal,
    /// A mark that is not text, or a token that stands for nothing.
    Control,
    /// Text that is always one token, whatever stands around it.
    Whole,
    /// One byte, for what no other token can spell.
    Byte,
    /// Never made from text.
    Unused,
}

/// One token as the file lists it; its number is its place in the list.
struct Token {
    text: String,
    score: f32,
    kind: Kind,
}

/// The tokens of a model.
pub(super) struct Vocabulary {
    splitter: Splitter,
    pieces: Pieces,
    begin: Option<u32>,
    begin_text: String,
    end_text: String,
    begins_prompts: bool,
    pads_with_space: bool,
    ends: HashSet<u32>,
}

enum Splitter {
    Sentencepiece {
        marks: Marks,
        model: Box<Sentencepiece>,
    },
    ByteLevel {
        marks: Marks,
        tokenizer: Box<Tokenizer>,
    },
    /// A `tokenizer.json`, which finds its own marks.
    File {
        tokenizer: Box<Tokenizer>,
    },
}

impl Vocabulary {
    /// Reads the vocabulary of an open file, or the `tokenizer.json` beside it.
    ///
    /// # Errors
    /// There is neither, one is damaged, the two do not belong together, or the kind is not supported.
    pub(super) fn read(gguf: &mut Gguf) -> Result<Self, ChatError> {
        let beside = gguf.path().with_file_name(TOKENIZER);
        let listed = listed_tokens(gguf)?;
        let end = gguf.unsigned("tokenizer.ggml.eos_token_id").and_then(|id| u32::try_from(id).ok());
        let begin = gguf.unsigned("tokenizer.ggml.bos_token_id").and_then(|id| u32::try_from(id).ok());
        let model = gguf.text("tokenizer.ggml.model").unwrap_or_default().to_owned();
        let dialect = gguf.text("tokenizer.ggml.pre").unwrap_or("default").to_owned();
        let sentencepiece = model == "llama";

        let (splitter, pieces, controls) = if beside.exists() {
            from_file(&beside, listed.as_deref(), [begin, end])?
        } else {
            let Some(tokens) = listed else {
                return Err(gguf.unsupported("it lists no tokens, and no tokenizer.json lies beside it"));
            };
            let controls = controls(&tokens);
            let marks = Marks::new(&tokens);
            match model.as_str() {
                "llama" => {
                    let pieces = Pieces::of_sentences(&tokens);
                    let model = Box::new(Sentencepiece::new(tokens));
                    (Splitter::Sentencepiece { marks, model }, pieces, controls)
                }
                "gpt2" => {
                    let pieces = Pieces::of_bytes(&tokens);
                    let tokenizer = Box::new(byte_level::tokenizer(gguf, tokens, &dialect)?);
                    (Splitter::ByteLevel { marks, tokenizer }, pieces, controls)
                }
                other => {
                    let cause = format!("its tokenizer is of kind {}; put its tokenizer.json beside it", shown(&other));
                    return Err(gguf.unsupported(cause));
                }
            }
        };

        let known = |id: &u32| (*id as usize) < pieces.len();
        let more_ends = ["eot", "eom"].map(|name| gguf.unsigned(&format!("tokenizer.ggml.{name}_token_id")));
        let mut ends: HashSet<u32> = ENDS
            .iter()
            .filter_map(|text| controls.iter().find(|(_, control)| control == text).map(|(id, _)| *id))
            .chain(more_ends.into_iter().flatten().filter_map(|id| u32::try_from(id).ok()))
            .chain(end)
            .collect();
        ends.retain(known);
        let begin = begin.filter(known);
        let text_of = |id: Option<u32>| {
            let control = controls.iter().find(|(control, _)| Some(*control) == id);
            control.map(|(_, text)| text.clone()).unwrap_or_default()
        };
        // What llama.cpp takes for granted when a file does not say.
        let llama3 = byte_level::is_llama3(&dialect);
        let begins_prompts = gguf.bool("tokenizer.ggml.add_bos_token").unwrap_or(sentencepiece || llama3);
        let pads_with_space = sentencepiece && gguf.bool("tokenizer.ggml.add_space_prefix").unwrap_or(true);
        Ok(Self {
            begin_text: text_of(begin),
            end_text: text_of(end),
            splitter,
            pieces,
            begin,
            begins_prompts,
            pads_with_space,
            ends,
        })
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The bytes that a token writes. None for control tokens.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        self.pieces.get(token)
    }

    /// Whether an answer is over with this token.
    pub(super) fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The text of the token that begins a prompt, for templates; empty when there is none.
    pub(super) fn begin_text(&self) -> &str {
        &self.begin_text
    }

    /// The text of the token that ends a document, for templates; empty when there is none.
    pub(super) fn end_text(&self) -> &str {
        &self.end_text
    }

    /// Whether the first word of an answer carries a space that is the tokenizer's and not the model's.
    pub(super) fn pads_with_space(&self) -> bool {
        self.pads_with_space
    }

    /// The tokens of a rendered prompt, with the one that begins it if the model wants that and the template has not
    /// written it.
    ///
    /// # Errors
    /// The tokenizer fails on the text.
    pub(super) fn prompt(&self, text: &str) -> Result<Vec<u32>, ChatError> {
        let mut tokens = self.encode(text)?;
        if let Some(begin) = self.begin.filter(|begin| self.begins_prompts && tokens.first() != Some(begin)) {
            tokens.insert(0, begin);
        }
        Ok(tokens)
    }

    /// The tokens of a text, nothing added.
    ///
    /// # Errors
    /// The tokenizer fails on the text.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, ChatError> {
        let tokens = match &self.splitter {
            Splitter::File { tokenizer } => ids(tokenizer, text)?,
            Splitter::ByteLevel { marks, tokenizer } => marks.split(text, |text| ids(tokenizer, text))?,
            Splitter::Sentencepiece { marks, model } => {
                marks.split(text, |text| Ok(model.split(text, self.pads_with_space)))?
            }
        };
        match tokens.iter().find(|token| **token as usize >= self.len()) {
            Some(token) => Err(ChatError::Tokenizer { cause: format!("it gives the unknown token {token}") }),
            None => Ok(tokens),
        }
    }
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, ChatError> {
    let encoding = tokenizer.encode_fast(text, false);
    let encoding = encoding.map_err(|cause| ChatError::Tokenizer { cause: cause.to_string() })?;
    Ok(encoding.get_ids().to_vec())
}

/// The numbers and texts of control tokens.
type Controls = Vec<(u32, String)>;

fn controls(tokens: &[Token]) -> Controls {
    let numbered = (0..).zip(tokens).filter(|(_, token)| token.kind == Kind::Control);
    numbered.map(|(id, token)| (id, token.text.clone())).collect()
}

/// What the GGUF file lists, if it lists any.
fn listed_tokens(gguf: &mut Gguf) -> Result<Option<Vec<Token>>, ChatError> {
    let texts = match gguf.take("tokenizer.ggml.tokens") {
        Some(Value::Texts(texts)) => texts,
        Some(_) => return Err(gguf.corrupt("tokenizer.ggml.tokens is not an array of strings")),
        None => return Ok(None),
    };
    let scores = numbers(gguf, "tokenizer.ggml.scores", texts.len())?;
    let kinds = numbers(gguf, "tokenizer.ggml.token_type", texts.len())?;
    let token = |(index, text): (usize, String)| {
        let kind = kinds.get(index).map_or(Kind::Normal, |kind| match *kind as i32 {
            2 | 3 => Kind::Control,
            4 => Kind::Whole,
            5 => Kind::Unused,
            6 => Kind::Byte,
            _ => Kind::Normal,
        });
        Token { text, score: scores.get(index).copied().unwrap_or_default(), kind }
    };
    Ok(Some(texts.into_iter().enumerate().map(token).collect()))
}

/// An array with a number for each token. Empty when the file has none.
fn numbers(gguf: &mut Gguf, key: &str, tokens: usize) -> Result<Vec<f32>, ChatError> {
    match gguf.take(key) {
        None => Ok(Vec::new()),
        Some(Value::Numbers(numbers)) if numbers.len() == tokens => Ok(numbers),
        Some(Value::Numbers(numbers)) => {
            Err(gguf.corrupt(format!("{key} has {} items for {tokens} tokens", numbers.len())))
        }
        Some(_) => Err(gguf.corrupt(format!("{key} is not an array of numbers"))),
    }
}

/// Reads a `tokenizer.json`. When the GGUF file lists tokens too, those at a few places must be the same: a folder may
/// hold the tokenizer of another model.
fn from_file(
    path: &Path,
    listed: Option<&[Token]>,
    special: [Option<u32>; 2],
) -> Result<(Splitter, Pieces, Controls), ChatError> {
    let missing = |cause| ChatError::Missing { path: path.to_owned(), cause };
    let corrupt = |cause: String| ChatError::Corrupt { path: path.to_owned(), cause };
    let size = std::fs::metadata(path).map_err(missing)?.len();
    if size > MOST_TOKENIZER_BYTES {
        return Err(corrupt(format!("it has {size} bytes, more than {MOST_TOKENIZER_BYTES}")));
    }
    let content = std::fs::read(path).map_err(missing)?;
    let mut tokenizer = Tokenizer::from_bytes(&content).map_err(|cause| corrupt(cause.to_string()))?;
    tokenizer.with_truncation(None).map_err(|cause| corrupt(cause.to_string()))?.with_padding(None);
    let tokens = file_tokens(&tokenizer);
    if let Some(listed) = listed {
        let places = special.into_iter().flatten().map(|id| id as usize).chain((0..16).map(|n| listed.len() * n / 16));
        for place in places {
            if let (Some(here), Some(there)) = (tokens.get(place), listed.get(place))
                && here.text != there.text
            {
                return Err(corrupt(format!(
                    "token {place} is {} there and {} in the model; it is another model's, remove it",
                    shown(&here.text),
                    shown(&there.text)
                )));
            }
        }
    }
    let byte_level = tokenizer.get_decoder().is_some_and(|decoder| {
        serde_json::to_string(decoder).is_ok_and(|decoder| decoder.contains(r#""type":"ByteLevel""#))
    });
    let pieces = if byte_level { Pieces::of_bytes(&tokens) } else { Pieces::of_sentences(&tokens) };
    let controls = controls(&tokens);
    Ok((Splitter::File { tokenizer: Box::new(tokenizer) }, pieces, controls))
}

/// The tokens of a `tokenizer.json`, by number. A number without a token becomes one that stands for nothing.
fn file_tokens(tokenizer: &Tokenizer) -> Vec<Token> {
    let added = tokenizer.get_added_tokens_decoder();
    let vocabulary = tokenizer.get_vocab(true);
    // Numbers far beyond the count of tokens would only make an empty list long.
    let most = vocabulary.len().saturating_mul(2);
    let length = vocabulary.values().map(|id| *id as usize + 1).filter(|length| *length <= most).max().unwrap_or(0);
    let nothing = || Token { text: String::new(), score: 0.0, kind: Kind::Unused };
    let mut tokens: Vec<Token> = std::iter::repeat_with(nothing).take(length).collect();
    for (text, id) in vocabulary {
        let kind = match added.get(&id) {
            Some(token) if token.special => Kind::Control,
            Some(_) => Kind::Whole,
            None if pieces::byte(&text).is_some() => Kind::Byte,
            None => Kind::Normal,
        };
        if let Some(token) = tokens.get_mut(id as usize) {
            *token = Token { text, score: 0.0, kind };
        }
    }
    tokens
}

#[cfg(test)]
impl Vocabulary {
    /// From now on no token ends an answer.
    pub(super) fn forget_ends(&mut self) {
        self.ends.clear();
    }

    /// From now on this token ends an answer.
    pub(super) fn end_with(&mut self, token: u32) {
        self.ends.insert(token);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::gguf_file;
    use proptest::prelude::*;

    use super::super::testing::Tiny;
    use super::*;

    fn vocabulary(tiny: &Tiny) -> Result<Vocabulary, ChatError> {
        let (_folder, path) = tiny.written();
        Vocabulary::read(&mut Gguf::open(&path)?)
    }

    fn sentences() -> Vocabulary {
        vocabulary(&Tiny::new("llama")).expect("it is sound")
    }

    fn bytes() -> Vocabulary {
        vocabulary(&Tiny::new("qwen2")).expect("it is sound")
    }

    fn written(vocabulary: &Vocabulary, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| vocabulary.bytes(*token)).copied().collect();
        String::from_utf8(bytes).expect("it was text")
    }

    #[test]
    fn the_best_pairs_are_merged_first() {
        let vocabulary = sentences();
        // Five marks, 256 bytes, `<b>`; then from 262: ▁ h e l o w r d é ll he ▁w or ld llo hello ▁hello.
        for (text, expected) in [
            ("hello", &[277][..]),
            (" hello", &[278]),
            ("hell", &[272, 271]),
            ("world", &[267, 274, 275]),
            ("a", &[5 + 97]),
            ("é", &[270]),
            ("ü", &[5 + 0xc3, 5 + 0xbc]),
            ("</s>hello<b>", &[2, 277, 261]),
            ("", &[]),
        ] {
            assert_eq!(vocabulary.encode(text).expect("it splits"), expected, "{text:?}");
        }
    }

    #[test]
    fn a_prompt_begins_once_with_its_mark() {
        let vocabulary = sentences();
        let begin = vocabulary.prompt("hello").expect("it splits");
        assert_eq!(begin, vocabulary.prompt("<s>hello").expect("it splits"));
        assert_eq!(begin[0], 1);
        assert_eq!(vocabulary.begin_text(), "<s>");
        assert_eq!(vocabulary.end_text(), "</s>");
        assert!(vocabulary.is_end(2) && vocabulary.is_end(4) && !vocabulary.is_end(3));
        assert_eq!(bytes().prompt("hello").expect("it splits").len(), 1);
    }

    #[test]
    fn control_tokens_have_no_text_and_whole_ones_do() {
        let vocabulary = bytes();
        let tokens = vocabulary.encode("<|im_start|>hello<tool_call><|im_end|>").expect("it splits");
        assert_eq!(tokens.len(), 4);
        assert_eq!(written(&vocabulary, &tokens), "hello<tool_call>");
        assert!(vocabulary.is_end(0) && vocabulary.is_end(2) && !vocabulary.is_end(1));
    }

    #[test]
    fn a_space_is_put_before_text_where_the_file_says_so() {
        let mut tiny = Tiny::new("llama");
        tiny.set("tokenizer.ggml.add_space_prefix", gguf_file::Value::Bool(true));
        let padded = vocabulary(&tiny).expect("it is sound");
        assert!(padded.pads_with_space());
        assert_eq!(padded.encode("hello").expect("it splits"), sentences().encode(" hello").expect("it splits"));
    }

    #[test]
    fn a_tokenizer_beside_the_file_takes_precedence() {
        let tiny = Tiny::new("qwen2");
        let (folder, path) = tiny.written();
        let mut gguf = Gguf::open(&path).expect("it is sound");
        let own = Vocabulary::read(&mut gguf).expect("it is sound");
        let Splitter::ByteLevel { tokenizer, .. } = &own.splitter else { panic!("it is of bytes") };
        let mut beside = (**tokenizer).clone();
        beside.with_decoder(Some(tokenizers::decoders::byte_level::ByteLevel::default()));
        let controls = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
        // Those that the model's list does not merge get numbers after all others, which is another tokenizer's way.
        let json = beside.to_string(false).expect("it can be written");
        let mut json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        let added = |(id, text): (usize, &&str)| {
            serde_json::json!({"id": id, "content": text, "special": true, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false})
        };
        json["added_tokens"] = controls.iter().enumerate().map(added).collect();
        for (id, text) in controls.iter().enumerate() {
            json["model"]["vocab"][*text] = id.into();
        }
        json["model"]["vocab"]["<tool_call>"] = 3.into();
        std::fs::write(folder.path().join(TOKENIZER), json.to_string()).expect("the folder is ours");
        let other = Vocabulary::read(&mut Gguf::open(&path).expect("it is sound")).expect("they belong together");
        assert!(matches!(other.splitter, Splitter::File { .. }));
        assert_eq!((other.len(), other.is_end(2), other.end_text()), (own.len(), true, own.end_text()));
        for text in ["hello world", "<|im_start|>hé 🐟<|im_end|>\n"] {
            let tokens = own.encode(text).expect("it splits");
            assert_eq!(other.encode(text).expect("it splits"), tokens, "{text}");
            assert_eq!(written(&other, &tokens), written(&own, &tokens), "{text}");
        }

        json["added_tokens"][0]["content"] = "<other>".into();
        json["model"]["vocab"]["<other>"] = 0.into();
        json["model"]["vocab"].as_object_mut().expect("it is one").remove("<|endoftext|>");
        std::fs::write(folder.path().join(TOKENIZER), json.to_string()).expect("the folder is ours");
        let error = Vocabulary::read(&mut Gguf::open(&path).expect("it is sound")).err().expect("it is another's");
        assert!(
            error.to_string().contains("tokenizer.json") && error.to_string().contains("another model's"),
            "{error}"
        );

        std::fs::write(folder.path().join(TOKENIZER), "{").expect("the folder is ours");
        let error = Vocabulary::read(&mut Gguf::open(&path).expect("it is sound")).err().expect("it is no tokenizer");
        assert!(matches!(&error, ChatError::Corrupt { path, .. } if path.ends_with(TOKENIZER)), "{error}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let check = |key: &str, value: Option<gguf_file::Value>, expected: &str| {
            let mut tiny = Tiny::new("qwen2");
            match value {
                Some(value) => tiny.set(key, value),
                None => tiny.remove(key),
            }
            let error = vocabulary(&tiny).err().expect(expected).to_string();
            assert!(error.contains(expected) && error.contains("model.gguf"), "{error}");
        };
        let text = |text: &str| Some(gguf_file::Value::String(text.to_owned()));
        let texts = |text: &str| Some(gguf_file::Value::Array(vec![gguf_file::Value::String(text.to_owned())]));
        check("tokenizer.ggml.tokens", None, "it lists no tokens");
        check("tokenizer.ggml.tokens", text("no list"), "not an array of strings");
        check("tokenizer.ggml.model", text("wordpiece"), "of kind \"wordpiece\"");
        check("tokenizer.ggml.pre", text("tekken"), "in the way \"tekken\"");
        check("tokenizer.ggml.merges", None, "tokenizer.ggml.merges");
        check("tokenizer.ggml.merges", texts("alone"), "is not two tokens");
        check("tokenizer.ggml.merges", texts("xyz abc"), "do not fit together");
        check("tokenizer.ggml.scores", Some(gguf_file::Value::Array(vec![gguf_file::Value::F32(0.0)])), "has 1 items");
        check("tokenizer.ggml.token_type", texts("control"), "not an array of numbers");
    }

    proptest! {
        #[test]
        // Without `<`, so that no control token is spelt.
        fn any_text_comes_back_from_its_tokens(text in "[a-zé \\n🐟\\u{0}-;=-\\u{7f}]{0,60}") {
            for vocabulary in [sentences(), bytes()] {
                let tokens = vocabulary.encode(&text).expect("any text splits");
                prop_assert_eq!(written(&vocabulary, &tokens), text.as_str());
            }
        }
    }
}
