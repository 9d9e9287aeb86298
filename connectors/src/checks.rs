//! Checks: what a gateway refuses before the rest of the house sees it.
//!
//! Owns: the limits on what clients may send, and the problems that name them.
//! Never: looks at the log or at a store.

use meshlog_schemas::Topic;

use crate::{
    api::{
        CALL_STATES, ContextRequest, DeadLetterSelection, DiscardRequest, FAILURE_CLASSES, FactCorrection, FileRequest,
        ForgetRequest, MessageEdit, MessageRedaction, NameLink, NewInsight, NewMessage, NewSubscription,
        RebuildRequest, RecallRequest, RetentionRequest, VerifyRequest,
    },
    ports::{CallSelection, CheckedMessage, EventFilter, UsageSelection},
    problem::{Code, Problem, quote},
};

/// The largest text of a message, in bytes of UTF-8.
pub const TEXT_LIMIT: usize = 1024 * 1024;
/// The longest id, space, thread, author, subscriber or cursor, in bytes of UTF-8.
pub const NAME_LIMIT: usize = 512;
/// The longest query, in bytes of UTF-8.
pub const QUERY_LIMIT: usize = 16 * 1024;
/// The least and the most tokens of a context.
pub const BUDGET: (u64, u64) = (128, 200_000);
/// The most results one recall may ask for.
pub const RECALL_LIMIT: u32 = 200;
/// The most names one condition of a recall may list.
pub const CONDITION_LIMIT: usize = 100;
/// The longest reason, in bytes of UTF-8.
pub const REASON_LIMIT: usize = 4096;
/// The longest insight, in bytes of UTF-8: every context of its thread or space has it.
pub const INSIGHT_LIMIT: usize = 8 * 1024;
/// The most days that a space may be told to remember; for longer it is for ever.
pub const KEEP_DAYS_LIMIT: u64 = 36_500;
/// What nodes of the graph can be.
pub const NODE_KINDS: [&str; 7] = ["person", "organisation", "place", "product", "topic", "url", "code-symbol"];

/// Lets a message through to the log, or says what is wrong with it.
///
/// # Errors
/// `invalid_field` for a name that is blank, too long or holds control characters, and for a blank text;
/// `message_too_large` for a text over [`TEXT_LIMIT`].
pub fn message(message: NewMessage) -> Result<CheckedMessage, Problem> {
    if let Some(id) = &message.id {
        name("id", id)?;
    }
    name("space", &message.space)?;
    name("thread", &message.thread)?;
    name("author", &message.author)?;
    text(&message.text)?;
    Ok(CheckedMessage {
        source_id: message.id,
        space: message.space,
        thread: message.thread,
        author: message.author,
        role: message.role,
        sent_at: message.sent_at,
        text: message.text,
    })
}

/// Lets a question through to memory, or says what is wrong with it.
///
/// # Errors
/// `invalid_field` for a blank or overlong query and for conditions with too many or senseless names; `out_of_range` for
/// a limit outside 1 to [`RECALL_LIMIT`].
pub fn recall(request: &RecallRequest) -> Result<(), Problem> {
    if request.query.trim().is_empty() {
        return Err(blank("query"));
    }
    if request.query.len() > QUERY_LIMIT {
        return Err(too_long("query", QUERY_LIMIT, request.query.len()));
    }
    range("limit", request.limit.into(), 1, RECALL_LIMIT.into())?;
    for (field, names) in [("spaces", &request.spaces), ("threads", &request.threads), ("authors", &request.authors)] {
        condition(field, names)?;
    }
    Ok(())
}

/// Lets a request for a context through, or says what is wrong with it.
///
/// # Errors
/// `missing_field` if it names neither a thread nor a query; `invalid_field` for names and queries that make no sense;
/// `out_of_range` for a budget outside of [`BUDGET`].
pub fn context(request: &ContextRequest) -> Result<(), Problem> {
    name("space", &request.space)?;
    if request.thread.is_none() && request.query.is_none() {
        let detail = "neither a thread nor a query is named, so there is nothing to make a context for";
        return Err(Problem::new(Code::MissingField, detail, "send thread, query or both").with("field", "thread"));
    }
    request.thread.as_ref().map_or(Ok(()), |thread| name("thread", thread))?;
    if let Some(query) = &request.query {
        if query.trim().is_empty() {
            return Err(blank("query"));
        }
        if query.len() > QUERY_LIMIT {
            return Err(too_long("query", QUERY_LIMIT, query.len()));
        }
    }
    range("budget_tokens", request.budget_tokens.into(), BUDGET.0, BUDGET.1)
}

