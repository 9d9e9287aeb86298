//! Embedding: texts as vectors that lie near each other when the texts mean similar things.
//!
//! Owns: the local model, its forward pass and the cache before it.
//! Promises: vectors of unit length, in the order of the texts, the same for the same text.
//! Never: reads the log, knows a message, downloads a model, or talks to a provider.

mod encoder;

mod cache;
mod error;
mod files;
mod model;

mod bert;
mod numerics;
mod pieces;
mod settings;
mod stage;

pub mod testing;

pub use cache::CachedEncoder;
pub use encoder::{Embedding, Encoder, Role, TokenVectors};
pub use error::ModelError;
pub use files::ModelFiles;
pub use model::SentenceModel;
pub use numerics::{Kernel, Numerics, Precision};
pub use stage::{Embedder, embedded_text};
