//! What stages and queries need of an embedding model.

use std::sync::Arc;

use super::ModelError;

/// Turns texts into unit vectors. Shared between threads as `Arc<dyn Encoder>`.
pub trait Encoder: Send + Sync {
    /// Names the model and everything that changes its vectors. Vectors of different ids must not be compared.
    fn model_id(&self) -> &str;

    /// Numbers in each vector.
    fn dims(&self) -> usize;

    /// How many tokens a text has, as far as the model reads it; with the marks for its begin and end.
    fn count_tokens(&self, text: &str) -> usize;

    /// One vector of unit length and [`Encoder::dims`] numbers for each text, in the order of the texts. The same text
    /// always gives the same vector, whatever it is embedded with. Blocks for as long as the computation takes:
    /// asynchronous callers move it off their threads.
    ///
    /// # Errors
    /// The model failed; nothing about a text alone leads here.
    fn encode(&self, texts: &[&str]) -> Result<Vec<Arc<[f32]>>, ModelError>;
}
