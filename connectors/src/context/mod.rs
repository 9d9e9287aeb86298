//! Context: what of a thread and of memory a model is told, packed into a budget of tokens.
//!
//! ```text
//! system     what the marks below mean                              never changes
//!            <memory pinned> [1] what people pinned </memory>      grows at its end
//! turns      the latest of the thread, from a start that seldom moves   grows at its end
//! user       <memory now="..."> [2] a fact, [3] a recalled turn ... </memory>   changes with each question
//!            the question
//! ```
//! So what two contexts of a thread have in common stands at their beginning, which is what providers keep caches of.
//!
//! Owns: which turns come in, and the prompt that is made of them.
//! Promises: a prompt never has more tokens than its budget, by the counter that it is given. What was said by anybody stays
//! within the marks of its kind: it cannot end them.
//! Never: asks anybody; it is given what there is.

mod note;
mod prompt;
mod selection;
mod window;

#[cfg(test)]
mod tests;

use crate::api::{
    ContextItem, ContextSection, Fact, Insight, Message, PromptFamily, PromptMessage, RecallResult, SectionName,
    SummarySentence, Timestamp,
};

use note::Note;
pub use prompt::SYSTEM;
use prompt::{MEMORY, Prompt, Quote};

/// What a context can be made of.
#[derive(Debug, Clone)]
pub struct Material {
    /// What people pinned for the thread and for the space, the oldest first.
    pub pinned: Vec<Insight>,
    /// Facts that bear on what is asked, the best first.
    pub facts: Vec<Fact>,
    /// What says most of the thread, in its order.
    pub summary: Vec<SummarySentence>,
    /// The latest turns of the thread, the oldest first.
    pub recent: Vec<Message>,
    /// What memory found, the best first.
    pub recalled: Vec<RecallResult>,
    /// What is asked; without it, the newest turn.
    pub query: Option<String>,
    /// The present time.
    pub now: Timestamp,
}

/// Counts the tokens of a text.
pub type Count<'a> = &'a dyn Fn(&str) -> u64;

/// A context.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// What it is made of.
    pub sections: Vec<ContextSection>,
    /// What the system says, if that stands apart.
    pub system: Option<String>,
    /// The prompt.
    pub messages: Vec<PromptMessage>,
    /// The turns of the thread alone, as the prompt has them.
    pub turns: Vec<PromptMessage>,
    /// What is pinned and what memory holds alone, in their marks.
    pub memory: String,
    /// The tokens of the prompt.
    pub tokens: u64,
}

/// The budget is too small for what is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what is asked and the frame around it have {needed} tokens")]
pub struct TooSmall {
    /// The least budget.
    pub needed: u64,
}

/// How much of what is left beside the frame pinned insights may take, and how much facts, of ten.
const PINNED_SHARE: u64 = 2;
const FACTS_SHARE: u64 = 1;
/// And how much what says most of the turns that do not come in.
const SUMMARY_SHARE: u64 = 1;
/// How much of what is left beside these recalled turns may take before the latest turns have had their part, of ten.
const RECALLED_SHARE: u64 = 4;

