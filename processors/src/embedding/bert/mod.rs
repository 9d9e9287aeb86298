//! BERT's forward pass and mean pooling, for sentence models.
//!
//! Owns: the packed weights, and the order of operations. candle gives the tensors, the reading of safetensors and the
//! look-up of word vectors; the four operations that cost time are candle operations of our own, kept in this folder.
//! Promises: a text's vector is the same, bit by bit, whichever texts are computed with it and however many threads
//! share the work, on one machine and one build. Between machines the last bits differ, because one fuses a multiply
//! with an add and another does not.
//! Never: pads. Texts lie end to end as one row of tokens; attention and pooling look at one text at a time. A mask
//! would say the same and cost the padding.

mod attention;
mod elementary;
mod linear;
mod norm;
mod operand;
mod panel;
mod spread;

use std::ops::Range;

use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Result, Tensor, bail};
use pulp::Arch;
use serde::Deserialize;

use super::pieces::MOST_PIECES;
use attention::Attention;
use linear::Linear;
use norm::Norm;
use panel::{Finish, WIDTH};
pub(super) use spread::Spread;

/// The shape of a BERT, as `config.json` states it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    pub(super) model_type: String,
    pub(super) hidden_act: String,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) layer_norm_eps: f64,
    #[serde(default = "absolute")]
    pub(super) position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl Config {
    /// What this forward pass cannot compute about the model, if anything.
    pub(super) fn unsupported(&self) -> Option<String> {
        let words = [
            ("model_type", self.model_type.as_str(), "bert"),
            ("hidden_act", self.hidden_act.as_str(), "gelu"),
            ("position_embedding_type", self.position_embedding_type.as_str(), "absolute"),
        ];
        if let Some((field, found, wanted)) = words.into_iter().find(|(_, found, wanted)| found != wanted) {
            return Some(format!("{field} is {found:?}, only {wanted:?} is supported"));
        }
        if !self.intermediate_size.is_multiple_of(WIDTH) {
            return Some(format!("intermediate_size {} is not a multiple of {WIDTH}", self.intermediate_size));
        }
        if self.max_position_embeddings < MOST_PIECES {
            return Some(format!("{} positions are fewer than {MOST_PIECES}", self.max_position_embeddings));
        }
        let unit = self.num_attention_heads * WIDTH;
        if unit == 0 || self.hidden_size == 0 || !self.hidden_size.is_multiple_of(unit) {
            return Some(format!(
                "hidden_size {} over {} attention heads is not a multiple of {WIDTH} each",
                self.hidden_size, self.num_attention_heads
            ));
        }
        None
    }
}

/// A BERT ready to compute.
pub(super) struct Bert {
    /// In 16 bits: half the vocabulary's 47 MB, for a difference of about 1e-8 in a vector's cosine.
    words: Tensor,
    /// Position vectors with the vector of the only segment added.
    positions: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    dims: usize,
    arch: Arch,
}

struct Layer {
    queries_keys_values: Linear,
    attended: Linear,
    attended_norm: Norm,
    widen: Linear,
    narrow: Linear,
    narrow_norm: Norm,
}

impl Bert {
    /// Reads and packs the weights. `config` must be one that is supported.
    ///
    /// # Errors
    /// A tensor is missing or has another shape than `config` states.
    pub(super) fn load(weights: &SliceSafetensors<'_>, config: &Config) -> Result<Self> {
        let source = Source { weights, config };
        let segment = source.table("embeddings.token_type_embeddings.weight")?.get(0)?;
        let positions = source.table("embeddings.position_embeddings.weight")?;
        Ok(Self {
            words: source.table("embeddings.word_embeddings.weight")?.to_dtype(DType::F16)?,
            positions: positions.broadcast_add(&segment)?,
            norm: source.norm("embeddings.LayerNorm")?,
            layers: (0..config.num_hidden_layers).map(|index| Layer::load(&source, index)).collect::<Result<_>>()?,
            heads: config.num_attention_heads,
            dims: config.hidden_size,
            arch: Arch::new(),
        })
    }

    /// Numbers in a vector.
    pub(super) fn dims(&self) -> usize {
        self.dims
    }

    /// The unit vectors of texts given as word pieces, in their order. Each text has at least one.
    ///
    /// # Errors
    /// A word piece is not in the vocabulary, or a text is longer than the model's positions.
    pub(super) fn embed(&self, texts: &[&[u32]], spread: Spread) -> Result<Vec<Vec<f32>>> {
        let ranges = end_to_end(texts);
        let mut hidden = self.look_up(texts)?;
        for layer in &self.layers {
            hidden = self.apply(layer, &hidden, &ranges, spread)?;
        }
        let features = hidden.flatten_all()?.to_vec1::<f32>()?;
        let height = hidden.dim(1)?;
        Ok(ranges.into_iter().map(|text| pool(&features, height, text)).collect())
    }

    /// Word and position vectors, summed and normalised.
    fn look_up(&self, texts: &[&[u32]]) -> Result<Tensor> {
        let device = Device::Cpu;
        let words = Tensor::new(texts.concat(), &device)?;
        let positions: Vec<u32> = texts.iter().flat_map(|text| (0..).take(text.len())).collect();
        let positions = Tensor::new(positions, &device)?;
        let words = in_panels(&self.words.index_select(&words, 0)?.to_dtype(DType::F32)?)?;
        let positions = in_panels(&self.positions.index_select(&positions, 0)?)?;
        self.norm.forward(&words, &positions)
    }

