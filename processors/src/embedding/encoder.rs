//! What stages and queries need of an embedding model.

use std::sync::Arc;

use super::ModelError;

/// What a text is to a model. Some are trained to read both kinds behind words of their own, such as `query: `.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// What is kept and may be an answer.
    Document,
    /// What is asked.
    Query,
}

/// What a model made of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Of unit length and [`Encoder::dims`] numbers.
    pub vector: Arc<[f32]>,
    /// How many tokens of the text were read, with the marks for its begin and end.
    pub tokens: usize,
    /// Whether the text goes on behind these.
    pub is_truncated: bool,
}

/// The last layer's vectors of the tokens of a text's first window, before pooling.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenVectors {
    /// The tokens as the vocabulary numbers them, with the marks for begin and end.
    pub ids: Vec<u32>,
    /// [`Encoder::dims`] numbers for each, one after the other, as the model has them: not of unit length.
    pub vectors: Vec<f32>,
}

/// Turns texts into unit vectors. Shared between threads as `Arc<dyn Encoder>`.
pub trait Encoder: Send + Sync {
    /// Names the model and everything that changes its vectors. Vectors of different ids must not be compared.
    fn model_id(&self) -> &str;

    /// Numbers in each vector.
    fn dims(&self) -> usize;

    /// Tokens that the model reads at once, with the marks. Longer texts are read in windows.
    fn window(&self) -> usize;

    /// How many tokens a text has, as far as the model reads it; with the marks for its begin and end.
    fn count_tokens(&self, text: &str) -> usize;

    /// One embedding for each text, in their order. The same text in the same role always gives the same, whatever it is embedded
    /// with. Blocks for as long as the computation takes: asynchronous callers move it off their threads.
    ///
    /// # Errors
    /// The model failed; nothing about a text alone leads here.
    fn encode(&self, role: Role, texts: &[&str]) -> Result<Vec<Embedding>, ModelError>;

    /// The vectors of each text's tokens, as far as the first window goes: what [`Encoder::encode`] makes its vector of.
    ///
    /// # Errors
    /// As there.
    fn encode_tokens(&self, role: Role, texts: &[&str]) -> Result<Vec<TokenVectors>, ModelError>;
}
