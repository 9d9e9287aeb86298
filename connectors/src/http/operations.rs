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

/// The topics of the log with the offsets their partitions hold.
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
