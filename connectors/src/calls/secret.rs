//! Secrets: keys, which are shown to providers and compared with callers', and to nobody else.
//!
//! Promises: no formatting shows one.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use serde::Deserialize;

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// What is to be kept secret.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The key itself. It goes into a header and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `text` is the key. It takes as long wherever the first difference is.
    pub fn is(&self, text: &str) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(text.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(...)")
    }
}

/// Where a key is to be had. Keys never stand in the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reference {
    /// In an environment variable.
    Env(String),
    /// In a file, without the white space around it.
    File(PathBuf),
}

impl Reference {
    /// The key.
    ///
    /// # Errors
    /// It is not there; where it was looked for.
    pub fn resolve(&self) -> Result<Secret, String> {
        let text = match self {
            Reference::Env(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set; set it to the key")),
            Reference::File(path) => fs::read_to_string(path)
                .map_err(|error| format!("the file {} cannot be read: {error}; put the key there", path.display())),
        }?;
        match text.trim() {
            "" => Err(format!("{self:?} is empty; put the key there")),
            key => Ok(Secret::new(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_is_only_itself() {
        let secret = Secret::new("sk-123");
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("123"));
        assert!(secret.is("sk-123") && !secret.is("sk-1234") && !secret.is(""));
    }

    #[test]
    fn a_reference_says_where_it_looked() {
        let missing = Reference::Env("MESHLOG_NO_SUCH_KEY".into()).resolve().unwrap_err();
        assert!(missing.contains("MESHLOG_NO_SUCH_KEY"), "{missing}");
        let missing = Reference::File("no/such/file".into()).resolve().unwrap_err();
        assert!(missing.contains("no/such/file"), "{missing}");
    }
}
