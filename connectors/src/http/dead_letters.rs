//! Dead letters: showing what could not be processed, and settling it.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::{JsonBody, Name, Parameters},
    threads,
};
use crate::{
    api::{
        DeadLetter, DeadLetterId, DeadLetterRequest, DeadLetterSelection, DeadLetterView, DiscardRequest, Page,
        RedrivesRequested,
    },
    checks,
    ports::Redrive,
    problem::{Code, Problem, quote},
};

/// Which dead letters, and which piece of their list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLettersQuery {
    /// Only those of this processor.
    processor: Option<String>,
    /// Only those of this topic.
    topic: Option<String>,
    /// Only those of this ordering key.
    key: Option<String>,
    /// Only those of this class: `unreadable`, `permanent`, `exhausted`, `crashed` or `waiting`.
    class: Option<String>,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

/// The dead letters that nobody has settled yet, the oldest first.
///
/// A dead letter is an event that a processor could not process. The processor has gone on, but not with later events of
/// the same key: these wait behind it, in their order, and are dead letters of the class `waiting`.
#[utoipa::path(
    get,
    path = "/v1/dead-letters",
    tag = "operations",
    operation_id = "dead_letters",
    params(DeadLettersQuery),
    responses((status = 200, description = "A piece of the list", body = Page<DeadLetter>))
)]
pub(super) async fn list(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<DeadLettersQuery>,
) -> Result<Json<Page<DeadLetter>>, Problem> {
    let DeadLettersQuery { processor, topic, key, class, limit, cursor } = query;
    let selection = DeadLetterSelection { processor, topic, key, class };
    checks::dead_letters(&selection)?;
    let page = threads::page(limit, cursor)?;
    gateway.ports.dead_letters.list(selection, page).await.map(Json)
}

/// A dead letter with the event itself.
#[utoipa::path(
    get,
    path = "/v1/dead-letters/{id}",
    tag = "operations",
    operation_id = "dead_letter",
    params(("id" = String, Path, description = "The dead letter's id")),
    responses((status = 200, description = "The dead letter", body = DeadLetterView))
)]
pub(super) async fn show(State(gateway): State<Gateway>, Name(id): Name) -> Result<Json<DeadLetterView>, Problem> {
    let found = gateway.ports.dead_letters.get(named(&id)?).await?;
    found.map(Json).ok_or_else(|| unknown(&id))
}

/// Asks the processor to try the event again, and after it those that wait behind it.
///
/// The request is an event in the log; the processor acts on it when it reads it. If it fails again, it stays a dead
/// letter. One that waits behind another is refused with `dead_letter_waits`, which names that one as `head`.
#[utoipa::path(
    post,
    path = "/v1/dead-letters/{id}/redrive",
    tag = "operations",
    operation_id = "redrive_dead_letter",
    params(("id" = String, Path, description = "The dead letter's id")),
    responses((status = 202, description = "The request is durable", body = DeadLetterRequest))
)]
pub(super) async fn redrive(
    State(gateway): State<Gateway>,
    Name(id): Name,
) -> Result<(StatusCode, Json<DeadLetterRequest>), Problem> {
    match gateway.ports.dead_letters.redrive(named(&id)?).await? {
        Some(Redrive::Requested(position)) => {
            Ok((StatusCode::ACCEPTED, Json(DeadLetterRequest { id, position: position.into() })))
        }
        Some(Redrive::Waits(head)) => Err(waits(&id, &head)),
        None => Err(unknown(&id)),
    }
}

/// Asks for all that are selected and do not wait behind another. Without conditions, for all.
#[utoipa::path(
    post,
    path = "/v1/dead-letters/redrive",
    tag = "operations",
    operation_id = "redrive_dead_letters",
    request_body = DeadLetterSelection,
    responses((status = 202, description = "The requests are durable", body = RedrivesRequested))
)]
pub(super) async fn redrive_all(
    State(gateway): State<Gateway>,
    JsonBody(selection): JsonBody<DeadLetterSelection>,
) -> Result<(StatusCode, Json<RedrivesRequested>), Problem> {
    checks::dead_letters(&selection)?;
    let requested = gateway.ports.dead_letters.redrive_all(selection).await?;
    Ok((StatusCode::ACCEPTED, Json(RedrivesRequested { requested })))
}

