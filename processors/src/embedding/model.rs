//! The sentence model: from files to unit vectors.
//!
//! Owns: the split of a list of texts into pieces of work, and the threads that do it.
//! Promises: the order of the texts is kept, and a vector depends on its text alone (see `bert`).
//! Never: downloads anything; `make model` does.
//! The vector of a text that is read in several windows (see `pieces`) is the mean of theirs, scaled to unit length.

use std::path::Path;

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::bert::{Bert, Spread, mean};
use super::files::ModelFiles;
use super::pieces::{Pieces, Windows};
use super::{Embedding, Encoder, ModelError, Numerics, Role, TokenVectors};

/// The most word pieces that one thread computes together: enough to read each weight once for many of them, few enough
/// that the activations stay in the processor's caches. (512 measured 4 % slower, 64 measured 6 %.)
const MOST_TOGETHER: usize = 256;

/// Fewer than these are not worth splitting between threads by text; the threads share each operation instead.
const LEAST_TOGETHER: usize = 64;

/// Threads that share a question. With more, handing out the work costs more than they save.
const MOST_QUESTION_THREADS: usize = 4;

/// What is computed of windows: one list of numbers for each.
type Compute = fn(&Bert, &[&[u32]], Spread) -> candle_core::Result<Vec<Vec<f32>>>;

/// A sentence model in memory, about 60 MB for all-MiniLM-L6-v2. Shared between threads by reference.
pub struct SentenceModel {
    id: String,
    pieces: Pieces,
    bert: Bert,
}

impl SentenceModel {
    /// Opens the model in a directory: [`ModelFiles::read`] and [`ModelFiles::load`] in one.
    ///
    /// # Errors
    /// A file is missing or damaged, or the model is not one that is supported. The message names the file.
    pub fn open(dir: &Path, numerics: Numerics) -> Result<Self, ModelError> {
        ModelFiles::read(dir, numerics)?.load()
    }

    pub(super) fn new(id: String, pieces: Pieces, bert: Bert) -> Self {
        Self { id, pieces, bert }
    }

    /// The directory's name and a fingerprint of everything that changes the vectors, for example
    /// `all-MiniLM-L6-v2@0123456789ab`.
    pub fn model_id(&self) -> &str {
        &self.id
    }

    /// Numbers in a vector: 384 for all-MiniLM-L6-v2.
    pub fn dims(&self) -> usize {
        self.bert.dims()
    }

    /// The embeddings of texts, in their order. Any text has one, the empty text too.
    ///
    /// Questions and short lists are computed by threads of their own, a long list by each thread of the common pool on its own texts:
    /// so no question waits behind texts.
    ///
    /// # Errors
    /// The model's files do not belong together.
    pub fn encode(&self, role: Role, texts: &[&str]) -> Result<Vec<Embedding>, ModelError> {
        let texts = self.read(role, texts)?;
        let windows: Vec<&[u32]> = texts.iter().flat_map(|text| &text.pieces).map(Vec::as_slice).collect();
        let vectors = self.compute(role, &windows, Bert::embed)?;
        let mut rest = vectors.as_slice();
        let embedding = |text: Windows| {
            let (windows, behind) = rest.split_at(text.pieces.len());
            rest = behind;
            let vector = if let [vector] = windows { vector.clone() } else { mean(windows) };
            Embedding { vector: vector.into(), tokens: text.count, is_truncated: text.is_truncated }
        };
        Ok(texts.into_iter().map(embedding).collect())
    }

    /// The vectors of each text's tokens, as far as the first window goes.
    ///
    /// # Errors
    /// As [`SentenceModel::encode`].
    pub fn encode_tokens(&self, role: Role, texts: &[&str]) -> Result<Vec<TokenVectors>, ModelError> {
        let ids: Vec<Vec<u32>> =
            self.read(role, texts)?.into_iter().map(|mut text| text.pieces.swap_remove(0)).collect();
        let windows: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let vectors = self.compute(role, &windows, Bert::embed_tokens)?;
        Ok(ids.into_iter().zip(vectors).map(|(ids, vectors)| TokenVectors { ids, vectors }).collect())
    }

    fn read(&self, role: Role, texts: &[&str]) -> Result<Vec<Windows>, ModelError> {
        match texts {
            [text] => Ok(vec![self.pieces.split(role, text)?]),
            _ => texts.par_iter().map(|text| self.pieces.split(role, text)).collect(),
        }
    }

