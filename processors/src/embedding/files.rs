//! The files of a sentence model: from a directory to a model.
//!
//! Owns: which files a model consists of, and its identity, which is known before the model can be used: what only
//! needs the identity need not wait for the rest.
//! Never: computes a vector.

use std::path::{Path, PathBuf};

use candle_core::safetensors::SliceSafetensors;
use serde::de::DeserializeOwned;

use super::{
    ModelError, Numerics, Precision, SentenceModel,
    bert::{Bert, Config},
    pieces::Pieces,
    settings::Settings,
};

pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const CONFIG: &str = "config.json";

/// Changes with every change to windows, pooling or normalisation that changes vectors, and so changes the model's id.
const READING_VERSION: &str = "windows-v1";

/// Changes with every change to what becomes bytes, and how.
const INT8_VERSION: &str = "int8-v1";

/// The files of a model, read and not yet taken apart: about 90 MB for all-MiniLM-L6-v2.
pub struct ModelFiles {
    dir: PathBuf,
    id: String,
    config: Config,
    settings: Settings,
    numerics: Numerics,
    tokenizer: Vec<u8>,
    weights: Vec<u8>,
}

impl ModelFiles {
    /// Reads `model.safetensors`, `tokenizer.json` and `config.json` in a directory and what else it says about the model's use, and
    /// keeps no file open.
    ///
    /// # Errors
    /// A file is missing, or the model is not one that is supported. The message names the file.
    pub fn read(dir: &Path, numerics: Numerics) -> Result<Self, ModelError> {
        let config_path = dir.join(CONFIG);
        let config: Config = parse(&read(&config_path)?, &config_path)?;
        if let Some(cause) = config.unsupported() {
            return Err(ModelError::WrongArchitecture { path: config_path, cause });
        }
        let settings = Settings::read(dir, config.max_position_embeddings)?;
        let tokenizer = read(&dir.join(TOKENIZER))?;
        let weights = read(&dir.join(WEIGHTS))?;
        let id = identity(dir, &weights, &tokenizer, &settings, numerics.precision);
        Ok(Self { id, dir: dir.to_owned(), config, settings, numerics, tokenizer, weights })
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
        let pieces =
            Pieces::parse(&self.tokenizer, &self.dir.join(TOKENIZER), self.settings.window, &self.settings.prompts)?;
        let path = self.dir.join(WEIGHTS);
        let tensors = match SliceSafetensors::new(&self.weights) {
            Ok(tensors) => tensors,
            Err(cause) => return Err(ModelError::Corrupt { path, cause: cause.to_string() }),
        };
        let bert = Bert::load(&tensors, &self.config, self.settings.pooling, self.numerics).map_err(|cause| {
            ModelError::WrongArchitecture {
                path,
                cause: format!("the weights do not have the shape that {CONFIG} states: {cause}"),
            }
        })?;
        Ok(SentenceModel::new(self.id, pieces, bert))
    }
}

fn identity(dir: &Path, weights: &[u8], tokenizer: &[u8], settings: &Settings, precision: Precision) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(blake3::hash(weights).as_bytes());
    hasher.update(blake3::hash(tokenizer).as_bytes());
    hasher.update(READING_VERSION.as_bytes());
    hasher.update(settings.identity().as_bytes());
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

pub(super) fn parse<T: DeserializeOwned>(content: &[u8], path: &Path) -> Result<T, ModelError> {
    serde_json::from_slice(content)
        .map_err(|cause| ModelError::Corrupt { path: path.to_owned(), cause: cause.to_string() })
}
