//! What a sentence model's own files say about its use, as sentence-transformers writes them: which vectors of the last layer become
//! the text's, how much is read at once, and what texts begin with.
//!
//! Never: guesses. What is stated and not supported is refused by name; what is not stated is as written at each field.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

use super::{ModelError, bert::Pooling, files::parse};

pub(super) const MODULES: &str = "modules.json";
pub(super) const POOLING: &str = "1_Pooling/config.json";
pub(super) const LENGTH: &str = "sentence_bert_config.json";
pub(super) const PROMPTS: &str = "config_sentence_transformers.json";

/// Pieces read at once where the model does not say: what all-MiniLM-L6-v2 was trained on.
const USUAL_WINDOW: usize = 256;
/// Fewer leave no room for a prompt and for windows that share something.
const LEAST_WINDOW: usize = 32;

/// The modules that this forward pass is made of; the vectors are of unit length with or without the last.
const SUPPORTED: [&str; 3] = ["Transformer", "Pooling", "Normalize"];

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// The mean where the model does not say.
    pub(super) pooling: Pooling,
    /// Pieces read at once, with the marks for begin and end.
    pub(super) window: usize,
    /// What a document and a query begin with; nothing where the model does not say.
    pub(super) prompts: [String; 2],
}

impl Settings {
    /// Reads them from a model's directory; `positions` are the most pieces that its weights have places for.
    ///
    /// # Errors
    /// A file is damaged, or states what is not supported. The message names it.
    pub(super) fn read(dir: &Path, positions: usize) -> Result<Self, ModelError> {
        let modules: Vec<Module> = optional(dir, MODULES)?.unwrap_or_default();
        let unsupported = |module: &&Module| !SUPPORTED.contains(&module.name());
        if let Some(module) = modules.iter().find(unsupported) {
            return Err(refused(dir, MODULES, format!("the module {} is not supported", module.kind)));
        }
        let length = optional::<Length>(dir, LENGTH)?.and_then(|length| length.max_seq_length);
        let window = length.unwrap_or(USUAL_WINDOW).min(positions);
        if window < LEAST_WINDOW {
            return Err(refused(dir, LENGTH, format!("{window} pieces at once are fewer than {LEAST_WINDOW}")));
        }
        let prompts = optional::<Prompts>(dir, PROMPTS)?.unwrap_or_default();
        let pooling: PoolingFile = optional(dir, POOLING)?.unwrap_or_default();
        let (prompts, pooling) = (prompts.of_roles(), pooling.pooling().map_err(|cause| refused(dir, POOLING, cause))?);
        Ok(Self { pooling, window, prompts })
    }

    /// Everything that changes vectors, in words.
    pub(super) fn identity(&self) -> String {
        let Self { pooling, window, prompts } = self;
        format!("{pooling:?}-l2-{window}-{prompts:?}")
    }
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
}

