//! BERT's forward pass and pooling, for sentence models.
//!
//! Owns: the packed weights, and the order of operations. candle gives the tensors, the reading of safetensors and the
//! look-up of word vectors; the four operations that cost time are our own. They are no operations on candle's tensors, for each
//! of these has memory of its own: fetching and clearing it took a tenth of the time.
//! Promises: a text's vector is the same, bit by bit, whichever texts are computed with it, however many threads share the
//! work and whichever kernel does it: floats are added in one order, and fused where one machine fuses. (Only the plain kernel
//! does not fuse the products of [`Precision::F32`], where that would take many times as long and decides no level.)
//! Never: pads. Texts lie end to end as one row of tokens; attention and pooling look at one text at a time. A mask
//! would say the same and cost the padding.

mod attention;
mod bytes;
mod elementary;
mod kernel;
mod levels;
mod linear;
mod norm;
mod order;
mod panel;
mod spread;
mod stepped;

use std::ops::Range;

use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Result, Tensor, bail};
use serde::Deserialize;

use super::numerics::{Numerics, Precision};
use attention::Attention;
pub use kernel::Kernel;
use linear::Linear;
use norm::Norm;
use panel::{Finish, Panels, Row, WIDTH};
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

/// Which vectors of the last layer become a text's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The mean of all.
    Mean,
    /// That of the mark for the beginning.
    Cls,
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
    pooling: Pooling,
    /// Which number of a vector each feature is, where they are in an order of their own.
    order: Option<Vec<u32>>,
    kernel: Kernel,
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
    pub(super) fn load(
        weights: &SliceSafetensors<'_>,
        config: &Config,
        pooling: Pooling,
        numerics: Numerics,
    ) -> Result<Self> {
        let source = Source::new(weights, config, numerics)?;
        let segment = source.table("embeddings.token_type_embeddings.weight")?.get(0)?;
        let positions = source.table("embeddings.position_embeddings.weight")?;
        let (rows, stated) = (positions.dim(0)?, config.max_position_embeddings);
        if rows < stated {
            bail!("there are {rows} positions, config.json states {stated}");
        }
        Ok(Self {
            words: source.table("embeddings.word_embeddings.weight")?.to_dtype(DType::F16)?,
            positions: positions.broadcast_add(&segment)?,
            norm: source.norm("embeddings.LayerNorm")?,
            layers: (0..config.num_hidden_layers).map(|index| Layer::load(&source, index)).collect::<Result<_>>()?,
            heads: config.num_attention_heads,
            dims: config.hidden_size,
            pooling,
            order: source.order.clone(),
            kernel: numerics.kernel,
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
        let (hidden, height) = self.forward(texts, spread)?;
        let pooled = |text: Range<usize>| match self.pooling {
            Pooling::Mean => text,
            Pooling::Cls => text.start..text.start + 1,
        };
        let vectors = end_to_end(texts).into_iter().map(|text| unit(sum(&hidden, height, pooled(text))));
        Ok(vectors.map(|vector| self.in_order(vector)).collect())
    }

    /// The vectors of each text's word pieces, one after the other, before pooling.
    ///
    /// # Errors
    /// As [`Bert::embed`].
    pub(super) fn embed_tokens(&self, texts: &[&[u32]], spread: Spread) -> Result<Vec<Vec<f32>>> {
        let (hidden, height) = self.forward(texts, spread)?;
        let token = |token: usize| self.in_order(sum(&hidden, height, token..token + 1));
        Ok(end_to_end(texts).into_iter().map(|text| text.flat_map(token).collect()).collect())
    }

    /// The last layer's activations, and how many tokens there are.
    fn forward(&self, texts: &[&[u32]], spread: Spread) -> Result<(Vec<Row>, usize)> {
        let ranges = end_to_end(texts);
        let height = texts.iter().map(|text| text.len()).sum();
        let mut hidden = self.look_up(texts, height)?;
        let mut scratch = Scratch::default();
        for layer in &self.layers {
            self.apply(layer, &mut hidden, height, &ranges, spread, &mut scratch);
        }
        Ok((hidden, height))
    }

    /// The numbers of a vector as the model's files have them.
    fn in_order(&self, vector: Vec<f32>) -> Vec<f32> {
        let Some(order) = &self.order else { return vector };
        let mut ordered = vec![0.0; vector.len()];
        for (place, number) in order.iter().zip(vector) {
            ordered[*place as usize] = number;
        }
        ordered
    }

    /// Word and position vectors, summed and normalised.
    fn look_up(&self, texts: &[&[u32]], height: usize) -> Result<Vec<Row>> {
        let device = Device::Cpu;
        let words = Tensor::new(texts.concat(), &device)?;
        let positions: Vec<u32> = texts.iter().flat_map(|text| (0..).take(text.len())).collect();
        let positions = Tensor::new(positions, &device)?;
        let mut hidden = in_panels(&self.words.index_select(&words, 0)?.to_dtype(DType::F32)?)?;
        let positions = in_panels(&self.positions.index_select(&positions, 0)?)?;
        self.norm.forward(Panels::new(&positions, height), &mut hidden);
        Ok(hidden)
    }

    /// Puts what a layer makes of them in the place of the activations.
    fn apply(
        &self,
        layer: &Layer,
        hidden: &mut [Row],
        height: usize,
        texts: &[Range<usize>],
        spread: Spread,
        scratch: &mut Scratch,
    ) {
        let Scratch { wide, context, narrow } = scratch;
        let attention = Attention { texts, heads: self.heads, spread, arch: self.kernel.arch() };
        for (rows, panels) in [
            (&mut *wide, layer.queries_keys_values.outputs().max(layer.widen.outputs())),
            (context, layer.attended.outputs()),
            (narrow, layer.narrow.outputs()),
        ] {
            rows.resize(panels * height, [0.0; WIDTH]);
        }
        let joined = &mut wide[..layer.queries_keys_values.outputs() * height];
        layer.queries_keys_values.forward(Panels::new(hidden, height), spread, joined);
        attention.forward(Panels::new(joined, height), context);
        layer.attended.forward(Panels::new(context, height), spread, narrow);
        layer.attended_norm.forward(Panels::new(narrow, height), hidden);
        let widened = &mut wide[..layer.widen.outputs() * height];
        layer.widen.forward(Panels::new(hidden, height), spread, widened);
        layer.narrow.forward(Panels::new(widened, height), spread, narrow);
        layer.narrow_norm.forward(Panels::new(narrow, height), hidden);
    }
}

/// Memory that all layers use, one after the other.
#[derive(Default)]
struct Scratch {
    wide: Vec<Row>,
    context: Vec<Row>,
    narrow: Vec<Row>,
}

impl Layer {
    fn load(source: &Source<'_>, index: usize) -> Result<Self> {
        let prefix = format!("encoder.layer.{index}");
        let widened = source.dense(&format!("{prefix}.intermediate.dense"), source.wide, source.features)?;
        let attended_norm = format!("{prefix}.attention.output.LayerNorm");
        let wide_order = source.wide_order(&widened, &attended_norm)?;
        let (features, wide) = (order::coarse(source.features), order::coarse(source.wide));
        let residual = source.order.as_deref();
        let attended = source.dense(&format!("{prefix}.attention.output.dense"), source.features, source.features)?;
        let narrowed = source.dense(&format!("{prefix}.output.dense"), source.features, source.wide)?;
        let queries_keys_values = source.queries_keys_values(&format!("{prefix}.attention.self"))?;
        Ok(Self {
            queries_keys_values: source.pack(queries_keys_values.ordered(None, residual)?, features, Finish::Plain)?,
            attended: source.pack(attended.ordered(residual, None)?, 0, Finish::Plain)?,
            attended_norm: source.norm(&attended_norm)?,
            widen: source.pack(widened.ordered(wide_order.as_deref(), residual)?, features, Finish::Gelu)?,
            narrow: source.pack(narrowed.ordered(residual, wide_order.as_deref())?, wide, Finish::Plain)?,
            narrow_norm: source.norm(&format!("{prefix}.output.LayerNorm"))?,
        })
    }
}

/// The weights, of shape (outputs, inputs), and the bias of a layer.
struct Dense {
    weights: Tensor,
    bias: Tensor,
}

impl Dense {
    /// With its outputs and its inputs in these orders.
    fn ordered(self, outputs: Option<&[u32]>, inputs: Option<&[u32]>) -> Result<Self> {
        let weights = ordered(ordered(self.weights, outputs, 0)?, inputs, 1)?;
        Ok(Self { weights, bias: ordered(self.bias, outputs, 0)? })
    }
}

fn ordered(tensor: Tensor, order: Option<&[u32]>, side: usize) -> Result<Tensor> {
    match order {
        Some(order) => tensor.contiguous()?.index_select(&Tensor::new(order, &Device::Cpu)?, side),
        None => Ok(tensor),
    }
}

/// Where the weights come from.
struct Source<'a> {
    weights: &'a SliceSafetensors<'a>,
    config: &'a Config,
    features: usize,
    wide: usize,
    numerics: Numerics,
    /// The order of the features, where it is not that of the files.
    order: Option<Vec<u32>>,
}

