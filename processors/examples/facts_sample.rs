//! Draws a sample of the facts found in a collection of conversations, for judging them by reading.
//!
//! Takes the folder with `conversations.jsonl` (one message a line: `id`, `space`, `author`, `role`, `sent_at`, `text`);
//! reads what users say. Prints 100 facts at or above the threshold for answers, drawn at random with a seed
//! (`--seed=N`, one is set), as tab separated rows: message, byte range, relation, confidence. With `--show`, also the
//! fact and what stands around it; those rows are for reading only and belong in no project. With `--count`, how many
//! facts there are of each relation. With `--speed`, messages a second on one core instead.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    error::Error,
    fs,
    path::Path,
    process::ExitCode,
    time::Instant,
};

use meshlog_processors::{
    Micros,
    knowledge::{
        entities::{EntityMention, Speaker, entities_in},
        facts::{ANSWERS_FROM, FactMention, facts_in},
        times::{Anchor, TimeMention, times_in},
    },
};
use serde::Deserialize;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// How many facts are drawn.
const DRAWN: usize = 100;
const SEED: u64 = 611_953;
/// How much is shown on each side of a fact, in characters.
const AROUND: usize = 90;
/// How often all messages are read for a speed.
const ROUNDS: usize = 20;

#[derive(Deserialize)]
struct Message {
    id: String,
    space: String,
    author: String,
    role: String,
    sent_at: String,
    text: String,
    #[serde(skip)]
    at: Micros,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some(folder) = arguments.iter().find(|argument| !argument.starts_with("--")) else {
        eprintln!("usage: facts_sample FOLDER [--show] [--count] [--speed] [--seed=N]");
        return ExitCode::FAILURE;
    };
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let seed = arguments.iter().find_map(|argument| argument.strip_prefix("--seed=")?.parse().ok()).unwrap_or(SEED);
    let messages = match messages_of(Path::new(folder)) {
        Ok(messages) => messages,
        Err(error) => {
            eprintln!("{folder}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let speakers = speakers_of(&messages);
    let told: Vec<&Message> = messages.iter().filter(|message| message.role == "user").collect();
    if asked("--speed") {
        print_speed(&told, &speakers);
        return ExitCode::SUCCESS;
    }
    let mut all: Vec<(&Message, FactMention)> = Vec::new();
    for message in &told {
        let speaker = &speakers[&(message.space.clone(), message.author.clone())];
        all.extend(facts_of(message, speaker).into_iter().map(|fact| (*message, fact)));
    }
    let found: Vec<&(&Message, FactMention)> = all.iter().filter(|(_, fact)| fact.confidence >= ANSWERS_FROM).collect();
    if asked("--count") {
        print_counts(&found, told.len(), all.len());
    }
    for at in drawn(found.len(), seed) {
        let (message, fact) = found[at];
        print!("{}\t{:?}\t{}\t{:.2}", message.id, fact.text, fact.relation.name(), fact.confidence);
        println!("{}", if asked("--show") { shown(message, fact) } else { String::new() });
    }
    ExitCode::SUCCESS
}

fn messages_of(folder: &Path) -> Result<Vec<Message>, Box<dyn Error>> {
    let lines = fs::read_to_string(folder.join("conversations.jsonl"))?;
    let mut messages: Vec<Message> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for message in &mut messages {
        let at = OffsetDateTime::parse(&message.sent_at, &Rfc3339)?;
        message.at = i64::try_from(at.unix_timestamp_nanos() / 1_000)?;
    }
    Ok(messages)
}

/// Each author in each space, with all others who take part.
fn speakers_of(messages: &[Message]) -> HashMap<(String, String), Speaker> {
    let mut authors: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for message in messages {
        let authors = authors.entry(&message.space).or_default();
        if !authors.contains(&message.author.as_str()) {
            authors.push(&message.author);
        }
    }
    let mut speakers = HashMap::new();
    for (space, authors) in authors {
        for author in &authors {
            let others = authors.iter().filter(|other| *other != author).map(|other| (*other).to_owned());
            let speaker = Speaker { author: (*author).to_owned(), participants: others.collect() };
            speakers.insert((space.to_owned(), (*author).to_owned()), speaker);
        }
    }
    speakers
}

fn mentions_of(message: &Message, speaker: &Speaker) -> (Vec<EntityMention>, Vec<TimeMention>) {
    let times = times_in(&message.text, &Anchor::new(message.at, UtcOffset::UTC));
    (entities_in(&message.text, speaker), times)
}

fn facts_of(message: &Message, speaker: &Speaker) -> Vec<FactMention> {
    let (entities, times) = mentions_of(message, speaker);
    facts_in(&message.text, speaker, message.at, &entities, &times)
}

fn print_speed(messages: &[&Message], speakers: &HashMap<(String, String), Speaker>) {
    let speaker_of = |message: &Message| &speakers[&(message.space.clone(), message.author.clone())];
    let all: Vec<(&Message, &Speaker)> = messages.iter().map(|message| (*message, speaker_of(message))).collect();
    // The first reading builds the lists.
    let mentions: Vec<_> = all.iter().map(|(message, speaker)| mentions_of(message, speaker)).collect();
    let facts: usize = all.iter().map(|(message, speaker)| facts_of(message, speaker).len()).sum();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        all.iter().for_each(|(message, speaker)| drop(facts_of(message, speaker)));
    }
    let whole = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for ((message, speaker), (entities, times)) in all.iter().zip(&mentions) {
            drop(facts_in(&message.text, speaker, message.at, entities, times));
        }
    }
    let alone = begun.elapsed().as_secs_f64();
    let rate = |seconds: f64| (all.len() * ROUNDS) as f64 / seconds;
    println!("{} messages, {facts} facts", all.len());
    println!("times, entities and facts: {:.0} messages/s; facts alone: {:.0} messages/s", rate(whole), rate(alone));
}

fn print_counts(found: &[&(&Message, FactMention)], messages: usize, all: usize) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, fact) in found {
        *counts.entry(fact.relation.name()).or_default() += 1;
    }
    println!("{messages} messages, {all} facts, {} of them for answers: {counts:?}", found.len());
}

/// Different places in a list of `count`, in order (Knuth's selection sampling).
fn drawn(count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut wanted = DRAWN.min(count);
    let mut chosen = Vec::with_capacity(wanted);
    for at in 0..count {
        if next(&mut state) % ((count - at) as u64) < wanted as u64 {
            chosen.push(at);
            wanted -= 1;
        }
    }
    chosen
}

/// SplitMix64, so that a sample does not change with a crate's version.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn shown(message: &Message, fact: &FactMention) -> String {
    let text = &message.text;
    let before: Vec<char> = text[..fact.text.start].chars().rev().take(AROUND).collect();
    let before: String = before.into_iter().rev().collect();
    let after: String = text[fact.text.end..].chars().take(AROUND).collect();
    let (polarity, modality) = (fact.polarity.name(), fact.modality.name());
    let told = format!("{} > {} > {} {polarity} {modality}", fact.subject.name, fact.relation.name(), fact.object.name);
    let time = |at: Option<Micros>| at.map_or("-".to_owned(), |at| (at / 1_000_000).to_string());
    let valid = format!("{}..{}", time(fact.valid_from), time(fact.valid_until));
    format!("\t{told} {valid}\t{before}⟦{}⟧{after}", &text[fact.text.clone()]).replace('\n', "⏎")
}
