//! Rebuilds: starting, watching, pausing and cancelling them, and dropping versions.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use super::{
    Gateway,
    extract::{JsonBody, Name, Names},
};
use crate::{
    api::{RebuildRequest, RebuildView, RebuildsView},
    checks,
    problem::{Code, Problem},
};

/// Starts to rebuild a projection, or goes on with a rebuild that was paused; the old version serves until the new one is switched in, and
/// is kept then. With `rollback`, the one that is kept is.
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
    let rebuild = gateway.ports.operations.start_rebuild(request).await?;
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

/// Pauses a rebuild: what it has built stays, and the next one of the projection goes on with it. The version that serves is not touched.
#[utoipa::path(
    post,
    path = "/v1/rebuilds/{id}/pause",
    tag = "operations",
    operation_id = "pause_rebuild",
    params(("id" = String, Path, description = "The rebuild's id")),
    responses((status = 200, description = "The rebuild as it is now", body = RebuildView))
)]
pub(super) async fn pause(State(gateway): State<Gateway>, Name(id): Name) -> Result<Json<RebuildView>, Problem> {
    let found = gateway.ports.operations.pause_rebuild(id.clone()).await?;
    found.map(Json).ok_or_else(|| unknown(&id))
}

/// Removes a version of a projection that does not serve: one that is kept, or that a paused rebuild has begun.
#[utoipa::path(
    delete,
    path = "/v1/projections/{name}/versions/{version}",
    tag = "operations",
    operation_id = "drop_version",
    params(
        ("name" = String, Path, description = "The projection's name"),
        ("version" = String, Path, description = "The version's name")
    ),
    responses((status = 204, description = "It is removed"))
)]
pub(super) async fn drop_version(
    State(gateway): State<Gateway>,
    Names(projection, version): Names,
) -> Result<StatusCode, Problem> {
    gateway.ports.operations.drop_version(projection, version).await?;
    Ok(StatusCode::NO_CONTENT)
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

#[cfg(test)]
mod tests {
    use crate::http::fake::{Fake, ask, plain, post_json};
    use serde_json::json;

    #[tokio::test]
    async fn a_rebuild_is_started_watched_and_cancelled() {
        let fake = Fake::new();
        let reply = ask(fake.router(), post_json("/v1/rebuilds", r#"{"projection":"text"}"#)).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.headers["location"]),
            (202, &"/v1/rebuilds/r0".parse().expect("a header"))
        );
        assert_eq!(ask(fake.router(), plain("GET", "/v1/rebuilds/r0")).await.json()["phase"], "reading");
        assert_eq!(ask(fake.router(), plain("POST", "/v1/rebuilds/r0/pause")).await.json()["phase"], "paused");
        assert_eq!(ask(fake.router(), plain("DELETE", "/v1/rebuilds/r0")).await.json()["phase"], "cancelled");
        let back = post_json("/v1/rebuilds", r#"{"projection":"text","rollback":true}"#);
        assert_eq!(ask(fake.router(), back).await.json()["purpose"], "rollback");
        let rebuilds = ask(fake.router(), plain("GET", "/v1/rebuilds")).await.json();
        assert_eq!(
            (&rebuilds["rebuilds"][0]["id"], &rebuilds["rebuilds"][0]["eta_seconds"]),
            (&json!("r1"), &json!(null))
        );
    }

    #[tokio::test]
    async fn a_version_is_dropped_unless_it_serves() {
        let fake = Fake::new();
        let drop = |version: &str| plain("DELETE", &format!("/v1/projections/text/versions/{version}"));
        assert_eq!(ask(fake.router(), drop("0")).await.status.as_u16(), 204);
        assert_eq!(ask(fake.router(), drop("1")).await.problem().code(), "unknown_version");
    }

    #[tokio::test]
    async fn unknown_rebuilds_and_projections_are_problems() {
        let fake = Fake::new();
        for method in ["GET", "DELETE"] {
            assert_eq!(ask(fake.router(), plain(method, "/v1/rebuilds/r7")).await.problem().code(), "unknown_rebuild");
        }
        for (body, code) in [
            (r#"{"projection":"moon"}"#, "unknown_projection"),
            (r#"{"projection":""}"#, "invalid_field"),
            ("{}", "missing_field"),
        ] {
            assert_eq!(ask(fake.router(), post_json("/v1/rebuilds", body)).await.problem().code(), code, "{body}");
        }
    }
}
