//! Calls of models, and what they used.

use std::sync::Arc;

use meshlog_connectors::{
    api::{Attempt, Call, Day, Page, Timestamp, Tokens, Usage, UsageField, UsageSums, Usd},
    calls::OWN_LABEL,
    context::has_context,
    ports::{Answer, CallRecords, CallSelection, KeptBody, PageRequest, UsageSelection},
    problem::{Code, Problem},
};
use meshlog_pipeline::{LogError, ReadLimit, UnreadableCause};
use meshlog_processors::{
    PageLimit,
    calls::{
        self, AttemptRow, CallRow, CallStore, Dimension, Group, GroupName, RequestRow, SettledRow, Tally, UsageQuery,
    },
};
use meshlog_schemas::{Event, EventId, Position, UnpackError};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{bad_cursor, blocking, call_store, from_cursor, problems, to_cursor};
use crate::house::rooms::Rooms;

/// How many bodies are read from the log at once: each may take some megabytes, several times over.
const READERS: usize = 4;

pub(super) struct CallRecordsPort {
    rooms: Arc<Rooms>,
    turns: Arc<Semaphore>,
}

impl CallRecordsPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self { rooms, turns: Arc::new(Semaphore::new(READERS)) }
    }

    /// A body of a call, from where its row says that it stands.
    fn body(
        &self,
        id: String,
        read: impl FnOnce(&Rooms, CallRow) -> Result<KeptBody, Problem> + Send + 'static,
    ) -> Answer<'_, Option<KeptBody>> {
        Box::pin(async move {
            // Invariant: the semaphore is never closed.
            let turn = self.turns.clone().acquire_owned().await;
            blocking(&self.rooms, move |rooms| {
                // Held by the thread: a client that leaves does not end what was begun.
                let _turn = turn;
                let Some(row) = row(rooms, &id)? else { return Ok(None) };
                if is_hidden(rooms, &row, row.key_label.starts_with(OWN_LABEL))? {
                    return Err(hidden(&row));
                }
                read(rooms, row).map(Some)
            })
            .await
        })
    }
}

impl CallRecords for CallRecordsPort {
    fn calls(&self, selection: CallSelection, page: PageRequest) -> Answer<'_, Page<Call>> {
        Box::pin(blocking(&self.rooms, move |rooms| {
            let selection = selected(&selection);
            let cursor = page.cursor.as_deref().map(from_cursor).transpose()?;
            if cursor.as_ref().is_some_and(|cursor| !CallStore::is_cursor_of(&selection, cursor)) {
                return Err(bad_cursor());
            }
            let limit = PageLimit { items: page.items, bytes: page.bytes };
            let found = call_store(rooms)?.calls(&selection, limit, cursor.as_deref()).map_err(problems::from_store)?;
            Ok(Page { items: found.items.into_iter().map(call).collect(), next: found.next.as_deref().map(to_cursor) })
        }))
    }

    fn call(&self, id: String) -> Answer<'_, Option<Call>> {
        Box::pin(blocking(&self.rooms, move |rooms| Ok(row(rooms, &id)?.map(call))))
    }

    fn request(&self, id: String) -> Answer<'_, Option<KeptBody>> {
        self.body(id, |rooms, row| {
            let Some(position) = row.request.as_ref().map(|request| request.position) else {
                return Err(removed(&row));
            };
            match event(rooms, position)? {
                Some(Event::CallRequested(body)) if body.call_id.0 == row.call_id => {
                    if has_context(&body.body) && is_hidden(rooms, &row, true)? {
                        return Err(hidden(&row));
                    }
                    // Whatever the wire's name: every provider is asked in JSON.
                    let media_type = "application/json".to_owned();
                    Ok(KeptBody { media_type, bytes: body.body, is_partial: false })
                }
                Some(_) => Err(another(position)),
                None => Err(removed(&CallRow { request: None, ..row })),
            }
        })
    }

    fn response(&self, id: String) -> Answer<'_, Option<KeptBody>> {
        self.body(id, |rooms, row| {
            let Some(settled) =
                row.settled.as_ref().filter(|settled| !settled.response_type.is_empty() || settled.response_bytes > 0)
            else {
                return Err(unanswered(&row));
            };
            let position = settled.position;
            match event(rooms, position)? {
                Some(Event::CallSettled(body)) if body.call_id.0 == row.call_id => {
                    let bytes = body.answer().map_err(|error| unreadable(position, &error))?;
                    let is_partial = body.response_bytes > bytes.len() as i64;
                    Ok(KeptBody { is_partial, media_type: body.response_type, bytes })
                }
                Some(_) => Err(another(position)),
                None => Err(removed(&row)),
            }
        })
    }

    fn usage(&self, selection: UsageSelection, most_rows: usize) -> Answer<'_, Option<Usage>> {
        Box::pin(blocking(&self.rooms, move |rooms| {
            let UsageSelection { by, space, provider, model, key, from, to } = selection;
            let dimensions = by.iter().copied().map(dimension).collect();
            let (from_day, to_day) = (from.map(Day::number), to.map(Day::number));
            let query = UsageQuery { by: dimensions, space, provider, model, key, from_day, to_day };
            let found = call_store(rooms)?.usage(&query, most_rows).map_err(problems::from_store)?;
            Ok(found.map(|usage| Usage {
                usage: usage.groups.into_iter().map(|group| sums_of(&by, group)).collect(),
                total: sums(&usage.total),
            }))
        }))
    }

    fn cursor_of(&self, selection: &CallSelection, call: &Call) -> String {
        // Every node gives ids of ours; what is none stands in no list.
        let Ok(EventId(id)) = call.call_id.parse() else { return String::new() };
        to_cursor(&CallStore::cursor_of(&selected(selection), call.requested_at.micros(), id))
    }
}

