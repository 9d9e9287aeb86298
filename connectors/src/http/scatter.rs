//! Scatter and gather: reads of everything, answered by nodes that each hold a share of the partitions.
//!
//! Owns: which peers hold which share, which of them is asked, and how their answers are put together.
//! Promises: an answer is from all shares that it is about, each asked once, or it is a problem; never silently a part. Its
//! lists are in the order, and its cursors those, of a node that holds everything.
//! Never: ranks by a formula of its own; see [`crate::ports::Recall::merge`].

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::{Body, Bytes, to_bytes},
    extract::{FromRequest, FromRequestParts, MatchedPath, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use meshlog_schemas::PartitionShare;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    Gateway,
    calls::{CallsQuery, GUARDS, KEPT},
    extract::{JsonBody, Name, Parameters},
    nodes::{self, ANSWER_LIMIT, Node, Nodes},
    reached::{Reached, ReachedQuery},
    summaries::{self, ArchiveQuery},
    threads::{MessagesQuery, SpacePageQuery},
    usage::{self, UsageQuery},
};
use crate::{
    api::{
        Call, Page, RecallRequest, RecallResponse, ShareView, Statistics, Thread, ThreadLast, Usage, WaitLevel,
        default_space,
    },
    checks,
    problem::{Code, Problem},
};

/// The header between nodes. In a request, [`OWN`]: answer from your share alone. In the answer to it: from which.
const SHARE: HeaderName = HeaderName::from_static("meshlog-share");
const OWN: HeaderValue = HeaderValue::from_static("own");
/// How long a node may take to say which share it holds.
const SHARE_LIMIT: Duration = Duration::from_secs(2);
/// What the journey to a node and back may take beyond a wait.
const JOURNEY: Duration = Duration::from_secs(2);
/// The largest answer of a node, in bytes: as many results as a recall may have, of the longest texts, and some more.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// How many times as many results each share is asked for: what ranks low among its own may rank higher among all.
const MORE_RESULTS: u32 = 3;

/// A node's share of the partitions, and the peers that hold the others.
pub struct Scatter {
    own: PartitionShare,
    view: ShareView,
    peers: Nodes,
    /// What each peer said that it holds; `None` before it did.
    known: Vec<Mutex<Option<PartitionShare>>>,
}

impl Scatter {
    /// A node with this share of so many partitions, and its peers, each as `http://host:port`.
    ///
    /// # Errors
    /// One of them is no such address.
    pub fn new(own: PartitionShare, partitions: u32, peers: &[String]) -> Result<Self, String> {
        let peers = Nodes::new(peers)?;
        let known = peers.all().iter().map(|_| Mutex::default()).collect();
        Ok(Self { own, view: ShareView::new(own, partitions), peers, known })
    }

    /// Why this node and its peers do not fit each other, in words.
    pub(super) async fn misfits(&self) -> Vec<String> {
        self.learn(false).await;
        self.peers.all().iter().filter_map(|node| self.misfit(node)).collect()
    }

    fn misfit(&self, node: &Node) -> Option<String> {
        let share = self.share_of(node).filter(|share| share.of() != self.own.of())?;
        let own = self.own;
        let peer = &node.url;
        Some(format!(
            "the peer {peer} holds share {share}, this node {own}: start all query nodes with the same N of --share K/N"
        ))
    }

    fn share_of(&self, node: &Node) -> Option<PartitionShare> {
        *self.slot(node)
    }

