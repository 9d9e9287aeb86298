//! Asking for ourselves: questions of Meshlog's own, carried out as calls like any other, within a budget.
//!
//! Owns: the ids of own calls, the budget of a purpose, and that a provider which fails is left alone for a while.
//! Promises: a question that the log has an answer to is not asked again, also after a crash. Once the tokens of a day are used up,
//! nothing is asked before the next (UTC); what was under way by then, one call for each thread that asks, may go beyond it.
//! After a failure all questions wait, longer each time: a provider that is away for a day is not asked for each of a thousand
//! threads, which would all be calls on the log.
//! Never: makes what is said a turn of anybody.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use meshlog_connectors::{
    calls::{Begun, Caller, Dispatcher, Refused, Request},
    providers::{Class, Kind},
};
use meshlog_pipeline::{EventLog, LogError, ReadLimit};
use meshlog_processors::asking::{Answerer, NoAnswer, Question};
use meshlog_schemas::{Event, EventId, Position};
use serde_json::Value;
use tokio::runtime::Handle;

use super::ledger::{Known, Ledger};

/// How long nobody is asked after a failure; each next one is twice as long.
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Asks models for a purpose of Meshlog's own.
pub(in crate::house) struct Asker {
    dispatcher: Dispatcher,
    runtime: Handle,
    events: EventLog,
    ledger: Arc<Ledger>,
    purpose: &'static str,
    tokens_per_day: u64,
    rest: Mutex<Rest>,
}

/// How long nobody is asked after failures.
#[derive(Default)]
struct Rest {
    /// Failures one behind the other.
    failures: u32,
    until: Option<Instant>,
    reason: String,
}

/// What the log says of a question.
enum Before {
    /// Its answer stands here.
    Answered(Position),
    /// It is to be asked under this id.
    Open(EventId),
}

impl Asker {
    pub(super) fn new(
        dispatcher: Dispatcher,
        runtime: Handle,
        events: EventLog,
        ledger: Arc<Ledger>,
        purpose: &'static str,
        tokens_per_day: u64,
    ) -> Self {
        Self { dispatcher, runtime, events, ledger, purpose, tokens_per_day, rest: Mutex::default() }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        // Its fields are set one by one, and each is right by itself.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, as a call of this id.
    fn call(&self, id: EventId, caller: Caller, request: Request) -> Result<String, NoAnswer> {
        let refused = match self.runtime.block_on(self.dispatcher.call_as(id, caller, request)) {
            Begun::Whole(_, body) => {
                *self.rest() = Rest::default();
                return Ok(said(&body));
            }
            Begun::Stream(..) => {
                return Err(NoAnswer::Refused("the answer is a stream, which was not asked for".to_owned()));
            }
            Begun::Refused(refused) => refused,
        };
        let is_of_server = matches!(refused.failure.class, Class::Cancelled | Class::Interrupted | Class::Log);
        let wait = refused.failure.retry_after;
        let no_answer = no_answer(refused);
        if let (NoAnswer::Failed(reason) | NoAnswer::Later(reason), false) = (&no_answer, is_of_server) {
            self.rest().begin(wait, reason);
        }
        Err(no_answer)
    }

    /// What became of the calls for a question. Each try is a call with an id of its own.
    fn before(&self, question: EventId, label: &str) -> Result<Before, NoAnswer> {
        let looked = self.ledger.look(|page| {
            for number in 0.. {
                let id = EventId::derived(question, "ask", &number.to_string());
                match page.of(id) {
                    Some(Known::Answered(position)) => return Ok(Before::Answered(position)),
                    // Whoever began it without an end has gone, or would have answered before us.
                    Some(Known::Begun | Known::Failed) => {}
                    None if page.used_today(label) >= self.tokens_per_day => break,
                    None => return Ok(Before::Open(id)),
                }
            }
            Err(NoAnswer::Later(format!(
                "the {} tokens that {label} may use on a day are used up; it goes on after midnight UTC",
                self.tokens_per_day
            )))
        });
        looked.map_err(unread)?
    }

    /// What a call was answered that stands on the log.
    fn recorded(&self, position: Position) -> Result<String, NoAnswer> {
        let one = ReadLimit { records: 1, bytes: usize::MAX };
        let read = self.events.read(position.partition, position.offset, one).map_err(unread)?;
        match read.into_iter().next() {
            Some(Ok(stored)) => match stored.event {
                Event::CallSettled(call) => {
                    let body = call.answer().map_err(|error| NoAnswer::Refused(format!("{position}: {error}")))?;
                    Ok(said(&body))
                }
                _ => Err(NoAnswer::Refused(format!("{position} holds no end of a call; this is a bug"))),
            },
            _ => Err(NoAnswer::Refused(format!("the answer at {position} cannot be read any more"))),
        }
    }
}

impl Answerer for Asker {
    fn ask(&self, question: &Question<'_>) -> Result<String, NoAnswer> {
        let caller = Caller::own(self.purpose, question.space, question.thread);
        let id = match self.before(question.id, &caller.key_label)? {
            Before::Answered(position) => return self.recorded(position),
            Before::Open(id) => id,
        };
        let request = Request::read(Kind::Chat, Bytes::from(question.body.clone()));
        let request = request.map_err(|error| NoAnswer::Refused(error.message))?;
        if let Some(reason) = self.rest().reason_to_wait() {
            return Err(NoAnswer::Later(reason));
        }
        self.call(id, caller, request)
    }
}

impl Rest {
    /// Begins after a failure; `wait` is what the provider asks for.
    fn begin(&mut self, wait: Option<Duration>, reason: &str) {
        let own = FIRST_REST.saturating_mul(2_u32.saturating_pow(self.failures));
        let rest = own.max(wait.unwrap_or_default()).min(LONGEST_REST);
        self.failures += 1;
        self.until = Some(Instant::now() + rest);
        reason.clone_into(&mut self.reason);
    }

