//! Offsets: how clients say where in a topic to read.
//!
//! Owns: the text forms of places. `from` and `next` are `start`, `end`, an offset (in every partition read), or
//! `partition=offset` pairs with commas between. The id of a streamed event is its position, and, where several
//! partitions are read, `;` and the pairs of all of them: without these a stream could not be resumed in each.

use meshlog_schemas::{Checkpoints, Offset, Partition, PartitionId, Position, Topic};

use super::tree::quote;
use crate::{
    api::PartitionView,
    problem::{Code, Problem},
};

/// Where to read when a client does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// The first event that is kept.
    Start,
    /// After the last event there is now.
    End,
}

/// The partitions that a request reads, with the offsets they hold now.
#[derive(Debug)]
pub(super) struct Span {
    topic: Topic,
    // Invariant: not empty.
    partitions: Vec<PartitionView>,
}

impl Span {
    /// One partition of the topic, or all of them.
    ///
    /// # Errors
    /// `unknown_partition`, when the topic has no such partition, or none.
    pub(super) fn new(
        topic: Topic,
        mut partitions: Vec<PartitionView>,
        only: Option<PartitionId>,
    ) -> Result<Self, Problem> {
        let known: Vec<_> = partitions.iter().map(|view| view.partition).collect();
        partitions.retain(|view| only.is_none_or(|only| view.partition == only));
        if partitions.is_empty() {
            return Err(unknown_partition(topic, only.unwrap_or(0), &known));
        }
        Ok(Self { topic, partitions })
    }

    /// Every partition at its edge.
    pub(super) fn at(&self, edge: Edge) -> Checkpoints {
        self.partitions.iter().map(|view| (self.partition(view.partition), offset_at(edge, view))).collect()
    }

    /// The places that a `from` names.
    ///
    /// # Errors
    /// `invalid_field`, `unknown_partition` or `offset_out_of_range`.
    pub(super) fn places(&self, text: &str, default: Edge) -> Result<Checkpoints, Problem> {
        match text {
            "start" => return Ok(self.at(Edge::Start)),
            "end" => return Ok(self.at(Edge::End)),
            _ => {}
        }
        if let Ok(offset) = text.parse() {
            let pairs: Vec<_> = self.partitions.iter().map(|view| (view.partition, offset)).collect();
            return self.place(&pairs, default);
        }
        let pairs = pairs(text).ok_or_else(|| {
            let detail = format!("from is \"{}\"", quote(text));
            Problem::new(Code::InvalidField, detail, "send start, end, an offset, or the next of an earlier answer")
                .with("field", "from")
        })?;
        self.place(&pairs, default)
    }

    /// The places after the event with this id.
    ///
    /// # Errors
    /// `invalid_field`, `unknown_partition` or `offset_out_of_range`.
    pub(super) fn after_event(&self, id: &str, default: Edge) -> Result<Checkpoints, Problem> {
        let (position, rest) = id.split_once(';').unwrap_or((id, ""));
        let event = self.position(position);
        let others = if rest.is_empty() { Some(Vec::new()) } else { pairs(rest) };
        let (Some((partition, offset)), Some(mut places)) = (event, others) else {
            let detail = format!("Last-Event-ID is \"{}\", which is no event of {}", quote(id), self.topic);
            return Err(Problem::new(
                Code::InvalidField,
                detail,
                "send the id of the last event that this stream sent",
            )
            .with("field", "Last-Event-ID"));
        };
        if !places.iter().any(|(named, _)| *named == partition) {
            places.push((partition, offset.saturating_add(1)));
        }
        self.place(&places, default)
    }

    /// The text that names these places in a later request.
    pub(super) fn text(&self, places: &Checkpoints) -> String {
        if let [only] = self.partitions.as_slice() {
            return places.next(self.partition(only.partition)).to_string();
        }
        let pairs: Vec<_> = self
            .partitions
            .iter()
            .map(|view| format!("{}={}", view.partition, places.next(self.partition(view.partition))))
            .collect();
        pairs.join(",")
    }

    /// The id of an event after which these places are to be read.
    pub(super) fn event_id(&self, position: Position, places: &Checkpoints) -> String {
        if self.partitions.len() == 1 {
            return position.to_string();
        }
        format!("{position};{}", self.text(places))
    }

    /// The place of one partition of the topic.
    pub(super) fn partition(&self, id: PartitionId) -> Partition {
        Partition { topic: self.topic, id }
    }

