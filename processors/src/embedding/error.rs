//! What can go wrong with an embedding model.

use std::path::PathBuf;

/// A model could not be opened, or could not embed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of the model is not there or cannot be read.
    #[error(
        "the embedding model's file {} cannot be read: {cause}; run `make model`, or pass --model DIR",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the file system answered.
        cause: std::io::Error,
    },
    /// A file of the model is damaged.
    #[error("the embedding model's file {} is damaged: {cause}; run `make model`, or pass --model DIR", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The files are sound but hold a model that this program cannot compute.
    #[error(
        "{} describes a model that is not supported: {cause}; a BERT with mean pooling is needed, \
         run `make model` for the usual one, or pass --model DIR",
        path.display()
    )]
    WrongArchitecture {
        /// The file that says so.
        path: PathBuf,
        /// What is not supported.
        cause: String,
    },
    /// A text could not be split into word pieces.
    #[error("a text could not be split into word pieces: {cause}; the model's tokenizer is unfit, run `make model`")]
    Tokenizer {
        /// What the tokenizer answered.
        cause: String,
    },
    /// The forward pass failed: tokenizer and weights do not belong together.
    #[error("the embedding model could not compute: {cause}; its files do not fit together, run `make model`")]
    Compute {
        /// What the tensor library answered.
        cause: String,
    },
}
