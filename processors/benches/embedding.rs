//! How fast are texts embedded? One of several programs that scripts/bench-embedding.py runs in turn; see there.
//!
//! ```text
//! embedding --model DIR [--precision f32|int8] [--kernel NAME]
//! ```
//! Reads requests as lines of JSON and answers each with one: `{"texts": FILE, "batch": N}` embeds the list of texts in a JSON file,
//! N at a time, and says in how many `seconds`; with `"vectors": FILE` they are also written there. Threads: RAYON_NUM_THREADS.

use std::{
    collections::HashMap,
    io::{BufRead, Write as _},
    path::PathBuf,
    time::Instant,
};

use meshlog_processors::embedding::{Numerics, Precision, SentenceModel};
use serde::Deserialize;
use serde_json::json;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize)]
struct Request {
    texts: PathBuf,
    batch: usize,
    vectors: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| Some(arguments[arguments.iter().position(|argument| argument == name)? + 1].as_str());
    let mut numerics = Numerics::of(value("--precision").map_or(Ok(Precision::default()), str::parse)?);
    if let Some(kernel) = value("--kernel") {
        numerics.kernel = kernel.parse()?;
    }
    let model = SentenceModel::open(value("--model").ok_or("--model DIR is needed")?.as_ref(), numerics)?;
    answer(json!({"ready": format!("Meshlog {numerics}")}))?;
    let mut lists: HashMap<PathBuf, Vec<String>> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let Request { texts: path, batch, vectors } = serde_json::from_str(&line?)?;
        if !lists.contains_key(&path) {
            lists.insert(path.clone(), serde_json::from_slice(&std::fs::read(&path)?)?);
        }
        let texts: Vec<&str> = lists[&path].iter().map(String::as_str).collect();
        let begin = Instant::now();
        let mut made = Vec::new();
        for batch in texts.chunks(batch) {
            made.extend(model.encode(batch)?);
        }
        let seconds = begin.elapsed().as_secs_f64();
        if let Some(path) = vectors {
            std::fs::write(path, serde_json::to_vec(&made)?)?;
        }
        answer(json!({"seconds": seconds}))?;
    }
    Ok(())
}

fn answer(answer: serde_json::Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()
}