    fn apply(&self, layer: &Layer, hidden: &Tensor, texts: &[Range<usize>], spread: Spread) -> Result<Tensor> {
        let attention = Attention { texts, heads: self.heads, spread, arch: self.arch };
        let context = layer.queries_keys_values.forward(hidden, spread)?.apply_op1_no_bwd(&attention)?;
        let hidden = layer.attended_norm.forward(&layer.attended.forward(&context, spread)?, hidden)?;
        let narrow = layer.narrow.forward(&layer.widen.forward(&hidden, spread)?, spread)?;
        layer.narrow_norm.forward(&narrow, &hidden)
    }
}

impl Layer {
    fn load(source: &Source<'_>, index: usize) -> Result<Self> {
        let prefix = format!("encoder.layer.{index}");
        let (features, wide) = (source.config.hidden_size, source.config.intermediate_size);
        Ok(Self {
            queries_keys_values: source.queries_keys_values(&format!("{prefix}.attention.self"))?,
            attended: source.linear(
                &format!("{prefix}.attention.output.dense"),
                [features, features],
                Finish::Plain,
            )?,
            attended_norm: source.norm(&format!("{prefix}.attention.output.LayerNorm"))?,
            widen: source.linear(&format!("{prefix}.intermediate.dense"), [wide, features], Finish::Gelu)?,
            narrow: source.linear(&format!("{prefix}.output.dense"), [features, wide], Finish::Plain)?,
            narrow_norm: source.norm(&format!("{prefix}.output.LayerNorm"))?,
        })
    }
}

/// Where the weights come from.
struct Source<'a> {
    weights: &'a SliceSafetensors<'a>,
    config: &'a Config,
}

impl Source<'_> {
    /// The tensor `name`, which must have this shape.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.weights.load(name, &Device::Cpu)?;
        if tensor.dims() != shape {
            bail!("{name} has the shape {:?}, config.json asks for {shape:?}", tensor.dims());
        }
        tensor.to_dtype(DType::F32)
    }

    /// A table with one row of features for each of any number of words, positions or segments.
    fn table(&self, name: &str) -> Result<Tensor> {
        let rows = self.weights.get(name)?.shape().first().copied().unwrap_or_default();
        self.tensor(name, &[rows, self.config.hidden_size])
    }

    /// A layer by the shape (outputs, inputs) of its weights.
    fn linear(&self, name: &str, shape: [usize; 2], finish: Finish) -> Result<Linear> {
        let weights = self.tensor(&format!("{name}.weight"), &shape)?;
        Linear::pack(&weights, &self.tensor(&format!("{name}.bias"), &shape[..1])?, finish)
    }

    /// The three inner layers of attention as one, with the queries' scale folded in.
    fn queries_keys_values(&self, name: &str) -> Result<Linear> {
        let features = self.config.hidden_size;
        let scale = 1.0 / ((features / self.config.num_attention_heads) as f64).sqrt();
        let join = |kind: &str, shape: &[usize]| -> Result<Tensor> {
            let queries = (self.tensor(&format!("{name}.query.{kind}"), shape)? * scale)?;
            let keys = self.tensor(&format!("{name}.key.{kind}"), shape)?;
            let values = self.tensor(&format!("{name}.value.{kind}"), shape)?;
            Tensor::cat(&[queries, keys, values], 0)
        };
        Linear::pack(&join("weight", &[features, features])?, &join("bias", &[features])?, Finish::Plain)
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        let shape = [self.config.hidden_size];
        let (gain, bias) =
            (self.tensor(&format!("{name}.weight"), &shape)?, self.tensor(&format!("{name}.bias"), &shape)?);
        Norm::new(&gain, &bias, self.config.layer_norm_eps as f32)
    }
}

/// Each text's tokens in the one row of all texts' tokens.
fn end_to_end(texts: &[&[u32]]) -> Vec<Range<usize>> {
    let mut end = 0;
    texts
        .iter()
        .map(|text| {
            let start = end;
            end += text.len();
            start..end
        })
        .collect()
}

/// (tokens, features) as (features / 16, tokens, 16).
fn in_panels(x: &Tensor) -> Result<Tensor> {
    let (tokens, features) = x.dims2()?;
    x.reshape((tokens, features / WIDTH, WIDTH))?.transpose(0, 1)?.contiguous()
}

/// The mean of a text's token vectors, scaled to unit length.
fn pool(features: &[f32], height: usize, text: Range<usize>) -> Vec<f32> {
    let (rows, _) = features.as_chunks::<WIDTH>();
    let mut sum = Vec::with_capacity(features.len() / height.max(1));
    for panel in rows.chunks(height) {
        let mut columns = [0.0; WIDTH];
        for row in &panel[text.clone()] {
            columns.iter_mut().zip(row).for_each(|(column, value)| *column += value);
        }
        sum.extend(columns);
    }
    unit(sum)
}

/// The vector scaled to unit length: dividing by the count first would change nothing.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}
