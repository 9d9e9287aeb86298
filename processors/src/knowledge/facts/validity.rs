//! Validity: since when and until when a fact holds, as its clause says.
//!
//! Owns: which time mention of a clause speaks of a fact, and what it says of one that begins, lasts or ends.
//! Never: guesses a time that no word tells, but for one: what is told as over was over when it was told.

use super::{
    Modality,
    reader::Reader,
    rules::Telling,
    verb::{Group, Tense},
};
use crate::{
    Micros,
    knowledge::times::{Bound, TimeMention},
};

/// The most tokens of a clause behind its object that are looked at for a time.
const REACH: usize = 8;

/// Since when, until when, and where the last word about it ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Validity {
    pub(super) from: Option<Micros>,
    pub(super) until: Option<Micros>,
    pub(super) end: Option<usize>,
}

impl Reader<'_> {
    /// The validity of what a clause tells with its first token, its object's end, and its verb's group.
    pub(super) fn validity(&self, first: usize, next: usize, group: &Group, telling: Telling) -> Validity {
        let over =
            group.over || group.tense == Tense::Past && telling == Telling::State || telling == Telling::Finished;
        let mut validity = Validity { until: over.then_some(self.at), ..Validity::default() };
        if telling == Telling::Timeless {
            return Validity::default();
        }
        let resolved = telling == Telling::Resolved;
        let time = if resolved { self.time_before(first) } else { self.time_of(first, next) };
        let Some((time, inside)) = time else { return validity };
        let ahead = group.modality != Modality::Asserted;
        let begins = matches!(telling, Telling::Begins | Telling::Ends | Telling::Resolved);
        let said = match (time.bound, telling) {
            (Bound::Since, _) => (Some(time.start), validity.until),
            (Bound::Until, _) if over => (None, Some(time.end.min(self.at))),
            (Bound::Until, Telling::State) => (None, Some(time.end)),
            (Bound::Within, Telling::Finished) => (None, Some(time.end.min(self.at))),
            (Bound::Within, _) if over => (Some(time.start.min(self.at)), Some(time.end.min(self.at))),
            (Bound::Within, _) if begins || ahead => (Some(time.start), validity.until),
            _ => return validity,
        };
        (validity.from, validity.until) = said;
        if validity.from.zip(validity.until).is_some_and(|(from, until)| from > until) {
            validity.from = None;
        }
        validity.end = inside.then_some(time.text.end);
        validity
    }

    /// The time that a clause names behind its object or in front of its subject, and whether it stands inside.
    fn time_of(&self, first: usize, next: usize) -> Option<(&TimeMention, bool)> {
        for at in first..(next + REACH).min(self.end) {
            let token = &self.tokens[at];
            if at >= next
                && matches!(
                    token.word,
                    "," | "and"
                        | "but"
                        | "so"
                        | "because"
                        | "when"
                        | "which"
                        | "who"
                        | "to"
                        | "that"
                        | "over"
                        | "about"
                        | "than"
                        | "attending"
                        | "instead"
                        | "while"
                        | "after"
                        | "before"
                        | "-"
                )
            {
                break;
            }
            if let Some(time) = token.time {
                return Some((&self.times[time], true));
            }
        }
        self.time_before(first)
    }

    fn time_before(&self, first: usize) -> Option<(&TimeMention, bool)> {
        let mut before = first.checked_sub(1)?;
        if matches!(self.word(before), "," | "and") {
            before = before.checked_sub(1)?;
        }
        let time = self.tokens.get(before).filter(|_| before >= self.begin)?.time?;
        Some((&self.times[time], false))
    }
}
