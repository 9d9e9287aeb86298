//! The table of messages (`table.tsv`): what a careful reader finds.

use super::super::{Speaker, entities_in};

const TABLE: &str = include_str!("../table.tsv");

/// The least share of messages that must be right as a whole, in percent.
const LEAST: usize = 90;

fn speaker() -> Speaker {
    Speaker { author: "Nora Lindqvist".to_owned(), participants: vec!["Tobias Meyer".to_owned(), "Priya".to_owned()] }
}

fn rows() -> Vec<(String, &'static str)> {
    let rows = TABLE.lines().filter_map(|line| line.split_once('\t'));
    rows.map(|(text, expected)| (text.replace("\\n", "\n"), expected)).collect()
}

fn found(text: &str) -> String {
    let mentions = entities_in(text, &speaker());
    let shown = mentions.iter().map(|found| format!("{}={}", found.kind.name(), &text[found.text.clone()]));
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join("|") }
}

#[test]
fn messages_name_what_a_careful_reader_finds() {
    let rows = rows();
    let mut wrong = 0;
    for (text, expected) in &rows {
        let found = found(text);
        if found != *expected {
            wrong += 1;
            println!("{text:?}\n  expected {expected}\n  found    {found}");
        }
    }
    let right = rows.len() - wrong;
    println!("{right} of {} right", rows.len());
    assert!(rows.len() >= 250 && right * 100 >= rows.len() * LEAST, "{right} of {} right", rows.len());
}

#[test]
fn messages_without_entities_are_a_part_of_the_table() {
    assert!(rows().iter().filter(|(_, expected)| *expected == "none").count() >= 80);
}