impl Module {
    fn name(&self) -> &str {
        self.kind.rsplit('.').next().unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Length {
    max_seq_length: Option<usize>,
}

#[derive(Default, Deserialize)]
struct Prompts {
    #[serde(default)]
    prompts: BTreeMap<String, Option<String>>,
    #[serde(default)]
    default_prompt_name: Option<String>,
}

impl Prompts {
    /// What documents and queries begin with: by the names that sentence-transformers gives them, else by default.
    fn of_roles(&self) -> [String; 2] {
        let named = |name: &&str| self.prompts.get(*name).cloned().flatten();
        let usual = self.default_prompt_name.as_deref().and_then(|name| named(&name)).unwrap_or_default();
        let of = |names: &[&str]| names.iter().find_map(named).unwrap_or_else(|| usual.clone());
        [of(&["document", "passage", "corpus"]), of(&["query"])]
    }
}

/// One of these is set; newer files name it instead.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolingFile {
    pooling_mode: Option<String>,
    pooling_mode_mean_tokens: bool,
    pooling_mode_cls_token: bool,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

impl PoolingFile {
    fn pooling(&self) -> Result<Pooling, String> {
        let another = |(name, value): &(&String, &serde_json::Value)| {
            name.starts_with("pooling_mode_") && value.as_bool() == Some(true)
        };
        if let Some((name, _)) = self.others.iter().find(another) {
            return Err(format!("{name} is not supported, only the mean and the cls token are"));
        }
        if self.others.get("include_prompt").and_then(serde_json::Value::as_bool) == Some(false) {
            return Err("include_prompt is false, which is not supported".to_owned());
        }
        match (self.pooling_mode.as_deref(), self.pooling_mode_mean_tokens, self.pooling_mode_cls_token) {
            (Some("mean"), _, false) | (None, true, false) => Ok(Pooling::Mean),
            (Some("cls"), false, _) | (None, false, true) => Ok(Pooling::Cls),
            (None, false, false) if self.others.is_empty() => Ok(Pooling::Mean),
            _ => Err("it is neither the mean nor the cls token alone".to_owned()),
        }
    }
}

fn refused(dir: &Path, name: &str, cause: String) -> ModelError {
    ModelError::WrongArchitecture { path: dir.join(name), cause }
}

/// A file that a model may lack.
fn optional<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Option<T>, ModelError> {
    let path = dir.join(name);
    match std::fs::read(&path) {
        Ok(content) => parse(&content, &path).map(Some),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(ModelError::Missing { path, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings of a directory with these files.
    fn settings(files: &[(&str, &str)]) -> Result<Settings, String> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        std::fs::create_dir(dir.path().join("1_Pooling")).expect("the directory is ours");
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).expect("the directory is ours");
        }
        Settings::read(dir.path(), 512).map_err(|error| error.to_string())
    }

    #[test]
    fn each_family_states_its_own() {
        let plain = Settings { pooling: Pooling::Mean, window: 256, prompts: Default::default() };
        assert_eq!(settings(&[]), Ok(plain.clone()));
        let minilm =
            r#"{"word_embedding_dimension": 384, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}"#;
        assert_eq!(settings(&[(POOLING, minilm), (LENGTH, r#"{"max_seq_length": 256}"#)]), Ok(plain.clone()));
        let bge = [
            (
                POOLING,
                r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false, "pooling_mode_max_tokens": false}"#,
            ),
            (LENGTH, r#"{"max_seq_length": 512, "do_lower_case": true}"#),
            (
                MODULES,
                r#"[{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Normalize"}]"#,
            ),
        ];
        assert_eq!(settings(&bge), Ok(Settings { pooling: Pooling::Cls, window: 512, ..plain.clone() }));
        let e5 = [
            (PROMPTS, r#"{"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": null}"#),
            (POOLING, r#"{"pooling_mode": "mean", "include_prompt": true}"#),
            (LENGTH, r#"{"max_seq_length": 9000}"#),
        ];
        let prompts = ["passage: ".to_owned(), "query: ".to_owned()];
        assert_eq!(settings(&e5), Ok(Settings { window: 512, prompts, ..plain.clone() }));
        let usual = [(PROMPTS, r#"{"prompts": {"query": "q: ", "other": "o: "}, "default_prompt_name": "other"}"#)];
        assert_eq!(settings(&usual).map(|settings| settings.prompts), Ok(["o: ".to_owned(), "q: ".to_owned()]));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let cases = [
            (POOLING, r#"{"pooling_mode_max_tokens": true}"#, "pooling_mode_max_tokens"),
            (POOLING, r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#, "alone"),
            (POOLING, r#"{"pooling_mode": "lasttoken"}"#, "neither"),
            (POOLING, r#"{"pooling_mode_mean_tokens": false, "x": 1}"#, "neither"),
            (POOLING, r#"{"pooling_mode_mean_tokens": true, "include_prompt": false}"#, "include_prompt"),
            (MODULES, r#"[{"type": "sentence_transformers.models.Dense"}]"#, "models.Dense"),
            (LENGTH, r#"{"max_seq_length": 3}"#, "fewer"),
            (LENGTH, "{", "sentence_bert_config.json"),
            (PROMPTS, r#"{"prompts": 3}"#, "config_sentence_transformers.json"),
        ];
        for (name, content, told) in cases {
            let error = settings(&[(name, content)]).expect_err(content);
            assert!(error.contains(told) && error.contains(name), "{content}: {error}");
        }
    }
}