/// A call's row; what is no id of ours names none.
fn row(rooms: &Rooms, id: &str) -> Result<Option<CallRow>, Problem> {
    let Ok(EventId(id)) = id.parse() else { return Ok(None) };
    call_store(rooms)?.call(id).map_err(problems::from_store)
}

/// The event at a position; `None` where retention has taken it away.
fn event(rooms: &Rooms, position: Position) -> Result<Option<Event>, Problem> {
    let one = ReadLimit { records: 1, bytes: usize::MAX };
    match rooms.events.read(position.partition, position.offset, one) {
        Err(LogError::OutOfRange { start, .. }) if start > position.offset => Ok(None),
        Err(error) => Err(problems::from_log(error)),
        Ok(entries) => match entries.into_iter().next() {
            None => Err(another(position)),
            Some(Ok(stored)) if stored.position == position => Ok(Some(stored.event)),
            Some(Ok(_)) => Ok(None),
            Some(Err(unreadable)) if unreadable.cause == UnreadableCause::Erased => Ok(None),
            Some(Err(unreadable)) => Err(Problem::internal(format!("{position}: {}", unreadable.cause))),
        },
    }
}

/// Whether nobody is to be shown what was asked and answered; `may_quote` says that it tells what memory held of the space.
fn is_hidden(rooms: &Rooms, call: &CallRow, may_quote: bool) -> Result<bool, Problem> {
    let (space, at) = (&call.space, call.requested_at);
    let look = rooms.hidden.look(|hidden| {
        let is_of_thread = call.thread.as_ref().is_some_and(|thread| hidden.has_call(space, thread, at));
        is_of_thread || may_quote && hidden.has_quotes(space, at)
    });
    look.map_err(problems::from_log)
}

fn hidden(call: &CallRow) -> Problem {
    let detail = format!("something that the call {} tells may be forgotten or redacted", call.call_id);
    Problem::new(
        Code::EventsRemoved,
        detail,
        "nothing to do: what its row says of it is kept, its bodies are not shown",
    )
}

fn removed(call: &CallRow) -> Problem {
    let what = if call.request.is_some() { "answer" } else { "request" };
    let detail = format!("the {what} of the call {} is no longer in the log", call.call_id);
    Problem::new(Code::EventsRemoved, detail, "nothing to do: what its row says of it is kept, its bodies are not")
}

fn unanswered(call: &CallRow) -> Problem {
    let detail = match &call.settled {
        None => format!("the call {} is open", call.call_id),
        Some(_) => format!("the call {} ended without an answer: {}", call.call_id, call.state),
    };
    Problem::new(Code::NoResponse, detail, "GET /v1/calls/{id} shows what was tried").with("state", call.state.clone())
}

/// The log has another event where a row says that a call stands.
fn another(position: Position) -> Problem {
    let detail = format!("at {position} stands another event than the view of calls says");
    Problem::new(Code::Internal, detail, "rebuild the view with \"meshlog replay rebuild calls\"")
}

/// An answer that was recorded in a form which cannot be read.
fn unreadable(position: Position, error: &UnpackError) -> Problem {
    let detail = format!("the answer at {position} cannot be read: {error}");
    Problem::new(Code::Internal, detail, "see that this meshlog is not older than the one that wrote the log")
}

fn selected(selection: &CallSelection) -> calls::CallSelection {
    let CallSelection { space, thread, state } = selection.clone();
    calls::CallSelection { space, thread, state }
}