/// Lets an insight through, or says what is wrong with it (`invalid_field`).
pub fn insight(insight: &NewInsight) -> Result<(), Problem> {
    optional_name("id", insight.id.as_deref())?;
    name("space", &insight.space)?;
    optional_name("thread", insight.thread.as_deref())?;
    if insight.text.trim().is_empty() {
        return Err(blank("text"));
    }
    if insight.text.len() > INSIGHT_LIMIT {
        return Err(too_long("text", INSIGHT_LIMIT, insight.text.len()));
    }
    condition("sources", &insight.sources)?;
    written(&insight.author, &insight.reason)
}

/// Lets a correction through, or says what is wrong with it (`invalid_field`).
pub fn correction(correction: &FactCorrection) -> Result<(), Problem> {
    name("space", &correction.space)?;
    for (field, value) in [("subject", &correction.subject), ("object", &correction.object)] {
        optional_name(field, value.as_deref())?;
    }
    if let Some(relation) = &correction.relation {
        relation_name("relation", relation)?;
    }
    if let Some(polarity) = correction.polarity.as_deref() {
        one_of("polarity", polarity, &["affirmed", "denied"])?;
    }
    if let (Some(from), Some(until)) = (&correction.valid_from, &correction.valid_until)
        && until.micros() <= from.micros()
    {
        let detail = "valid_until is not later than valid_from, so the fact would never hold";
        return Err(Problem::new(Code::InvalidField, detail, "send a later valid_until").with("field", "valid_until"));
    }
    written(&correction.author, &correction.reason)
}

/// Lets an edit of a message through, or says what is wrong with it (`invalid_field`, `message_too_large`).
pub fn edit(edit: &MessageEdit) -> Result<(), Problem> {
    name("space", &edit.space)?;
    name("message_id", &edit.message_id)?;
    text(&edit.text)?;
    written(&edit.author, &edit.reason)
}

/// Lets a redaction of a message through, or says what is wrong with it (`invalid_field`, `message_too_large`).
pub fn redaction(redaction: &MessageRedaction) -> Result<(), Problem> {
    name("space", &redaction.space)?;
    name("message_id", &redaction.message_id)?;
    // Blank is nothing.
    redaction.text.as_deref().filter(|left| !left.trim().is_empty()).map_or(Ok(()), text)?;
    written(&redaction.author, &redaction.reason)
}

/// What is to be forgotten, by its scope and name, or what is wrong with the request (`missing_field` if it names nothing,
/// `invalid_field`).
pub fn forgetting(request: &ForgetRequest) -> Result<(&'static str, String), Problem> {
    name("space", &request.space)?;
    written(&request.author, &request.reason)?;
    let named = [
        ("message_id", "message", request.message_id.clone()),
        ("thread", "thread", request.thread.clone()),
        ("said_by", "author", request.said_by.clone()),
        ("fact_id", "fact", request.fact_id.clone()),
        ("insight_id", "insight", request.insight_id.clone()),
        ("everything", "space", request.everything.then(|| request.space.clone())),
    ];
    let mut named = named.into_iter().filter_map(|(field, scope, target)| Some((field, scope, target?)));
    let help = "send exactly one of message_id, thread, said_by, fact_id, insight_id and everything";
    let Some((field, scope, target)) = named.next() else {
        let detail = "nothing is named that is to be forgotten";
        return Err(Problem::new(Code::MissingField, detail, help).with("field", "message_id"));
    };
    if let Some((other, ..)) = named.next() {
        let detail = format!("both {field} and {other} are named");
        return Err(Problem::new(Code::InvalidField, detail, help).with("field", other));
    }
    name(field, &target)?;
    if request.before.is_some() && !matches!(scope, "thread" | "author" | "space") {
        let detail = format!("before means nothing where {field} is forgotten");
        return Err(Problem::new(Code::InvalidField, detail, "leave before out").with("field", "before"));
    }
    Ok((scope, target))
}

/// Lets the filing of a thread through, or says what is wrong with it (`invalid_field`).
pub fn filing(request: &FileRequest) -> Result<(), Problem> {
    name("space", &request.space)?;
    name("thread", &request.thread)?;
    written(&request.author, &request.reason)
}

/// Lets a retention through, or says what is wrong with it (`invalid_field`, `out_of_range`).
pub fn retention(request: &RetentionRequest) -> Result<(), Problem> {
    name("space", &request.space)?;
    if let Some(days) = request.keep_days {
        range("keep_days", days.into(), 1, KEEP_DAYS_LIMIT)?;
    }
    written(&request.author, &request.reason)
}

