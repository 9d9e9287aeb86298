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
    let mut readiness = gateway.ports.operations.ready().await?;
    if let Some(scatter) = &gateway.ports.shares {
        readiness.reasons.extend(scatter.misfits().await);
        readiness.ready &= readiness.reasons.is_empty();
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::http::fake::{Fake, ask, plain};

    #[tokio::test]
    async fn a_server_that_cannot_work_says_why_but_lives() {
        let fake = Fake::new();
        let reply = ask(fake.router(), plain("GET", "/readyz")).await;
        assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({"ready": true, "reasons": []})));
        fake.unready("text lags by 9000 events");
        let reply = ask(fake.router(), plain("GET", "/readyz")).await;
        let expected = json!({"ready": false, "reasons": ["text lags by 9000 events"]});
        assert_eq!((reply.status.as_u16(), reply.json()), (503, expected));
        assert_eq!(ask(fake.router(), plain("GET", "/livez")).await.status.as_u16(), 200);
    }

    #[tokio::test]
    async fn metrics_are_those_behind_the_ports_and_those_of_requests() {
        let router = Fake::new().router();
        ask(router.clone(), plain("GET", "/v1/messages/m1")).await;
        ask(router.clone(), plain("GET", "/nowhere/1")).await;
        let reply = ask(router, plain("GET", "/metrics")).await;
        assert_eq!(reply.headers["content-type"], super::PROMETHEUS_TEXT);
        for line in [
            "meshlog_log_end_offset 3",
            "meshlog_http_requests_total{method=\"GET\",route=\"/v1/messages/{id}\",status=\"404\"} 1",
            "meshlog_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
            "meshlog_http_tails 0",
        ] {
            assert!(reply.text().lines().any(|found| found == line), "{line} is not in\n{}", reply.text());
        }
    }

    #[tokio::test]
    async fn the_root_says_where_the_documentation_is() {
        assert!(ask(Fake::new().router(), plain("GET", "/")).await.text().contains("/openapi.json"));
    }
}
