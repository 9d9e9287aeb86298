//! Model: which directory holds the embedding model.

use std::path::{Path, PathBuf};

/// Where the model lies below a directory of models.
const MODEL: &str = "models/all-MiniLM-L6-v2";

/// Which model to embed with.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArguments {
    /// The directory of the embedding model [default: ./models/all-MiniLM-L6-v2, or DATA/models/all-MiniLM-L6-v2]
    #[arg(long, env = "MESHLOG_MODEL", value_name = "DIRECTORY")]
    model: Option<PathBuf>,
}

impl ModelArguments {
    /// The directory that was named; else the one below the working directory if it is there; else the one below `data`.
    pub(super) fn directory(self, data: &Path) -> PathBuf {
        self.model.unwrap_or_else(|| below(Path::new("."), data))
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
