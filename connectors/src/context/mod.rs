//! Context: what of a thread and of memory a model is told, packed into a budget of tokens.
//!
//! ```text
//! system     what the marks below mean                              never changes
//! turns      the latest of the thread, from a start that seldom moves   grows at its end
//! user       <memory now="..."> [1] a recalled turn ... </memory>   changes with each question
//!            the question
//! ```
//! So what two contexts of a thread have in common stands at their beginning, which is what providers keep caches of.
//!
//! Owns: which turns come in, and the prompt that is made of them.
//! Promises: a prompt never has more tokens than its budget, by the counter that it is given. What was said by anybody stays
//! within the marks of its kind: it cannot end them.
//! Never: asks anybody; it is given what there is.

mod prompt;
mod selection;
mod window;

#[cfg(test)]
mod tests;

use crate::api::{
    ContextItem, ContextSection, Message, PromptFamily, PromptMessage, RecallResult, SectionName, Timestamp,
};

pub use prompt::SYSTEM;
use prompt::{Prompt, Quote};

/// What a context can be made of.
#[derive(Debug, Clone)]
pub struct Material {
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
    /// What memory holds alone, in its marks.
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

/// How much of what is left beside the frame recalled turns may take before the latest turns have had their part, of ten.
const RECALLED_SHARE: u64 = 4;

/// Packs a context into `budget` tokens.
///
/// The latest turns come first, as many as fit into their part of the budget. Recalled turns that are not among them take
/// what is left, those with the most value for their tokens first. Both stand in the order in which they were said.
///
/// # Errors
/// What is asked alone has more tokens.
pub fn pack(material: Material, family: PromptFamily, budget: u64, count: Count<'_>) -> Result<Packed, TooSmall> {
    let Material { mut recent, recalled, query, now } = material;
    let asked = match query {
        Some(query) => Quote::asked(query),
        None => recent.pop().map(Quote::turn).unwrap_or_else(|| Quote::asked(String::new())),
    };
    let mut prompt = Prompt::new(family, now, asked);
    let needed = prompt.tokens(count);
    let left = budget.checked_sub(needed).ok_or(TooSmall { needed })?;

    let share = if recalled.is_empty() { 0 } else { left * RECALLED_SHARE / 10 };
    let (first, taken) = window::start(&recent, left - share, |turn| prompt::turn_tokens(turn, count));
    let kept = recent.split_off(first);
    prompt.turns = kept.into_iter().map(Quote::turn).collect();

    let is_there = |result: &RecallResult| {
        let id = &result.message.message_id;
        prompt.turns.iter().chain([&prompt.asked]).filter_map(Quote::message).any(|turn| turn.message_id == *id)
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
        if chosen.pop().is_none() {
            prompt.turns.remove(0);
        }
    }
}

fn packed(prompt: Prompt, tokens: u64) -> Packed {
    let (system, messages) = prompt.rendered();
    let numbered = prompt.recalled.iter().zip(1..).map(|(quote, number)| item(quote, Some(number)));
    let recalled = ContextSection { name: SectionName::Recalled, items: numbered.flatten().collect() };
    let turns = prompt.turns.iter().chain([&prompt.asked]).filter_map(|quote| item(quote, None));
    let recent = ContextSection { name: SectionName::Recent, items: turns.collect() };
    let sections = [recent, recalled].into_iter().filter(|section| !section.items.is_empty()).collect();
    Packed { sections, system, messages, turns: prompt.turns(), memory: prompt.memory(), tokens }
}

fn item(quote: &Quote, citation: Option<u32>) -> Option<ContextItem> {
    let message = quote.message()?;
    Some(ContextItem {
        citation,
        message_id: message.message_id.clone(),
        source_id: message.source_id.clone(),
        thread_id: message.thread_id.clone(),
        author: message.author.clone(),
        role: message.role.clone(),
        sent_at: message.sent_at,
        text: quote.text().to_owned(),
        is_cut: quote.is_cut(),
        score: quote.score(),
        position: message.position.clone(),
    })
}
