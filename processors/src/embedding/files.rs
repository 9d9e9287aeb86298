//! The files of a sentence model: from a directory to a model.
//!
//! Owns: which files a model consists of, and its identity, which is known before the model can be used: what only
//! needs the identity need not wait for the rest.
//! Never: computes a vector.

use std::path::{Path, PathBuf};

use candle_core::safetensors::SliceSafetensors;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    ModelError, Numerics, Precision, SentenceModel,
    bert::{Bert, Config},
    pieces::Pieces,
};

pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const CONFIG: &str = "config.json";
pub(super) const POOLING: &str = "1_Pooling/config.json";

/// Changes with every change to pooling or normalisation that changes vectors, and so changes the model's id.
const POOLING_VERSION: &str = "mean-l2-256-v1";

/// Changes with every change to what becomes bytes, and how.
const INT8_VERSION: &str = "int8-v1";

/// The files of a model, read and not yet taken apart: about 90 MB for all-MiniLM-L6-v2.
pub struct ModelFiles {
    dir: PathBuf,
    id: String,
    config: Config,
    numerics: Numerics,
    tokenizer: Vec<u8>,
    weights: Vec<u8>,
}

impl ModelFiles {
    /// Reads `model.safetensors`, `tokenizer.json` and `config.json` in a directory, and keeps no file open.
    ///
    /// # Errors
    /// A file is missing, or the model is not a BERT with mean pooling. The message names the file.
    pub fn read(dir: &Path, numerics: Numerics) -> Result<Self, ModelError> {
        let config_path = dir.join(CONFIG);
        let config: Config = parse(&read(&config_path)?, &config_path)?;
        if let Some(cause) = config.unsupported() {
            return Err(ModelError::WrongArchitecture { path: config_path, cause });
        }
        check_pooling(dir.join(POOLING))?;
        let tokenizer = read(&dir.join(TOKENIZER))?;
        let weights = read(&dir.join(WEIGHTS))?;
        let id = identity(dir, &weights, &tokenizer, numerics.precision);
        Ok(Self { id, dir: dir.to_owned(), config, numerics, tokenizer, weights })
    }

    /// The directory's name and a fingerprint of everything that changes the vectors, for example
    /// `all-MiniLM-L6-v2@0123456789ab`.
    pub fn model_id(&self) -> &str {
        &self.id
    }

    /// Numbers in a vector: 384 for all-MiniLM-L6-v2.
    pub fn dims(&self) -> usize {
        self.config.hidden_size
    }

    /// Makes the model of them. Needs about 170 MB for a moment.
    ///
    /// # Errors
    /// A file is damaged, or the files do not belong together. The message names the file.
    pub fn load(self) -> Result<SentenceModel, ModelError> {
        let pieces = Pieces::parse(&self.tokenizer, &self.dir.join(TOKENIZER))?;
        let path = self.dir.join(WEIGHTS);
        let tensors = match SliceSafetensors::new(&self.weights) {
            Ok(tensors) => tensors,
            Err(cause) => return Err(ModelError::Corrupt { path, cause: cause.to_string() }),
        };
        let bert =
            Bert::load(&tensors, &self.config, self.numerics).map_err(|cause| ModelError::WrongArchitecture {
                path,
                cause: format!("the weights do not have the shape that {CONFIG} states: {cause}"),
            })?;
        Ok(SentenceModel::new(self.id, pieces, bert))
    }
}

/// The settings of the pooling that decide whether this program can do it.
#[derive(Deserialize)]
struct Pooling {
    pooling_mode_mean_tokens: bool,
}

/// Refuses a model that states another pooling. One that states none is taken to be for the mean.
fn check_pooling(path: PathBuf) -> Result<(), ModelError> {
    if !path.exists() {
        return Ok(());
    }
    let pooling: Pooling = parse(&read(&path)?, &path)?;
    if pooling.pooling_mode_mean_tokens {
        return Ok(());
    }
    Err(ModelError::WrongArchitecture { path, cause: "pooling_mode_mean_tokens is not set".to_owned() })
}

fn identity(dir: &Path, weights: &[u8], tokenizer: &[u8], precision: Precision) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(blake3::hash(weights).as_bytes());
    hasher.update(blake3::hash(tokenizer).as_bytes());
    hasher.update(POOLING_VERSION.as_bytes());
    if precision == Precision::Int8 {
        hasher.update(INT8_VERSION.as_bytes());
    }
    let fingerprint = hasher.finalize().to_hex();
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}@{}", &fingerprint[..12])
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|cause| ModelError::Missing { path: path.to_owned(), cause })
}

fn parse<T: DeserializeOwned>(content: &[u8], path: &Path) -> Result<T, ModelError> {
    serde_json::from_slice(content)
        .map_err(|cause| ModelError::Corrupt { path: path.to_owned(), cause: cause.to_string() })
}
