//! Offsets: how clients say where in the log to read.
//!
//! Owns: the text forms of places. `from` and `next` are `start`, `end`, an offset (in every partition read), or
//! `partition=offset` pairs with commas between; where several topics are read, a pair may begin with `topic/`, which
//! holds for the pairs after it too. The id of a streamed event is its position, and, where several partitions are read,
//! `;` and the pairs of all of them: without these a stream could not be resumed in each. The id between two events, sent
//! when only events went by that the stream does not show, is the pairs alone.

use meshlog_schemas::{Checkpoints, Offset, Partition, PartitionId, Position, Topic};

use crate::{
    api::PartitionView,
    ports::Gap,
    problem::{Code, Problem, quote},
};

/// Where to read when a client does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// The first event that is kept.
    Start,
    /// After the last event there is now.
    End,
}

/// What becomes of a place whose event has been removed by retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removed {
    /// It is a problem.
    Refused,
    /// It is taken; the reader will be told of the gap.
    Taken,
}

/// The partitions that a request reads, with the offsets they hold now.
#[derive(Debug)]
pub(super) struct Span {
    // Invariant: not empty, each partition once, those of one topic together.
    partitions: Vec<Bounds>,
}

/// What one partition holds now.
#[derive(Debug)]
struct Bounds {
    partition: Partition,
    start: Offset,
    end: Offset,
}

impl Span {
    /// The partitions of the topics, or from each the one with this number.
    ///
    /// # Errors
    /// `unknown_partition`, when a topic has no such partition, or none.
    pub(super) fn new(topics: Vec<(Topic, Vec<PartitionView>)>, only: Option<PartitionId>) -> Result<Self, Problem> {
        let mut partitions = Vec::new();
        for (topic, views) in topics {
            let wanted = views.iter().filter(|view| only.is_none_or(|only| view.partition == only));
            let bounds = |view: &PartitionView| Bounds {
                partition: Partition { topic, id: view.partition },
                start: view.start,
                end: view.end,
            };
            let before = partitions.len();
            partitions.extend(wanted.map(bounds));
            if partitions.len() == before {
                let known: Vec<_> = views.iter().map(|view| view.partition).collect();
                return Err(unknown_partition(Partition { topic, id: only.unwrap_or(0) }, &known));
            }
        }
        Ok(Self { partitions })
    }

