//! Notes: insights, facts and sentences of a summary as they come into a prompt.
//!
//! Owns: the line of each, and which of them come in.
//! Never: ranks facts; they come the best first.

use super::{Count, prompt::quoted};
use crate::api::{ContextItem, Fact, Insight, SummarySentence, Timestamp};

/// An insight, a fact or a sentence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Note {
    item: ContextItem,
}

impl Note {
    pub(super) fn insight(insight: Insight) -> Self {
        let text = insight.text;
        let item = note(text, insight.author, insight.pinned_at);
        Self { item: ContextItem { insight_id: Some(insight.insight_id), thread_id: insight.thread, ..item } }
    }

    /// A sentence of a turn, or one that a model wrote of several.
    pub(super) fn sentence(sentence: SummarySentence, thread: &str) -> Self {
        let thread_id = Some(thread.to_owned());
        if let Some(model) = sentence.model {
            let item = note(sentence.text, model, sentence.sent_at);
            return Self { item: ContextItem { sources: sentence.sources, thread_id, ..item } };
        }
        let item = note(sentence.text, sentence.author, sentence.sent_at);
        let (message_id, role) = (Some(sentence.message_id), Some(sentence.role));
        Self { item: ContextItem { message_id, thread_id, role, is_cut: true, ..item } }
    }

    /// The message that says it in these words.
    pub(super) fn message_id(&self) -> Option<&str> {
        self.item.message_id.as_deref()
    }

    /// A fact by the first of those who state it; `None` where there is none.
    pub(super) fn fact(fact: Fact) -> Option<Self> {
        let text = statement(&fact);
        let source = fact.sources.into_iter().next()?;
        let item = note(text, source.author, source.said_at);
        let (fact_id, message_id) = (Some(fact.fact_id), source.message_id);
        Some(Self { item: ContextItem { fact_id, message_id, thread_id: source.thread_id, ..item } })
    }

    /// What a context says of it.
    pub(super) fn item(&self, number: u32) -> ContextItem {
        ContextItem { citation: Some(number), ..self.item.clone() }
    }

    /// The line of an insight: the words alone.
    pub(super) fn words(&self, number: u32) -> String {
        quoted(&format!("[{number}] {}\n", self.item.text.trim()))
    }

    /// The line of a sentence: who said it when, or that it sums up what was said since then.
    pub(super) fn said(&self, number: u32) -> String {
        let ContextItem { author, sent_at, text, sources, .. } = &self.item;
        if !sources.is_empty() {
            return quoted(&format!("[{number}] {sent_at} summary of this thread: {}\n", text.trim()));
        }
        let author = super::prompt::name(author);
        quoted(&format!("[{number}] {sent_at} {author} earlier in this thread: {}\n", text.trim()))
    }

    /// The line of a fact, with who said so and when.
    pub(super) fn statement(&self, number: u32) -> String {
        let ContextItem { author, sent_at, text, .. } = &self.item;
        quoted(&format!("[{number}] {text} (said by {} on {sent_at})\n", super::prompt::name(author)))
    }
}

fn note(text: String, author: String, sent_at: Timestamp) -> ContextItem {
    ContextItem {
        citation: None,
        message_id: None,
        fact_id: None,
        insight_id: None,
        source_id: None,
        sources: Vec::new(),
        thread_id: None,
        author,
        role: None,
        sent_at,
        text,
        is_cut: false,
        score: None,
        position: None,
    }
}

/// A fact in words: `Ada: not works-at Siemens, from 2024-05-01T00:00:00Z`.
fn statement(fact: &Fact) -> String {
    let denied = if fact.polarity == "denied" { "not " } else { "" };
    let period = match (&fact.valid_from, &fact.valid_until) {
        (Some(from), Some(until)) => format!(", from {from} until {until}"),
        (Some(from), None) => format!(", from {from}"),
        (None, Some(until)) => format!(", until {until}"),
        (None, None) => String::new(),
    };
    let (subject, object) = (&fact.subject.name, &fact.object.name);
    format!("{subject}: {denied}{} {object}{period}", fact.relation)
}

/// Of notes the first ones that fit into `room` tokens; what is behind one that does not fit is left out with it, so that
/// those that come in stay the same while more come behind them.
pub(super) fn first(notes: Vec<Note>, room: u64, line: fn(&Note, u32) -> String, count: Count<'_>) -> (Vec<Note>, u64) {
    let (mut kept, mut taken) = (Vec::new(), 0);
    for note in notes {
        let tokens = count(&line(&note, 100)) + 1;
        if taken + tokens > room {
            break;
        }
        taken += tokens;
        kept.push(note);
    }
    (kept, taken)
}
