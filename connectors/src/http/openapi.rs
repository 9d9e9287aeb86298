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
        (name = "memory", description = "What is known: the graph, and writing into the memory"),
        (name = "calls", description = "Calling models, as OpenAI's SDKs do; what was called, and what it cost"),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use crate::http::fake::{Fake, ask, plain};

    async fn served() -> Value {
        ask(Fake::new().router(), plain("GET", "/openapi.json")).await.json()
    }

    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
        let paths = document["paths"].as_object().expect("there are paths");
        paths
            .iter()
            .flat_map(|(path, item)| {
                let item = item.as_object().expect("a path has operations");
                item.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
            })
            .collect()
    }

    #[tokio::test]
    async fn the_document_lists_every_route_of_the_contract_as_openapi_3_1() {
        let document = served().await;
        assert_eq!(document["openapi"], "3.1.0");
        let listed: BTreeSet<_> =
            operations(&document).into_iter().map(|(path, method, _)| format!("{method} {path}")).collect();
        let expected = [
            "get /",
            "get /livez",
            "get /readyz",
            "get /metrics",
            "get /openapi.json",
            "post /v1/messages",
            "get /v1/messages/{id}",
            "get /v1/threads",
            "get /v1/threads/{id}/messages",
            "post /v1/recall",
            "post /v1/context",
            "get /v1/threads/{id}/summary",
            "get /v1/threads/{id}/statistics",
            "get /v1/statistics",
            "get /v1/archive",
            "post /v1/archive",
            "get /v1/graph/nodes",
            "get /v1/graph/nodes/{id}",
            "get /v1/graph/nodes/{id}/edges",
            "get /v1/graph/nodes/{id}/timeline",
            "get /v1/graph/together",
            "get /v1/graph/path",
            "get /v1/graph/facts",
            "get /v1/graph/facts/{id}",
            "get /v1/graph/export",
            "post /v1/graph/merges",
            "post /v1/graph/partings",
            "post /v1/memory/insights",
            "get /v1/memory/insights",
            "post /v1/memory/corrections",
            "post /v1/memory/edits",
            "post /v1/memory/redactions",
            "post /v1/memory/forgettings",
            "put /v1/memory/retention",
            "get /v1/memory/retention",
            "post /v1/chat/completions",
            "post /v1/embeddings",
            "get /v1/models",
            "get /v1/models/{id}",
            "get /v1/providers",
            "get /v1/calls",
            "get /v1/calls/{id}",
            "get /v1/calls/{id}/request",
            "get /v1/calls/{id}/response",
            "get /v1/usage",
            "get /v1/reached",
            "get /v1/share",
            "get /v1/events",
            "get /v1/topics",
            "get /v1/processors",
            "get /v1/projections",
            "post /v1/rebuilds",
            "get /v1/rebuilds",
            "get /v1/rebuilds/{id}",
            "delete /v1/rebuilds/{id}",
            "post /v1/rebuilds/{id}/pause",
            "delete /v1/projections/{name}/versions/{version}",
            "post /v1/verifications",
            "post /v1/subscriptions",
            "get /v1/subscriptions",
            "delete /v1/subscriptions/{id}",
            "get /v1/dead-letters",
            "get /v1/dead-letters/{id}",
            "post /v1/dead-letters/{id}/redrive",
            "post /v1/dead-letters/{id}/discard",
            "post /v1/dead-letters/redrive",
        ];
        assert_eq!(listed, expected.map(str::to_owned).into());
    }

    #[tokio::test]
    async fn every_listed_operation_is_routed() {
        let document = served().await;
        for (path, method, _) in operations(&document) {
            let request = plain(&method.to_uppercase(), &path.replace("{id}", "x"));
            let reply = ask(Fake::new().router(), request).await;
            let text = reply.text();
            assert!(!text.contains("unknown_route") && !text.contains("method_not_allowed"), "{method} {path}: {text}");
        }
    }

    #[tokio::test]
    async fn every_reference_leads_to_a_component() {
        let document = served().await;
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.contains("#/components/schemas/NewMessage"), "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("references stay in the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    #[tokio::test]
    async fn every_operation_has_its_own_id_its_parameters_and_the_problem() {
        let document = served().await;
        let mut ids = BTreeSet::new();
        for (path, method, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(!id.is_empty() && ids.insert(id), "{method} {path}: {id}");
            assert_eq!(operation["responses"]["default"]["$ref"], "#/components/responses/Problem", "{method} {path}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().any(|parameter| parameter["in"] == "path" && parameter["name"] == "id");
            assert_eq!(in_path, path.contains("{id}"), "{method} {path}");
        }
    }

    #[tokio::test]
    async fn defaults_limits_and_both_body_types_are_described() {
        let document = served().await;
        let message = &document["components"]["schemas"]["NewMessage"];
        assert_eq!(message["properties"]["space"]["default"], "main");
        assert_eq!(message["additionalProperties"], false);
        assert_eq!(message["required"], serde_json::json!(["thread", "author", "text"]));
        let limit = &document["components"]["schemas"]["RecallRequest"]["properties"]["limit"];
        assert_eq!((&limit["default"], &limit["maximum"]), (&Value::from(10), &Value::from(200)));
        let bodies = &document["paths"]["/v1/messages"]["post"]["requestBody"]["content"];
        assert!(bodies["application/json"].is_object() && bodies["application/x-ndjson"].is_object(), "{bodies}");
        let answers = &document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"];
        assert!(answers["application/json"].is_object() && answers["text/event-stream"].is_object(), "{answers}");
    }
}