    /// Every partition at its edge.
    pub(super) fn at(&self, edge: Edge) -> Checkpoints {
        self.partitions.iter().map(|bounds| (bounds.partition, bounds.at(edge))).collect()
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
            let pairs: Vec<_> = self.partitions.iter().map(|bounds| (bounds.partition, offset)).collect();
            return self.place(&pairs, default, Removed::Refused);
        }
        let pairs = self.pairs(text).ok_or_else(|| {
            let detail = format!("from is \"{}\"", quote(text));
            Problem::new(Code::InvalidField, detail, "send start, end, an offset, or the next of an earlier answer")
                .with("field", "from")
        })?;
        self.place(&pairs, default, Removed::Refused)
    }

    /// The places after the event or between the events with this id. What has been removed by now is not refused: a
    /// stream tells of the gap and goes on.
    ///
    /// # Errors
    /// `invalid_field`, `unknown_partition` or `offset_out_of_range`.
    pub(super) fn after_event(&self, id: &str, default: Edge) -> Result<Checkpoints, Problem> {
        let places = self.seen(id).ok_or_else(|| {
            let detail = format!("Last-Event-ID is \"{}\", which is no place in what is read here", quote(id));
            Problem::new(Code::InvalidField, detail, "send the id of the last event that this stream sent")
                .with("field", "Last-Event-ID")
        })?;
        self.place(&places, default, Removed::Taken)
    }

    /// The text that names these places in a later request.
    pub(super) fn text(&self, places: &Checkpoints) -> String {
        match self.partitions.as_slice() {
            [only] => places.next(only.partition).to_string(),
            _ => self.all_pairs(places),
        }
    }

    /// The id of an event after which these places are to be read.
    pub(super) fn event_id(&self, position: Position, places: &Checkpoints) -> String {
        if self.partitions.len() == 1 {
            return position.to_string();
        }
        format!("{position};{}", self.all_pairs(places))
    }

    /// The id of these places, for a stream that goes on from them without having sent an event.
    pub(super) fn checkpoint_id(&self, places: &Checkpoints) -> String {
        self.all_pairs(places)
    }

    /// The partition of an event of this span.
    pub(super) fn partition(&self, topic: &str, id: PartitionId) -> Option<Partition> {
        let mut partitions = self.partitions.iter().map(|bounds| bounds.partition);
        partitions.find(|partition| partition.id == id && partition.topic.name() == topic)
    }

    fn only_topic(&self) -> Option<Topic> {
        let first = self.partitions.first()?.partition.topic;
        self.partitions.iter().all(|bounds| bounds.partition.topic == first).then_some(first)
    }

    fn all_pairs(&self, places: &Checkpoints) -> String {
        let mut topic = self.only_topic();
        let mut pairs = Vec::with_capacity(self.partitions.len());
        for Bounds { partition, .. } in &self.partitions {
            let stated = if topic == Some(partition.topic) { String::new() } else { format!("{}/", partition.topic) };
            topic = Some(partition.topic);
            pairs.push(format!("{stated}{}={}", partition.id, places.next(*partition)));
        }
        pairs.join(",")
    }

    fn pairs(&self, text: &str) -> Option<Vec<(Partition, Offset)>> {
        let mut topic = self.only_topic();
        let pair = |pair: &str| {
            let (place, offset) = pair.split_once('=')?;
            let id = match place.split_once('/') {
                Some((name, id)) => {
                    topic = Some(self.topic(name)?);
                    id
                }
                None => place,
            };
            Some((Partition { topic: topic?, id: id.parse().ok()? }, offset.parse().ok()?))
        };
        text.split(',').map(pair).collect()
    }

    /// The topic of this name, if it is read.
    fn topic(&self, name: &str) -> Option<Topic> {
        self.partitions.iter().map(|bounds| bounds.partition.topic).find(|topic| topic.name() == name)
    }

    /// What has been seen by a client whose last id is this.
    fn seen(&self, id: &str) -> Option<Vec<(Partition, Offset)>> {
        let (position, rest) = match id.split_once(';') {
            Some((position, rest)) => (position, Some(rest)),
            None if id.contains('=') => return self.pairs(id),
            None => (id, None),
        };
        let (partition, offset) = self.position(position)?;
        let mut places = rest.map_or(Some(Vec::new()), |rest| self.pairs(rest))?;
        if !places.iter().any(|(named, _)| *named == partition) {
            places.push((partition, offset.saturating_add(1)));
        }
        Some(places)
    }

    fn position(&self, text: &str) -> Option<(Partition, Offset)> {
        let mut parts = text.split('/');
        let topic = self.topic(parts.next()?)?;
        let place = (Partition { topic, id: parts.next()?.parse().ok()? }, parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(place)
    }

    fn place(&self, pairs: &[(Partition, Offset)], default: Edge, removed: Removed) -> Result<Checkpoints, Problem> {
        let mut offsets: Vec<_> = self.partitions.iter().map(|bounds| bounds.at(default)).collect();
        for (partition, offset) in pairs {
            let Some(index) = self.partitions.iter().position(|bounds| bounds.partition == *partition) else {
                let of_topic = self.partitions.iter().filter(|bounds| bounds.partition.topic == partition.topic);
                let known: Vec<_> = of_topic.map(|bounds| bounds.partition.id).collect();
                return Err(unknown_partition(*partition, &known));
            };
            let bounds = &self.partitions[index];
            if *offset > bounds.end || (*offset < bounds.start && removed == Removed::Refused) {
                return Err(bounds.out_of_range(*offset));
            }
            offsets[index] = *offset;
        }
        Ok(self.partitions.iter().map(|bounds| bounds.partition).zip(offsets).collect())
    }
}

impl Bounds {
    fn at(&self, edge: Edge) -> Offset {
        match edge {
            Edge::Start => self.start,
            Edge::End => self.end,
        }
    }

    fn out_of_range(&self, offset: Offset) -> Problem {
        let Bounds { partition, start, end } = self;
        let detail = format!("{partition} holds offsets from {start} to before {end}; {offset} is not among them");
        Problem::new(Code::OffsetOutOfRange, detail, "read from=start, or from an offset that the partition holds")
            .with("topic", partition.topic.name())
            .with("partition", partition.id)
            .with("start", *start)
            .with("end", *end)
            .with("actual", offset)
    }
}

/// What a reader is told of events that it did not come to in time.
pub(super) fn removed(gap: &Gap) -> Problem {
    let Gap { partition, from, start } = gap;
    let detail = format!("{partition}: the events from {from} to before {start} have been removed by retention");
    let help = "go on at the first event that is kept; a reader that must miss none has to read faster than its topic's \
                retention removes, which GET /v1/topics shows";
    Problem::new(Code::EventsRemoved, detail, help)
        .with("topic", partition.topic.name())
        .with("partition", partition.id)
        .with("from", *from)
        .with("start", *start)
}

