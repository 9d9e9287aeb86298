//! View versions: the name of what a store's content depends on.
//!
//! Owns: the name, made of the code that fills the store, the schemas of the events it folds, and the model. Where one
//! of them changes, the name does, and the view is built anew beside the old one.

use meshlog_schemas::{Topic, catalog};

/// Whether a version's name is that of a view of this model.
pub(super) fn is_of_model(version: &str, model_id: &str) -> bool {
    version.rsplit_once("-m").is_some_and(|(_, model)| model == model_name(model_id))
}

fn model_name(model_id: &str) -> String {
    blake3::hash(model_id.as_bytes()).to_hex()[..12].to_owned()
}

/// The version's name, good as a directory's: `c1-s0123abcd` or `c1-s0123abcd-m0123456789ab`.
pub(super) fn version(code: u32, inputs: &[Topic], model_id: Option<&str>) -> String {
    let mut hasher = blake3::Hasher::new();
    let schemas = catalog().iter().filter(|schema| inputs.contains(&schema.topic));
    for schema in schemas {
        hasher.update(&schema.fingerprint);
    }
    let schemas = &hasher.finalize().to_hex()[..8];
    match model_id {
        None => format!("c{code}-s{schemas}"),
        Some(model) => format!("c{code}-s{schemas}-m{}", model_name(model)),
    }
}
