//! The table of messages (`table.tsv`): what a careful reader takes from them.

use super::{super::ANSWERS_FROM, found, micros, shown, speaker};

const TABLE: &str = include_str!("../table.tsv");

/// The least share of messages that must be right as a whole, in percent.
const LEAST: usize = 90;

fn rows() -> Vec<(String, &'static str)> {
    let rows = TABLE.lines().filter_map(|line| line.split_once('\t'));
    rows.map(|(text, expected)| (text.replace("\\n", "\n"), expected)).collect()
}

fn told(text: &str) -> String {
    let facts = found(text, &speaker(), micros("2024-06-12T10:00:00Z"));
    let shown: Vec<String> = facts.iter().filter(|fact| fact.confidence >= ANSWERS_FROM).map(shown).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join("|") }
}

fn sorted(facts: &str) -> Vec<&str> {
    let mut facts: Vec<&str> = facts.split('|').collect();
    facts.sort_unstable();
    facts
}

#[test]
fn messages_tell_what_a_careful_reader_takes_from_them() {
    let rows = rows();
    let mut wrong = 0;
    for (text, expected) in &rows {
        let told = told(text);
        if sorted(&told) != sorted(expected) {
            wrong += 1;
            println!("{text:?}\n  expected {expected}\n  told     {told}");
        }
    }
    let right = rows.len() - wrong;
    println!("{right} of {} right", rows.len());
    assert!(rows.len() >= 250 && right * 100 >= rows.len() * LEAST, "{right} of {} right", rows.len());
}

#[test]
fn messages_without_facts_are_a_part_of_the_table() {
    assert!(rows().iter().filter(|(_, expected)| *expected == "none").count() >= 80);
}
