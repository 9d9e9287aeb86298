//! The OpenAPI document: what the gateway can be asked, generated from the handlers and types themselves.
//!
//! Owns: the document's heading, and the problem that every operation may answer.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Ref, RefOr, Response as Answer, ResponseBuilder,
        path::{Operation, PathItem},
    },
};

use super::{Gateway, described};
use crate::problem::{PROBLEM_JSON, ProblemDetails};

/// The name under which the answer that reports a problem is described.
const PROBLEM: &str = "Problem";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Meshlog",
        description = "An event-sourced memory and gateway for a mesh of AI clients. Every write is an event in the log, \
            durable before it is acknowledged; every answer comes from projections of the log. Whatever goes wrong is \
            answered as `application/problem+json` with a stable `code`, what was wrong and what to do."
    ),
    tags(
        (name = "messages", description = "Writing and reading what was said"),
        (name = "recall", description = "Finding what was said"),
        (name = "log", description = "The events themselves"),
        (name = "operations", description = "How the server is doing, and what it can be told to do"),
    )
)]
struct Heading;

/// The document without paths.
pub(super) fn heading() -> utoipa::openapi::OpenApi {
    Heading::openapi()
}

/// The OpenAPI 3.1 document of the gateway: the same that it serves at `/openapi.json`.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = described().into_openapi();
    let components = document.components.get_or_insert_default();
    components.schemas.insert(PROBLEM.to_owned(), ProblemDetails::schema());
    let mut schemas = Vec::new();
    ProblemDetails::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.responses.insert(PROBLEM.to_owned(), RefOr::T(problem()));
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let answer = Ref::from_response_name(PROBLEM);
            operation.responses.responses.insert("default".to_owned(), answer.into());
        }
    }
    document
}

/// This document, as OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    responses((status = 200, description = "The document", content_type = "application/json", body = serde_json::Value))
)]
pub(super) async fn openapi(State(gateway): State<Gateway>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], gateway.document.to_string()).into_response()
}

fn problem() -> Answer {
    let schema = Ref::from_schema_name(PROBLEM);
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description("What was wrong, and what to do").content(PROBLEM_JSON, content).build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}
