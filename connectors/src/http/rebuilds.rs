//! Rebuilds: starting, watching and cancelling them.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use super::{
    Gateway,
    extract::{JsonBody, Name},
};
use crate::{
    api::{RebuildRequest, RebuildView, RebuildsView},
    checks,
    problem::{Code, Problem},
};

/// Starts to rebuild a projection; the old version serves until the new one is switched in.
#[utoipa::path(
    post,
    path = "/v1/rebuilds",
    tag = "operations",
    operation_id = "start_rebuild",
    request_body = RebuildRequest,
    responses((
        status = 202,
        description = "The rebuild has been started",
        body = RebuildView,
        headers(("Location" = String, description = "Where to watch it"))
    ))
)]
pub(super) async fn start(
    State(gateway): State<Gateway>,
    JsonBody(request): JsonBody<RebuildRequest>,
) -> Result<impl IntoResponse, Problem> {
    checks::rebuild(&request)?;
    let rebuild = gateway.ports.operations.start_rebuild(request.projection).await?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, format!("/v1/rebuilds/{}", rebuild.id))], Json(rebuild)))
}

/// The rebuilds since the server was started, the newest first.
#[utoipa::path(
    get,
    path = "/v1/rebuilds",
    tag = "operations",
    operation_id = "rebuilds",
    responses((status = 200, description = "Every rebuild", body = RebuildsView))
)]
pub(super) async fn list(State(gateway): State<Gateway>) -> Result<Json<RebuildsView>, Problem> {
    let rebuilds = gateway.ports.operations.rebuilds().await?;
    Ok(Json(RebuildsView { rebuilds }))
}

/// How far a rebuild has come.
#[utoipa::path(
    get,
    path = "/v1/rebuilds/{id}",
    tag = "operations",
    operation_id = "rebuild",
    params(("id" = String, Path, description = "The rebuild's id")),
    responses((status = 200, description = "The rebuild", body = RebuildView))
)]
pub(super) async fn show(State(gateway): State<Gateway>, Name(id): Name) -> Result<Json<RebuildView>, Problem> {
    let found = gateway.ports.operations.rebuild(id.clone()).await?;
    found.map(Json).ok_or_else(|| unknown(&id))
}

/// Cancels a rebuild; the version that serves is not touched.
#[utoipa::path(
    delete,
    path = "/v1/rebuilds/{id}",
    tag = "operations",
    operation_id = "cancel_rebuild",
    params(("id" = String, Path, description = "The rebuild's id")),
    responses((status = 200, description = "The rebuild as it is now", body = RebuildView))
)]
pub(super) async fn cancel(State(gateway): State<Gateway>, Name(id): Name) -> Result<Json<RebuildView>, Problem> {
    let found = gateway.ports.operations.cancel_rebuild(id.clone()).await?;
    found.map(Json).ok_or_else(|| unknown(&id))
}

fn unknown(id: &str) -> Problem {
    let help = "GET /v1/rebuilds lists the rebuilds since the server was started";
    Problem::new(Code::UnknownRebuild, format!("there is no rebuild {id}"), help)
}
