//! Subscriptions: who is to be told of which messages.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::{JsonBody, Name, Parameters},
    threads,
};
use crate::{
    api::{NewSubscription, Page, Subscription},
    checks,
    problem::{Code, Problem},
};

/// Which piece of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

/// Asks that a recipient be told of messages.
#[utoipa::path(
    post,
    path = "/v1/subscriptions",
    tag = "messages",
    operation_id = "add_subscription",
    request_body = NewSubscription,
    responses((status = 201, description = "The subscription", body = Subscription))
)]
pub(super) async fn add(
    State(gateway): State<Gateway>,
    JsonBody(request): JsonBody<NewSubscription>,
) -> Result<(StatusCode, Json<Subscription>), Problem> {
    checks::subscription(&request)?;
    let subscription = gateway.ports.subscriptions.add(request).await?;
    Ok((StatusCode::CREATED, Json(subscription)))
}

/// The subscriptions.
#[utoipa::path(
    get,
    path = "/v1/subscriptions",
    tag = "messages",
    operation_id = "subscriptions",
    params(PageQuery),
    responses((status = 200, description = "A piece of the list", body = Page<Subscription>))
)]
pub(super) async fn list(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<Subscription>>, Problem> {
    let page = threads::page(query.limit, query.cursor)?;
    gateway.ports.subscriptions.list(page).await.map(Json)
}

/// Ends a subscription.
#[utoipa::path(
    delete,
    path = "/v1/subscriptions/{id}",
    tag = "messages",
    operation_id = "remove_subscription",
    params(("id" = String, Path, description = "The subscription's id")),
    responses((status = 200, description = "The subscription that was ended", body = Subscription))
)]
pub(super) async fn remove(State(gateway): State<Gateway>, Name(id): Name) -> Result<Json<Subscription>, Problem> {
    let removed = gateway.ports.subscriptions.remove(id.clone()).await?;
    removed.map(Json).ok_or_else(|| {
        let detail = format!("there is no subscription {id}");
        Problem::new(Code::UnknownSubscription, detail, "GET /v1/subscriptions lists the subscriptions")
    })
}

#[cfg(test)]
mod tests {
    use crate::http::fake::{Fake, ask, plain, post_json};
    use serde_json::json;

    #[tokio::test]
    async fn a_subscription_is_added_listed_and_removed() {
        let fake = Fake::new();
        let reply = ask(fake.router(), post_json("/v1/subscriptions", r#"{"subscriber":"bob","thread":"t"}"#)).await;
        let subscription = json!({"id": "s0", "subscriber": "bob", "space": "main", "thread": "t", "author": null});
        assert_eq!((reply.status.as_u16(), reply.json()), (201, subscription.clone()));
        let list = ask(fake.router(), plain("GET", "/v1/subscriptions")).await.json();
        assert_eq!(list, json!({"items": [subscription], "next": null}));
        assert_eq!(ask(fake.router(), plain("DELETE", "/v1/subscriptions/s0")).await.json(), subscription);
        let problem = ask(fake.router(), plain("DELETE", "/v1/subscriptions/s0")).await.problem();
        assert_eq!(problem.code(), "unknown_subscription");
    }

    #[tokio::test]
    async fn a_subscription_of_nobody_or_to_nothing_is_refused() {
        for body in
            [r#"{"subscriber":""}"#, r#"{"subscriber":"bob","thread":""}"#, r#"{"subscriber":"bob","author":"\u0007"}"#]
        {
            let reply = ask(Fake::new().router(), post_json("/v1/subscriptions", body)).await;
            assert_eq!(reply.problem().code(), "invalid_field", "{body}");
        }
    }
}
