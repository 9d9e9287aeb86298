//! The shape of a decoder: its sizes, and what its family does differently.

use super::super::ChatError;
use super::super::gguf::{Gguf, shown};

/// Sizes beyond these are no model that a file could hold; they keep products of sizes far from overflow.
const MOST_LAYERS: usize = 1024;
const MOST_HEADS: usize = 1024;
const MOST_HEAD_WIDTH: usize = 1024;
const MOST_WIDTH: usize = 1 << 17;
const MOST_CONTEXT: usize = 1 << 24;

/// In Gemma 3 each sixth layer looks everywhere, the others nearby.
const GEMMA_PATTERN: usize = 6;

/// The base of the rotation in Gemma 3's layers that look nearby.
const GEMMA_NEARBY_BASE: f64 = 10_000.0;

/// Layers of Gemma 3 27B, the only one whose attention is scaled by other than the width of a head.
const GEMMA_27B_LAYERS: usize = 62;

/// A family of models, by the name that files state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Gemma3,
    Llama,
    Qwen2,
    Qwen3,
}

impl Family {
    fn of(name: &str) -> Option<Self> {
        [Self::Gemma3, Self::Llama, Self::Qwen2, Self::Qwen3].into_iter().find(|family| family.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gemma3 => "gemma3",
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// Whether queries and keys are normalised.
    pub(super) fn norms_heads(self) -> bool {
        matches!(self, Self::Gemma3 | Self::Qwen3)
    }

    /// Whether attention and feed-forward are normalised once more before they are added.
    pub(super) fn norms_results(self) -> bool {
        self == Self::Gemma3
    }

    /// Whether queries, keys and values have biases. A llama may have them.
    pub(super) fn needs_biases(self) -> bool {
        self == Self::Qwen2
    }

    /// Whether the rotation turns neighbours, not the two halves of a head. Converters permute llama's weights so.
    pub(super) fn turns_neighbours(self) -> bool {
        self == Self::Llama
    }
}

/// The sizes of a model. All are positive, `key_heads` divides `heads`, and `rotated` is even and fits in a head.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) family: Family,
    /// Rows of the embedding.
    pub(super) tokens: usize,
    pub(super) layers: usize,
    /// Numbers in a state.
    pub(super) width: usize,
    /// Numbers within a feed-forward.
    pub(super) inner_width: usize,
    pub(super) heads: usize,
    /// Heads of keys and of values, each shared by as many heads of queries.
    pub(super) key_heads: usize,
    pub(super) head_width: usize,
    /// How much of a head is rotated.
    pub(super) rotated: usize,
    pub(super) context: usize,
    pub(super) epsilon: f32,
    /// Base of the rotation, in layers that look everywhere.
    pub(super) base: f64,
    /// Base of the rotation, in layers that look nearby.
    pub(super) nearby_base: f64,
    /// What positions are divided by, in layers that look everywhere.
    pub(super) stretch: f64,
    /// How many tokens a layer that looks nearby sees, and that each so-many-eth does not.
    window: Option<(usize, usize)>,
}

impl Shape {
    /// Reads the sizes that a file states.
    ///
    /// # Errors
    /// The family is not supported, or a size is missing or cannot be.
    pub(super) fn read(gguf: &Gguf) -> Result<Self, ChatError> {
        let Some(name) = gguf.text("general.architecture") else {
            return Err(gguf.corrupt("it does not state general.architecture"));
        };
        let Some(family) = Family::of(name) else {
            return Err(gguf.unsupported(format!("its architecture is {}", shown(&name))));
        };
        let stated = Stated { gguf, family: family.name() };
        stated.refuse_experts()?;
        let [tokens, width] = gguf.tensor_shape("token_embd.weight").unwrap_or_default() else {
            return Err(gguf.corrupt("it has no table token_embd.weight"));
        };
        let (tokens, width) = (*tokens, stated.size("embedding_length", None, MOST_WIDTH.min(*width))?);
        let heads = stated.size("attention.head_count", None, MOST_HEADS)?;
        let key_heads = stated.size("attention.head_count_kv", Some(heads), heads)?;
        let head_width = stated.size("attention.key_length", Some(width / heads), MOST_HEAD_WIDTH)?;
        let value_width = stated.size("attention.value_length", Some(head_width), MOST_HEAD_WIDTH)?;
        let rotated = stated.size("rope.dimension_count", Some(head_width), head_width)?;
        if heads % key_heads != 0 || rotated % 2 != 0 || value_width != head_width {
            return Err(gguf.unsupported(format!(
                "{heads} heads with {key_heads} of keys, {head_width} wide, {value_width} for values, {rotated} rotated"
            )));
        }
        let layers = stated.size("block_count", None, MOST_LAYERS)?;
        let epsilon = stated.positive("attention.layer_norm_rms_epsilon", None)?;
        let usual_base = if family == Family::Gemma3 { 1_000_000.0 } else { 10_000.0 };
        Ok(Self {
            family,
            tokens,
            layers,
            width,
            inner_width: stated.size("feed_forward_length", None, MOST_WIDTH)?,
            heads,
            key_heads,
            head_width,
            rotated,
            context: stated.size("context_length", None, MOST_CONTEXT)?,
            epsilon: epsilon as f32,
            base: stated.positive("rope.freq_base", Some(usual_base))?,
            nearby_base: stated.positive("rope.freq_base_swa", Some(GEMMA_NEARBY_BASE))?,
            stretch: stated.stretch()?,
            window: match family {
                Family::Gemma3 => Some((
                    stated.size("attention.sliding_window", None, MOST_CONTEXT)?,
                    stated.size("attention.sliding_window_pattern", Some(GEMMA_PATTERN), MOST_LAYERS)?,
                )),
                Family::Llama | Family::Qwen2 | Family::Qwen3 => None,
            },
        })
    }

