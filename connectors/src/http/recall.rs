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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::fake::{Fake, ask, post_json};

    #[tokio::test]
    async fn results_hold_the_message_and_signals_only_when_asked_for() {
        let fake = Fake::new();
        fake.append("conv-1", "we sail at noon");
        let ask = |request: Value| ask(fake.router(), post_json("/v1/recall", request.to_string()));
        let answer = ask(json!({"query": "noon"})).await.json();
        let result = &answer["results"][0];
        assert_eq!((&result["message_id"], &result["text"]), (&json!("m0"), &json!("we sail at noon")));
        assert_eq!((&result["snippet"], &result["highlights"]), (&json!("we sail at **noon**"), &json!([[13, 17]])));
        assert_eq!(result.get("signals"), None);
        assert_eq!(answer["as_of"], json!({"messages/0": 0, "messages/1": 1}));
        let reply = ask(json!({"query": "noon", "explain": true, "spaces": ["main"], "limit": 200})).await;
        let response: RecallResponse = serde_json::from_slice(&reply.body).expect("the answer has a type");
        assert_eq!(response.results[0].signals.as_ref().and_then(|signals| signals.get("text")), Some(&0.5));
    }

    #[tokio::test]
    async fn a_question_that_makes_no_sense_is_refused_by_field() {
        let many: Vec<_> = (0..=checks::CONDITION_LIMIT).map(|name| name.to_string()).collect();
        for (field, value, named, code) in [
            ("query", json!(" "), "query", "invalid_field"),
            ("query", json!("x".repeat(checks::QUERY_LIMIT + 1)), "query", "invalid_field"),
            ("limit", json!(0), "limit", "out_of_range"),
            ("limit", json!(201), "limit", "out_of_range"),
            ("limit", json!("ten"), "limit", "wrong_type"),
            ("threads", json!(["a", ""]), "threads[1]", "invalid_field"),
            ("authors", json!(many), "authors", "invalid_field"),
            ("spaces", json!("main"), "spaces", "wrong_type"),
            ("as_of", json!("now"), "as_of", "invalid_field"),
            ("explain", json!("yes"), "explain", "wrong_type"),
            ("space", json!("main"), "space", "unknown_field"),
        ] {
            let mut request = json!({"query": "noon"});
            request[field] = value;
            let problem = ask(Fake::new().router(), post_json("/v1/recall", request.to_string())).await.problem();
            assert_eq!((problem.code(), &problem.details().facts["field"]), (code, &json!(named)), "{problem:?}");
        }
    }
}
