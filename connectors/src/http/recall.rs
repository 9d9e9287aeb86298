//! Recall: finding what was said.

use axum::{Json, extract::State};

use super::{Gateway, extract::JsonBody};
use crate::{
    api::{RecallRequest, RecallResponse},
    checks,
    problem::Problem,
};

/// The messages that answer a question best.
#[utoipa::path(
    post,
    path = "/v1/recall",
    tag = "recall",
    request_body = RecallRequest,
    responses((status = 200, description = "The results, best first", body = RecallResponse))
)]
pub(super) async fn recall(
    State(gateway): State<Gateway>,
    JsonBody(request): JsonBody<RecallRequest>,
) -> Result<Json<RecallResponse>, Problem> {
    checks::recall(&request)?;
    gateway.ports.recall.recall(request).await.map(Json)
}