/// Lets the processor go on without the event, for good. Who decided it, and why, stays in the log.
///
/// What waits behind it is processed then.
#[utoipa::path(
    post,
    path = "/v1/dead-letters/{id}/discard",
    tag = "operations",
    operation_id = "discard_dead_letter",
    params(("id" = String, Path, description = "The dead letter's id")),
    request_body = DiscardRequest,
    responses((status = 202, description = "The decision is durable", body = DeadLetterRequest))
)]
pub(super) async fn discard(
    State(gateway): State<Gateway>,
    Name(id): Name,
    JsonBody(request): JsonBody<DiscardRequest>,
) -> Result<(StatusCode, Json<DeadLetterRequest>), Problem> {
    checks::discard(&request)?;
    let DiscardRequest { author, reason } = request;
    let position = gateway.ports.dead_letters.discard(named(&id)?, author, reason).await?;
    let position = position.ok_or_else(|| unknown(&id))?.into();
    Ok((StatusCode::ACCEPTED, Json(DeadLetterRequest { id, position })))
}

/// The dead letter of this id. A text that is no id names none.
fn named(id: &str) -> Result<DeadLetterId, Problem> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Problem {
    let detail = format!("there is no dead letter {}, or it has been settled", quote(id));
    Problem::new(Code::UnknownDeadLetter, detail, "GET /v1/dead-letters lists the dead letters")
}

