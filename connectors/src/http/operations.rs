//! Operations: what runs, how far it has come, and whether it is right.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::{JsonBody, Parameters},
};
use crate::{
    api::{ProcessorsView, ProjectionsView, TopicsView, VerifyReport, VerifyRequest},
    checks,
    ports::Digests,
    problem::Problem,
};

/// How projections are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProjectionsQuery {
    /// Whether to hash what each projection holds, which reads it whole.
    #[serde(default)]
    #[param(default = false)]
    digest: bool,
}

/// The topics of the log with the offsets their partitions hold, how long their events are kept, and what the
/// acknowledgement of a write promises.
#[utoipa::path(
    get,
    path = "/v1/topics",
    tag = "log",
    responses((status = 200, description = "Every topic", body = TopicsView))
)]
pub(super) async fn topics(State(gateway): State<Gateway>) -> Result<Json<TopicsView>, Problem> {
    gateway.ports.operations.topics().await.map(Json)
}

/// The processors with how far each has come.
#[utoipa::path(
    get,
    path = "/v1/processors",
    tag = "operations",
    responses((status = 200, description = "Every processor", body = ProcessorsView))
)]
pub(super) async fn processors(State(gateway): State<Gateway>) -> Result<Json<ProcessorsView>, Problem> {
    gateway.ports.operations.processors().await.map(Json)
}

/// The projections with how far each has come.
#[utoipa::path(
    get,
    path = "/v1/projections",
    tag = "operations",
    params(ProjectionsQuery),
    responses((status = 200, description = "Every projection", body = ProjectionsView))
)]
pub(super) async fn projections(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<ProjectionsQuery>,
) -> Result<Json<ProjectionsView>, Problem> {
    let digests = if query.digest { Digests::Computed } else { Digests::Omitted };
    gateway.ports.operations.projections(digests).await.map(Json)
}

/// Compares what a projection holds with what the log says, now.
#[utoipa::path(
    post,
    path = "/v1/verifications",
    tag = "operations",
    request_body = VerifyRequest,
    responses((status = 200, description = "What was found", body = VerifyReport))
)]
pub(super) async fn verify(
    State(gateway): State<Gateway>,
    JsonBody(request): JsonBody<VerifyRequest>,
) -> Result<Json<VerifyReport>, Problem> {
    checks::verify(&request)?;
    gateway.ports.operations.verify(request.projection).await.map(Json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::http::fake::{Fake, ask, plain, post_json};

    #[tokio::test]
    async fn topics_show_the_offsets_of_each_partition() {
        let fake = Fake::new();
        fake.append("t", "hello");
        let partitions = json!([{"partition": 0, "start": 0, "end": 1}, {"partition": 1, "start": 0, "end": 0}]);
        let topics = ask(fake.router(), plain("GET", "/v1/topics")).await.json();
        assert_eq!(topics["topics"][0]["name"], "messages");
        assert_eq!(topics["topics"][0]["partitions"], partitions);
    }

    #[tokio::test]
    async fn topics_say_how_long_events_are_kept_and_what_an_acknowledgement_promises() {
        let topics = ask(Fake::new().router(), plain("GET", "/v1/topics")).await.json();
        let retention = json!({"max_age_seconds": 3600, "max_bytes": null, "held_by": [], "bytes": 0});
        assert_eq!(topics["topics"][0]["retention"], retention);
        assert_eq!(topics["durability"]["mode"], "always");
        assert_eq!(topics["log"], json!({"state": "writing", "reason": null}));
    }

    #[tokio::test]
    async fn a_digest_is_computed_only_when_asked_for() {
        let fake = Fake::new();
        let projection = |query| ask(fake.router(), plain("GET", query));
        assert_eq!(projection("/v1/projections?digest=true").await.json()["projections"][0]["digest"], "3-abc");
        for query in ["/v1/projections", "/v1/projections?digest=false"] {
            assert_eq!(projection(query).await.json()["projections"][0].get("digest"), None);
        }
    }

    #[tokio::test]
    async fn processors_and_verifications_are_answered() {
        let fake = Fake::new();
        let processors = ask(fake.router(), plain("GET", "/v1/processors")).await.json();
        assert_eq!(processors["processors"][0]["checkpoint"][0]["next"], 3);
        let report = ask(fake.router(), post_json("/v1/verifications", "{}")).await.json();
        assert_eq!(
            report["results"][0],
            json!({"projection": "text", "live": "3-abc", "rebuilt": "3-abc", "equal": true})
        );
    }
}
