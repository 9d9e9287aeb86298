//! Memory writes: pinning insights, correcting facts, forgetting, and saying which names are one.
//!
//! Never: decides what a forgotten thing is; every store leaves out the same by one rule of its own.

use std::str::FromStr;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use meshlog_schemas::{Checkpoints, EventId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    context::{Asker, Routes, encoded},
    edits,
    extract::{JsonBody, Parameters},
    messages::{WriteQuery, reach},
    threads,
};
use crate::{
    api::{
        DEFAULT_SPACE, Fact, FactCorrection, ForgetRequest, Insight, MemoryReceipt, NameLink, NewInsight, Page,
        RetentionRequest, SpaceRetention, default_space,
    },
    checks,
    ports::{MemoryWrite, Written},
    problem::{Code, Problem},
};

/// A write was taken in.
pub(super) type Taken = (StatusCode, Json<MemoryReceipt>);

/// Pins an insight: something to remember, in these words. It comes first in every context of its thread or space.
///
/// Sent again with the same `id`, it has the new words.
#[utoipa::path(
    post,
    path = "/v1/memory/insights",
    tag = "memory",
    operation_id = "pin_insight",
    params(WriteQuery),
    request_body = NewInsight,
    responses((status = 202, description = "It is durable", body = MemoryReceipt))
)]
pub(super) async fn pin(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<WriteQuery>,
    JsonBody(insight): JsonBody<NewInsight>,
) -> Result<Taken, Problem> {
    checks::insight(&insight)?;
    let NewInsight { id, space, thread, text, sources, author, reason } = insight;
    let sources = sources.iter().map(|id| parsed("sources", id)).collect::<Result<_, _>>()?;
    let what = Written::Insight { id, thread, text, sources };
    write(&gateway, query, MemoryWrite { space, author, reason, what }).await
}

/// Which piece of which insights.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InsightsQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// Only those for this thread.
    thread: Option<String>,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

/// The insights of a space and of its threads, the newest first.
#[utoipa::path(
    get,
    path = "/v1/memory/insights",
    tag = "memory",
    operation_id = "insights",
    params(InsightsQuery),
    responses((status = 200, description = "A piece of the list", body = Page<Insight>))
)]
pub(super) async fn insights(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<InsightsQuery>,
) -> Result<Json<Page<Insight>>, Problem> {
    checks::name("space", &query.space)?;
    query.thread.as_ref().map_or(Ok(()), |thread| checks::name("thread", thread))?;
    let page = threads::page(query.limit, query.cursor)?;
    gateway.ports.knowledge.insights(query.space, query.thread, page).await.map(Json)
}

/// Says what is right in place of a fact that is wrong. The wrong one stays in the log, and is in no answer any more.
#[utoipa::path(
    post,
    path = "/v1/memory/corrections",
    tag = "memory",
    operation_id = "correct_fact",
    params(WriteQuery),
    request_body = FactCorrection,
    responses((status = 202, description = "It is durable", body = MemoryReceipt))
)]
pub(super) async fn correct(
    State(gateway): State<Gateway>,
    Extension(routes): Extension<Routes>,
    headers: HeaderMap,
    Parameters(query): Parameters<WriteQuery>,
    JsonBody(correction): JsonBody<FactCorrection>,
) -> Result<Taken, Problem> {
    checks::correction(&correction)?;
    let corrects = parsed("fact_id", &correction.fact_id)?;
    // From the routes: the graph may be at another node.
    let path = format!("/v1/graph/facts/{corrects}?space={}", encoded(&correction.space));
    let wrong: Fact = Asker::new(&routes, &headers).get(&path).await?;
    // Another name is another thing of the same kind, as long as the relation is the same.
    let same_relation = correction.relation.as_ref().is_none_or(|relation| *relation == wrong.relation);
    let object_kind = wrong.object.kind.filter(|_| same_relation);
    let what = Written::Correction {
        corrects,
        subject_kind: wrong.subject.kind.unwrap_or_default(),
        subject: correction.subject.unwrap_or(wrong.subject.name),
        relation: correction.relation.unwrap_or(wrong.relation),
        object_kind: object_kind.unwrap_or_default(),
        object: correction.object.unwrap_or(wrong.object.name),
        polarity: correction.polarity.unwrap_or(wrong.polarity),
        valid_from: correction.valid_from.or(wrong.valid_from),
        // When the wrong one was held to end follows from others, and is not taken over.
        valid_until: correction.valid_until,
    };
    let FactCorrection { space, author, reason, .. } = correction;
    write(&gateway, query, MemoryWrite { space, author, reason, what }).await
}