    fn reason_to_wait(&self) -> Option<String> {
        let is_over = self.until.is_none_or(|until| until <= Instant::now());
        (!is_over).then(|| format!("{}; it is left alone for a while", self.reason))
    }
}

fn unread(error: LogError) -> NoAnswer {
    NoAnswer::Failed(error.to_string())
}

fn no_answer(refused: Refused) -> NoAnswer {
    let failure = refused.failure;
    let by = if refused.provider.is_empty() { String::new() } else { format!("{}: ", refused.provider) };
    let reason = format!("{by}{} ({})", failure.message, failure.class.name());
    match failure.class {
        Class::RateLimited
        | Class::CircuitOpen
        | Class::QueueFull
        | Class::Cancelled
        | Class::Interrupted
        | Class::Log => NoAnswer::Later(reason),
        Class::Invalid => NoAnswer::Unsuitable(reason),
        Class::NoModel | Class::Context | Class::Content | Class::TooLarge | Class::Whole => NoAnswer::Refused(reason),
        Class::Connect
        | Class::Cut
        | Class::FirstByte
        | Class::BetweenBytes
        | Class::QuotaExceeded
        | Class::Credentials
        | Class::Overloaded
        | Class::Upstream
        | Class::Malformed
        | Class::Truncated
        | Class::Internal => NoAnswer::Failed(reason),
    }
}

/// The text of a completion; empty where it has none.
fn said(body: &[u8]) -> String {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    match &document["choices"][0]["message"]["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use meshlog_connectors::{
        calls::Config,
        providers::{
            Mode, Provider,
            replay::{Pace, Recorded, Recordings, Replay},
        },
    };
    use meshlog_pipeline::{ClearSealer, MemoryLog, default_layout};
    use tokio::runtime::Runtime;

    use super::*;
    use crate::house::calls::log::CallLogPort;

    #[test]
    fn of_a_completion_the_text_is_taken() {
        let of =
            |content: &str| said(format!(r#"{{"choices": [{{"message": {{"content": {content}}}}}]}}"#).as_bytes());
        assert_eq!([of("\"Oslo\""), of("null"), of("7"), said(b"oops")], ["Oslo", "", "", ""]);
        assert_eq!(of(r#"[{"type": "text", "text": "Os"}, {"type": "x"}, {"type": "text", "text": "lo"}]"#), "Oslo");
    }

    /// Answers every request but those that say "missing", and counts them.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Recordings for Counting {
        fn find(&self, _: Kind, _: Mode, body: &[u8]) -> Result<Option<Recorded>, String> {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            if body.windows(7).any(|word| word == b"missing") {
                return Ok(None);
            }
            let usage = r#""usage": {"prompt_tokens": 70, "completion_tokens": 30, "total_tokens": 100}"#;
            let choice = format!(
                r#"{{"index": 0, "finish_reason": "stop", "message": {{"role": "assistant", "content": "answer {number}"}}}}"#
            );
            let body =
                format!(r#"{{"id": "x", "object": "chat.completion", "model": "m", "choices": [{choice}], {usage}}}"#);
            let content_type = "application/json".to_owned();
            Ok(Some(Recorded { content_type, headers: Default::default(), pieces: Vec::new(), body: body.into() }))
        }
    }

    /// A process that asks, over a log that outlives it.
    fn asker(events: &EventLog, runtime: &Runtime, asked: &Arc<Counting>, tokens_per_day: u64) -> Asker {
        let config = "[[providers]]\nname = \"p\"\nkind = \"local\"\n[[models]]\nname = \"*\"\ntargets = [\"p/*\"]";
        let config = Config::parse(config).unwrap();
        let provider: Arc<dyn Provider> = Arc::new(Replay::new("p", asked.clone(), Pace::AtOnce));
        let log = Arc::new(CallLogPort::new(events.clone(), "node"));
        let dispatcher = Dispatcher::new(&config, vec![provider], log, "node".to_owned()).unwrap();
        let ledger = Arc::new(Ledger::new(events.clone()));
        Asker::new(dispatcher, runtime.handle().clone(), events.clone(), ledger, "knowledge", tokens_per_day)
    }

    fn question(text: &str) -> Question<'static> {
        let body = format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": "{text}"}}]}}"#);
        Question { id: EventId::of_source("s", text), space: "s", thread: "t", body: body.into_bytes() }
    }

    fn log() -> (EventLog, Runtime, Arc<Counting>) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        (EventLog::new(Arc::new(MemoryLog::new(default_layout())), Arc::new(ClearSealer)), runtime, Arc::default())
    }

    #[test]
    fn a_question_is_answered_once_whichever_process_asks() {
        let (events, runtime, asked) = log();
        let first = asker(&events, &runtime, &asked, 10_000);
        assert_eq!(first.ask(&question("who?")).unwrap(), "answer 0");
        assert_eq!(first.ask(&question("who?")).unwrap(), "answer 0");
        let second = asker(&events, &runtime, &asked, 10_000);
        assert_eq!(second.ask(&question("who?")).unwrap(), "answer 0");
        assert_eq!(second.ask(&question("what?")).unwrap(), "answer 1");
        assert_eq!(first.ask(&question("what?")).unwrap(), "answer 1", "it follows what others ask");
        assert_eq!(asked.0.load(Ordering::Relaxed), 2);
        // What is said to a model for ourselves is nobody's turn.
        let messages = events.partitions(meshlog_schemas::Topic::Messages);
        assert!(messages.into_iter().all(|partition| events.log().bounds(partition).unwrap().end == 0));
    }

    #[test]
    fn what_failed_is_asked_anew_and_what_nobody_can_answer_is_refused() {
        let (events, runtime, asked) = log();
        let asker = asker(&events, &runtime, &asked, 10_000);
        for number in 1..=3 {
            assert!(matches!(asker.ask(&question("missing")), Err(NoAnswer::Refused(_))));
            assert_eq!(asked.0.load(Ordering::Relaxed), number);
        }
    }

    #[test]
    fn beyond_the_tokens_of_a_day_nothing_is_asked_also_by_the_next_process() {
        let (events, runtime, asked) = log();
        let first = asker(&events, &runtime, &asked, 150);
        assert!(first.ask(&question("one")).is_ok() && first.ask(&question("two")).is_ok());
        let is_later = |answer: Result<String, NoAnswer>| matches!(answer, Err(NoAnswer::Later(reason)) if reason.contains("150 tokens"));
        assert!(is_later(first.ask(&question("three"))));
        let second = asker(&events, &runtime, &asked, 150);
        let begun = std::time::Instant::now();
        assert!(is_later(second.ask(&question("three"))) && begun.elapsed() < Duration::from_secs(5));
        assert_eq!(second.ask(&question("two")).unwrap(), "answer 1", "what is known costs nothing");
        assert_eq!(asked.0.load(Ordering::Relaxed), 2);
        assert!(asker(&events, &runtime, &asked, 300).ask(&question("three")).is_ok());
    }

    #[test]
    fn after_failures_a_provider_is_left_alone_longer_each_time_and_at_most_ten_minutes() {
        let mut rest = Rest::default();
        assert_eq!(rest.reason_to_wait(), None);
        let left = |rest: &Rest| rest.until.unwrap().duration_since(Instant::now()).as_secs_f64();
        for seconds in [0.5, 1.0, 2.0, 4.0] {
            rest.begin(None, "no connection");
            assert!((left(&rest) - seconds).abs() < 0.3, "{seconds}");
        }
        assert_eq!(rest.reason_to_wait().as_deref(), Some("no connection; it is left alone for a while"));
        rest.begin(Some(Duration::from_secs(60)), "limit");
        assert!(left(&rest) > 59.0);
        for _ in 0..100 {
            rest.begin(Some(Duration::from_secs(9_000)), "limit");
        }
        assert!(left(&rest) <= 600.0);
    }

    #[test]
    fn a_server_that_ends_asks_nobody_any_more() {
        let (events, runtime, asked) = log();
        let asker = asker(&events, &runtime, &asked, 10_000);
        runtime.block_on(asker.dispatcher.close());
        assert!(matches!(asker.ask(&question("who?")), Err(NoAnswer::Later(_))));
        assert_eq!(asked.0.load(Ordering::Relaxed), 0);
    }
}
