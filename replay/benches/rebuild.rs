//! x
fn main() { let _ = meshlog_processors::StoreError { store: "", path: "".into(), action: "", cause: String::new() }; }