/// Packs a context into `budget` tokens.
///
/// What is pinned comes first, then facts, then what says most of the turns that are left out, each as far as it fits into its
/// part of the budget. Then the latest turns, as many as fit into theirs. Recalled turns that are not among them take
/// what is left, those with the most value for their tokens first. Both stand in the order in which they were said.
///
/// # Errors
/// What is asked alone has more tokens.
pub fn pack(material: Material, family: PromptFamily, budget: u64, count: Count<'_>) -> Result<Packed, TooSmall> {
    let Material { pinned, facts, summary, mut recent, recalled, query, now } = material;
    let asked = match query {
        Some(query) => Quote::asked(query),
        None => recent.pop().map(Quote::turn).unwrap_or_else(|| Quote::asked(String::new())),
    };
    let mut prompt = Prompt::new(family, now, asked);
    let needed = prompt.tokens(count);
    let left = budget.checked_sub(needed).ok_or(TooSmall { needed })?;

    let pinned = pinned.into_iter().map(Note::insight).collect();
    let (pinned, of_pinned) = note::first(pinned, left * PINNED_SHARE / 10, Note::words, count);
    let facts = facts.into_iter().filter_map(Note::fact).collect();
    let (facts, of_facts) = note::first(facts, left * FACTS_SHARE / 10, Note::statement, count);
    let left = left - of_pinned - of_facts;
    (prompt.pinned, prompt.facts) = (pinned, facts);

    let newest = recent.last().or(prompt.asked.message());
    let thread = newest.map(|turn| turn.thread_id.clone()).unwrap_or_default();
    let of_summary = if summary.is_empty() { 0 } else { left * SUMMARY_SHARE / 10 };
    let left = left - of_summary;
    let share = if recalled.is_empty() { 0 } else { left * RECALLED_SHARE / 10 };
    let (first, taken) = window::start(&recent, left - share, |turn| prompt::turn_tokens(turn, count));
    let kept = recent.split_off(first);
    prompt.turns = kept.into_iter().map(Quote::turn).collect();

    // Of what comes in as it was said nothing is said twice.
    let is_shown = |id: &str| {
        let mut turns = prompt.turns.iter().chain([&prompt.asked]).filter_map(Quote::message);
        turns.any(|turn| turn.message_id == id)
    };
    let notes = summary.into_iter().filter(|sentence| !sentence.sources.iter().all(|source| is_shown(source)));
    let notes = notes.map(|sentence| Note::sentence(sentence, &thread)).collect();
    let (notes, taken_by_summary) = note::first(notes, of_summary, Note::said, count);
    prompt.summary = notes;
    let left = left + of_summary - taken_by_summary;

    let is_there = |result: &RecallResult| {
        let id = &result.message.message_id;
        let is_summed_up = prompt.summary.iter().any(|note| note.message_id() == Some(id.as_str()));
        let mut turns = prompt.turns.iter().chain([&prompt.asked]).filter_map(Quote::message);
        is_summed_up || turns.any(|turn| turn.message_id == *id)
    };
    let fresh: Vec<_> = recalled.into_iter().filter(|result| !is_there(result)).collect();
    let mut chosen = selection::choose(fresh, left.saturating_sub(taken), count);

    // What was reckoned text by text can be a little less than the whole has.
    loop {
        prompt.recalled = selection::in_order(&chosen);
        let tokens = prompt.tokens(count);
        if tokens <= budget {
            return Ok(packed(prompt, tokens));
        }
        let is_shorter = chosen.pop().is_some()
            || prompt.summary.pop().is_some()
            || prompt.facts.pop().is_some()
            || prompt.pinned.pop().is_some();
        if !is_shorter {
            prompt.turns.remove(0);
        }
    }
}

/// Whether the body of a request to a model has a context in it, and so quotes what memory held then. One that only looks so is taken
/// for one.
pub fn has_context(request: &[u8]) -> bool {
    // JSON leaves the mark as it is up to its quotation mark.
    std::str::from_utf8(request).is_ok_and(|request| request.contains(MEMORY))
}

fn packed(prompt: Prompt, tokens: u64) -> Packed {
    let (system, messages) = prompt.rendered();
    let pinned = prompt.pinned.iter().zip(1..).map(|(note, number)| note.item(number));
    let pinned = ContextSection { name: SectionName::Pinned, items: pinned.collect() };
    let facts = prompt.facts.iter().zip(prompt.first_fact()..).map(|(note, number)| note.item(number));
    let facts = ContextSection { name: SectionName::Facts, items: facts.collect() };
    let summary = prompt.summary.iter().zip(prompt.first_sentence()..).map(|(note, number)| note.item(number));
    let summary = ContextSection { name: SectionName::Summary, items: summary.collect() };
    let numbered = prompt.recalled.iter().zip(prompt.first_recalled()..);
    let recalled = numbered.filter_map(|(quote, number)| item(quote, Some(number)));
    let recalled = ContextSection { name: SectionName::Recalled, items: recalled.collect() };
    let turns = prompt.turns.iter().chain([&prompt.asked]).filter_map(|quote| item(quote, None));
    let recent = ContextSection { name: SectionName::Recent, items: turns.collect() };
    let sections =
        [pinned, recent, facts, summary, recalled].into_iter().filter(|section| !section.items.is_empty()).collect();
    Packed { sections, system, messages, turns: prompt.turns(), memory: prompt.pinned() + &prompt.memory(), tokens }
}

fn item(quote: &Quote, citation: Option<u32>) -> Option<ContextItem> {
    let message = quote.message()?;
    Some(ContextItem {
        citation,
        message_id: Some(message.message_id.clone()),
        sources: Vec::new(),
        fact_id: None,
        insight_id: None,
        source_id: message.source_id.clone(),
        thread_id: Some(message.thread_id.clone()),
        author: message.author.clone(),
        role: Some(message.role.clone()),
        sent_at: message.sent_at,
        text: quote.text().to_owned(),
        is_cut: quote.is_cut(),
        score: quote.score(),
        position: Some(message.position.clone()),
    })
}