    /// Has windows computed: those of questions and few others at once, many by each thread on its own.
    fn compute(&self, role: Role, windows: &[&[u32]], compute: Compute) -> Result<Vec<Vec<f32>>, ModelError> {
        let groups = groups(windows, pieces_together(windows));
        let vectors = match groups.len() {
            0 => return Ok(Vec::new()),
            count if count == 1 || role == Role::Query => self.compute_at_once(windows, compute),
            _ => {
                let vectors: Result<Vec<_>, _> =
                    groups.par_iter().map(|group| compute(&self.bert, group, Spread::OneThread)).collect();
                vectors.map(|groups| groups.into_iter().flatten().collect())
            }
        };
        vectors.map_err(|cause| ModelError::Compute { cause: cause.to_string() })
    }

    /// Computes windows with several threads, started for the purpose.
    ///
    /// A thread that has slept is often woken on the core of the one that wakes it, and both share that core for the
    /// few milliseconds a question takes; a new thread starts on an idle core. Starting two costs 0.2 ms, waking two
    /// was measured to cost 2.5 ms. Nor does a question so queue behind the texts of a rebuild in the common pool.
    fn compute_at_once(&self, windows: &[&[u32]], compute: Compute) -> candle_core::Result<Vec<Vec<f32>>> {
        ThreadPoolBuilder::new()
            .num_threads(rayon::current_num_threads().min(MOST_QUESTION_THREADS))
            .thread_name(|index| format!("question-{index}"))
            .build_scoped(
                |thread| thread.run(),
                |pool| pool.install(|| compute(&self.bert, windows, Spread::AllThreads)),
            )
            .unwrap_or_else(|_no_more_threads| compute(&self.bert, windows, Spread::OneThread))
    }
}

impl Encoder for SentenceModel {
    fn model_id(&self) -> &str {
        self.model_id()
    }

    fn dims(&self) -> usize {
        self.dims()
    }

    fn window(&self) -> usize {
        self.pieces.window()
    }

    fn count_tokens(&self, text: &str) -> usize {
        // Invariant: the tokenizer was tried when the model was opened.
        self.pieces.split(Role::Document, text).map_or(0, |windows| windows.count)
    }

    fn encode(&self, role: Role, texts: &[&str]) -> Result<Vec<Embedding>, ModelError> {
        self.encode(role, texts)
    }

    fn encode_tokens(&self, role: Role, texts: &[&str]) -> Result<Vec<TokenVectors>, ModelError> {
        self.encode_tokens(role, texts)
    }
}

/// How many word pieces a group may have, so that every thread gets two groups or more.
fn pieces_together(texts: &[&[u32]]) -> usize {
    let pieces: usize = texts.iter().map(|text| text.len()).sum();
    pieces.div_ceil(2 * rayon::current_num_threads()).clamp(LEAST_TOGETHER, MOST_TOGETHER)
}