fn waits(id: &str, head: &DeadLetterId) -> Problem {
    let head = head.to_string();
    let detail = format!("{id} waits behind {head}, an earlier event of the same key that failed");
    let help = format!("redrive or discard {head}; what waits behind it is then processed in order");
    Problem::new(Code::DeadLetterWaits, detail, help).with("head", head)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use crate::http::fake::{Fake, ask, plain, post_json};

    /// Offset 1 of the first partition has failed; offset 2, of the same thread, waits behind it. In the second partition
    /// offset 0 cannot be read.
    fn three() -> Arc<Fake> {
        let fake = Fake::new();
        for (thread, text) in [("t0", "a"), ("t0", "b"), ("t0", "c"), ("t1", "d")] {
            fake.append(thread, text);
        }
        fake.park("embed@m", 0, 1, "permanent", None);
        fake.park("embed@m", 0, 2, "waiting", Some(1));
        fake.park("route", 1, 0, "unreadable", None);
        fake
    }

    async fn ids(fake: &Arc<Fake>, query: &str) -> Vec<String> {
        let page = ask(fake.router(), plain("GET", &format!("/v1/dead-letters?{query}"))).await.json();
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{page} is a page"));
        items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect()
    }

    #[tokio::test]
    async fn dead_letters_are_listed_the_oldest_first_and_by_condition() {
        let fake = three();
        let all = ["embed@m~messages~0~1", "embed@m~messages~0~2", "route~messages~1~0"];
        assert_eq!(ids(&fake, "").await, all);
        assert_eq!(ids(&fake, "processor=route").await, all[2..]);
        assert_eq!(ids(&fake, "class=waiting").await, all[1..2]);
        assert_eq!(ids(&fake, "topic=messages&key=t0").await, all[..2]);
        assert_eq!(ids(&fake, "topic=registry").await, [""; 0]);
        let first = ask(fake.router(), plain("GET", "/v1/dead-letters?limit=2")).await.json();
        let cursor = first["next"].as_str().expect("there is more");
        assert_eq!(ids(&fake, &format!("limit=2&cursor={cursor}")).await, all[2..]);
        let item = &first["items"][0];
        assert_eq!(item["position"], json!({"topic": "messages", "partition": 0, "offset": 1}));
        assert_eq!(
            (&item["class"], &item["waits_behind"], &item["waiting"]),
            (&json!("permanent"), &Value::Null, &json!(1))
        );
    }

    #[tokio::test]
    async fn conditions_that_make_no_sense_are_refused() {
        for (query, code) in [
            ("class=sad", "invalid_field"),
            ("topic=moon", "unknown_topic"),
            ("processor=", "invalid_field"),
            ("limit=0", "out_of_range"),
            ("colour=red", "unknown_field"),
        ] {
            let reply = ask(three().router(), plain("GET", &format!("/v1/dead-letters?{query}"))).await;
            assert_eq!(reply.problem().code(), code, "{query}");
        }
        let body = json!({"class": "sad"}).to_string();
        let reply = ask(three().router(), post_json("/v1/dead-letters/redrive", body)).await;
        assert_eq!(reply.problem().code(), "invalid_field");
    }

    #[tokio::test]
    async fn a_dead_letter_is_shown_with_its_event() {
        let shown = ask(three().router(), plain("GET", "/v1/dead-letters/embed@m~messages~0~1")).await.json();
        assert_eq!((&shown["class"], &shown["event"]["data"]["text"]), (&json!("permanent"), &json!("b")));
    }

    #[tokio::test]
    async fn what_is_no_dead_letter_is_a_problem_everywhere() {
        for id in ["x", "embed@m~messages~0~7", "embed%40m~messages~00~1"] {
            let path = format!("/v1/dead-letters/{id}");
            let discard = r#"{"author":"Ada","reason":"old"}"#;
            for request in [
                plain("GET", &path),
                plain("POST", &format!("{path}/redrive")),
                post_json(&format!("{path}/discard"), discard),
            ] {
                let shown = request.uri().to_string();
                assert_eq!(ask(three().router(), request).await.problem().code(), "unknown_dead_letter", "{shown}");
            }
        }
    }

    #[tokio::test]
    async fn a_redrive_is_durable_and_one_that_waits_names_its_head() {
        let fake = three();
        let reply = ask(fake.router(), plain("POST", "/v1/dead-letters/embed@m~messages~0~1/redrive")).await;
        let position = json!({"topic": "dead-letters", "partition": 0, "offset": 0});
        let expected = json!({"id": "embed@m~messages~0~1", "position": position});
        assert_eq!((reply.status.as_u16(), reply.json()), (202, expected));
        let problem =
            ask(fake.router(), plain("POST", "/v1/dead-letters/embed@m~messages~0~2/redrive")).await.problem();
        assert_eq!((problem.code(), problem.status().as_u16()), ("dead_letter_waits", 409));
        assert_eq!(problem.details().facts["head"], "embed@m~messages~0~1");
    }

    #[tokio::test]
    async fn all_that_are_selected_and_do_not_wait_are_redriven() {
        for (body, requested) in [("{}", 2), (r#"{"processor":"route"}"#, 1), (r#"{"class":"waiting"}"#, 0)] {
            let reply = ask(three().router(), post_json("/v1/dead-letters/redrive", body)).await;
            assert_eq!((reply.status.as_u16(), reply.json()), (202, json!({"requested": requested})), "{body}");
        }
    }

    #[tokio::test]
    async fn a_discard_needs_who_and_why_and_settles_one_that_waits_too() {
        let fake = three();
        let uri = "/v1/dead-letters/embed@m~messages~0~2/discard";
        for (body, code) in [
            ("{}", "missing_field"),
            (r#"{"author":"Ada"}"#, "missing_field"),
            (r#"{"author":" ","reason":"old"}"#, "invalid_field"),
            (r#"{"author":"Ada","reason":" "}"#, "invalid_field"),
        ] {
            assert_eq!(ask(fake.router(), post_json(uri, body)).await.problem().code(), code, "{body}");
        }
        let overlong = json!({"author": "Ada", "reason": "x".repeat(crate::checks::REASON_LIMIT + 1)}).to_string();
        assert_eq!(ask(fake.router(), post_json(uri, overlong)).await.problem().code(), "invalid_field");
        let reply = ask(fake.router(), post_json(uri, r#"{"author":"Ada","reason":"sent twice"}"#)).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["id"]), (202, &json!("embed@m~messages~0~2")));
        assert_eq!(ids(&fake, "").await, ["embed@m~messages~0~1", "route~messages~1~0"]);
    }
}
