//! Tiny models for tests: whole GGUF files with random weights, of every family.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::ChatModel;

pub(super) const FAMILIES: [&str; 4] = ["gemma3", "llama", "qwen2", "qwen3"];

/// Numbers in a state; also those within a feed-forward, so that both are whole blocks of any kind with 32.
const WIDTH: usize = 32;
const INNER_WIDTH: usize = 64;
const HEADS: usize = 4;
const KEY_HEADS: usize = 2;

/// Tokens that a tiny model sees.
pub(super) const CONTEXT: usize = 160;

/// A file that is not yet written.
pub(super) struct Tiny {
    pub(super) metadata: Vec<(String, Value)>,
    pub(super) tensors: Vec<(String, QTensor)>,
    family: &'static str,
}

impl Tiny {
    /// A sound model of a family, always the same.
    pub(super) fn new(family: &'static str) -> Self {
        let layers = if family == "gemma3" { 7 } else { 3 };
        Self::with_layers(family, layers)
    }

    /// A sound model of so many layers.
    pub(super) fn with_layers(family: &'static str, layers: usize) -> Self {
        let mut tiny = Self { metadata: Vec::new(), tensors: Vec::new(), family };
        tiny.set("general.architecture", Value::String(family.to_owned()));
        // candle's qwen3 rotates in 16 bits otherwise.
        tiny.set("general.dtype", Value::U32(0));
        let head_width = head_width(family);
        let sizes = [
            ("context_length", CONTEXT),
            ("embedding_length", WIDTH),
            ("block_count", layers),
            ("feed_forward_length", INNER_WIDTH),
            ("attention.head_count", HEADS),
            ("attention.head_count_kv", KEY_HEADS),
            ("attention.key_length", head_width),
            ("attention.value_length", head_width),
            ("rope.dimension_count", head_width),
            ("attention.sliding_window", 5),
        ];
        for (key, size) in sizes {
            tiny.set_own(key, Value::U32(size as u32));
        }
        tiny.set_own("attention.layer_norm_rms_epsilon", Value::F32(1e-6));
        tiny.set_own("rope.freq_base", Value::F32(10_000.0));
        let tokens = if matches!(family, "gemma3" | "llama") { tiny.add_sentences() } else { tiny.add_bytes() };
        tiny.add_weights(tokens, layers, head_width);
        tiny
    }