/// Lets a link between names through, or says what is wrong with it (`invalid_field`).
pub fn name_link(link: &NameLink) -> Result<(), Problem> {
    name("space", &link.space)?;
    node_kind(&link.kind)?;
    name("from", &link.from)?;
    name("into", &link.into)?;
    if link.from == link.into {
        let detail = "from and into are the same name";
        return Err(Problem::new(Code::InvalidField, detail, "send two names").with("field", "into"));
    }
    if !link.author.is_empty() {
        name("author", &link.author)?;
    }
    reason(&link.reason)
}

/// Checks that a kind is one of those that nodes have (`invalid_field`).
pub fn node_kind(kind: &str) -> Result<(), Problem> {
    one_of("kind", kind, &NODE_KINDS)
}

/// Checks that a kind is one of those that the other end of an edge has (`invalid_field`).
pub fn edge_kind(kind: &str) -> Result<(), Problem> {
    let kinds: Vec<_> = NODE_KINDS.into_iter().chain(["fact", "insight"]).collect();
    one_of("kind", kind, &kinds)
}

/// Checks the name of a relation: letters, digits and hyphens (`invalid_field`).
pub fn relation_name(field: &str, relation: &str) -> Result<(), Problem> {
    name(field, relation)?;
    if relation.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Ok(());
    }
    let detail = format!("{field} is \"{}\", which is no relation", quote(relation));
    Err(Problem::new(Code::InvalidField, detail, "send a relation as it stands in facts, such as works-at")
        .with("field", field))
}

fn one_of(field: &str, value: &str, allowed: &[&str]) -> Result<(), Problem> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let detail = format!("{field} is \"{}\", which is none of those there are", quote(value));
    Err(Problem::new(Code::InvalidField, detail, format!("send one of {}", allowed.join(", ")))
        .with("field", field)
        .with("allowed", allowed))
}

/// Checks who writes into the memory, and why.
fn written(author: &str, why: &str) -> Result<(), Problem> {
    name("author", author)?;
    reason(why)
}

fn reason(reason: &str) -> Result<(), Problem> {
    if reason.len() > REASON_LIMIT {
        return Err(too_long("reason", REASON_LIMIT, reason.len()));
    }
    Ok(())
}

/// Lets the conditions of a reader of events through, or says what is wrong with them (`invalid_field`).
pub fn events(filter: &EventFilter) -> Result<(), Problem> {
    condition("space", &filter.spaces)?;
    condition("type", &filter.types)?;
    optional_name("thread", filter.thread.as_deref())
}

/// Lets a selection of dead letters through, or says what is wrong with it (`invalid_field`, `unknown_topic`).
pub fn dead_letters(selection: &DeadLetterSelection) -> Result<(), Problem> {
    optional_name("processor", selection.processor.as_deref())?;
    if let Some(name) = &selection.topic {
        topic(name)?;
    }
    let Some(class) = selection.class.as_deref().filter(|class| !FAILURE_CLASSES.contains(class)) else {
        return Ok(());
    };
    let detail = format!("class is \"{}\", which is no class of dead letters", quote(class));
    Err(Problem::new(Code::InvalidField, detail, format!("send one of {}", FAILURE_CLASSES.join(", ")))
        .with("field", "class")
        .with("allowed", FAILURE_CLASSES.as_slice()))
}

/// Lets the decision to discard a dead letter through, or says what is wrong with it (`invalid_field`).
pub fn discard(request: &DiscardRequest) -> Result<(), Problem> {
    name("author", &request.author)?;
    if request.reason.trim().is_empty() {
        return Err(blank("reason"));
    }
    reason(&request.reason)
}

/// Lets a selection of calls through, or says what is wrong with it (`invalid_field`).
pub fn calls(selection: &CallSelection) -> Result<(), Problem> {
    name("space", &selection.space)?;
    optional_name("thread", selection.thread.as_deref())?;
    let Some(state) = selection.state.as_deref().filter(|state| !CALL_STATES.contains(state)) else { return Ok(()) };
    let detail = format!("state is \"{}\", which is no state of a call", quote(state));
    Err(Problem::new(Code::InvalidField, detail, format!("send one of {}", CALL_STATES.join(", ")))
        .with("field", "state")
        .with("allowed", CALL_STATES.as_slice()))
}

