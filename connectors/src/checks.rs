//! Checks: what a gateway refuses before the rest of the house sees it.
//!
//! Owns: the limits on what clients may send, and the problems that name them.
//! Never: looks at the log or at a store.

use crate::{
    api::{NewMessage, NewSubscription, RebuildRequest, RecallRequest, VerifyRequest},
    ports::CheckedMessage,
    problem::{Code, Problem},
};

/// The largest text of a message, in bytes of UTF-8.
pub const TEXT_LIMIT: usize = 1024 * 1024;
/// The longest id, space, thread, author, subscriber or cursor, in bytes of UTF-8.
pub const NAME_LIMIT: usize = 512;
/// The longest query, in bytes of UTF-8.
pub const QUERY_LIMIT: usize = 16 * 1024;
/// The most results one recall may ask for.
pub const RECALL_LIMIT: u32 = 200;
/// The most names one condition of a recall may list.
pub const CONDITION_LIMIT: usize = 100;

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
        if names.len() > CONDITION_LIMIT {
            let detail = format!("{field} lists {} names; at most {CONDITION_LIMIT} are allowed", names.len());
            return Err(Problem::new(
                Code::InvalidField,
                detail,
                "ask in several requests, or leave the condition out",
            )
            .with("field", field)
            .with("limit", CONDITION_LIMIT)
            .with("actual", names.len()));
        }
        for (index, entry) in names.iter().enumerate() {
            name(&format!("{field}[{index}]"), entry)?;
        }
    }
    Ok(())
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
