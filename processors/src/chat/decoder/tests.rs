use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_gemma3, quantized_llama, quantized_qwen2, quantized_qwen3};

use super::super::testing::{FAMILIES, Tiny};
use super::*;

fn decoder(tiny: &Tiny) -> Decoder {
    let (_folder, path) = tiny.written();
    let mut gguf = Gguf::open(&path).expect("the file is sound");
    Decoder::read(&mut gguf).expect("the model is sound")
}

/// Tokens of no meaning; the same each time.
fn tokens(count: usize) -> Vec<u32> {
    (0..count).map(|place| ((place * 37 + place * place * 11) % 250) as u32).collect()
}

/// The scores after a prompt that is read in parts.
fn scores(decoder: &Decoder, tokens: &[u32], parts: &[usize]) -> Vec<f32> {
    let mut cache = decoder.cache();
    let (mut state, mut rest) = (Vec::new(), tokens);
    for length in parts.iter().copied().cycle() {
        let (part, after) = rest.split_at(length.min(rest.len()));
        state = decoder.read_tokens(&mut cache, part, &|| false).expect("it computes").expect("nobody cancels");
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(cache.length, tokens.len());
    decoder.scores(&state)
}

fn assert_close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let size = a.iter().fold(0.0_f32, |size, a| size.max(a.abs()));
    let apart = a.iter().zip(b).fold(0.0_f32, |apart, (a, b)| apart.max((a - b).abs()));
    assert!(size.is_finite() && apart <= size * 1e-4, "{what}: {apart} apart, of {size}");
}

/// candle-transformers' models, as far as they are right.
enum Reference {
    Gemma3(quantized_gemma3::ModelWeights),
    Llama(quantized_llama::ModelWeights),
    Qwen2(quantized_qwen2::ModelWeights),
    Qwen3(quantized_qwen3::ModelWeights),
}

impl Reference {
    fn open(family: &str, path: &Path) -> Self {
        let mut file = std::fs::File::open(path).expect("it is written");
        let content = Content::read(&mut file).expect("it is sound");
        let device = Device::Cpu;
        match family {
            "gemma3" => {
                Self::Gemma3(quantized_gemma3::ModelWeights::from_gguf(content, &mut file, &device).expect("opens"))
            }
            "llama" => {
                Self::Llama(quantized_llama::ModelWeights::from_gguf(content, &mut file, &device).expect("opens"))
            }
            "qwen2" => {
                Self::Qwen2(quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &device).expect("opens"))
            }
            _ => Self::Qwen3(quantized_qwen3::ModelWeights::from_gguf(content, &mut file, &device).expect("opens")),
        }
    }

    fn scores(&mut self, tokens: &[u32], start: usize) -> Vec<f32> {
        let x = Tensor::new(tokens, &Device::Cpu).and_then(|tokens| tokens.unsqueeze(0)).expect("it is small");
        let scores = match self {
            Self::Gemma3(model) => model.forward(&x, start),
            Self::Llama(model) => model.forward(&x, start),
            Self::Qwen2(model) => model.forward(&x, start),
            Self::Qwen3(model) => model.forward(&x, start),
        };
        scores.and_then(|scores| scores.flatten_all()?.to_vec1()).expect("it computes")
    }
}

/// A model that candle's implementation of its family computes as it should be.
fn comparable(family: &'static str) -> Tiny {
    let mut tiny = Tiny::new(family);
    if family == "gemma3" {
        // candle activates gemma's feed-forward with SiLU and looks one token further than its window.
        tiny.silence("ffn_down.weight");
        tiny.set_own("attention.sliding_window", Value::U32(500));
    }
    tiny
}

#[test]
fn all_families_agree_with_candle_transformers() {
    let tokens = tokens(48);
    for family in FAMILIES {
        let tiny = comparable(family);
        let (_folder, path) = tiny.written();
        let (decoder, mut reference) = (decoder(&tiny), Reference::open(family, &path));
        assert_close(&reference.scores(&tokens[..40], 0), &scores(&decoder, &tokens[..40], &[40]), family);
        for end in 41..=48 {
            let expected = reference.scores(&tokens[end - 1..end], end - 1);
            assert_close(&expected, &scores(&decoder, &tokens[..end], &[40, 1]), &format!("{family}, {end} tokens"));
        }
    }
}

#[test]
fn a_prompt_in_parts_scores_as_a_whole_one() {
    let tokens = tokens(120);
    for family in FAMILIES {
        let decoder = decoder(&Tiny::new(family));
        let whole = scores(&decoder, &tokens, &[120]);
        for parts in [&[1][..], &[7], &[64, 3], &[119, 1], &[50]] {
            let in_parts = scores(&decoder, &tokens, parts);
            assert_close(&whole, &in_parts, &format!("{family} in parts of {parts:?}"));
        }
    }
}

#[test]
fn blocks_of_every_kind_compute_nearly_the_same() {
    let tokens = tokens(40);
    for kind in [GgmlDType::F16, GgmlDType::BF16, GgmlDType::Q8_0, GgmlDType::Q5_0, GgmlDType::Q5_1, GgmlDType::Q4_1] {
        let mut tiny = Tiny::new("llama");
        let exact = scores(&decoder(&tiny), &tokens, &[40]);
        tiny.quantise(kind);
        let decoder = decoder(&tiny);
        let (whole, in_parts) = (scores(&decoder, &tokens, &[40]), scores(&decoder, &tokens, &[16]));
        let apart = |a: &[f32], b: &[f32]| {
            let squares =
                |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|number| number * number).sum::<f32>().sqrt();
            squares(&mut a.iter().zip(b).map(|(a, b)| a - b)) / squares(&mut a.iter().copied())
        };
        assert!(apart(&exact, &whole) < 0.5, "{kind:?}: {}", apart(&exact, &whole));
        assert!(apart(&whole, &in_parts) < 0.1, "{kind:?} in parts: {}", apart(&whole, &in_parts));
    }
}