/// Forgets a message, a thread, what somebody said, a fact, an insight, or everything in a space.
///
/// It is gone from every answer as soon as the projections have read this, which `?wait=indexed` waits for, and after every
/// replay. The events stay in the log until its retention takes them. What is not there is forgotten too: it may be on its way, so
/// see that a name is written as it was given.
#[utoipa::path(
    post,
    path = "/v1/memory/forgettings",
    tag = "memory",
    operation_id = "forget",
    params(WriteQuery),
    request_body = ForgetRequest,
    responses((status = 202, description = "It is durable", body = MemoryReceipt))
)]
pub(super) async fn forget(
    State(gateway): State<Gateway>,
    Extension(routes): Extension<Routes>,
    headers: HeaderMap,
    Parameters(query): Parameters<WriteQuery>,
    JsonBody(request): JsonBody<ForgetRequest>,
) -> Result<Taken, Problem> {
    let (scope, target) = checks::forgetting(&request)?;
    let target = match scope {
        "message" => parsed("message_id", &target)?.to_string(),
        "fact" => parsed("fact_id", &target)?.to_string(),
        "insight" => parsed("insight_id", &target)?.to_string(),
        _ => target,
    };
    let ForgetRequest { space, author, reason, before, .. } = request;
    let thread = match scope {
        "message" => match edits::message(&Asker::new(&routes, &headers), &space, &target).await {
            Ok(message) => Some(message.thread_id),
            Err(problem) if problem.code() == Code::UnknownMessage.name() => None,
            Err(problem) => return Err(problem),
        },
        _ => None,
    };
    let what = Written::Forgetting { scope, target, until: before, thread };
    write(&gateway, query, MemoryWrite { space, author, reason, what }).await
}

/// Which spaces.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RetentionQuery {
    /// Only this space.
    space: Option<String>,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

/// How long spaces remember, in the order of their names. A space that is not listed remembers for ever.
#[utoipa::path(
    get,
    path = "/v1/memory/retention",
    tag = "memory",
    operation_id = "retention",
    params(RetentionQuery),
    responses((status = 200, description = "A piece of the list", body = Page<SpaceRetention>))
)]
pub(super) async fn retention(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<RetentionQuery>,
) -> Result<Json<Page<SpaceRetention>>, Problem> {
    query.space.as_ref().map_or(Ok(()), |space| checks::name("space", space))?;
    let page = threads::page(query.limit, query.cursor)?;
    gateway.ports.memory.retention(query.space, page).await.map(Json)
}

/// Says for how many days the messages of a space are remembered after they were taken in.
///
/// What is past that is forgotten with this, and from then on within the hour. What people wrote into the memory themselves,
/// insights and corrections, stays. With more days, or for ever, nothing comes back.
#[utoipa::path(
    put,
    path = "/v1/memory/retention",
    tag = "memory",
    operation_id = "set_retention",
    params(WriteQuery),
    request_body = RetentionRequest,
    responses((status = 202, description = "It is durable", body = MemoryReceipt))
)]
pub(super) async fn retain(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<WriteQuery>,
    JsonBody(request): JsonBody<RetentionRequest>,
) -> Result<Taken, Problem> {
    checks::retention(&request)?;
    let RetentionRequest { space, keep_days, author, reason } = request;
    write(&gateway, query, MemoryWrite { space, author, reason, what: Written::Retention { keep_days } }).await
}

/// Says that two names stand for one thing. Nothing is moved, so that it can be taken back.
#[utoipa::path(
    post,
    path = "/v1/graph/merges",
    tag = "memory",
    operation_id = "merge_names",
    params(WriteQuery),
    request_body = NameLink,
    responses((status = 202, description = "It is durable", body = MemoryReceipt))
)]
pub(super) async fn merge(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<WriteQuery>,
    JsonBody(link): JsonBody<NameLink>,
) -> Result<Taken, Problem> {
    linked(&gateway, query, link, |kind, from, into| Written::Merge { kind, from, into }).await
}

/// Takes back that two names stand for one thing.
#[utoipa::path(
    post,
    path = "/v1/graph/partings",
    tag = "memory",
    operation_id = "part_names",
    params(WriteQuery),
    request_body = NameLink,
    responses((status = 202, description = "It is durable", body = MemoryReceipt))
)]
pub(super) async fn part(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<WriteQuery>,
    JsonBody(link): JsonBody<NameLink>,
) -> Result<Taken, Problem> {
    linked(&gateway, query, link, |kind, from, into| Written::Parting { kind, from, into }).await
}

