//! How fast are texts embedded? One of several programs that scripts/bench-embedding.py runs in turn; see there.
//!
//! ```text
//! embedding --model DIR [--precision f32|int8] [--kernel NAME]
//! ```
//! Reads requests as lines of JSON and answers each with one: `{"texts": FILE, "batch": N}` embeds the list of texts in a JSON file,
//! N at a time, and says in how many `seconds`; with `"role": "query"` as questions. With `"vectors": FILE` they are also written
//! there, of texts of several windows that of the first by its mean, for other engines cut texts there. Threads: RAYON_NUM_THREADS.

use std::{
    collections::HashMap,
    io::{BufRead, Write as _},
    path::PathBuf,
    time::Instant,
};

use meshlog_processors::embedding::{Encoder as _, Numerics, Precision, Role, SentenceModel, TokenVectors};
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
    #[serde(default)]
    role: String,
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
        let Request { texts: path, batch, vectors, role } = serde_json::from_str(&line?)?;
        if !lists.contains_key(&path) {
            lists.insert(path.clone(), serde_json::from_slice(&std::fs::read(&path)?)?);
        }
        let texts: Vec<&str> = lists[&path].iter().map(String::as_str).collect();
        let role = if role == "query" { Role::Query } else { Role::Document };
        let begin = Instant::now();
        let mut read = Vec::with_capacity(texts.len());
        for batch in texts.chunks(batch) {
            read.extend(model.encode(role, batch)?);
        }
        let seconds = begin.elapsed().as_secs_f64();
        if let Some(path) = vectors {
            let mut vectors = Vec::with_capacity(texts.len());
            for (text, read) in texts.iter().zip(&read) {
                vectors.push(match read.tokens > model.window() {
                    true => mean(&model.encode_tokens(role, &[text])?[0], model.dims()),
                    false => read.vector.to_vec(),
                });
            }
            std::fs::write(path, serde_json::to_vec(&vectors)?)?;
        }
        answer(json!({"seconds": seconds}))?;
    }
    Ok(())
}

/// The mean of tokens' vectors.
fn mean(tokens: &TokenVectors, dims: usize) -> Vec<f32> {
    let mut mean = vec![0.0; dims];
    for vector in tokens.vectors.chunks_exact(dims) {
        mean.iter_mut().zip(vector).for_each(|(mean, number)| *mean += number / tokens.ids.len() as f32);
    }
    mean
}

fn answer(answer: serde_json::Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()
}
