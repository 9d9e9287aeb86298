//! Health: whether the process lives, whether it can work, and its numbers.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::Gateway;
use crate::{api::Readiness, problem::Problem};

/// The media type of the Prometheus text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What this is.
#[utoipa::path(
    get,
    path = "/",
    tag = "operations",
    responses((status = 200, description = "A few lines for people", content_type = "text/plain", body = String))
)]
pub(super) async fn root() -> String {
    format!(
        "Meshlog {}: an event-sourced memory and gateway for a mesh of AI clients.\n\n\
         /openapi.json  every route and type\n\
         /readyz        whether it can work now\n\
         /metrics       its numbers\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Whether the process lives.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "operations",
    responses((status = 200, description = "It does", content_type = "text/plain", body = String))
)]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the server can do its work now.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses(
        (status = 200, description = "It can", body = Readiness),
        (status = 503, description = "It cannot, and why", body = Readiness),
    )
)]
pub(super) async fn readyz(State(gateway): State<Gateway>) -> Result<(StatusCode, Json<Readiness>), Problem> {
    let readiness = gateway.ports.operations.ready().await?;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(readiness)))
}

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "The metrics", content_type = "text/plain", body = String))
)]
pub(super) async fn metrics(State(gateway): State<Gateway>) -> Result<Response, Problem> {
    let mut text = gateway.ports.operations.metrics().await?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&gateway.metrics.render());
    Ok(([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response())
}