/// Neighbouring texts of up to `most` pieces; a longer text is a group of its own. Nothing is padded, so nothing is
/// won by sorting texts by length.
fn groups<'a, 'b>(texts: &'b [&'a [u32]], most: usize) -> Vec<&'b [&'a [u32]]> {
    let mut groups = Vec::new();
    let mut rest = texts;
    while !rest.is_empty() {
        let mut pieces = 0;
        let fitting = rest.iter().take_while(|text| {
            pieces += text.len();
            pieces <= most
        });
        let (group, after) = rest.split_at(fitting.count().max(1));
        groups.push(group);
        rest = after;
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        sync::{Arc, OnceLock},
    };

    use serde::Deserialize;

    use super::super::files::{CONFIG, TOKENIZER, WEIGHTS};
    use super::super::settings::{LENGTH, POOLING, PROMPTS};
    use super::super::{Kernel, Precision};
    use super::*;

    #[derive(Deserialize)]
    struct Reference {
        text: String,
        vector: Vec<f32>,
    }

    /// What sentence-transformers computes; see scripts/reference-vectors.py.
    fn references() -> Vec<Reference> {
        let fixture = include_str!("../../tests-data/minilm-reference.json");
        serde_json::from_str(fixture).expect("the fixture is a list of texts with vectors")
    }

    fn model_dir() -> PathBuf {
        match std::env::var_os("MESHLOG_MODEL") {
            Some(dir) => PathBuf::from(dir),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/all-MiniLM-L6-v2"),
        }
    }

    /// Opened once each: reading 90 MB for each test would be most of the tests' time.
    fn model(precision: Precision) -> &'static SentenceModel {
        static F32: OnceLock<SentenceModel> = OnceLock::new();
        static INT8: OnceLock<SentenceModel> = OnceLock::new();
        let kept = if precision == Precision::F32 { &F32 } else { &INT8 };
        kept.get_or_init(|| open(Numerics::of(precision)))
    }

    fn open(numerics: Numerics) -> SentenceModel {
        SentenceModel::open(&model_dir(), numerics).unwrap_or_else(|error| {
            panic!("these tests need the embedding model; run `make model` or set MESHLOG_MODEL: {error}")
        })
    }

    fn cosine(a: &[f32], b: &[f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    /// The vectors of texts as they are kept.
    fn vectors(model: &SentenceModel, texts: &[&str]) -> Vec<Arc<[f32]>> {
        let read = model.encode(Role::Document, texts).expect("any text has a vector");
        read.into_iter().map(|embedding| embedding.vector).collect()
    }

    /// The vectors of texts' first windows: longer texts were cut when the references were made.
    fn first_windows(model: &SentenceModel, texts: &[&str]) -> Vec<Vec<f32>> {
        let tokens = model.encode_tokens(Role::Document, texts).expect("any text has tokens");
        let rows =
            |text: &TokenVectors| text.vectors.chunks_exact(model.dims()).map(<[f32]>::to_vec).collect::<Vec<_>>();
        tokens.iter().map(|text| mean(&rows(text))).collect()
    }

    /// The least cosine and the mean of cosines to what sentence-transformers computes, alone and together.
    fn agreement(model: &SentenceModel) -> (f64, f64) {
        let references = references();
        let texts: Vec<&str> = references.iter().map(|reference| reference.text.as_str()).collect();
        let together = first_windows(model, &texts);
        assert_eq!(together.len(), references.len());
        let mut cosines = Vec::new();
        for (reference, together) in references.iter().zip(&together) {
            let alone = match model.count_tokens(&reference.text) > Encoder::window(model) {
                true => first_windows(model, &[&reference.text]).remove(0),
                false => vectors(model, &[&reference.text])[0].to_vec(),
            };
            cosines.extend([&alone, together].map(|vector| cosine(vector, &reference.vector)));
        }
        (cosines.iter().copied().fold(1.0, f64::min), cosines.iter().sum::<f64>() / cosines.len() as f64)
    }

    #[test]
    fn vectors_agree_with_sentence_transformers_by_every_kernel() {
        for kernel in Kernel::tried() {
            let (least, _) = agreement(&open(Numerics { precision: Precision::F32, kernel }));
            assert!(least >= 0.999_99, "f32 by {kernel}: {least}");
            let (least, mean) = agreement(&open(Numerics { precision: Precision::Int8, kernel }));
            assert!(least >= 0.995 && mean >= 0.999, "int8 by {kernel}: {least}, on average {mean}");
        }
    }

    #[test]
    fn every_kernel_gives_the_same_vectors() {
        let references = references();
        let texts: Vec<&str> = references.iter().map(|reference| reference.text.as_str()).collect();
        let expected = vectors(model(Precision::Int8), &texts);
        for kernel in Kernel::tried() {
            let other = open(Numerics { precision: Precision::Int8, kernel });
            assert_eq!(other.model_id(), model(Precision::Int8).model_id());
            let found = vectors(&other, &texts);
            assert!(found == expected, "{kernel} gives other vectors than {}", Kernel::fastest());
        }
    }

    #[test]
    fn neighbours_lengths_and_threads_do_not_change_a_vector() {
        let texts = ["the ferry was late", "ok", &"a long tale of lamps and harbours ".repeat(90), "which lamp?", ""];
        for model in Precision::ALL.map(model) {
            let found = vectors(model, &texts);
            for (text, together) in texts.iter().zip(&found) {
                let alone = vectors(model, &[text]);
                assert_eq!(&alone[0], together, "{text:.40?}");
            }
        }
    }

    #[test]
    fn order_is_kept_over_many_groups() {
        let texts: Vec<String> =
            (0..60).map(|index| format!("ticket {index} {}", "again ".repeat(index % 13))).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let backwards: Vec<&str> = texts.iter().rev().copied().collect();
        let found = vectors(model(Precision::default()), &texts);
        let mut reversed = vectors(model(Precision::default()), &backwards);
        reversed.reverse();
        assert_eq!(found, reversed);
        assert_ne!(found[0], found[1]);
    }

    #[test]
    fn any_text_has_a_unit_vector() {
        let megabyte = "all work and no play ".repeat(50_000);
        let spaces = " ".repeat(1_000_000);
        let one_word = "x".repeat(1_000_000);
        let emoji = "🏕️".repeat(200_000);
        let texts =
            ["", " ", "\0\u{1}\u{7f}", "\u{200d}\u{feff}", "🎉", &megabyte, &spaces, &one_word, &emoji, "[CLS] [PAD]"];
        let found = vectors(model(Precision::default()), &texts);
        for (text, vector) in texts.iter().zip(found) {
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            assert!((length - 1.0).abs() < 1e-5, "{text:.20?}: {length}");
            assert_eq!(vector.len(), model(Precision::default()).dims());
        }
    }

    #[test]
    fn a_long_text_is_the_mean_of_its_windows() {
        let model = model(Precision::default());
        // Every word is one piece: 254 of them fill a window, 477 two that share 31.
        let words: Vec<String> = (0..477).map(|index| if index < 300 { "lamp" } else { "storm" }.to_owned()).collect();
        let (all, first, last) = (words.join(" "), words[..254].join(" "), words[223..].join(" "));
        let read = model.encode(Role::Document, &[&all, &first, &last]).expect("any text has a vector");
        let sum: Vec<f32> = read[1].vector.iter().zip(&*read[2].vector).map(|(first, last)| first + last).collect();
        assert!(cosine(&read[0].vector, &sum) > 0.999_999);
        assert!(cosine(&read[0].vector, &read[1].vector) < 0.99, "the end counts");
        assert_eq!(
            read.iter().map(|text| (text.tokens, text.is_truncated)).collect::<Vec<_>>(),
            [(479, false), (256, false), (256, false)]
        );
        let most = 254 + 15 * 223;
        let longest: Vec<String> = [most, most + 1].map(|count| "lamp ".repeat(count)).into();
        let read = model.encode(Role::Document, &[&longest[0], &longest[1]]).expect("any text has a vector");
        assert_eq!(
            read.iter().map(|text| (text.tokens, text.is_truncated)).collect::<Vec<_>>(),
            [(most + 2, false), (most + 2, true)]
        );
        assert_eq!(read[0].vector, read[1].vector);
        assert_eq!((model.count_tokens(&longest[1]), Encoder::window(model)), (most + 2, 256));
    }

    #[test]
    fn the_mean_of_a_text_s_token_vectors_is_its_vector() {
        for model in Precision::ALL.map(model) {
            let texts = ["the ferry was late", "", "[CLS] \u{1f389}", &"again ".repeat(254)];
            let tokens = model.encode_tokens(Role::Document, &texts).expect("any text has tokens");
            for (text, TokenVectors { ids, vectors }) in texts.iter().zip(tokens) {
                assert_eq!(vectors.len(), ids.len() * model.dims());
                assert_eq!((ids.len(), ids[0], ids[ids.len() - 1]), (model.count_tokens(text), 101, 102), "{text:.20}");
            }
            for (mean, vector) in first_windows(model, &texts).iter().zip(vectors(model, &texts)) {
                assert!(cosine(mean, &vector) > 0.999_999);
            }
        }
        let long = "again ".repeat(900);
        let tokens = model(Precision::Int8).encode_tokens(Role::Document, &[&long]).expect("any text has tokens");
        assert_eq!(tokens[0].ids.len(), 256);
    }

    #[test]
    fn no_texts_give_no_vectors() {
        assert!(vectors(model(Precision::default()), &[]).is_empty());
    }

    #[test]
    fn identity_names_the_directory_and_a_fingerprint() {
        let [f32, int8] = Precision::ALL.map(|precision| model(precision).model_id());
        assert_ne!(f32, int8, "their vectors must not be compared");
        let (name, fingerprint) = f32.split_once('@').expect("an id has two parts");
        assert_eq!(
            Some(name),
            model_dir().canonicalize().expect("the model is open").file_name().and_then(|n| n.to_str())
        );
        assert_eq!(fingerprint.len(), 12);
    }

    /// A copy of the model with one file changed, and the error it opens with.
    fn error_after(name: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> ModelError {
        let copy = tempfile::tempdir().expect("a temporary directory can be made");
        std::fs::create_dir(copy.path().join("1_Pooling")).expect("the copy is ours");
        for file in [WEIGHTS, TOKENIZER, CONFIG, POOLING] {
            let content = std::fs::read(model_dir().join(file)).unwrap_or_else(|error| {
                panic!("these tests need the embedding model; run `make model` or set MESHLOG_MODEL: {error}")
            });
            if file != name {
                std::fs::write(copy.path().join(file), content).expect("the copy is ours");
            }
        }
        let content = std::fs::read(model_dir().join(name)).expect("read a moment ago");
        if let Some(changed) = change(content) {
            std::fs::write(copy.path().join(name), changed).expect("the copy is ours");
        }
        let Err(error) = SentenceModel::open(copy.path(), Numerics::default()) else {
            panic!("a model with a bad {name} was opened")
        };
        let message = error.to_string();
        assert!(
            message.contains(name) && message.contains("make model") && message.contains("--model DIR"),
            "{message}"
        );
        error
    }

    /// A copy of the model that says this of its use.
    fn open_with(name: &str, content: &str) -> SentenceModel {
        let copy = tempfile::tempdir().expect("a temporary directory can be made");
        std::fs::create_dir(copy.path().join("1_Pooling")).expect("the copy is ours");
        for file in [WEIGHTS, TOKENIZER, CONFIG] {
            std::fs::copy(model_dir().join(file), copy.path().join(file)).expect("the model is there");
        }
        std::fs::write(copy.path().join(name), content).expect("the copy is ours");
        SentenceModel::open(copy.path(), Numerics::of(Precision::F32)).expect("it is a model")
    }

    #[test]
    fn pooling_prompts_and_windows_are_the_model_s_own() {
        let (model, text) = (model(Precision::F32), "which lamp was late?");
        let tokens = model.encode_tokens(Role::Document, &[text]).expect("any text has tokens");
        let by_cls = open_with(POOLING, r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#);
        assert_eq!(vectors(&by_cls, &[text])[0].to_vec(), mean([&tokens[0].vectors[..model.dims()].to_vec()]));
        let prompted = open_with(PROMPTS, r#"{"prompts": {"query": "query: ", "passage": "passage: "}}"#);
        for (role, prompt) in [(Role::Document, "passage: "), (Role::Query, "query: ")] {
            let found = prompted.encode(role, &[text]).expect("any text has a vector");
            assert_eq!(found[0].vector, vectors(model, &[&format!("{prompt}{text}")])[0]);
        }
        let short = open_with(LENGTH, r#"{"max_seq_length": 128}"#);
        assert_eq!(
            short.encode_tokens(Role::Query, &[&"lamp ".repeat(900)]).expect("any text has tokens")[0].ids.len(),
            128
        );
        let ids = [model, &by_cls, &prompted, &short].map(|model| model.model_id().rsplit('@').next());
        assert_eq!(std::collections::HashSet::from(ids).len(), 4, "vectors of other settings must not be compared");
    }

    #[test]
    fn missing_files_are_named() {
        for file in [WEIGHTS, TOKENIZER, CONFIG] {
            assert!(matches!(error_after(file, |_| None), ModelError::Missing { .. }));
        }
    }

    #[test]
    fn truncated_files_are_named() {
        for file in [WEIGHTS, TOKENIZER, CONFIG, POOLING] {
            for keep in [0, 5, 90] {
                let error = error_after(file, |content| Some(content[..keep].to_vec()));
                assert!(matches!(error, ModelError::Corrupt { .. }), "{file}: {error}");
            }
        }
        let error = error_after(WEIGHTS, |content| Some(content[..content.len() - 1].to_vec()));
        assert!(matches!(error, ModelError::Corrupt { .. }), "{error}");
    }

    #[test]
    fn other_architectures_are_refused() {
        let changes = [
            (CONFIG, r#""gelu""#, r#""relu""#),
            (CONFIG, r#""bert""#, r#""mpnet""#),
            (CONFIG, r#""hidden_size": 384"#, r#""hidden_size": 380"#),
            (CONFIG, r#""hidden_size": 384"#, r#""hidden_size": 768"#),
            (CONFIG, r#""intermediate_size": 1536"#, r#""intermediate_size": 1552"#),
            (CONFIG, r#""num_hidden_layers": 6"#, r#""num_hidden_layers": 7"#),
            (CONFIG, r#""max_position_embeddings": 512"#, r#""max_position_embeddings": 1024"#),
            (CONFIG, r#""num_attention_heads": 12"#, r#""num_attention_heads": 0"#),
            (POOLING, r#""pooling_mode_mean_tokens": true"#, r#""pooling_mode_mean_tokens": false"#),
        ];
        for (file, from, to) in changes {
            let error = error_after(file, |content| {
                let content = String::from_utf8(content).expect("the file is JSON");
                assert!(content.contains(from), "{file} does not say {from}");
                Some(content.replace(from, to).into_bytes())
            });
            assert!(matches!(error, ModelError::WrongArchitecture { .. }), "{to}: {error}");
        }
    }
}
