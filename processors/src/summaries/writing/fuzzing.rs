//! What must hold for any answer of a model that was to sum up.

use uuid::Uuid;

use super::{super::Told, answer};

/// Reads bytes as an answer, to what was told here.
pub fn model_summary(bytes: &[u8]) {
    let told = [("Ada moves to Oslo in May.", 1), ("The rent is 1,900 euros.", 2), ("東京に三年住んでいます。", 3)];
    let told = told.map(|(text, number)| (text.to_owned(), vec![Uuid::from_u128(number)]));
    let read = answer::read(&String::from_utf8_lossy(bytes), &Told::Sentences(told.into()));
    assert!(read.len() <= answer::MOST_SENTENCES);
    for sentence in &read {
        assert!(!sentence.text.is_empty() && sentence.text.len() <= answer::LONGEST);
        let mut numbers = sentence.sources.iter().map(|source| source.0.as_u128());
        assert!(!sentence.sources.is_empty() && numbers.all(|number| (1..=3).contains(&number)));
        let is_told = |run: &str| run.is_empty() || ["1", "900"].contains(&run.trim_start_matches('0'));
        assert!(sentence.text.split(|letter: char| !letter.is_ascii_digit()).all(is_told), "{}", sentence.text);
    }
}