/// Writes what is said of two names.
async fn linked(
    gateway: &Gateway,
    query: WriteQuery,
    link: NameLink,
    what: fn(String, String, String) -> Written,
) -> Result<Taken, Problem> {
    checks::name_link(&link)?;
    let NameLink { space, kind, from, into, author, reason } = link;
    write(gateway, query, MemoryWrite { space, author, reason, what: what(kind, from, into) }).await
}

pub(super) async fn write(gateway: &Gateway, query: WriteQuery, write: MemoryWrite) -> Result<Taken, Problem> {
    let wait = query.checked()?;
    let stored = gateway.ports.memory.write(write).await?;
    let mut written = Checkpoints::default();
    written.advance(stored.position.partition, stored.position.offset + 1);
    let reached = reach(gateway, wait, written).await;
    Ok((StatusCode::ACCEPTED, Json(MemoryReceipt { id: stored.id, position: stored.position.into(), reached })))
}

fn parsed(field: &str, id: &str) -> Result<EventId, Problem> {
    EventId::from_str(id).map_err(|_| {
        let detail = format!("{field} is \"{}\", which is no id", crate::problem::quote(id));
        Problem::new(Code::InvalidField, detail, "send an id as it stands in an answer").with("field", field)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::WaitLevel,
        http::fake::{Fake, ask, plain, post_json},
    };

    #[tokio::test]
    async fn an_insight_is_pinned_and_listed() {
        let fake = Fake::new();
        fake.reach(Ok(WaitLevel::Indexed));
        let source = EventId::of_source("main", "m");
        let body = json!({"text": "Answer in German.", "thread": "t", "author": "Ada", "sources": [source]});
        let reply = ask(fake.router(), post_json("/v1/memory/insights?wait=indexed", body.to_string())).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["reached"]), (202, &json!("indexed")), "{}", reply.text());
        assert_eq!(reply.json()["position"]["topic"], "memory");
        let listed = ask(fake.router(), plain("GET", "/v1/memory/insights?thread=t")).await.json();
        assert_eq!(
            (&listed["items"][0]["text"], &listed["items"][0]["sources"][0]),
            (&json!("Answer in German."), &json!(source))
        );
        let elsewhere = ask(fake.router(), plain("GET", "/v1/memory/insights?thread=u")).await.json();
        assert_eq!(elsewhere["items"], json!([]));
    }

    #[tokio::test]
    async fn a_correction_keeps_what_it_does_not_change() {
        let fake = Fake::new();
        let fact = fake.works_at("Ada", "Siemens");
        let body = json!({"fact_id": fact, "object": "Bosch", "author": "Ada", "reason": "a slip"});
        let reply = ask(fake.router(), post_json("/v1/memory/corrections", body.to_string())).await;
        assert_eq!(reply.status.as_u16(), 202, "{}", reply.text());
        let [write] = fake.writes().try_into().expect("one write");
        let Written::Correction { subject, relation, object, object_kind, polarity, valid_from, .. } = write.what
        else {
            panic!("a correction");
        };
        assert_eq!(
            [subject, relation, object_kind, object, polarity],
            ["Ada", "works-at", "organisation", "Bosch", "affirmed"]
        );
        assert!(valid_from.is_some());
        let body = json!({"fact_id": EventId::of_source("no", "fact"), "object": "Bosch", "author": "Ada"});
        let reply = ask(fake.router(), post_json("/v1/memory/corrections", body.to_string())).await;
        assert_eq!(reply.problem().code(), "unknown_fact");
    }

    #[tokio::test]
    async fn exactly_one_thing_is_forgotten() {
        let fake = Fake::new();
        let id = EventId::of_source("main", "m").to_string();
        for (what, scope, target) in [
            (json!({"message_id": id}), "message", id.as_str()),
            (json!({"thread": "t"}), "thread", "t"),
            (json!({"said_by": "Bob", "before": "2024-05-01T00:00:00Z"}), "author", "Bob"),
            (json!({"fact_id": id}), "fact", &id),
            (json!({"insight_id": id}), "insight", &id),
            (json!({"everything": true}), "space", "main"),
        ] {
            let mut body = json!({"author": "Ada", "reason": "he asked for it"});
            body.as_object_mut().expect("an object").append(what.clone().as_object_mut().expect("an object"));
            let reply = ask(fake.router(), post_json("/v1/memory/forgettings", body.to_string())).await;
            assert_eq!(reply.status.as_u16(), 202, "{}", reply.text());
            let Some(Written::Forgetting { scope: found, target: which, until, thread: None }) =
                fake.writes().pop().map(|write| write.what)
            else {
                panic!("a forgetting");
            };
            assert_eq!((found, which.as_str(), until.is_some()), (scope, target, scope == "author"));
        }
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused_by_field() {
        let id = EventId::of_source("main", "m").to_string();
        let (insights, forgettings) = ("/v1/memory/insights", "/v1/memory/forgettings");
        for (path, body, code, field) in [
            (insights, json!({"text": " ", "author": "Ada"}), "invalid_field", "text"),
            (insights, json!({"text": "x".repeat(9000), "author": "Ada"}), "invalid_field", "text"),
            (insights, json!({"text": "x"}), "missing_field", "author"),
            (insights, json!({"text": "x", "author": "Ada", "sources": ["m"]}), "invalid_field", "sources"),
            (forgettings, json!({"author": "Ada"}), "missing_field", "message_id"),
            (forgettings, json!({"author": "Ada", "thread": "t", "fact_id": id}), "invalid_field", "fact_id"),
            (forgettings, json!({"author": "Ada", "fact_id": "moon"}), "invalid_field", "fact_id"),
            (
                forgettings,
                json!({"author": "Ada", "fact_id": id, "before": "2024-05-01T00:00:00Z"}),
                "invalid_field",
                "before",
            ),
            (
                "/v1/memory/corrections",
                json!({"author": "Ada", "fact_id": id, "polarity": "no"}),
                "invalid_field",
                "polarity",
            ),
            ("/v1/graph/merges", json!({"kind": "moon", "from": "a", "into": "b"}), "invalid_field", "kind"),
            ("/v1/graph/partings", json!({"kind": "person", "from": "a", "into": "a"}), "invalid_field", "into"),
        ] {
            let problem = ask(Fake::new().router(), post_json(path, body.to_string())).await.problem();
            assert_eq!((problem.code(), &problem.details().facts["field"]), (code, &json!(field)), "{problem:?}");
        }
    }

    fn put(body: &serde_json::Value) -> axum::http::Request<axum::body::Body> {
        let mut request = post_json("/v1/memory/retention", body.to_string());
        *request.method_mut() = axum::http::Method::PUT;
        request
    }

    #[tokio::test]
    async fn a_retention_is_set_and_shown() {
        let fake = Fake::new();
        for days in [json!(90), json!(null)] {
            let body = json!({"space": "s", "keep_days": days, "author": "Ada", "reason": "a season is enough"});
            let reply = ask(fake.router(), put(&body)).await;
            assert_eq!(reply.status.as_u16(), 202, "{}", reply.text());
            let Some(Written::Retention { keep_days }) = fake.writes().pop().map(|write| write.what) else {
                panic!("a retention");
            };
            assert_eq!(json!(keep_days), days);
        }
        let shown = ask(fake.router(), plain("GET", "/v1/memory/retention?space=s&limit=1")).await.json();
        assert_eq!((&shown["items"][0]["keep_days"], &shown["items"][0]["author"]), (&json!(90), &json!("Ada")));
        assert!(shown["next"].is_string());
        let elsewhere = ask(fake.router(), plain("GET", "/v1/memory/retention?space=t")).await.json();
        assert_eq!(elsewhere["items"], json!([]));
    }

    #[tokio::test]
    async fn days_that_make_no_sense_are_refused_by_field() {
        for (days, code) in [
            (json!(0), "out_of_range"),
            (json!(-1), "out_of_range"),
            (json!(36_501), "out_of_range"),
            (json!(1e9 as i64), "out_of_range"),
            (json!("ten"), "wrong_type"),
            (json!(1.5), "wrong_type"),
        ] {
            let body = json!({"keep_days": days, "author": "Ada"});
            let problem = ask(Fake::new().router(), put(&body)).await.problem();
            let field = &problem.details().facts["field"];
            assert_eq!((problem.code(), field), (code, &json!("keep_days")), "{days} {problem:?}");
        }
        let problem = ask(Fake::new().router(), put(&json!({"author": "Ada"}))).await.problem();
        assert_eq!((problem.code(), &problem.details().facts["field"]), ("missing_field", &json!("keep_days")));
    }

    #[tokio::test]
    async fn names_are_merged_and_parted() {
        let fake = Fake::new();
        let link = json!({"kind": "person", "from": "Ann", "into": "Ann Miller", "author": "Ada"}).to_string();
        for path in ["/v1/graph/merges", "/v1/graph/partings"] {
            assert_eq!(ask(fake.router(), post_json(path, link.clone())).await.status.as_u16(), 202);
        }
        let writes = fake.writes();
        assert!(matches!(&writes[0].what, Written::Merge { into, .. } if into == "Ann Miller"));
        assert!(matches!(&writes[1].what, Written::Parting { from, .. } if from == "Ann"));
    }
}
