//! Sender: batches, one after the other, until each is durable.
//!
//! Promises: a batch that got no answer is sent again, which is harmless because every message has an id; lines reach the
//! log in the order of the file, because the next batch is not sent before the answer to the one before.

use std::collections::BTreeMap;

use meshlog_connectors::api::{LineError, MessagesAccepted, PositionView};

use super::{
    Client, Failure,
    batch::Batch,
    rejection::{Rejection, kept},
};
use crate::cli::patience::Patience;

/// The fact of a problem that says what had been taken in before it.
const TAKEN: &str = "taken";

/// Sends batches.
pub(super) struct Sender<'a> {
    client: &'a Client,
    last_lines: LastLines,
}

/// For each topic and partition, the offset and the line of the last message that was sent to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LastLines {
    lines: BTreeMap<(String, u32), (u64, Vec<u8>)>,
}

/// What has become of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// How many messages were taken in now.
    pub(super) accepted: u64,
    /// How many had been taken in before.
    pub(super) duplicates: u64,
    /// The lines that were refused, with their numbers in the file.
    pub(super) rejections: Vec<Rejection>,
}

impl<'a> Sender<'a> {
    /// A sender that has sent nothing yet.
    pub(super) fn new(client: &'a Client) -> Self {
        Self { client, last_lines: LastLines::default() }
    }

    /// Sends a batch until it is answered, over lost connections and a busy server, for up to a minute.
    ///
    /// # Errors
    /// When the server refuses the batch as a whole, or stays away.
    pub(super) fn send(&mut self, batch: &Batch) -> Result<Sent, Failure> {
        let mut patience = Patience::default();
        // Messages that an earlier try of this batch got in; the answer to a later one calls them duplicates.
        let mut taken_before = 0;
        loop {
            match self.client.send_lines(&[], batch.body()) {
                Ok(answer) => {
                    self.last_lines.note(batch, &answer);
                    return Ok(sent(batch, answer, taken_before));
                }
                Err(failure) => {
                    taken_before += taken(&failure);
                    patience.wait(failure)?;
                }
            }
        }
    }

    /// The last line of each partition.
    pub(super) fn into_last_lines(self) -> LastLines {
        self.last_lines
    }
}

impl LastLines {
    /// Notes the last message of each partition.
    fn note(&mut self, batch: &Batch, answer: &MessagesAccepted) {
        let refused: Vec<u64> = answer.errors.iter().map(|error| error.line).collect();
        // Receipts come in the order of lines, and a line that was refused has none.
        let taken = (0..batch.len()).filter(|index| !refused.contains(&(*index as u64 + 1)));
        let mut last: BTreeMap<(String, u32), (u64, usize)> = BTreeMap::new();
        for (index, receipt) in taken.zip(&answer.receipts) {
            let PositionView { topic, partition, offset } = &receipt.position;
            let entry = last.entry((topic.clone(), *partition)).or_insert((*offset, index));
            if *offset >= entry.0 {
                *entry = (*offset, index);
            }
        }
        for (partition, (offset, index)) in last {
            let Some((_, line)) = batch.line(index) else { continue };
            if self.lines.get(&partition).is_none_or(|(known, _)| *known <= offset) {
                self.lines.insert(partition, (offset, line.to_vec()));
            }
        }
    }

    /// The lines as JSON lines; empty when nothing was sent.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (_, line) in self.lines.values() {
            body.extend_from_slice(line);
            body.push(b'\n');
        }
        body
    }
}

fn sent(batch: &Batch, answer: MessagesAccepted, taken_before: u64) -> Sent {
    let credited = taken_before.min(answer.duplicates);
    Sent {
        accepted: answer.accepted + credited,
        duplicates: answer.duplicates - credited,
        rejections: answer.errors.into_iter().map(|error| rejection(batch, error)).collect(),
    }
}

/// The server counts lines from the beginning of the request; people count them from the beginning of the file.
fn rejection(batch: &Batch, error: LineError) -> Rejection {
    let index = usize::try_from(error.line).ok().and_then(|line| line.checked_sub(1));
    let (line, bytes) = index.and_then(|index| batch.line(index)).unwrap_or((batch.first_line(), b""));
    Rejection {
        line,
        place: None,
        code: error.code,
        detail: error.detail,
        source_id: error.source_id,
        text: kept(bytes),
    }
}

fn taken(failure: &Failure) -> u64 {
    let Failure::Refused(problem) = failure else { return 0 };
    problem.facts.get(TAKEN).and_then(|taken| taken["accepted"].as_u64()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn batch() -> Batch {
        let mut batch = Batch::default();
        for (number, line) in [(2, "two"), (5, "five"), (6, "six"), (9, "nine")] {
            batch.add(number, line.as_bytes().to_vec());
        }
        batch
    }

    fn answer() -> MessagesAccepted {
        let receipt = |partition: u32, offset: u64| {
            json!({"id": "x", "source_id": null, "duplicate": false,
                "position": {"topic": "messages", "partition": partition, "offset": offset}})
        };
        let answer = json!({
            "receipts": [receipt(0, 7), receipt(1, 3), receipt(0, 5)],
            "errors": [{"line": 2, "code": "missing_field", "detail": "the field \"text\" is missing", "source_id": "D1"}],
            "accepted": 1, "duplicates": 2, "rejected": 1
        });
        serde_json::from_value(answer).expect("it is an answer")
    }

    #[test]
    fn a_refused_line_gets_its_number_in_the_file() {
        let sent = sent(&batch(), answer(), 0);
        assert_eq!((sent.accepted, sent.duplicates), (1, 2));
        let [rejection] = &sent.rejections[..] else { panic!("one line was refused") };
        assert_eq!((rejection.line, rejection.text.as_str(), rejection.source_id.as_deref()), (5, "five", Some("D1")));
    }

    #[test]
    fn what_an_earlier_try_got_in_is_no_duplicate() {
        let sent = sent(&batch(), answer(), 1);
        assert_eq!((sent.accepted, sent.duplicates), (2, 1));
    }

    #[test]
    fn the_last_line_of_each_partition_is_remembered() {
        let mut last = LastLines::default();
        assert!(last.body().is_empty());
        last.note(&batch(), &answer());
        assert_eq!(String::from_utf8_lossy(&last.body()), "two\nsix\n");
    }
}
