//! Model: which directory holds the embedding model, and how it is computed.

use std::path::{Path, PathBuf};

use meshlog_processors::embedding::{Kernel, Numerics, Precision};

use crate::house::Model;

/// Where the model lies below a directory of models.
const MODEL: &str = "models/all-MiniLM-L6-v2";

/// Which model to embed with.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArguments {
    /// The directory of the embedding model [default: ./models/all-MiniLM-L6-v2, or DATA/models/all-MiniLM-L6-v2]
    #[arg(long, env = "MESHLOG_MODEL", value_name = "DIRECTORY")]
    model: Option<PathBuf>,

    /// How exactly texts are embedded: int8, or f32, which is exact to the last bits and, where the processor has AVX-512 with VNNI,
    /// takes two to three times as long. Each has vectors of its own: after a change all texts are embedded anew
    #[arg(long, env = "MESHLOG_PRECISION", value_name = "PRECISION", default_value_t)]
    precision: Precision,

    /// The instructions to embed with: plain, avx2, avx512-vnni or amx-int8 [default: the fastest that this machine has]
    #[arg(long, env = "MESHLOG_KERNEL", value_name = "KERNEL")]
    kernel: Option<Kernel>,
}

impl ModelArguments {
    /// The directory that was named; else the one below the working directory if it is there; else the one below `data`.
    pub(super) fn choice(self, data: &Path) -> Model {
        let Self { model, precision, kernel } = self;
        let directory = model.unwrap_or_else(|| below(Path::new("."), data));
        Model { directory, numerics: Numerics { precision, kernel: kernel.unwrap_or_else(Kernel::fastest) } }
    }
}

fn below(working: &Path, data: &Path) -> PathBuf {
    let near = working.join(MODEL);
    if near.exists() { near } else { data.join(MODEL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_below_the_working_directory_goes_before_one_below_the_data() {
        let working = tempfile::tempdir().expect("a directory can be made");
        let data = Path::new("data");
        assert_eq!(below(working.path(), data), data.join(MODEL));
        std::fs::create_dir_all(working.path().join(MODEL)).expect("a directory can be made");
        assert_eq!(below(working.path(), data), working.path().join(MODEL));
    }
}