    fn place(&self, pairs: &[(PartitionId, Offset)], default: Edge) -> Result<Checkpoints, Problem> {
        let mut offsets: Vec<_> = self.partitions.iter().map(|view| offset_at(default, view)).collect();
        for (partition, offset) in pairs {
            let Some(index) = self.partitions.iter().position(|view| view.partition == *partition) else {
                let known: Vec<_> = self.partitions.iter().map(|view| view.partition).collect();
                return Err(unknown_partition(self.topic, *partition, &known));
            };
            let view = &self.partitions[index];
            if !(view.start..=view.end).contains(offset) {
                return Err(self.out_of_range(view, *offset));
            }
            offsets[index] = *offset;
        }
        let partitions = self.partitions.iter().map(|view| self.partition(view.partition));
        Ok(partitions.zip(offsets).collect())
    }

    fn position(&self, text: &str) -> Option<(PartitionId, Offset)> {
        let mut parts = text.split('/');
        let topic: Topic = parts.next()?.parse().ok()?;
        let place = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (topic == self.topic && parts.next().is_none()).then_some(place)
    }

    fn out_of_range(&self, view: &PartitionView, offset: Offset) -> Problem {
        let partition = self.partition(view.partition);
        let detail =
            format!("{partition} holds offsets from {} to before {}; {offset} is not among them", view.start, view.end);
        Problem::new(Code::OffsetOutOfRange, detail, "read from=start, or from an offset that the partition holds")
            .with("partition", view.partition)
            .with("start", view.start)
            .with("end", view.end)
            .with("actual", offset)
    }
}

fn offset_at(edge: Edge, view: &PartitionView) -> Offset {
    match edge {
        Edge::Start => view.start,
        Edge::End => view.end,
    }
}

fn pairs(text: &str) -> Option<Vec<(PartitionId, Offset)>> {
    text.split(',')
        .map(|pair| {
            let (partition, offset) = pair.split_once('=')?;
            Some((partition.parse().ok()?, offset.parse().ok()?))
        })
        .collect()
}

fn unknown_partition(topic: Topic, partition: PartitionId, known: &[PartitionId]) -> Problem {
    let detail = format!("{topic} has no partition {partition} here");
    Problem::new(Code::UnknownPartition, detail, "GET /v1/topics lists the partitions").with("allowed", known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(only: Option<PartitionId>) -> Span {
        let view = |partition, start, end| PartitionView { partition, start, end };
        Span::new(Topic::Messages, vec![view(0, 0, 9), view(1, 5, 7)], only).expect("the partitions are there")
    }

    fn check(found: Result<Checkpoints, Problem>, expected: Result<[u64; 2], Code>) {
        let found = found.map(|places| [0, 1].map(|id| places.next(Partition { topic: Topic::Messages, id })));
        assert_eq!(found.map_err(|problem| problem.code().to_owned()), expected.map_err(|code| code.name().to_owned()));
    }

    #[test]
    fn places_are_read_in_every_form() {
        let span = span(None);
        check(span.places("start", Edge::End), Ok([0, 5]));
        check(span.places("end", Edge::Start), Ok([9, 7]));
        check(span.places("6", Edge::Start), Ok([6, 6]));
        check(span.places("0=3,1=6", Edge::Start), Ok([3, 6]));
        check(span.places("1=6", Edge::End), Ok([9, 6]));
        check(span.places("2", Edge::Start), Err(Code::OffsetOutOfRange));
        check(span.places("0=10", Edge::Start), Err(Code::OffsetOutOfRange));
        check(span.places("4=1", Edge::Start), Err(Code::UnknownPartition));
        check(span.places("soon", Edge::Start), Err(Code::InvalidField));
        check(span.places("-1", Edge::Start), Err(Code::InvalidField));
        check(span.places("", Edge::Start), Err(Code::InvalidField));
    }

    #[test]
    fn a_stream_of_all_partitions_is_resumed_in_each() {
        let span = span(None);
        let places = span.places("0=4,1=6", Edge::Start).expect("the offsets are there");
        let position = Position { partition: span.partition(0), offset: 3 };
        let id = span.event_id(position, &places);
        assert_eq!(id, "messages/0/3;0=4,1=6");
        check(span.after_event(&id, Edge::End), Ok([4, 6]));
    }

    #[test]
    fn a_bare_position_resumes_its_own_partition() {
        check(span(None).after_event("messages/0/3", Edge::End), Ok([4, 7]));
        let only = span(Some(1));
        assert_eq!(
            only.event_id(Position { partition: only.partition(1), offset: 5 }, &only.at(Edge::End)),
            "messages/1/5"
        );
        check(only.after_event("messages/1/5", Edge::End), Ok([0, 6]));
        check(only.after_event("messages/0/5", Edge::End), Err(Code::UnknownPartition));
        check(only.after_event("embeddings/1/5", Edge::End), Err(Code::InvalidField));
        check(only.after_event("messages/1/18446744073709551615", Edge::End), Err(Code::OffsetOutOfRange));
    }
}