    fn slot(&self, node: &Node) -> std::sync::MutexGuard<'_, Option<PartitionShare>> {
        self.known[node.index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks peers of whom it is not known yet, or who did not fit, which share they hold; those that are avoided only if told to.
    async fn learn(&self, even_avoided: bool) {
        let is_due = |node: &&Node| {
            let fits = self.share_of(node).is_some_and(|share| share.of() == self.own.of());
            !fits && (even_avoided || !node.is_avoided())
        };
        let ask = |node| async move {
            let share = self.ask_share(node).await;
            if share.is_none_or(|share| share.of() != self.own.of()) {
                node.avoid();
            }
            *self.slot(node) = share;
        };
        join_all(self.peers.all().iter().filter(is_due).map(ask)).await;
    }

    async fn ask_share(&self, node: &Node) -> Option<PartitionShare> {
        let parts = nodes::get("/v1/share").ok()?;
        let answer = self.peers.ask(node, &parts, &Bytes::new(), SHARE_LIMIT).await.ok()?;
        let body = timeout(SHARE_LIMIT, to_bytes(answer.into_body(), ANSWER_BYTES)).await.ok()?.ok()?;
        serde_json::from_slice::<ShareView>(&body).ok()?.share()
    }

    /// Asks one peer of a share after the other until one answers; one that says that it cannot answer now counts only if none
    /// else can.
    async fn ask(self: &Arc<Self>, share: PartitionShare, question: &Question) -> Result<Answered, Problem> {
        let holds = |node: &Node| self.share_of(node) == Some(share);
        if self.peers.all().iter().any(|node| holds(node) && !node.is_avoided()) {
            // The others become known meanwhile, so that they can take their turn.
            let later = self.clone();
            tokio::spawn(async move { later.learn(false).await });
        } else {
            self.learn(false).await;
        }
        let (mut asked, mut causes, mut unready) = (BTreeSet::new(), Vec::new(), None);
        for is_last_try in [false, true] {
            if is_last_try {
                self.learn(true).await;
            }
            for node in self.peers.in_order(question.turn, |node| holds(node) && !asked.contains(&node.index)) {
                asked.insert(node.index);
                match self.answer_of(node, share, question).await {
                    Ok(answered) if answered.status != StatusCode::SERVICE_UNAVAILABLE => return Ok(answered),
                    Ok(answered) => unready = Some(answered),
                    Err(cause) => causes.push(cause),
                }
            }
        }
        causes.extend(self.peers.all().iter().filter_map(|node| self.misfit(node)));
        unready.ok_or_else(|| self.nobody(share, &asked, &causes))
    }

    async fn answer_of(&self, node: &Node, share: PartitionShare, question: &Question) -> Result<Answered, String> {
        let response = self.peers.ask(node, &question.parts, &question.body, question.limit).await?;
        let status = response.status();
        // Who starts, or stands in front of it, does not know of shares.
        let said = response.headers().get(SHARE).cloned();
        if status != StatusCode::SERVICE_UNAVAILABLE && said != HeaderValue::from_str(&share.to_string()).ok() {
            *self.slot(node) = None;
            return Err(format!("{} does not hold share {share} any more", node.url));
        }
        let headers = passed_on(response.headers());
        match timeout(question.limit, to_bytes(response.into_body(), ANSWER_BYTES)).await {
            Ok(Ok(body)) => return Ok(Answered { status, headers, body }),
            Ok(Err(error)) => Err(format!("the answer of {} broke off: {error}", node.url)),
            Err(_) => Err(format!("{} did not finish its answer within {} s", node.url, question.limit.as_secs())),
        }
        .inspect_err(|_| node.avoid())
    }

    fn nobody(&self, share: PartitionShare, asked: &BTreeSet<usize>, causes: &[String]) -> Problem {
        let nodes: Vec<&str> = asked.iter().map(|index| self.peers.all()[*index].url.as_str()).collect();
        let why = match causes {
            [] => "no peer is known to hold it".to_owned(),
            causes => causes.join("; "),
        };
        let help = "start a query node of this share and name it in --peers, or try again in a moment";
        Problem::new(Code::Unavailable, format!("no node of share {share} answers: {why}"), help)
            .with("share", share.to_string())
            .with("nodes", nodes)
            .retry_after(1)
    }
}

/// Which share of the partitions this node holds.
#[utoipa::path(
    get,
    path = "/v1/share",
    tag = "operations",
    responses((status = 200, description = "Its share", body = ShareView))
)]
pub(super) async fn share(State(gateway): State<Gateway>) -> Result<Json<ShareView>, Problem> {
    let scatter = gateway.ports.shares.as_ref().ok_or_else(|| {
        Problem::new(Code::NotHere, "this node keeps no projections", "ask a query node (\"meshlog query\")")
    })?;
    Ok(Json(scatter.view.clone()))
}

