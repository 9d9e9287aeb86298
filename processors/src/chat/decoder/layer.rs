//! One layer: attention, then feed-forward, each added to the state.

use rayon::prelude::*;

use super::super::ChatError;
use super::attention::attend;
use super::cache::LayerCache;
use super::elementary::{Activation, Norm};
use super::matrix::Matrix;
use super::rotation::Rotation;
use super::shape::{Family, Shape};
use super::weights::Source;

/// The weights of one layer.
pub(super) struct Layer {
    norm: Norm,
    queries: Projection,
    keys: Projection,
    values: Projection,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    attended: Projection,
    attended_norm: Option<Norm>,
    forward_norm: Norm,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    down_norm: Option<Norm>,
    activation: Activation,
}

impl Layer {
    /// Takes the layer's weights out of a file.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub(super) fn read(source: &mut Source<'_>, shape: &Shape, index: usize) -> Result<Self, ChatError> {
        let Shape { family, width, inner_width, heads, key_heads, head_width, epsilon, .. } = *shape;
        let name = |part: &str| format!("blk.{index}.{part}");
        let norm = |source: &mut Source<'_>, there: bool, part: &str, width: usize| {
            there.then(|| Ok(Norm::new(source.vector(&name(part), width)?, epsilon))).transpose()
        };
        let query_norm = norm(source, family.norms_heads(), "attn_q_norm.weight", head_width)?;
        let key_norm = norm(source, family.norms_heads(), "attn_k_norm.weight", head_width)?;
        let attended_norm = norm(source, family.norms_results(), "post_attention_norm.weight", width)?;
        let down_norm = norm(source, family.norms_results(), "post_ffw_norm.weight", width)?;
        let mut projection = |part: &str, outputs: usize, inputs: usize, biased: bool| {
            Projection::read(source, &name(part), outputs, inputs, biased)
        };
        let biased = family.needs_biases();
        Ok(Self {
            queries: projection("attn_q", heads * head_width, width, biased)?,
            keys: projection("attn_k", key_heads * head_width, width, biased)?,
            values: projection("attn_v", key_heads * head_width, width, biased)?,
            attended: projection("attn_output", width, heads * head_width, false)?,
            query_norm,
            key_norm,
            attended_norm,
            down_norm,
            norm: Norm::new(source.vector(&name("attn_norm.weight"), width)?, epsilon),
            forward_norm: Norm::new(source.vector(&name("ffn_norm.weight"), width)?, epsilon),
            gate: source.matrix(&name("ffn_gate.weight"), inner_width, width)?,
            up: source.matrix(&name("ffn_up.weight"), inner_width, width)?,
            down: source.matrix(&name("ffn_down.weight"), width, inner_width)?,
            activation: match family {
                Family::Gemma3 => Activation::Gelu,
                Family::Llama | Family::Qwen2 | Family::Qwen3 => Activation::Silu,
            },
        })
    }

    /// Passes rows of states, the first of which is at position `start`, through the layer.
    pub(super) fn forward(
        &self,
        shape: &Shape,
        states: &mut [f32],
        rotation: &Rotation,
        window: Option<usize>,
        cache: &mut LayerCache,
        start: usize,
    ) {
        let Shape { heads, key_heads, head_width, .. } = *shape;
        let x = self.norm.applied(states);
        let mut queries = self.queries.forward(&x);
        let mut keys = self.keys.forward(&x);
        let values = self.values.forward(&x);
        for (rows, norm, heads) in [(&mut queries, &self.query_norm, heads), (&mut keys, &self.key_norm, key_heads)] {
            if let Some(norm) = norm {
                norm.apply(rows);
            }
            let row_width = heads * head_width;
            let rows = rows.par_chunks_exact_mut(row_width).with_min_len(16).enumerate();
            rows.for_each(|(place, row)| rotation.turn(place, row, head_width));
        }
        cache.extend(&keys, &values);
        let contexts = attend(shape, &queries, cache, start, window);
        if let Some(window) = window {
            cache.keep_last(window);
        }
        add(states, self.attended.forward(&contexts), self.attended_norm.as_ref());

        let x = self.forward_norm.applied(states);
        let mut gate = self.gate.times(&x);
        self.activation.apply(&mut gate, &self.up.times(&x));
        add(states, self.down.times(&gate), self.down_norm.as_ref());
    }
}

/// Adds a result, normalised first where the family does so.
fn add(states: &mut [f32], mut result: Vec<f32>, norm: Option<&Norm>) {
    if let Some(norm) = norm {
        norm.apply(&mut result);
    }
    states.iter_mut().zip(result).for_each(|(state, result)| *state += result);
}

/// A matrix, and a bias where the file has one.
struct Projection {
    weights: Matrix,
    bias: Option<Vec<f32>>,
}

impl Projection {
    fn read(
        source: &mut Source<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
        needs_bias: bool,
    ) -> Result<Self, ChatError> {
        let weights = source.matrix(&format!("{name}.weight"), outputs, inputs)?;
        let bias_name = format!("{name}.bias");
        let bias = match needs_bias {
            true => Some(source.vector(&bias_name, outputs)?),
            false => source.optional_vector(&bias_name, outputs)?,
        };
        Ok(Self { weights, bias })
    }

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut rows = self.weights.times(x);
        if let Some(bias) = &self.bias {
            for row in rows.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
        rows
    }
}