fn call(row: CallRow) -> Call {
    let (request, settled) = (row.request, row.settled);
    let of_request = |field: fn(&RequestRow) -> &String| request.as_ref().map(|request| field(request).clone());
    // What is empty is not there.
    let said = |field: fn(&SettledRow) -> &String| settled.as_ref().map(field).filter(|text| !text.is_empty()).cloned();
    let number =
        |field: fn(&SettledRow) -> i64, is_there: fn(&i64) -> bool| settled.as_ref().map(field).filter(is_there);
    let millis = |micros: i64| micros as f64 / 1e3;
    Call {
        call_id: row.call_id.to_string(),
        space: row.space,
        thread_id: row.thread,
        key_label: row.key_label,
        kind: row.kind,
        asked_model: row.model,
        state: row.state,
        requested_at: Timestamp::from_micros(row.requested_at),
        request_position: request.as_ref().map(|request| request.position.into()),
        mode: of_request(|request| &request.mode),
        wire: of_request(|request| &request.wire),
        owner: of_request(|request| &request.owner),
        idempotency_key: request.as_ref().and_then(|request| request.idempotency_key.clone()),
        attempts: row.attempts.into_iter().map(attempt).collect(),
        settled_at: settled.as_ref().map(|settled| Timestamp::from_micros(settled.settled_at)),
        settled_position: settled.as_ref().map(|settled| settled.position.into()),
        error_class: said(|settled| &settled.error_class),
        error_message: said(|settled| &settled.error_message),
        status: settled.as_ref().map(|settled| settled.status).filter(|status| *status != 0),
        attempts_made: settled.as_ref().map(|settled| settled.attempts),
        provider: said(|settled| &settled.provider),
        model: said(|settled| &settled.model),
        answered_model: said(|settled| &settled.answered_model),
        finish_reason: said(|settled| &settled.finish_reason),
        first_output_ms: number(|settled| settled.first_output_micros, |micros| *micros >= 0).map(millis),
        total_ms: number(|settled| settled.total_micros, |_| true).map(millis),
        usage_source: said(|settled| &settled.usage_source),
        tokens: settled.as_ref().map(tokens),
        cost_usd: number(|settled| settled.cost_nanos, |nanos| *nanos >= 0).map(Usd::from_nanos),
        price_table: said(|settled| &settled.price_table),
        usage: said(|settled| &settled.usage).map(json),
        request_id: settled.as_ref().and_then(|settled| settled.request_id.clone()),
        headers: said(|settled| &settled.headers).map(json),
        response_wire: said(|settled| &settled.wire),
        response_type: said(|settled| &settled.response_type),
        response_bytes: number(|settled| settled.response_bytes, |_| true),
    }
}

fn attempt(row: AttemptRow) -> Attempt {
    let failure = row.failure.as_ref();
    Attempt {
        number: row.number,
        provider: row.provider,
        model: row.model,
        started_at: row.started_at.map(Timestamp::from_micros),
        failed_at: failure.map(|failure| Timestamp::from_micros(failure.failed_at)),
        class: failure.map(|failure| failure.class.clone()),
        status: failure.map(|failure| failure.status).filter(|status| *status != 0),
        retry_after_ms: failure.map(|failure| failure.retry_after_ms).filter(|after| *after >= 0),
        message: failure.map(|failure| failure.message.clone()),
        idempotency_key: row.idempotency_key,
    }
}

fn tokens(row: &SettledRow) -> Tokens {
    tokens_of(&Tally {
        input_tokens: row.input_tokens,
        cache_write_tokens: row.cache_write_tokens,
        cache_read_tokens: row.cache_read_tokens,
        output_tokens: row.output_tokens,
        reasoning_tokens: row.reasoning_tokens,
        ..Tally::default()
    })
}

/// The JSON that a text holds, or the text where it holds none.
fn json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn dimension(field: UsageField) -> Dimension {
    match field {
        UsageField::Space => Dimension::Space,
        UsageField::Provider => Dimension::Provider,
        UsageField::Model => Dimension::Model,
        UsageField::Key => Dimension::Key,
        UsageField::Day => Dimension::Day,
        UsageField::Kind => Dimension::Kind,
    }
}

/// The sums of a group, with what it is of.
fn sums_of(by: &[UsageField], group: Group) -> UsageSums {
    let mut row = sums(&group.tally);
    for (field, name) in by.iter().zip(group.names) {
        let name = match name {
            GroupName::Day(day) => {
                row.day = Some(Day::from_number(day));
                continue;
            }
            GroupName::Name(name) => Some(name),
        };
        match field {
            UsageField::Space => row.space = name,
            UsageField::Provider => row.provider = name,
            UsageField::Model => row.model = name,
            UsageField::Key => row.key = name,
            UsageField::Kind => row.kind = name,
            // A day is no name.
            UsageField::Day => {}
        }
    }
    row
}

fn sums(tally: &Tally) -> UsageSums {
    UsageSums {
        calls: tally.calls,
        completed: tally.completed,
        truncated: tally.truncated,
        failed: tally.failed,
        cancelled: tally.cancelled,
        interrupted: tally.interrupted,
        attempts: tally.attempts,
        tokens: tokens_of(tally),
        cost_usd: Usd::from_nanos(tally.cost_nanos),
        unpriced: tally.unpriced,
        estimated: tally.estimated,
        without_usage: tally.without_usage,
        ..UsageSums::default()
    }
}

fn tokens_of(tally: &Tally) -> Tokens {
    let (input, cache_write, cache_read) = (tally.input_tokens, tally.cache_write_tokens, tally.cache_read_tokens);
    let (output, reasoning) = (tally.output_tokens, tally.reasoning_tokens);
    let all = [input, cache_write, cache_read, output, reasoning];
    Tokens { input, cache_write, cache_read, output, reasoning, total: all.into_iter().fold(0, i64::saturating_add) }
}
