//! How many of the turns that answer the questions of LoCoMo are cited by summaries, beside simpler choices of as many tokens.
//!
//! Takes the folder with `conversations.jsonl` and `questions.json` (Maharana et al., ACL 2024, CC BY-NC 4.0: for
//! evaluation only). Prints for each conversation, for each budget, the share of the questions' evidence turns that are
//! - cited by the summary; `said` counts only those of which at least half the letters are in it;
//! - among the first turns, random turns (the mean of 20 draws), or the longest turns, as many as fit into the budget.
//!
//! Once with a whole conversation as one thread, once with every session as a thread of its own, which is short.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env,
    error::Error,
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use meshlog_processors::{
    Facets,
    summaries::{Budget, News, Said, SummaryStore},
};
use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
use serde::Deserialize;
use uuid::Uuid;

#[derive(Deserialize)]
struct Turn {
    id: String,
    space: String,
    thread: String,
    author: String,
    role: String,
    text: String,
}

#[derive(Deserialize)]
struct Question {
    space: String,
    evidence: Vec<String>,
}

/// Shares that were found, by method.
#[derive(Default)]
struct Shares {
    wanted: f64,
    found: BTreeMap<&'static str, f64>,
}

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("usage: summaries_locomo FOLDER, with conversations.jsonl and questions.json in it");
        return ExitCode::FAILURE;
    };
    match run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    let lines = fs::read_to_string(folder.join("conversations.jsonl"))?;
    let turns: Vec<Turn> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let questions: Vec<Question> = serde_json::from_str(&fs::read_to_string(folder.join("questions.json"))?)?;
    let spaces: BTreeSet<_> = turns.iter().map(|turn| turn.space.as_str()).collect();
    for (unit, by_session) in [("conversation", false), ("session", true)] {
        let directory = env::temp_dir().join(format!("summaries-locomo-{}-{unit}", std::process::id()));
        let store = SummaryStore::open(&directory)?;
        let thread_of = |turn: &Turn| if by_session { turn.thread.clone() } else { turn.space.clone() };
        let said: Vec<_> =
            turns.iter().enumerate().map(|(offset, turn)| message(offset, turn, thread_of(turn))).collect();
        store.apply(&News { said: &said, ..News::default() }, &Checkpoints::default())?;
        for budget in [300, 1_000] {
            println!("a thread is a {unit}, {budget} tokens");
            for space in &spaces {
                let here: Vec<_> = turns.iter().filter(|turn| turn.space == *space).collect();
                let evidence: Vec<&str> = questions
                    .iter()
                    .filter(|question| question.space == *space)
                    .flat_map(|question| question.evidence.iter().map(String::as_str))
                    .collect();
                let mut threads: BTreeMap<String, Vec<&Turn>> = BTreeMap::new();
                here.iter().for_each(|turn| threads.entry(thread_of(turn)).or_default().push(turn));
                let mut shares = Shares::default();
                let mut slowest = Duration::ZERO;
                for (thread, turns) in &threads {
                    let begun = Instant::now();
                    let summary = store.summary(space, thread, Budget::Tokens(budget))?;
                    slowest = slowest.max(begun.elapsed());
                    let mut cited: HashMap<usize, usize> = HashMap::new();
                    for sentence in &summary.sentences {
                        *cited.entry(sentence.sources[0].message_id.as_u128() as usize).or_default() +=
                            sentence.text.len();
                    }
                    let cited: HashMap<&str, usize> = said_ids(&cited, &said, &turns[..]);
                    shares.add(&evidence, turns, &cited, budget);
                }
                println!("  {space:8} {} slowest {slowest:.1?}", shares.line());
            }
        }
        drop(store);
        fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

/// The source ids of the turns of a thread that are cited, with how many bytes of each.
fn said_ids<'a>(cited: &HashMap<usize, usize>, said: &[Said<'_>], turns: &[&'a Turn]) -> HashMap<&'a str, usize> {
    let texts: HashMap<*const u8, &'a str> = turns.iter().map(|turn| (turn.text.as_ptr(), turn.id.as_str())).collect();
    cited.iter().filter_map(|(offset, bytes)| Some((*texts.get(&said[*offset].text.as_ptr())?, *bytes))).collect()
}

fn message(offset: usize, turn: &Turn, thread: String) -> Said<'_> {
    Said {
        message_id: Uuid::from_u128(offset as u128),
        facets: Facets {
            space: turn.space.clone(),
            thread,
            author: turn.author.clone(),
            role: turn.role.clone(),
            sent_at: offset as i64,
            accepted_at: offset as i64,
        },
        position: Position { partition: Partition { topic: Topic::Messages, id: 0 }, offset: offset as u64 },
        text: &turn.text,
        is_edit: false,
    }
}

impl Shares {
    /// Counts a thread in.
    fn add(&mut self, evidence: &[&str], turns: &[&Turn], cited: &HashMap<&str, usize>, budget: u32) {
        let wanted: Vec<_> =
            turns.iter().map(|turn| evidence.iter().filter(|id| **id == turn.id).count() as f64).collect();
        self.wanted += wanted.iter().sum::<f64>();
        let of = |chosen: &mut dyn Iterator<Item = usize>| {
            let mut left = i64::from(budget);
            let mut found = 0.0;
            for index in chosen {
                let cost = tokens(&turns[index].text);
                if cost <= left {
                    left -= cost;
                    found += wanted[index];
                }
            }
            found
        };
        let mut by_length: Vec<_> = (0..turns.len()).collect();
        by_length.sort_by_key(|index| std::cmp::Reverse(turns[*index].text.len()));
        let mut random = 0.0;
        for draw in 0..20_u64 {
            let mut order: Vec<_> = (0..turns.len()).collect();
            let shuffle = |index: &usize| {
                (*index as u64 + 1 + draw * 7_919)
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    .rotate_left(29)
                    .wrapping_mul(0xBF58_476D_1CE4_E5B9)
            };
            order.sort_by_key(shuffle);
            random += of(&mut order.into_iter()) / 20.0;
        }
        let found = |least: usize| {
            let is_met =
                |turn: &Turn| cited.get(turn.id.as_str()).is_some_and(|bytes| bytes * least >= turn.text.len());
            turns.iter().zip(&wanted).filter(|(turn, _)| is_met(turn)).map(|(_, wanted)| wanted).sum::<f64>()
        };
        let figures = [
            ("0 summary", found(usize::MAX / (1 << 24))),
            ("1 said", found(2)),
            ("2 first", of(&mut (0..turns.len()))),
            ("3 random", random),
            ("4 longest", of(&mut by_length.into_iter())),
        ];
        for (name, figure) in figures {
            *self.found.entry(name).or_default() += figure;
        }
    }

    fn line(&self) -> String {
        let figures: Vec<_> = self
            .found
            .iter()
            .map(|(name, found)| format!("{} {:.3}", &name[2..], found / self.wanted.max(1.0)))
            .collect();
        figures.join("  ")
    }
}

/// The estimate of the store, for texts in the Latin script.
fn tokens(text: &str) -> i64 {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<i64>().div_euclid(4) + 1
}
