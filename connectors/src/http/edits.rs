//! Edits: what a message says from now on.
//!
//! Promises: the message is looked up through this node's own routes, so that it can be edited at every node, wherever its views
//! are.
//! Never: changes what was taken in. An edit is an event behind it, which every stage and store reads.

use axum::{Extension, extract::State, http::HeaderMap};

use super::{
    Gateway,
    context::{Asker, Routes, encoded},
    extract::{JsonBody, Parameters},
    memory::{Taken, write},
    messages::WriteQuery,
};
use crate::{
    api::{MemoryReceipt, Message, MessageEdit, MessageRedaction},
    checks,
    ports::{MemoryWrite, Written},
    problem::{Code, Problem},
};

/// Has a message say something else, in the place where it was said. It is found by its new words alone, and facts are those of
/// the new words; what it said before stays in the log, and `/v1/events` shows it. Of several edits the last on the log counts.
#[utoipa::path(
    post,
    path = "/v1/memory/edits",
    tag = "memory",
    operation_id = "edit_message",
    params(WriteQuery),
    request_body = MessageEdit,
    responses((status = 202, description = "It is durable", body = MemoryReceipt))
)]
pub(super) async fn edit(
    State(gateway): State<Gateway>,
    Extension(routes): Extension<Routes>,
    headers: HeaderMap,
    Parameters(query): Parameters<WriteQuery>,
    JsonBody(edit): JsonBody<MessageEdit>,
) -> Result<Taken, Problem> {
    checks::edit(&edit)?;
    let MessageEdit { message_id, space, text, author, reason } = edit;
    let message = message(&Asker::new(&routes, &headers), &space, &message_id).await?;
    let what = Written::Edit { message: Box::new(message), text, is_redacted: false };
    write(&gateway, query, MemoryWrite { space, author, reason, what }).await
}

/// Takes back what a message said, or a part of it. The message stays in its place, with what is left. What it said before is in no
/// answer any more, nor in events or in the bodies of calls that were made for its thread until now. The events stay in the log until
/// its retention takes them.
#[utoipa::path(
    post,
    path = "/v1/memory/redactions",
    tag = "memory",
    operation_id = "redact_message",
    params(WriteQuery),
    request_body = MessageRedaction,
    responses((status = 202, description = "It is durable", body = MemoryReceipt))
)]
pub(super) async fn redact(
    State(gateway): State<Gateway>,
    Extension(routes): Extension<Routes>,
    headers: HeaderMap,
    Parameters(query): Parameters<WriteQuery>,
    JsonBody(redaction): JsonBody<MessageRedaction>,
) -> Result<Taken, Problem> {
    checks::redaction(&redaction)?;
    let MessageRedaction { message_id, space, text, author, reason } = redaction;
    let message = message(&Asker::new(&routes, &headers), &space, &message_id).await?;
    let text = text.filter(|text| !text.trim().is_empty()).unwrap_or_default();
    let what = Written::Edit { message: Box::new(message), text, is_redacted: true };
    write(&gateway, query, MemoryWrite { space, author, reason, what }).await
}

/// The message of this id in the space.
///
/// # Errors
/// `unknown_message` if there is none; or it cannot be asked for.
pub(super) async fn message(asker: &Asker, space: &str, id: &str) -> Result<Message, Problem> {
    let message: Message = asker.get(&format!("/v1/messages/{}", encoded(id))).await?;
    if message.space == space {
        return Ok(message);
    }
    let detail =
        format!("there is no message {} in the space \"{}\"", message.message_id, crate::problem::quote(space));
    Err(Problem::new(Code::UnknownMessage, detail, "name the space of the message").with("field", "space"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::fake::{Fake, ask, post_json};

    #[tokio::test]
    async fn an_edit_goes_with_the_message_that_it_is_of() {
        let fake = Fake::new();
        fake.append("conv-1", "we sail at noon");
        let body = json!({"message_id": "m0", "text": "we sail at one", "author": "Eve", "reason": "a slip"});
        let reply = ask(fake.router(), post_json("/v1/memory/edits", body.to_string())).await;
        assert_eq!(reply.status.as_u16(), 202, "{}", reply.text());
        for (left, expected) in [(json!("we sail"), "we sail"), (json!(" "), ""), (json!(null), "")] {
            let body = json!({"message_id": "m0", "text": left, "author": "Eve"});
            let reply = ask(fake.router(), post_json("/v1/memory/redactions", body.to_string())).await;
            assert_eq!(reply.status.as_u16(), 202, "{}", reply.text());
            let Some(Written::Edit { text, is_redacted: true, .. }) = fake.writes().pop().map(|write| write.what)
            else {
                panic!("a redaction");
            };
            assert_eq!(text, expected);
        }
        let first = fake.writes().remove(0);
        let Written::Edit { message, text, is_redacted } = first.what else { panic!("an edit") };
        assert_eq!((message.text.as_str(), message.thread_id.as_str()), ("we sail at noon", "conv-1"));
        assert_eq!((text.as_str(), is_redacted, first.author.as_str()), ("we sail at one", false, "Eve"));
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused_and_an_unknown_message_is_none() {
        let (edits, redactions) = ("/v1/memory/edits", "/v1/memory/redactions");
        let huge = "x".repeat(checks::TEXT_LIMIT + 1);
        for (path, body, code) in [
            (edits, json!({"message_id": "m0", "text": " ", "author": "Eve"}), "invalid_field"),
            (edits, json!({"message_id": "m0", "text": huge, "author": "Eve"}), "message_too_large"),
            (edits, json!({"message_id": "m0", "author": "Eve"}), "missing_field"),
            (edits, json!({"message_id": "", "text": "x", "author": "Eve"}), "invalid_field"),
            (redactions, json!({"message_id": "m0"}), "missing_field"),
            (redactions, json!({"message_id": "m0", "text": huge, "author": "Eve"}), "message_too_large"),
            (redactions, json!({"message_id": "m9", "author": "Eve"}), "unknown_message"),
            (redactions, json!({"message_id": "a/b", "author": "Eve"}), "unknown_message"),
            (edits, json!({"message_id": "m0", "space": "home", "text": "x", "author": "Eve"}), "unknown_message"),
        ] {
            let fake = Fake::new();
            fake.append("conv-1", "we sail at noon");
            let problem = ask(fake.router(), post_json(path, body.to_string())).await.problem();
            assert_eq!(problem.code(), code, "{problem:?}");
            assert!(fake.writes().is_empty());
        }
    }
}