#[test]
fn a_window_ends_where_gemma_says() {
    // Two layers that look nearby, each at itself and three more: six tokens back, and no seventh.
    let mut tiny = Tiny::with_layers("gemma3", 2);
    tiny.set_own("attention.sliding_window", Value::U32(4));
    let decoder = decoder(&tiny);
    let plain = tokens(30);
    for parts in [&[30][..], &[9], &[1]] {
        let expected = scores(&decoder, &plain, parts);
        let after_change = |back: usize| {
            let mut changed = plain.clone();
            changed[29 - back] += 1;
            scores(&decoder, &changed, parts)
        };
        assert_eq!(expected, after_change(7), "parts of {parts:?}");
        assert_ne!(expected, after_change(6), "parts of {parts:?}");
    }
}

#[test]
fn a_cache_forgets_what_lies_outside_the_window() {
    let mut tiny = Tiny::with_layers("gemma3", 6);
    tiny.set_own("attention.sliding_window", Value::U32(4));
    let decoder = decoder(&tiny);
    let mut cache = decoder.cache();
    for token in tokens(60) {
        decoder.read_tokens(&mut cache, &[token], &|| false).expect("it computes").expect("nobody cancels");
    }
    let kept: Vec<usize> = (0..6).map(|layer| cache.layers[layer].positions().len()).collect();
    assert!(kept[..5].iter().all(|rows| (4..8).contains(rows)), "{kept:?}");
    assert_eq!(kept[5], 60);
}

#[test]
fn factors_and_stretch_change_the_rotation() {
    let tokens = tokens(30);
    let plain = scores(&decoder(&Tiny::new("llama")), &tokens, &[30]);
    let with_factors = |factor: f32| {
        let mut tiny = Tiny::new("llama");
        let factors = Tensor::full(factor, 4, &Device::Cpu).expect("it is small");
        let factors = QTensor::quantize(&factors, GgmlDType::F32).expect("they are plain numbers");
        tiny.tensors.push(("rope_freqs.weight".to_owned(), factors));
        scores(&decoder(&tiny), &tokens, &[30])
    };
    let mut stretched = Tiny::new("llama");
    stretched.set_own("rope.scaling.factor", Value::F32(8.0));
    stretched.set_own("rope.scaling.type", Value::String("linear".to_owned()));
    let stretched = scores(&decoder(&stretched), &tokens, &[30]);
    assert_eq!(plain, with_factors(1.0));
    assert_ne!(plain, stretched);
    assert_close(&stretched, &with_factors(8.0), "factors of 8");
}

#[test]
fn a_cancel_is_seen_between_layers() {
    let decoder = decoder(&Tiny::new("qwen3"));
    for layers in 0..3 {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let is_cancelled = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == layers;
        let state = decoder.read_tokens(&mut decoder.cache(), &tokens(20), &is_cancelled).expect("it computes");
        assert!(state.is_none());
        assert_eq!(asked.into_inner(), layers + 1);
    }
}

#[test]
fn what_a_family_does_not_have_is_refused() {
    let check = |change: &dyn Fn(&mut Tiny), expected: &str| {
        let mut tiny = Tiny::new("llama");
        change(&mut tiny);
        let (_folder, path) = tiny.written();
        let error = Decoder::read(&mut Gguf::open(&path).expect("the container is sound")).err().expect(expected);
        let message = error.to_string();
        assert!(message.contains(expected) && message.contains("model.gguf"), "{message}");
    };
    let size = |key: &'static str, size: u32| move |tiny: &mut Tiny| tiny.set_own(key, Value::U32(size));
    check(&|tiny| tiny.set("general.architecture", Value::String("mamba".to_owned())), "its architecture is \"mamba\"");
    check(&|tiny| tiny.remove("general.architecture"), "does not state general.architecture");
    check(&|tiny| tiny.remove("llama.block_count"), "llama.block_count is None");
    check(&|tiny| tiny.tensors.retain(|(name, _)| name != "token_embd.weight"), "no table token_embd.weight");
    check(&|tiny| tiny.tensors.retain(|(name, _)| name != "blk.1.ffn_up.weight"), "no tensor blk.1.ffn_up.weight");
    check(&size("block_count", 2), "tensor blk.2.attn_k.weight has no place in a llama");
    check(&size("block_count", u32::MAX), "not from 1 to 1024");
    check(&size("expert_count", 8), "it has 8 experts");
    check(&size("attention.head_count", 0), "llama.attention.head_count is Some(Unsigned(0))");
    check(&size("attention.head_count", 3), "3 heads with 2 of keys");
    check(&size("attention.head_count", 8), "shape [32, 32], not [64, 32]");
    check(&size("embedding_length", 64), "not from 1 to 32");
    check(&size("feed_forward_length", 63), "shape [64, 32], not [63, 32]");
    check(&size("context_length", 0), "llama.context_length");
    check(&|tiny| tiny.set_own("attention.layer_norm_rms_epsilon", Value::F32(f32::NAN)), "not above zero");
    check(
        &|tiny| {
            tiny.set_own("rope.scaling.type", Value::String("yarn".to_owned()));
            tiny.set_own("rope.scaling.factor", Value::F32(4.0));
        },
        "stretched in the way \"yarn\"",
    );
}
