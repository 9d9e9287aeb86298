//! Runs a check over the kept inputs of its fuzz target, without libFuzzer.

use std::{fs, path::Path};

/// `folder` is relative to the repository. A failing input is named by its own panic, after its file's name.
pub(crate) fn replay(folder: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut inputs = 0;
    for file in fs::read_dir(&folder).expect("the folder is there") {
        let file = file.expect("the folder can be read").path();
        println!("{}", file.display());
        check(&fs::read(&file).expect("the input can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}
