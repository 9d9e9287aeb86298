//! The forward pass of a decoder: tokens in, the next token's scores out.
//!
//! Owns: the weights and the order of operations, one for all families; what they differ in stands in [`Shape`].
//! Promises: weights are only read, so any number of generations share them, each with a [`Cache`] of its own. How a
//! prompt is cut into calls changes its scores by rounding at most: positions and masks count from the cache. All work
//! is done in the threads of the pool that the caller runs in.
//! Never: keeps a table as long as the context, or a second copy of the weights.
//!
//! candle reads the blocks of a file. candle-transformers has models for the same families, but they are not used: their
//! caches lie inside the weights (qwen2's cannot even be cloned); gemma3's fails on a prompt in parts, activates with
//! SiLU where Gemma has GELU, and takes 3 GB for a file of 250 MB; damaged files make them panic. Tests hold this decoder
//! against them where they are right.

mod attention;
mod cache;
mod elementary;
mod layer;
mod matrix;
mod rotation;
mod shape;
mod weights;

use std::sync::Arc;

use super::ChatError;
use super::gguf::Gguf;
pub(super) use cache::Cache;
use elementary::Norm;
use layer::Layer;
use matrix::Matrix;
use rotation::Rotation;
use shape::Shape;
use weights::Source;

/// The weights of a model.
pub(super) struct Decoder {
    shape: Shape,
    embedding: Arc<Matrix>,
    layers: Vec<Layer>,
    norm: Norm,
    /// The embedding again in models that tie the two.
    output: Arc<Matrix>,
    /// What `rope_freqs.weight` divides the rotation's frequencies by.
    frequency_factors: Option<Vec<f32>>,
}

impl Decoder {
    /// Reads the weights of a file.
    ///
    /// # Errors
    /// The family is not supported, a size is missing or cannot be, or a tensor is missing, has another shape or has no
    /// place in the family: computing without it would answer nonsense.
    pub(super) fn read(gguf: &mut Gguf) -> Result<Self, ChatError> {
        let shape = Shape::read(gguf)?;
        let mut source = Source { gguf };
        let embedding = Arc::new(source.matrix("token_embd.weight", shape.tokens, shape.width)?);
        let output = match source.optional_matrix("output.weight", shape.tokens, shape.width)? {
            Some(output) => Arc::new(output),
            None => Arc::clone(&embedding),
        };
        let norm = Norm::new(source.vector("output_norm.weight", shape.width)?, shape.epsilon);
        let frequency_factors = source.optional_vector("rope_freqs.weight", shape.rotated / 2)?;
        let layers = (0..shape.layers).map(|index| Layer::read(&mut source, &shape, index));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        if let Some(name) = gguf.tensor_left() {
            let family = shape.family.name();
            return Err(gguf.unsupported(format!("tensor {name} has no place in a {family}")));
        }
        Ok(Self { shape, embedding, layers, norm, output, frequency_factors })
    }

    /// The family's name, as the file states it.
    pub(super) fn family(&self) -> &'static str {
        self.shape.family.name()
    }

    /// Tokens that the model was made to see at once.
    pub(super) fn context(&self) -> usize {
        self.shape.context
    }

    /// Tokens that have an embedding and a score.
    pub(super) fn tokens(&self) -> usize {
        self.shape.tokens
    }

    /// An empty cache.
    pub(super) fn cache(&self) -> Cache {
        Cache::new(&self.shape)
    }

    /// Reads tokens that follow those in the cache, at least one, and gives the state after the last. Nothing when
    /// `is_cancelled`, which is asked before each layer; the cache is of no use then.
    ///
    /// # Errors
    /// A token has no embedding.
    pub(super) fn read_tokens(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<f32>>, ChatError> {
        let scale = self.shape.embedding_scale();
        let mut states = Vec::with_capacity(tokens.len() * self.shape.width);
        for token in tokens {
            let unknown =
                || ChatError::Compute { cause: format!("it has no token {token}, the prompt is another model's") };
            let state = self.embedding.row(*token as usize).ok_or_else(unknown)?;
            states.extend(state.into_iter().map(|number| number * scale));
        }

        let positions = cache.length..cache.length + tokens.len();
        let everywhere = Rotation::new(&self.shape, false, self.frequency_factors.as_deref(), positions.clone());
        let nearby = Rotation::new(&self.shape, true, self.frequency_factors.as_deref(), positions.clone());
        for (index, layer) in self.layers.iter().enumerate() {
            if is_cancelled() {
                return Ok(None);
            }
            let window = self.shape.window(index);
            let rotation = if window.is_some() { &nearby } else { &everywhere };
            layer.forward(&self.shape, &mut states, rotation, window, &mut cache.layers[index], positions.start);
        }
        cache.length = positions.end;
        Ok(Some(states.split_off(states.len() - self.shape.width)))
    }

    /// The scores of all tokens after a state.
    pub(super) fn scores(&self, state: &[f32]) -> Vec<f32> {
        self.output.times(&self.norm.applied(state))
    }
}

#[cfg(test)]
mod tests;