/// Answers a read of everything from all shares.
pub(super) async fn scatter(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let Some(scatter) = gateway.ports.shares.clone() else { return next.run(request).await };
    if request.headers().get(SHARE) == Some(&OWN) {
        let mut response = next.run(request).await;
        if let Ok(share) = HeaderValue::from_str(&scatter.own.to_string()) {
            response.headers_mut().insert(SHARE, share);
        }
        return response;
    }
    if scatter.own == PartitionShare::ALL {
        return next.run(request).await;
    }
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned()).unwrap_or_default();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = match (is_read, route.as_str()) {
        (true, "/v1/threads") => threads(gateway, scatter, request, next).await,
        (true, "/v1/threads/{id}/messages") => messages(gateway, scatter, request, next).await,
        (true, "/v1/threads/{id}/summary" | "/v1/threads/{id}/statistics") => {
            of_thread(gateway, scatter, request, next).await
        }
        (true, "/v1/archive") => archive(gateway, scatter, request, next).await,
        (true, "/v1/statistics") => counted(scatter, request, next).await,
        (true, "/v1/messages/{id}") => found(scatter, request, next).await,
        (true, "/v1/calls") => calls(gateway, scatter, request, next).await,
        (true, "/v1/calls/{id}" | "/v1/calls/{id}/request" | "/v1/calls/{id}/response") => {
            found(scatter, request, next).await
        }
        (true, "/v1/usage") => summed(gateway, scatter, request, next).await,
        (true, "/v1/reached") => reached(scatter, request, next).await,
        (false, "/v1/recall") => recall(gateway, scatter, request, next).await,
        _ => return next.run(request).await,
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// The threads of all shares: each is asked for as many as are wanted, from the same place on.
async fn threads(gateway: Gateway, scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let Parameters(query) = Parameters::<SpacePageQuery>::from_request_parts(&mut parts, &gateway).await?;
    let items = query.page()?.items;
    let pages = Question::new(&scatter, parts, Bytes::new()).all::<Page<Thread>>(&scatter, next).await?;
    let page = merged(pages, items, |thread| gateway.ports.conversations.cursor_of(thread));
    Ok(Json(page).into_response())
}

/// One list from the pieces of several, which all began at the same place. `cursor` is where a list goes on with an item.
fn merged<T>(pages: Vec<Page<T>>, items: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let mut rest: Vec<String> = pages.iter().filter_map(|page| page.next.clone()).collect();
    let mut all: Vec<(String, T)> =
        pages.into_iter().flat_map(|page| page.items).map(|item| (cursor(&item), item)).collect();
    all.sort_by(|(left, _), (right, _)| left.cmp(right));
    rest.extend(all.get(items).map(|(cursor, _)| cursor.clone()));
    all.truncate(items);
    Page { items: all.into_iter().map(|(_, item)| item).collect(), next: rest.into_iter().min() }
}

/// The messages of a thread, which are all in one share.
async fn messages(gateway: Gateway, scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let Parameters(query) = Parameters::<MessagesQuery>::from_request_parts(&mut parts, &gateway).await?;
    in_its_share(gateway, scatter, query.space, Request::from_parts(parts, body), next).await
}

/// What is said of a thread, which is all in one share. The space is in the query, whatever else is.
async fn of_thread(gateway: Gateway, scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    struct Space {
        #[serde(default = "default_space")]
        space: String,
    }
    let (mut parts, body) = request.into_parts();
    // Its own handler says what is wrong with the query.
    let space = Query::<Space>::from_request_parts(&mut parts, &gateway).await;
    let space = space.map_or_else(|_| default_space(), |Query(query)| query.space);
    in_its_share(gateway, scatter, space, Request::from_parts(parts, body), next).await
}

/// A request for a thread, answered where the thread is.
async fn in_its_share(
    gateway: Gateway,
    scatter: Arc<Scatter>,
    space: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let Name(thread) = Name::from_request_parts(&mut parts, &gateway).await?;
    let share = scatter.own.beside(gateway.ports.conversations.partition_of(&space, &thread));
    if share == scatter.own {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    scatter.ask(share, &Question::new(&scatter, parts, Bytes::new())).await.map(Answered::into_response)
}

/// The archived or quiet threads of all shares: each is asked for as many as are wanted, from the same place on.
async fn archive(gateway: Gateway, scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let Parameters(query) = Parameters::<ArchiveQuery>::from_request_parts(&mut parts, &gateway).await?;
    let items = query.page()?.items;
    let pages = Question::new(&scatter, parts, Bytes::new()).all::<Page<ThreadLast>>(&scatter, next).await?;
    let cursor = |thread: &ThreadLast| gateway.ports.summaries.cursor_of(&query.space, query.is_archive(), thread);
    Ok(Json(merged(pages, items, cursor)).into_response())
}

/// The statistics of all shares together.
async fn counted(scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let answers = Question::new(&scatter, parts, Bytes::new()).all::<Statistics>(&scatter, next).await?;
    Ok(Json(summaries::merged(answers)).into_response())
}

/// The calls of all shares: each is asked for as many as are wanted, from the same place on.
async fn calls(gateway: Gateway, scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let Parameters(query) = Parameters::<CallsQuery>::from_request_parts(&mut parts, &gateway).await?;
    let (selection, page) = query.checked()?;
    let pages = Question::new(&scatter, parts, Bytes::new()).all::<Page<Call>>(&scatter, next).await?;
    let page = merged(pages, page.items, |call| gateway.ports.call_records.cursor_of(&selection, call));
    Ok(Json(page).into_response())
}

/// The usage of all shares together.
async fn summed(gateway: Gateway, scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let Parameters(query) = Parameters::<UsageQuery>::from_request_parts(&mut parts, &gateway).await?;
    let by = query.checked()?.by;
    let answers = Question::new(&scatter, parts, Bytes::new()).all::<Usage>(&scatter, next).await?;
    Ok(Json(usage::merged(&by, answers)?).into_response())
}

/// What has an id, from the share that has it.
async fn found(scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let mut answers = Question::new(&scatter, parts, Bytes::new()).ask(&scatter, scatter.own.all(), next).await;
    // Where it is found it is found, and who has it may say what is wrong with it; that it is nowhere can be said only if all
    // shares do.
    let weight = |answer: &Result<Answered, Problem>| match answer {
        Ok(answered) if answered.status.is_success() => 0,
        Ok(answered) if answered.status == StatusCode::NOT_FOUND => 3,
        Ok(answered) if answered.status.is_client_error() => 1,
        _ => 2,
    };
    answers.sort_by_key(weight);
    let first = answers.into_iter().next();
    first.unwrap_or_else(|| Err(Problem::internal("there is no share"))).map(Answered::into_response)
}

/// How far positions have come: as far as in the shares that have them.
async fn reached(scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let Parameters(query) = Parameters::<ReachedQuery>::from_request_parts(&mut parts, &()).await?;
    let shares: BTreeSet<_> = query.written()?.iter().map(|(partition, _)| scatter.own.beside(partition.id)).collect();
    let question = Question::new(&scatter, parts, Bytes::new());
    let question = Question { limit: query.timeout()? + JOURNEY, ..question };
    let answers = read::<Reached>(question.ask(&scatter, shares, next).await)?;
    let reached = answers.into_iter().map(|answer| answer.reached).min().unwrap_or(WaitLevel::Stored);
    Ok(Json(Reached { reached }).into_response())
}

/// What answers best among what answers best in each share.
async fn recall(gateway: Gateway, scatter: Arc<Scatter>, request: Request, next: Next) -> Result<Response, Problem> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let JsonBody(request) = JsonBody::<RecallRequest>::from_request(whole, &gateway).await?;
    checks::recall(&request)?;
    let limit = (request.limit * MORE_RESULTS).min(checks::RECALL_LIMIT);
    let of_share = RecallRequest { limit, explain: true, ..request.clone() };
    let body = serde_json::to_vec(&of_share).map_err(|error| Problem::internal(error.to_string()))?;
    let answers = Question::new(&scatter, parts, body.into()).all::<RecallResponse>(&scatter, next).await?;
    let mut response = gateway.ports.recall.merge(&request, answers)?;
    response.took_ms = started.elapsed().as_secs_f64() * 1e3;
    Ok(Json(response).into_response())
}

/// What every share is asked.
struct Question {
    parts: Parts,
    body: Bytes,
    limit: Duration,
    turn: usize,
}

/// What a share answers, whole.
struct Answered {
    status: StatusCode,
    /// Those that say what the body is.
    headers: HeaderMap,
    body: Bytes,
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

/// What of an answer's headers goes with it to the client.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let names = GUARDS.into_iter().map(|(name, _)| name).chain([header::CONTENT_TYPE, KEPT]);
    names.filter_map(|name| Some((name.clone(), headers.get(&name)?.clone()))).collect()
}

impl Question {
    fn new(scatter: &Scatter, mut parts: Parts, body: Bytes) -> Self {
        if parts.method == Method::HEAD {
            parts.method = Method::GET;
        }
        parts.headers.insert(SHARE, OWN);
        parts.headers.remove(header::CONTENT_LENGTH);
        Self { parts, body, limit: ANSWER_LIMIT, turn: scatter.peers.turn() }
    }

    /// Asks shares at the same time: the own one here, each other at one node that holds it.
    async fn ask(
        &self,
        scatter: &Arc<Scatter>,
        shares: impl IntoIterator<Item = PartitionShare>,
        next: Next,
    ) -> Vec<Result<Answered, Problem>> {
        let ask = |share| {
            let here = (share == scatter.own).then(|| next.clone());
            async move {
                match here {
                    Some(next) => self.ask_here(next).await,
                    None => scatter.ask(share, self).await,
                }
            }
        };
        join_all(shares.into_iter().map(ask)).await
    }

    /// What all shares answer; a problem of one is the problem.
    async fn all<T: DeserializeOwned>(&self, scatter: &Arc<Scatter>, next: Next) -> Result<Vec<T>, Problem> {
        read(self.ask(scatter, scatter.own.all(), next).await)
    }

    async fn ask_here(&self, next: Next) -> Result<Answered, Problem> {
        let response = next.run(Request::from_parts(self.parts.clone(), Body::from(self.body.clone()))).await;
        let (status, headers) = (response.status(), passed_on(response.headers()));
        let body = to_bytes(response.into_body(), ANSWER_BYTES).await;
        let body =
            body.map_err(|error| Problem::internal(format!("the answer of this node cannot be read: {error}")))?;
        Ok(Answered { status, headers, body })
    }
}

fn read<T: DeserializeOwned>(answers: Vec<Result<Answered, Problem>>) -> Result<Vec<T>, Problem> {
    let unreadable = |error: serde_json::Error| {
        let detail = format!("the answer of a query node cannot be read: {error}");
        Problem::new(Code::Unavailable, detail, "run all query nodes with the same version of Meshlog")
    };
    let read = |answer: Result<Answered, Problem>| {
        let Answered { status, body, .. } = answer?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(unreadable);
        }
        Err(serde_json::from_slice::<Problem>(&body).unwrap_or_else(unreadable))
    };
    answers.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        http::{
            fake::{Fake, NOON, Reply, ask, nobody, node, plain, post_json},
            router,
        },
        ports::Ports,
    };

    /// A node with a share of the two partitions that a fake has.
    fn ports(fake: &Arc<Fake>, share: &str, peers: &[String]) -> Ports {
        let scatter = Scatter::new(share.parse().expect("a share"), 2, peers).expect("they are addresses");
        Ports { shares: Some(Arc::new(scatter)), ..fake.ports() }
    }

    /// Two nodes, one of each share, and what is asked of the first.
    struct Pair {
        fakes: [Arc<Fake>; 2],
        router: axum::Router,
    }

    impl Pair {
        async fn new() -> Self {
            let fakes = [Fake::new(), Fake::new()];
            let second = node(ports(&fakes[1], "2/2", &[])).await;
            let router = router(ports(&fakes[0], "1/2", &[nobody().await, second]));
            Self { fakes, router }
        }

        /// Appends to the share that has the thread.
        fn append(&self, thread: &str, text: &str) {
            self.fakes[usize::from(thread.ends_with('1'))].append(thread, text);
        }

        async fn get(&self, path: &str) -> Reply {
            ask(self.router.clone(), plain("GET", path)).await
        }
    }

    fn names(reply: &Reply, field: &str) -> Vec<String> {
        let page = reply.json();
        let items = page["items"].as_array().or(page["results"].as_array()).expect("a list");
        items.iter().map(|item| item[field].as_str().expect("a name").to_owned()).collect()
    }

    #[tokio::test]
    async fn whatever_share_has_it_is_in_the_answer() {
        let pair = Pair::new().await;
        for (thread, text) in [("a0", "two boats"), ("b1", "one boat"), ("c0", "no sail")] {
            pair.append(thread, text);
        }
        assert_eq!(names(&pair.get("/v1/threads").await, "thread_id"), ["a0", "b1", "c0"]);
        assert_eq!(names(&pair.get("/v1/threads/b1/messages").await, "text"), ["one boat"]);
        assert_eq!(names(&pair.get("/v1/threads/c0/messages").await, "text"), ["no sail"]);
        assert_eq!(pair.get("/v1/threads/z1/messages").await.problem().code(), "unknown_thread");
        let recall = post_json("/v1/recall", json!({"query": "boat", "limit": 5}).to_string());
        let reply = ask(pair.router.clone(), recall).await;
        assert_eq!(names(&reply, "text"), ["one boat", "two boats"]);
        let wrong = post_json("/v1/recall", json!({"query": "boat", "limit": 0}).to_string());
        assert_eq!(ask(pair.router.clone(), wrong).await.problem().code(), "out_of_range");
        // Asked for its own share, a node leaves out the others, and says which it is.
        let own = Request::get("/v1/threads").header(SHARE, OWN).body(Body::empty()).expect("a request");
        let own = ask(pair.router.clone(), own).await;
        assert_eq!(
            (names(&own, "thread_id"), &own.headers[SHARE]),
            (vec!["a0".into(), "c0".into()], &"1/2".parse().expect("text"))
        );
        assert_eq!(pair.get("/v1/share").await.json(), json!({"share": 1, "of": 2, "partitions": [0]}));
    }

    #[tokio::test]
    async fn a_message_is_found_in_any_share_and_unknown_only_if_all_say_so() {
        let pair = Pair::new().await;
        pair.fakes[1].append("b1", "there");
        assert_eq!(pair.get("/v1/messages/m0").await.json()["text"], "there");
        assert_eq!(pair.get("/v1/messages/m9").await.problem().code(), "unknown_message");
        let lonely = router(ports(&pair.fakes[0], "1/2", &[nobody().await]));
        assert_eq!(ask(lonely, plain("GET", "/v1/messages/m9")).await.problem().code(), "unavailable");
    }

    #[tokio::test]
    async fn calls_of_all_shares_are_one_list_and_their_usage_one_sum() {
        let pair = Pair::new().await;
        let alone = Fake::new();
        for (number, (id, state)) in
            [("a", "open"), ("b", "completed"), ("c", "failed"), ("d", "completed")].iter().enumerate()
        {
            for fake in [&pair.fakes[number % 2], &alone] {
                fake.call(id, "main", Some("t"), state, NOON + number as i64);
            }
        }
        for path in [
            "/v1/calls",
            "/v1/calls?limit=1",
            "/v1/calls?limit=3",
            "/v1/calls?state=completed",
            "/v1/calls?thread=t&state=open",
            "/v1/calls/b",
            "/v1/calls/c",
            "/v1/usage",
            "/v1/usage?by=day,kind",
            "/v1/usage?by=",
        ] {
            let (reply, expected) = (pair.get(path).await, ask(alone.router(), plain("GET", path)).await);
            assert_eq!((reply.status, reply.text()), (expected.status, expected.text()), "{path}");
        }
        let mut listed = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = pair.get(&format!("/v1/calls?limit=1{cursor}")).await;
            listed.extend(names(&page, "call_id"));
            let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(listed, ["d", "c", "b", "a"]);
        assert_eq!(pair.get("/v1/usage?by=moon").await.problem().code(), "invalid_field");
        assert_eq!(pair.get("/v1/calls?state=moon").await.problem().code(), "invalid_field");
    }

    #[tokio::test]
    async fn a_body_comes_from_the_share_that_has_it_with_what_says_what_it_is() {
        let pair = Pair::new().await;
        pair.fakes[0].call("a", "main", None, "open", NOON);
        pair.fakes[1].call("b", "main", None, "completed", NOON);
        let reply = pair.get("/v1/calls/b/response").await;
        assert_eq!(reply.text(), "data: b\n\n");
        assert_eq!(
            (&reply.headers["content-type"], &reply.headers["meshlog-kept"]),
            (&"text/event-stream".parse().expect("text"), &"partial".parse().expect("text"))
        );
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        assert_eq!(pair.get("/v1/calls/a/response").await.problem().code(), "no_response");
        assert_eq!(pair.get("/v1/calls/z/request").await.problem().code(), "unknown_call");
    }

    #[tokio::test]
    async fn a_share_that_nobody_answers_for_is_named_and_never_left_out() {
        let fake = Fake::new();
        fake.append("a0", "hello");
        let dead = nobody().await;
        for peers in [vec![], vec![dead.clone()]] {
            let router = router(ports(&fake, "1/2", &peers));
            for request in [
                plain("GET", "/v1/threads"),
                plain("GET", "/v1/threads/b1/messages"),
                plain("GET", "/v1/calls"),
                plain("GET", "/v1/usage"),
                post_json("/v1/recall", json!({"query": "x"}).to_string()),
            ] {
                let reply = ask(router.clone(), request).await;
                let problem = reply.problem();
                assert_eq!((reply.status.as_u16(), problem.code()), (503, "unavailable"));
                assert_eq!(problem.details().facts["share"], "2/2");
            }
            // What the own share answers alone is answered.
            assert_eq!(names(&ask(router, plain("GET", "/v1/threads/a0/messages")).await, "text"), ["hello"]);
        }
    }

    #[tokio::test]
    async fn when_a_node_dies_another_of_its_share_is_asked() {
        let (here, there) = (Fake::new(), Fake::new());
        there.append("b1", "hello");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let first = format!("http://{}", listener.local_addr().expect("it is bound"));
        let server = tokio::spawn(crate::http::serve(listener, ports(&there, "2/2", &[]), std::future::pending()));
        let second = node(ports(&there, "2/2", &[])).await;
        let router = router(ports(&here, "1/2", &[first, second]));
        for round in 0..6 {
            if round == 2 {
                server.abort();
            }
            let reply = ask(router.clone(), plain("GET", "/v1/threads")).await;
            assert_eq!(names(&reply, "thread_id"), ["b1"], "{}", reply.text());
        }
    }

    #[tokio::test]
    async fn a_peer_of_another_division_is_not_asked_but_named() {
        let fake = Fake::new();
        let stranger = node(ports(&fake, "2/3", &[])).await;
        let router = router(ports(&fake, "1/2", std::slice::from_ref(&stranger)));
        let problem = ask(router.clone(), plain("GET", "/v1/threads")).await.problem();
        assert!(problem.details().detail.contains("2/3"), "{problem}");
        let ready = ask(router, plain("GET", "/readyz")).await;
        assert_eq!(ready.status.as_u16(), 503);
        let reason = ready.json()["reasons"][0].as_str().expect("a reason").to_owned();
        assert!(reason.contains(&stranger) && reason.contains("2/3"), "{reason}");
    }

    #[tokio::test]
    async fn a_peer_that_holds_another_share_by_now_is_not_believed() {
        let (here, there) = (Fake::new(), Fake::new());
        there.append("b1", "hello");
        let peer = node(ports(&there, "1/2", &[])).await;
        let scatter = Scatter::new("1/2".parse().expect("a share"), 2, &[peer]).expect("an address");
        *scatter.known[0].lock().expect("nobody panics") = Some("2/2".parse().expect("a share"));
        let ports = Ports { shares: Some(Arc::new(scatter)), ..here.ports() };
        let problem = ask(router(ports), plain("GET", "/v1/threads")).await.problem();
        assert!(problem.details().detail.contains("does not hold share 2/2"), "{problem}");
    }

    #[tokio::test]
    async fn positions_are_waited_for_in_the_shares_that_have_them() {
        let pair = Pair::new().await;
        pair.fakes[0].reach(Ok(WaitLevel::Indexed));
        pair.fakes[1].reach(Ok(WaitLevel::Embedded));
        let reached = async |after| pair.get(&format!("/v1/reached?after={after}")).await.json()["reached"].clone();
        assert_eq!(reached("messages/0/1,messages/1/1").await, "embedded");
        assert_eq!(reached("messages/2/1").await, "indexed");
        assert_eq!(pair.get("/v1/reached?after=moon").await.problem().code(), "invalid_field");
    }

    #[tokio::test]
    async fn a_cursor_of_another_list_is_refused() {
        assert_eq!(Pair::new().await.get("/v1/threads?cursor=x").await.problem().code(), "bad_cursor");
    }

    async fn paged(router: &axum::Router, limit: usize) -> Vec<Vec<String>> {
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let reply = ask(router.clone(), plain("GET", &format!("/v1/threads?limit={limit}{cursor}"))).await;
            pages.push(names(&reply, "thread_id"));
            match &reply.json()["next"] {
                Value::String(next) => cursor = format!("&cursor={next}"),
                _ => return pages,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn pages_of_all_shares_are_the_pages_of_one_node(threads in prop::collection::btree_set("[a-f]{1,3}[01]", 0..24), limit in 1_usize..8) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                let (pair, alone) = (Pair::new().await, Fake::new());
                for thread in &threads {
                    pair.append(thread, "x");
                    alone.append(thread, "x");
                }
                prop_assert_eq!(paged(&pair.router, limit).await, paged(&alone.router(), limit).await);
                Ok(())
            })?;
        }
    }
}