    /// Sets or replaces an entry of the metadata.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.to_owned(), value));
    }

    /// As [`Tiny::set`], with the family's name before the key.
    pub(super) fn set_own(&mut self, key: &str, value: Value) {
        self.set(&format!("{}.{key}", self.family), value);
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.metadata.retain(|(known, _)| known != key);
    }

    /// Replaces each tensor whose name ends so by zeros.
    pub(super) fn silence(&mut self, ending: &str) {
        for (name, tensor) in &mut self.tensors {
            if name.ends_with(ending) {
                let zeros = Tensor::zeros(tensor.shape().clone(), candle_core::DType::F32, &Device::Cpu);
                *tensor = stored(&zeros.expect("it is small"), GgmlDType::F32);
            }
        }
    }

    /// Makes a number of a tensor none.
    pub(super) fn poison(&mut self, wanted: &str) {
        for (name, tensor) in &mut self.tensors {
            if name == wanted {
                let nothing = Tensor::full(f32::NAN, tensor.shape().clone(), &Device::Cpu);
                *tensor = stored(&nothing.expect("it is small"), GgmlDType::F32);
            }
        }
    }

    /// Stores all matrices in blocks of a kind.
    pub(super) fn quantise(&mut self, kind: GgmlDType) {
        for (_, tensor) in &mut self.tensors {
            if tensor.shape().rank() == 2 {
                *tensor = stored(&tensor.dequantize(&Device::Cpu).expect("it is sound"), kind);
            }
        }
    }

    /// Writes `model.gguf` in a folder.
    pub(super) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("model.gguf");
        let metadata: Vec<(&str, &Value)> = self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = std::fs::File::create(&path).expect("the folder is ours");
        gguf_file::write(&mut file, &metadata, &tensors).expect("the disk has room");
        path
    }

    /// Writes it to a folder of its own. The folder lives as long as the first of the two.
    pub(super) fn written(&self) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let path = self.write(folder.path());
        (folder, path)
    }

    /// The model itself.
    pub(super) fn open(&self) -> ChatModel {
        let (_folder, path) = self.written();
        ChatModel::open(&path).expect("the model is sound")
    }

    fn set_tokens(&mut self, model: &str, tokens: Vec<(String, i32, f32)>) -> usize {
        let count = tokens.len();
        let texts = tokens.iter().map(|(text, ..)| Value::String(text.clone())).collect();
        let kinds = tokens.iter().map(|(_, kind, _)| Value::I32(*kind)).collect();
        let scores = tokens.iter().map(|(.., score)| Value::F32(*score)).collect();
        self.set("tokenizer.ggml.model", Value::String(model.to_owned()));
        self.set("tokenizer.ggml.tokens", Value::Array(texts));
        self.set("tokenizer.ggml.token_type", Value::Array(kinds));
        self.set("tokenizer.ggml.scores", Value::Array(scores));
        self.set("tokenizer.ggml.bos_token_id", Value::U32(1));
        self.set("tokenizer.ggml.eos_token_id", Value::U32(2));
        count
    }

    fn add_sentences(&mut self) -> usize {
        let marks = ["<unk>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>"];
        let mut tokens: Vec<_> = marks.iter().map(|mark| ((*mark).to_owned(), 3, 0.0)).collect();
        tokens[0].1 = 2;
        tokens.extend((0..=255).map(|byte: u8| (format!("<0x{byte:02X}>"), 6, 0.0)));
        tokens.push(("<b>".to_owned(), 4, 0.0));
        let pieces =
            ["▁", "h", "e", "l", "o", "w", "r", "d", "é", "ll", "he", "▁w", "or", "ld", "llo", "hello", "▁hello"];
        tokens.extend((0..).zip(pieces).map(|(rank, piece): (i32, _)| (piece.to_owned(), 1, (rank - 100) as f32)));
        self.set("tokenizer.ggml.add_space_prefix", Value::Bool(false));
        self.set_tokens("llama", tokens)
    }

    fn add_bytes(&mut self) -> usize {
        let marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
        let mut tokens: Vec<_> = marks.iter().map(|mark| ((*mark).to_owned(), 3, 0.0)).collect();
        tokens.push(("<tool_call>".to_owned(), 4, 0.0));
        let mut free = 0x100;
        for byte in 0..=255_u32 {
            let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
            let code = if printable { byte } else { free };
            free += u32::from(!printable);
            tokens.push((char::from_u32(code).expect("it is one").to_string(), 1, 0.0));
        }
        let merges = ["l l", "h e", "ll o", "he llo", "Ġ w", "Ġ hello"];
        tokens.extend(merges.iter().map(|merge| (merge.replace(' ', ""), 1, 0.0)));
        let merges = merges.iter().map(|merge| Value::String((*merge).to_owned())).collect();
        self.set("tokenizer.ggml.merges", Value::Array(merges));
        self.set("tokenizer.ggml.pre", Value::String("qwen2".to_owned()));
        self.set_tokens("gpt2", tokens)
    }

    fn add_weights(&mut self, tokens: usize, layers: usize, head_width: usize) {
        let mut random = Random(StdRng::seed_from_u64(11));
        let mut add = |name: String, tensor: QTensor| self.tensors.push((name, tensor));
        add("token_embd.weight".to_owned(), random.matrix(tokens, WIDTH));
        add("output_norm.weight".to_owned(), random.gain(WIDTH));
        for layer in 0..layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let (queries, keys) = (HEADS * head_width, KEY_HEADS * head_width);
            add(name("attn_norm"), random.gain(WIDTH));
            add(name("ffn_norm"), random.gain(WIDTH));
            for (part, outputs) in [("attn_q", queries), ("attn_k", keys), ("attn_v", keys)] {
                add(name(part), random.matrix(outputs, WIDTH));
                if self.family == "qwen2" {
                    add(format!("blk.{layer}.{part}.bias"), random.gain(outputs));
                }
            }
            add(name("attn_output"), random.matrix(WIDTH, queries));
            add(name("ffn_gate"), random.matrix(INNER_WIDTH, WIDTH));
            add(name("ffn_up"), random.matrix(INNER_WIDTH, WIDTH));
            add(name("ffn_down"), random.matrix(WIDTH, INNER_WIDTH));
            if matches!(self.family, "gemma3" | "qwen3") {
                add(name("attn_q_norm"), random.gain(head_width));
                add(name("attn_k_norm"), random.gain(head_width));
            }
            if self.family == "gemma3" {
                add(name("post_attention_norm"), random.gain(WIDTH));
                add(name("post_ffw_norm"), random.gain(WIDTH));
            }
        }
    }
}

/// Gemma's and qwen3's heads are not a share of the width; candle's llama and qwen2 know no other.
fn head_width(family: &str) -> usize {
    if matches!(family, "gemma3" | "qwen3") { 16 } else { WIDTH / HEADS }
}

struct Random(StdRng);

impl Random {
    fn matrix(&mut self, rows: usize, columns: usize) -> QTensor {
        let scale = 3.0 / (columns as f32).sqrt();
        let numbers: Vec<f32> = (0..rows * columns).map(|_| (self.0.random::<f32>() - 0.5) * scale).collect();
        stored(&Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).expect("the sizes fit"), GgmlDType::F32)
    }

    fn gain(&mut self, length: usize) -> QTensor {
        let numbers: Vec<f32> = (0..length).map(|_| 0.75 + self.0.random::<f32>() / 2.0).collect();
        stored(&Tensor::from_vec(numbers, length, &Device::Cpu).expect("the sizes fit"), GgmlDType::F32)
    }
}

fn stored(tensor: &Tensor, kind: GgmlDType) -> QTensor {
    QTensor::quantize(tensor, kind).expect("rows are whole blocks")
}