    /// How many tokens, itself included, a token sees in a layer that looks nearby. Nothing: all before it.
    pub(super) fn window(&self, layer: usize) -> Option<usize> {
        self.window.filter(|(_, pattern)| !(layer + 1).is_multiple_of(*pattern)).map(|(window, _)| window)
    }

    /// What embeddings are multiplied by.
    pub(super) fn embedding_scale(&self) -> f32 {
        if self.family == Family::Gemma3 { (self.width as f32).sqrt() } else { 1.0 }
    }

    /// What the products of queries and keys are multiplied by.
    pub(super) fn attention_scale(&self) -> f32 {
        let width = match self.family {
            Family::Gemma3 if self.layers == GEMMA_27B_LAYERS => self.width / self.heads,
            _ => self.head_width,
        };
        1.0 / (width as f32).sqrt()
    }
}

/// What a file states of its family.
struct Stated<'a> {
    gguf: &'a Gguf,
    family: &'static str,
}

impl Stated<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.family)
    }

    /// A size from 1 to `most`.
    fn size(&self, key: &str, otherwise: Option<usize>, most: usize) -> Result<usize, ChatError> {
        let key = self.key(key);
        let size = match self.gguf.value(&key) {
            None => otherwise,
            Some(_) => self.gguf.unsigned(&key),
        };
        match size {
            Some(size) if (1..=most).contains(&size) => Ok(size),
            _ => {
                Err(self.gguf.unsupported(format!("{key} is {}, not from 1 to {most}", shown(&self.gguf.value(&key)))))
            }
        }
    }

    /// A number above zero.
    fn positive(&self, key: &str, otherwise: Option<f64>) -> Result<f64, ChatError> {
        let key = self.key(key);
        let number = match self.gguf.value(&key) {
            None => otherwise,
            Some(_) => self.gguf.float(&key),
        };
        match number {
            Some(number) if number.is_finite() && number > 0.0 => Ok(number),
            _ => Err(self.gguf.unsupported(format!("{key} is {}, not above zero", shown(&self.gguf.value(&key))))),
        }
    }

    /// The factor of a linear stretch. Other ways to stretch a context are not supported.
    fn stretch(&self) -> Result<f64, ChatError> {
        let factor = match self.gguf.float(&self.key("rope.scaling.factor")) {
            None | Some(0.0) => 1.0,
            Some(_) => self.positive("rope.scaling.factor", None)?,
        };
        match self.gguf.text(&self.key("rope.scaling.type")).unwrap_or("linear") {
            "linear" => Ok(factor),
            "none" => Ok(1.0),
            _ if factor == 1.0 => Ok(1.0),
            other => Err(self.gguf.unsupported(format!("its context is stretched in the way {}", shown(&other)))),
        }
    }

    fn refuse_experts(&self) -> Result<(), ChatError> {
        match self.gguf.unsigned(&self.key("expert_count")) {
            None | Some(0) => Ok(()),
            Some(experts) => Err(self.gguf.unsupported(format!("it has {experts} experts"))),
        }
    }
}
