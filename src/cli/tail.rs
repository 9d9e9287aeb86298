//! Tail: following a topic as events are appended.
//!
//! Promises: no event is skipped or shown twice, also over a lost connection. Where the end of the topic was at the
//! beginning is asked first: a stream that is lost before its first event could not be resumed otherwise.

use std::{
    io::BufRead,
    time::{Duration, Instant},
};

use meshlog_connectors::{
    api::{EventView, TopicsView},
    problem::ProblemDetails,
};
use serde_json::Value;

use super::{
    Client, Context, EXIT_CODES, Failure, Outcome, Output, failure,
    output::{one_line, shortened},
    patience::Patience,
    server_sent,
};

/// How much is shown of an event's body on a line for people, in characters.
const BODY_SHOWN: usize = 160;

/// How long a stream without events has to last to count as a success.
const STEADY: Duration = Duration::from_secs(10);

/// The arguments of `meshlog tail`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog tail
  meshlog tail embeddings --partition 0 --from 0
  meshlog --json tail messages --from start | jq .data.text

Ctrl-C ends it. A lost connection is taken up again where it broke off, for up to a minute.

{EXIT_CODES}"))]
pub(super) struct TailArguments {
    /// The topic
    #[arg(default_value = "messages", value_name = "TOPIC")]
    topic: String,

    /// Only this partition; all of them without it
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,

    /// Where to begin: an offset, "start" or "end"
    #[arg(long, default_value = "end", value_name = "OFFSET")]
    from: String,
}

/// Shows events until it is ended from outside.
pub(super) fn run(context: &mut Context, arguments: TailArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let TailArguments { topic, partition, from } = arguments;
    let from = if from == "end" { end_of(&client, &topic, partition)?.unwrap_or(from) } else { from };
    let mut query = vec![("topic", topic), ("from", from)];
    query.extend(partition.map(|partition| ("partition", partition.to_string())));
    follow(&client, &mut context.output, &query)
}

/// The end of the topic now, as pairs of partition and offset. `None` when there is no such topic or partition: the
/// server then says what there is.
fn end_of(client: &Client, topic: &str, partition: Option<u32>) -> Result<Option<String>, Failure> {
    let view: TopicsView = client.get("/v1/topics", &[])?;
    let Some(found) = view.topics.into_iter().find(|view| view.name == topic) else { return Ok(None) };
    let wanted = found.partitions.iter().filter(|view| partition.is_none_or(|wanted| wanted == view.partition));
    let ends: Vec<_> = wanted.map(|view| format!("{}={}", view.partition, view.end)).collect();
    Ok((!ends.is_empty()).then(|| ends.join(",")))
}

fn follow(client: &Client, output: &mut Output, query: &[(&str, String)]) -> Result<Outcome, Failure> {
    let mut last_event_id: Option<String> = None;
    let mut patience = Patience::default();
    // What cannot be reached at the very beginning is not waited for.
    let mut connected = false;
    loop {
        let stream = client.stream("/v1/events", query, last_event_id.as_deref());
        let lost = match stream {
            Ok(mut stream) => {
                connected = true;
                let (opened, seen) = (Instant::now(), last_event_id.clone());
                let lost = show_all(client, output, &mut stream, &mut last_event_id)?;
                // A server that only ever ends streams is not tried for ever.
                if last_event_id != seen || opened.elapsed() >= STEADY {
                    patience.reset();
                }
                lost
            }
            Err(failure) if !connected => return Err(failure),
            Err(failure) => failure,
        };
        patience.wait(lost)?;
    }
}

/// Shows the events of one stream, and answers how it was lost.
fn show_all(
    client: &Client,
    output: &mut Output,
    stream: &mut impl BufRead,
    last_event_id: &mut Option<String>,
) -> Result<Failure, Failure> {
    loop {
        let frame = match server_sent::next(stream) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(client.broken_off("the stream ended")),
            Err(error) => return Ok(client.broken_off(error)),
        };
        if frame.event == "problem" {
            return Err(told(&frame.data));
        }
        show(output, &frame.data)?;
        // Only what has been shown may be passed over after a lost connection.
        output.flush()?;
        *last_event_id = frame.id.or(last_event_id.take());
    }
}

fn told(data: &str) -> Failure {
    match serde_json::from_str::<ProblemDetails>(data) {
        Ok(problem) => Failure::Refused(Box::new(problem)),
        Err(_) => Failure::local(format!("the stream ended with a problem: {}", one_line(data)), "look at the server"),
    }
}

fn show(output: &mut Output, data: &str) -> Result<(), Failure> {
    let event: EventView = match serde_json::from_str(data) {
        Ok(event) => event,
        Err(error) => {
            failure::note(output.is_json(), format!("an event is passed over: it is not understood: {error}"));
            return Ok(());
        }
    };
    if output.is_json() {
        return output.document(&event);
    }
    let line = summary(&event);
    output.line(line)
}

/// The event on one line for people.
fn summary(event: &EventView) -> String {
    let position = &event.position;
    let space = event.space.as_deref().unwrap_or("-");
    let body = match &event.unreadable {
        Some(reason) => format!("unreadable: {reason}"),
        None => body(&event.data),
    };
    let line = format!(
        "{}/{}/{}  {}  {}  {space}  {}",
        position.topic,
        position.partition,
        position.offset,
        event.time,
        event.kind,
        shortened(&one_line(&body), BODY_SHOWN)
    );
    one_line(&line)
}

fn body(data: &Value) -> String {
    match (data["author"].as_str(), data["text"].as_str()) {
        (Some(author), Some(text)) => format!("{author}: {text}"),
        _ => data.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_shown_as_speech_and_other_bodies_as_they_are() {
        assert_eq!(body(&json!({"author": "Ada", "text": "hello", "thread": "t"})), "Ada: hello");
        assert_eq!(body(&json!({"model": "m"})), "{\"model\":\"m\"}");
    }
}