/// Lets the conditions on usage through, or says what is wrong with them (`invalid_field`). Where calls may have none, such as
/// a provider, a condition may be empty.
pub fn usage(selection: &UsageSelection) -> Result<(), Problem> {
    optional_name("space", selection.space.as_deref())?;
    for (field, wanted) in [("provider", &selection.provider), ("model", &selection.model), ("key", &selection.key)] {
        optional_name(field, wanted.as_deref().filter(|wanted| !wanted.is_empty()))?;
    }
    Ok(())
}

/// The topic of this name (`unknown_topic`).
pub fn topic(name: &str) -> Result<Topic, Problem> {
    name.parse().map_err(|_| {
        let names = Topic::ALL.map(Topic::name);
        let detail = format!("there is no topic \"{}\"", quote(name));
        Problem::new(Code::UnknownTopic, detail, format!("use one of {}", names.join(", ")))
            .with("allowed", names.as_slice())
    })
}

/// Lets a subscription through, or says what is wrong with it (`invalid_field`).
pub fn subscription(subscription: &NewSubscription) -> Result<(), Problem> {
    name("subscriber", &subscription.subscriber)?;
    name("space", &subscription.space)?;
    optional_name("thread", subscription.thread.as_deref())?;
    optional_name("author", subscription.author.as_deref())
}

/// Lets a rebuild through, or says what is wrong with it (`invalid_field`).
pub fn rebuild(request: &RebuildRequest) -> Result<(), Problem> {
    name("projection", &request.projection)
}

/// Lets a verification through, or says what is wrong with it (`invalid_field`).
pub fn verify(request: &VerifyRequest) -> Result<(), Problem> {
    optional_name("projection", request.projection.as_deref())
}

/// Checks a name: not blank, at most [`NAME_LIMIT`] bytes, no control characters (`invalid_field`).
pub fn name(field: &str, value: &str) -> Result<(), Problem> {
    if value.trim().is_empty() {
        return Err(blank(field));
    }
    if value.len() > NAME_LIMIT {
        return Err(too_long(field, NAME_LIMIT, value.len()));
    }
    let Some((place, character)) = value.char_indices().find(|(_, character)| character.is_control()) else {
        return Ok(());
    };
    let detail = format!("{field} holds the control character U+{:04X} at byte {place}", u32::from(character));
    Err(Problem::new(Code::InvalidField, detail, format!("send {field} without control characters"))
        .with("field", field))
}

/// Checks that a number lies from `least` to `most` (`out_of_range`).
pub fn range(field: &str, value: u64, least: u64, most: u64) -> Result<(), Problem> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let detail = format!("{field} is {value}; it must be from {least} to {most}");
    Err(Problem::new(Code::OutOfRange, detail, format!("send {field} from {least} to {most}"))
        .with("field", field)
        .with("minimum", least)
        .with("limit", most)
        .with("actual", value))
}

fn condition(field: &str, names: &[String]) -> Result<(), Problem> {
    if names.len() > CONDITION_LIMIT {
        let detail = format!("{field} lists {} names; at most {CONDITION_LIMIT} are allowed", names.len());
        return Err(Problem::new(Code::InvalidField, detail, "ask in several requests, or leave the condition out")
            .with("field", field)
            .with("limit", CONDITION_LIMIT)
            .with("actual", names.len()));
    }
    names.iter().enumerate().try_for_each(|(index, entry)| name(&format!("{field}[{index}]"), entry))
}

fn optional_name(field: &str, value: Option<&str>) -> Result<(), Problem> {
    value.map_or(Ok(()), |value| name(field, value))
}

fn text(text: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(blank("text"));
    }
    if text.len() <= TEXT_LIMIT {
        return Ok(());
    }
    let detail = format!("the text has {} bytes; a message holds at most {TEXT_LIMIT}", text.len());
    Err(Problem::new(Code::MessageTooLarge, detail, "split the text over several messages of the same thread")
        .with("field", "text")
        .with("limit", TEXT_LIMIT)
        .with("actual", text.len()))
}

fn blank(field: &str) -> Problem {
    Problem::new(Code::InvalidField, format!("{field} is blank"), format!("send {field} with content"))
        .with("field", field)
}

fn too_long(field: &str, limit: usize, actual: usize) -> Problem {
    Problem::new(
        Code::InvalidField,
        format!("{field} has {actual} bytes; at most {limit} are allowed"),
        format!("shorten {field}"),
    )
    .with("field", field)
    .with("limit", limit)
    .with("actual", actual)
}