fn unknown_partition(partition: Partition, known: &[PartitionId]) -> Problem {
    let detail = format!("{} has no partition {} here", partition.topic, partition.id);
    Problem::new(Code::UnknownPartition, detail, "GET /v1/topics lists the partitions").with("allowed", known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(partition: PartitionId, start: Offset, end: Offset) -> PartitionView {
        PartitionView { partition, start, end }
    }

    fn span(only: Option<PartitionId>) -> Span {
        Span::new(vec![(Topic::Messages, vec![view(0, 0, 9), view(1, 5, 7)])], only).expect("the partitions are there")
    }

    fn two_topics() -> Span {
        let messages = (Topic::Messages, vec![view(0, 0, 9), view(1, 5, 7)]);
        Span::new(vec![messages, (Topic::Registry, vec![view(0, 0, 3)])], None).expect("the partitions are there")
    }

    fn message(id: PartitionId) -> Partition {
        Partition { topic: Topic::Messages, id }
    }

    fn check(found: Result<Checkpoints, Problem>, expected: Result<[u64; 2], Code>) {
        let found = found.map(|places| [0, 1].map(|id| places.next(message(id))));
        assert_eq!(found.map_err(|problem| problem.code().to_owned()), expected.map_err(|code| code.name().to_owned()));
    }

    #[test]
    fn places_are_read_in_every_form() {
        let span = span(None);
        check(span.places("start", Edge::End), Ok([0, 5]));
        check(span.places("end", Edge::Start), Ok([9, 7]));
        check(span.places("6", Edge::Start), Ok([6, 6]));
        check(span.places("0=3,1=6", Edge::Start), Ok([3, 6]));
        check(span.places("messages/0=3,1=6", Edge::Start), Ok([3, 6]));
        check(span.places("1=6", Edge::End), Ok([9, 6]));
        check(span.places("2", Edge::Start), Err(Code::OffsetOutOfRange));
        check(span.places("0=10", Edge::Start), Err(Code::OffsetOutOfRange));
        check(span.places("4=1", Edge::Start), Err(Code::UnknownPartition));
        check(span.places("registry/0=1", Edge::Start), Err(Code::InvalidField));
        check(span.places("soon", Edge::Start), Err(Code::InvalidField));
        check(span.places("-1", Edge::Start), Err(Code::InvalidField));
        check(span.places("", Edge::Start), Err(Code::InvalidField));
    }

    #[test]
    fn a_stream_of_all_partitions_is_resumed_in_each() {
        let span = span(None);
        let places = span.places("0=4,1=6", Edge::Start).expect("the offsets are there");
        let id = span.event_id(Position { partition: message(0), offset: 3 }, &places);
        assert_eq!(id, "messages/0/3;0=4,1=6");
        check(span.after_event(&id, Edge::End), Ok([4, 6]));
        assert_eq!(span.checkpoint_id(&places), "0=4,1=6");
        check(span.after_event("0=4,1=6", Edge::End), Ok([4, 6]));
    }

    #[test]
    fn several_topics_are_told_apart() {
        let span = two_topics();
        let places = span.places("messages/0=4,1=6,registry/0=2", Edge::Start).expect("the offsets are there");
        assert_eq!(span.text(&places), "messages/0=4,1=6,registry/0=2");
        let registry = Partition { topic: Topic::Registry, id: 0 };
        let id = span.event_id(Position { partition: registry, offset: 1 }, &places);
        assert_eq!(id, "registry/0/1;messages/0=4,1=6,registry/0=2");
        assert_eq!(span.after_event(&id, Edge::End).expect("the offsets are there"), places);
        check(span.places("0=4", Edge::Start), Err(Code::InvalidField));
        let problem = span.places("registry/1=0", Edge::Start).expect_err("there is one partition");
        assert_eq!(problem.details().facts["allowed"], serde_json::json!([0]));
    }

    #[test]
    fn a_bare_position_resumes_its_own_partition() {
        check(span(None).after_event("messages/0/3", Edge::End), Ok([4, 7]));
        let only = span(Some(1));
        let end = only.at(Edge::End);
        assert_eq!(only.event_id(Position { partition: message(1), offset: 5 }, &end), "messages/1/5");
        assert_eq!((only.checkpoint_id(&end), only.text(&end)), ("1=7".to_owned(), "7".to_owned()));
        check(only.after_event("1=6", Edge::End), Ok([0, 6]));
        check(only.after_event("messages/1/5", Edge::End), Ok([0, 6]));
        check(only.after_event("messages/0/5", Edge::End), Err(Code::UnknownPartition));
        check(only.after_event("embeddings/1/5", Edge::End), Err(Code::InvalidField));
        check(only.after_event("messages/1/18446744073709551615", Edge::End), Err(Code::OffsetOutOfRange));
    }

    #[test]
    fn a_place_that_was_removed_is_taken_from_one_who_comes_back_only() {
        check(span(None).after_event("messages/1/1", Edge::End), Ok([9, 2]));
        check(span(None).places("1=2", Edge::End), Err(Code::OffsetOutOfRange));
    }
}
