//! Draws a sample of the entities found in a collection of conversations, for judging them by reading.
//!
//! Takes the folder with `conversations.jsonl` (one message a line: `id`, `space`, `author`, `text`). Prints 100
//! mentions, drawn at random with a fixed seed, as tab separated rows: message, byte range, kind, confidence. With
//! `--show`, also the mention and what stands around it; those rows are for reading only and belong in no project. With
//! `--others`, the names of those who take part are left out: they are easy to find. With `--count`, how many mentions
//! there are of each kind. With `--speed`, messages a second on one core instead.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    error::Error,
    fs,
    path::Path,
    process::ExitCode,
    time::Instant,
};

use meshlog_processors::knowledge::entities::{EntityKind, EntityMention, Speaker, entities_in};
use serde::Deserialize;

/// How many mentions are drawn.
const DRAWN: usize = 100;
const SEED: u64 = 611_953;
/// How much is shown on each side of a mention, in characters.
const AROUND: usize = 60;
/// How often all messages are read for a speed.
const ROUNDS: usize = 20;

#[derive(Deserialize)]
struct Message {
    id: String,
    space: String,
    author: String,
    text: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some(folder) = arguments.iter().find(|argument| !argument.starts_with("--")) else {
        eprintln!("usage: entities_sample FOLDER [--show] [--others] [--count] [--speed]");
        return ExitCode::FAILURE;
    };
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let messages = match messages_of(Path::new(folder)) {
        Ok(messages) => messages,
        Err(error) => {
            eprintln!("{folder}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let speakers = speakers_of(&messages);
    let read = |message: &Message| entities_in(&message.text, &speakers[&message.space]);
    if asked("--speed") {
        print_speed(&messages, read);
        return ExitCode::SUCCESS;
    }
    let mut found: Vec<(&Message, EntityMention)> =
        messages.iter().flat_map(|message| read(message).into_iter().map(move |found| (message, found))).collect();
    if asked("--others") {
        found.retain(|(message, mention)| {
            let takes_part = |name: &String| name.starts_with(&mention.name);
            mention.kind != EntityKind::Person || !speakers[&message.space].participants.iter().any(takes_part)
        });
    }
    if asked("--count") {
        print_counts(&found);
    }
    for at in drawn(found.len()) {
        let (message, mention) = &found[at];
        print!("{}\t{:?}\t{}\t{:.2}", message.id, mention.text, mention.kind.name(), mention.confidence);
        println!("{}", if asked("--show") { shown(message, mention) } else { String::new() });
    }
    ExitCode::SUCCESS
}

fn messages_of(folder: &Path) -> Result<Vec<Message>, Box<dyn Error>> {
    let lines = fs::read_to_string(folder.join("conversations.jsonl"))?;
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// All who take part in each space.
fn speakers_of(messages: &[Message]) -> HashMap<String, Speaker> {
    let mut speakers: HashMap<String, Speaker> = HashMap::new();
    for message in messages {
        let speaker = speakers.entry(message.space.clone()).or_default();
        if !speaker.participants.contains(&message.author) {
            speaker.participants.push(message.author.clone());
        }
    }
    speakers
}

fn print_speed(messages: &[Message], read: impl Fn(&Message) -> Vec<EntityMention>) {
    let words: usize = messages.iter().map(|message| message.text.split_whitespace().count()).sum();
    // The first reading builds the lists.
    let mentions: usize = messages.iter().map(|message| read(message).len()).sum();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        messages.iter().for_each(|message| drop(read(message)));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rate = |count: usize| (count * ROUNDS) as f64 / seconds;
    println!(
        "{} messages, {words} words, {mentions} mentions: {:.0} messages/s, {:.0} words/s",
        messages.len(),
        rate(messages.len()),
        rate(words)
    );
}

fn print_counts(found: &[(&Message, EntityMention)]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, mention) in found {
        *counts.entry(mention.kind.name()).or_default() += 1;
    }
    println!("{counts:?}");
}

/// Different places in a list of `count`, in order (Knuth's selection sampling).
fn drawn(count: usize) -> Vec<usize> {
    let mut state = SEED;
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

fn shown(message: &Message, mention: &EntityMention) -> String {
    let text = &message.text;
    let before: Vec<char> = text[..mention.text.start].chars().rev().take(AROUND).collect();
    let before: String = before.into_iter().rev().collect();
    let after: String = text[mention.text.end..].chars().take(AROUND).collect();
    format!("\t{before}⟦{}⟧{after}", &text[mention.text.clone()]).replace('\n', "⏎")
}