impl<'a> Source<'a> {
    fn new(weights: &'a SliceSafetensors<'a>, config: &'a Config, numerics: Numerics) -> Result<Self> {
        let (features, wide) = (config.hidden_size, config.intermediate_size);
        let mut source = Self { weights, config, features, wide, numerics, order: None };
        if numerics.precision == Precision::Int8 {
            let of_layer =
                |index| ["attention.output", "output"].map(|place| format!("encoder.layer.{index}.{place}.LayerNorm"));
            let names = (0..config.num_hidden_layers).flat_map(of_layer).chain(["embeddings.LayerNorm".to_owned()]);
            let norms: Vec<_> = names.map(|name| source.gain_and_bias(&name)).collect::<Result<_>>()?;
            source.order = Some(order::of_features(&norms));
        }
        Ok(source)
    }

    /// The tensor `name`, which must have this shape.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.weights.load(&self.stored_name(name), &Device::Cpu)?;
        if tensor.dims() != shape {
            bail!("{name} has the shape {:?}, config.json asks for {shape:?}", tensor.dims());
        }
        tensor.to_dtype(DType::F32)
    }

    /// The name in the file: models that were saved with a head for their training have one word more.
    fn stored_name(&self, name: &str) -> String {
        let longer = format!("bert.{name}");
        if self.weights.get(&longer).is_ok() { longer } else { name.to_owned() }
    }

    /// A table with one row of features for each of any number of words, positions or segments.
    fn table(&self, name: &str) -> Result<Tensor> {
        let rows = self.weights.get(&self.stored_name(name))?.shape().first().copied().unwrap_or_default();
        ordered(self.tensor(name, &[rows, self.features])?, self.order.as_deref(), 1)
    }

    fn dense(&self, name: &str, outputs: usize, inputs: usize) -> Result<Dense> {
        let weights = self.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(Dense { weights, bias: self.tensor(&format!("{name}.bias"), &[outputs])? })
    }

    /// The three inner layers of attention as one, with the queries' scale folded in.
    fn queries_keys_values(&self, name: &str) -> Result<Dense> {
        let scale = 1.0 / ((self.features / self.config.num_attention_heads) as f64).sqrt();
        let [queries, keys, values] =
            ["query", "key", "value"].map(|kind| self.dense(&format!("{name}.{kind}"), self.features, self.features));
        let (queries, keys, values) = (queries?, keys?, values?);
        Ok(Dense {
            weights: Tensor::cat(&[(queries.weights * scale)?, keys.weights, values.weights], 0)?,
            bias: Tensor::cat(&[(queries.bias * scale)?, keys.bias, values.bias], 0)?,
        })
    }

    /// The order of the outputs of a layer behind a normalisation, where it is not that of the files.
    fn wide_order(&self, widened: &Dense, norm: &str) -> Result<Option<Vec<u32>>> {
        if self.order.is_none() {
            return Ok(None);
        }
        let norm = self.gain_and_bias(norm)?;
        Ok(Some(order::of_wide(&widened.weights.to_vec2()?, &widened.bias.to_vec1()?, &norm)))
    }

    fn pack(&self, dense: Dense, coarse: usize, finish: Finish) -> Result<Linear> {
        Linear::pack(&dense.weights, &dense.bias, coarse, finish, self.numerics)
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        let [gain, bias] = ["weight", "bias"]
            .map(|kind| ordered(self.tensor(&format!("{name}.{kind}"), &[self.features])?, self.order.as_deref(), 0));
        Norm::new(&gain?, &bias?, self.config.layer_norm_eps as f32, self.numerics.kernel.arch())
    }

    /// A normalisation's numbers in the order of the files.
    fn gain_and_bias(&self, name: &str) -> Result<(Vec<f32>, Vec<f32>)> {
        let read = |kind| self.tensor(&format!("{name}.{kind}"), &[self.features])?.to_vec1();
        Ok((read("weight")?, read("bias")?))
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

/// (tokens, features) as panels of features.
fn in_panels(x: &Tensor) -> Result<Vec<Row>> {
    let (tokens, features) = x.dims2()?;
    let numbers = x.flatten_all()?.to_vec1::<f32>()?;
    let (rows, _) = numbers.as_chunks();
    let panels = features / WIDTH;
    Ok((0..panels).flat_map(|panel| (0..tokens).map(move |token| rows[token * panels + panel])).collect())
}

/// The sum of these tokens' vectors.
fn sum(features: &[Row], height: usize, tokens: Range<usize>) -> Vec<f32> {
    let mut sum = Vec::with_capacity(features.len() / height.max(1) * WIDTH);
    for panel in features.chunks(height) {
        let mut columns = [0.0; WIDTH];
        for row in &panel[tokens.clone()] {
            columns.iter_mut().zip(row).for_each(|(column, value)| *column += value);
        }
        sum.extend(columns);
    }
    sum
}

/// The sum of vectors of one length, scaled to unit length.
pub(super) fn mean<'a>(vectors: impl IntoIterator<Item = &'a Vec<f32>>) -> Vec<f32> {
    let mut vectors = vectors.into_iter();
    let mut sum = vectors.next().cloned().unwrap_or_default();
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, number)| *sum += number);
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
