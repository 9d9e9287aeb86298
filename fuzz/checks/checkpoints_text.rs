//! Any text is a set of checkpoints or none, and what is one is the same again after it was written.

use meshlog_schemas::Checkpoints;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(checkpoints) = Checkpoints::from_text(text) else { return };
    assert_eq!(Checkpoints::from_text(&checkpoints.to_text()), Some(checkpoints));
}
