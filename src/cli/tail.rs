//! Tail: following topics as events are appended.
//!
//! Promises: no event is skipped or shown twice, also over a lost connection; events that retention removed before they
//! could be shown are told of. Where the end of the topics was at the beginning is asked first: a stream that is lost
//! before its first id could not be resumed otherwise.

use std::{
    io::BufRead,
    time::{Duration, Instant},
};

use meshlog_connectors::{
    api::{EventView, TopicsView},
    problem::{Code, ProblemDetails},
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
  meshlog tail --space home --thread roof --from start
  meshlog tail messages,registry --type meshlog.subscription.added
  meshlog --json tail messages --from start | jq .data.text

Ctrl-C ends it. A lost connection is taken up again where it broke off, for up to a minute.

{EXIT_CODES}"))]
pub(super) struct TailArguments {
    /// The topic; several with commas between
    #[arg(default_value = "messages", value_name = "TOPIC")]
    topic: String,

    /// Only this partition of each topic; all of them without it
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,

    /// Only events of this space; may be given several times
    #[arg(long, value_name = "SPACE")]
    space: Vec<String>,

    /// Only events of this thread
    #[arg(long, value_name = "THREAD")]
    thread: Option<String>,

    /// Only events of this type, such as meshlog.message.accepted; may be given several times
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,

    /// Where to begin: "start", "end", an offset, or PARTITION=OFFSET pairs with commas between
    #[arg(long, default_value = "end", value_name = "OFFSET")]
    from: String,
}

/// Shows events until it is ended from outside.
pub(super) fn run(context: &mut Context, arguments: TailArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let TailArguments { topic, partition, space, thread, types, from } = arguments;
    let from = if from == "end" { end_of(&client, &topic, partition)?.unwrap_or(from) } else { from };
    let mut query = vec![("topic", topic), ("from", from)];
    query.extend(partition.map(|partition| ("partition", partition.to_string())));
    query.extend(space.into_iter().map(|space| ("space", space)));
    query.extend(thread.map(|thread| ("thread", thread)));
    query.extend(types.into_iter().map(|kind| ("type", kind)));
    follow(&client, &mut context.output, &query)
}

/// The end of the topics now, as pairs of partition and offset. `None` when there is no such topic or partition: the
/// server then says what there is.
fn end_of(client: &Client, topics: &str, partition: Option<u32>) -> Result<Option<String>, Failure> {
    let view: TopicsView = client.get("/v1/topics", &[])?;
    Ok(ends(&view, topics, partition))
}

fn ends(view: &TopicsView, topics: &str, partition: Option<u32>) -> Option<String> {
    let mut ends = Vec::new();
    for topic in topics.split(',') {
        let found = view.topics.iter().find(|view| view.name == topic)?;
        let wanted = found.partitions.iter().filter(|view| partition.is_none_or(|wanted| wanted == view.partition));
        // A topic is named where there are several.
        let prefix = if topics.contains(',') { format!("{topic}/") } else { String::new() };
        ends.extend(wanted.map(|view| format!("{prefix}{}={}", view.partition, view.end)));
    }
    (!ends.is_empty()).then(|| ends.join(","))
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
        if let Some(data) = &frame.data {
            if frame.event == "problem" {
                told(output.is_json(), data)?;
            } else {
                show(output, data)?;
            }
            // Only what has been shown may be passed over after a lost connection.
            output.flush()?;
        }
        *last_event_id = frame.id.or(last_event_id.take());
    }
}

/// Tells of a problem. Removed events are noted, and the stream goes on behind them.
///
/// # Errors
/// Any other problem, which ends the stream.
fn told(json: bool, data: &str) -> Result<(), Failure> {
    match serde_json::from_str::<ProblemDetails>(data) {
        Ok(problem) if problem.code == Code::EventsRemoved.name() => {
            failure::note(json, format!("note: {}", one_line(&problem.detail)));
            Ok(())
        }
        Ok(problem) => Err(Failure::Refused(Box::new(problem))),
        Err(_) => {
            Err(Failure::local(format!("the stream ended with a problem: {}", one_line(data)), "look at the server"))
        }
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
    fn the_ends_of_several_topics_are_told_apart() {
        let topic = |name: &str, ends: &[u64]| {
            let partitions = ends.iter().enumerate();
            let partitions: Vec<_> =
                partitions.map(|(partition, end)| json!({"partition": partition, "start": 0, "end": end})).collect();
            json!({"name": name, "partitions": partitions})
        };
        let view = json!({"topics": [topic("messages", &[5, 9]), topic("registry", &[2])]});
        let view: TopicsView = serde_json::from_value(view).expect("an older server's answer is read too");
        let check = |topics, partition, expected: Option<&str>| {
            assert_eq!(ends(&view, topics, partition).as_deref(), expected, "{topics}");
        };
        check("messages", None, Some("0=5,1=9"));
        check("messages", Some(1), Some("1=9"));
        check("messages", Some(7), None);
        check("messages,registry", None, Some("messages/0=5,messages/1=9,registry/0=2"));
        check("moon,messages", None, None);
    }

    #[test]
    fn removed_events_are_noted_and_other_problems_end_the_command() {
        let problem = |code| {
            let problem = meshlog_connectors::problem::Problem::new(code, "gone", "go on");
            serde_json::to_string(&problem).expect("a problem is JSON")
        };
        assert!(told(false, &problem(Code::EventsRemoved)).is_ok());
        assert!(matches!(told(false, &problem(Code::Internal)), Err(Failure::Refused(_))));
        assert!(matches!(told(false, "?"), Err(Failure::Local { .. })));
    }

    #[test]
    fn messages_are_shown_as_speech_and_other_bodies_as_they_are() {
        assert_eq!(body(&json!({"author": "Ada", "text": "hello", "thread": "t"})), "Ada: hello");
        assert_eq!(body(&json!({"model": "m"})), "{\"model\":\"m\"}");
    }
}
