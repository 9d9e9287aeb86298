//! The dispatcher: carries calls out.
//!
//! Owns: which provider is asked when, what follows a failure, and that every call is settled.
//! Never: asks a provider before the log has written the attempt, gives anything of its answer before that is durable, or gives
//! the end of an answer before the whole is.

mod attempt;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use meshlog_schemas::{AttemptStarted, CallRequested, EventId};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use super::{
    config::{Config, KeyConfig},
    endpoint::Endpoint,
    outlet::{Begun, Outlet, Refused},
    record::{Caller, Outcome, Record, interrupted},
    request::Request,
    routes::{Routes, Target},
    secret::Secret,
    slots::Slot,
};
use crate::{
    ports::{CallEntry, CallLog},
    problem::Problem,
    providers::{Class, Failure, Kind, Provider, Summary, failure::Next},
};

/// The most attempts of one call, at all providers together.
const ATTEMPTS: i32 = 8;
/// How long calls under way may take to be settled when the server ends.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long, and how often, it is tried to settle a call that the log would not take.
const SETTLE_FOR: Duration = Duration::from_secs(600);
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// Carries calls out. Cloning it is cheap; all clones are one.
#[derive(Clone)]
pub struct Dispatcher(Arc<Shared>);

struct Shared {
    endpoints: Vec<Endpoint>,
    routes: Routes,
    keys: Vec<(String, Secret)>,
    log: Arc<dyn CallLog>,
    owner: String,
    under_way: AtomicUsize,
    /// How many calls ended with each outcome, in the order of [`Outcome::ALL`].
    ended: [AtomicU64; Outcome::ALL.len()],
    one_less: Notify,
    closing: watch::Sender<bool>,
}

/// A model that callers may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCard {
    /// The name.
    pub name: String,
    /// The provider that is asked first.
    pub provider: String,
    /// The kinds of calls that are answered, as far as is known.
    pub kinds: Vec<Kind>,
}

/// How a provider fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderState {
    /// Its name.
    pub name: String,
    /// `closed` while it is asked, `open` while it is left alone, `half-open` while one call tries it.
    pub circuit: &'static str,
    /// How many calls wait for a slot.
    pub waiting: usize,
}

/// What is known of a call that was begun before, by somebody who did not come to its end.
#[derive(Debug, Clone, Default)]
pub struct EarlierAttempts {
    /// The last attempt that was started, if there was one.
    pub last: Option<AttemptStarted>,
    /// Whether it is known to have failed.
    pub has_failed: bool,
}

/// A call while it is carried out.
struct Call {
    record: Record,
    outlet: Outlet,
    /// What is to be appended with the next event of the call.
    unwritten: Vec<CallEntry>,
    /// Whether the log has the request.
    is_requested: bool,
    party: Arc<str>,
}

/// How an attempt ended that is not to be followed by another.
enum End {
    /// The answer is complete.
    Completed,
    /// It failed, and nobody else is asked.
    Failed(Failure),
    /// The caller has gone.
    Cancelled,
    /// The server ends.
    Interrupted,
}

impl Dispatcher {
    /// A dispatcher to providers, in the order of the configuration. `owner` names this node in events.
    ///
    /// # Errors
    /// A key that callers show is not where it is said to be.
    pub fn new(
        config: &Config,
        providers: Vec<Arc<dyn Provider>>,
        log: Arc<dyn CallLog>,
        owner: String,
    ) -> Result<Self, String> {
        let key = |key: &KeyConfig| {
            let secret = key.key.resolve().map_err(|error| format!("key {}: {error}", key.label))?;
            Ok((key.label.clone(), secret))
        };
        let keys = config.keys.iter().map(key).collect::<Result<_, String>>()?;
        let endpoints =
            config.providers.iter().zip(providers).map(|(config, provider)| Endpoint::new(config, provider));
        Ok(Self(Arc::new(Shared {
            endpoints: endpoints.collect(),
            routes: Routes::new(config),
            keys,
            log,
            owner,
            under_way: AtomicUsize::new(0),
            ended: Default::default(),
            one_less: Notify::new(),
            closing: watch::Sender::new(false),
        })))
    }

    /// The label of the key that a caller shows; `None` where it shows none that is known, and one is needed.
    pub fn key_label(&self, shown: Option<&str>) -> Option<String> {
        if self.0.keys.is_empty() {
            return Some(String::new());
        }
        let shown = shown?;
        // All are looked at, so that the time does not tell which.
        let found = self.0.keys.iter().filter(|(_, key)| key.is(shown)).map(|(label, _)| label.clone());
        found.collect::<Vec<_>>().pop()
    }

    /// The models that callers may name; those that a star stands for are not among them.
    pub fn models(&self) -> Vec<ModelCard> {
        let names = self.0.routes.names().into_iter();
        names.map(|(name, provider)| ModelCard { kinds: self.kinds(&name), name, provider }).collect()
    }

    /// The kinds of calls that anybody answers who has a model of this name.
    fn kinds(&self, name: &str) -> Vec<Kind> {
        let targets = self.0.routes.targets(name);
        let does = |kind: &Kind| {
            targets.iter().any(|target| self.0.endpoints[target.provider].provider.does(*kind, &target.model))
        };
        [Kind::Chat, Kind::Embeddings].into_iter().filter(does).collect()
    }

    /// A model of this name, if anybody answers it; its provider is named only if the list has it.
    pub fn model(&self, name: &str) -> Option<ModelCard> {
        let listed = self.models().into_iter().find(|card| card.name == name);
        let unlisted = || ModelCard { name: name.to_owned(), provider: String::new(), kinds: self.kinds(name) };
        listed.or_else(|| self.has_model(name).then(unlisted))
    }

    /// Whether anybody answers a model of this name.
    pub fn has_model(&self, name: &str) -> bool {
        !self.0.routes.targets(name).is_empty()
    }

    /// Counts the tokens of a text as the provider does that is asked first for a model; `None` where nobody has it.
    pub fn token_counter(&self, model: &str) -> Option<impl Fn(&str) -> u64 + Send + use<>> {
        let target = self.0.routes.targets(model).into_iter().next()?;
        let provider = self.0.endpoints[target.provider].provider.clone();
        Some(move |text: &str| provider.count_tokens(&target.model, text))
    }

    /// How the providers fare.
    pub fn providers(&self) -> Vec<ProviderState> {
        let state = |endpoint: &Endpoint| ProviderState {
            name: endpoint.provider.name().to_owned(),
            circuit: endpoint.circuit(),
            waiting: endpoint.slots.waiting(),
        };
        self.0.endpoints.iter().map(state).collect()
    }

    /// Asks every provider whether it can be reached and takes our key.
    pub async fn health(&self) -> Vec<(String, Result<(), Failure>)> {
        let asked = self
            .0
            .endpoints
            .iter()
            .map(|endpoint| async move { (endpoint.provider.name().to_owned(), endpoint.provider.health().await) });
        futures_util::future::join_all(asked).await
    }

    /// How many calls are under way.
    pub fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::Relaxed)
    }

    /// How many calls of this node ended with each outcome since it was started.
    pub fn ended(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.into_iter().zip(&self.0.ended).map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed)))
    }

    /// Carries a call out for a caller who waits. Dropping the future before it is ready, or the stream behind it, is to leave:
    /// the provider is told within a moment, and the call is settled as cancelled.
    pub async fn call(&self, caller: Caller, request: Request) -> Begun {
        self.call_as(EventId::fresh(), caller, request).await
    }

    /// As [`Self::call`], under an id that the caller chooses, so that it finds the call again. No two calls may have one.
    pub async fn call_as(&self, id: EventId, caller: Caller, request: Request) -> Begun {
        let refused = |failure| Begun::Refused(Refused { call: None, provider: String::new(), attempts: 0, failure });
        let targets = match self.0.targets(&request) {
            Ok(targets) => targets,
            Err(failure) => return refused(failure),
        };
        if *self.0.closing.borrow() {
            return refused(Failure::new(
                Class::Interrupted,
                "the server is stopping; send the request again in a moment",
            ));
        }
        let (outlet, begun) = Outlet::new();
        let party = format!("{}/{}", caller.key_label, caller.space).into();
        let mut call = Call {
            record: Record::new(id, caller, request, self.0.log.now()),
            outlet,
            unwritten: Vec::new(),
            is_requested: false,
            party,
        };
        call.unwritten.push(call.record.requested(&self.0.owner));
        let guard = UnderWay::new(&self.0);
        tokio::spawn(async move { guard.0.carry_out(call, targets).await });
        let lost = || refused(Failure::new(Class::Internal, "the call broke off; this is a bug in Meshlog"));
        begun.await.unwrap_or_else(|_| lost())
    }

    /// Requests a call that some dispatcher carries out later, and answers its id once that is durable.
    ///
    /// # Errors
    /// Nobody has the model, or the log does not take the request.
    pub async fn request(&self, caller: Caller, request: Request) -> Result<EventId, Failure> {
        self.0.targets(&request)?;
        let id = EventId::fresh();
        self.0.append(vec![Record::new(id, caller, request, self.0.log.now()).requested("")]).await?;
        Ok(id)
    }

    /// Carries out a call that was requested before, for nobody who waits. What was begun and not finished is begun again only
    /// where the provider knows a repetition by its key; otherwise the call is settled as interrupted.
    pub async fn resume(
        &self,
        requested: &CallRequested,
        requested_at: i64,
        earlier: EarlierAttempts,
    ) -> Result<(), Failure> {
        let kind = if requested.kind == Kind::Embeddings.name() { Kind::Embeddings } else { Kind::Chat };
        let request = Request::read(kind, requested.body.clone());
        let request = request.map_err(|error| Failure::new(Class::Invalid, error.message))?;
        let party = format!("{}/{}", requested.key_label, requested.space).into();
        let targets = self.0.targets(&request);
        let mut record = Record::of_requested(requested, request, requested_at);
        let is_unfinished = earlier.last.is_some() && !earlier.has_failed;
        if let Some(last) = &earlier.last {
            record.resume(last);
        }
        let mut call = Call { record, outlet: Outlet::Nobody, unwritten: Vec::new(), is_requested: true, party };
        let known = |target: &Target| {
            let provider = &self.0.endpoints[target.provider].provider;
            let is_last = earlier
                .last
                .as_ref()
                .is_some_and(|last| last.provider == provider.name() && last.model == target.model);
            is_last && provider.capabilities().idempotency
        };
        let _guard = UnderWay::new(&self.0);
        let (end, provider) = match targets {
            Err(failure) => (End::Failed(failure), None),
            // Only the provider that knows what became of it is asked again.
            Ok(targets) if is_unfinished => match targets.into_iter().find(known) {
                Some(target) => self.0.work(&mut call, vec![target]).await,
                None => (End::Interrupted, None),
            },
            Ok(targets) => self.0.work(&mut call, targets).await,
        };
        match end {
            // It is open, and is taken up again when there is a server.
            End::Interrupted if *self.0.closing.borrow() => Err(interrupted()),
            end => self.0.finish(call, end, provider).await,
        }
    }

    /// Ends: calls under way are settled as interrupted.
    pub async fn close(&self) {
        self.0.closing.send_replace(true);
        let all = async {
            loop {
                let one_less = self.0.one_less.notified();
                if self.under_way() == 0 {
                    return;
                }
                one_less.await;
            }
        };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            tracing::warn!("calls are left open: the log does not take their end; they are settled at the next start");
        }
    }
}

/// Counts a call as under way as long as it lives.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.under_way.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.one_less.notify_waiters();
    }
}

impl Shared {
    /// Who is asked for a request, in order.
    fn targets(&self, request: &Request) -> Result<Vec<Target>, Failure> {
        let mut targets = self.routes.targets(&request.model);
        let named = !targets.is_empty();
        targets.retain(|target| self.endpoints[target.provider].provider.does(request.kind, &target.model));
        if !targets.is_empty() {
            return Ok(targets);
        }
        let model = &request.model;
        let message = match (named, self.routes.names().as_slice()) {
            (true, _) => format!("the model {model} does not do {}", request.kind.name()),
            (false, []) => format!("there is no model {model}: no provider is configured; see meshlog.toml"),
            (false, _) => format!("there is no model {model}; GET /v1/models lists those that there are"),
        };
        Err(Failure { status: Some(404), ..Failure::new(Class::NoModel, message) })
    }

    async fn append(&self, entries: Vec<CallEntry>) -> Result<(), Failure> {
        self.log.append(entries).await.map_err(refused)
    }

    /// Carries a call out to its end.
    async fn carry_out(&self, mut call: Call, targets: Vec<Target>) {
        // Each part on its own, so that a call is not moved about with all the room that any of its parts may need.
        let (end, provider) = Box::pin(self.work(&mut call, targets)).await;
        if let Err(failure) = Box::pin(self.finish(call, end, provider)).await {
            tracing::debug!(%failure, "a call is settled later");
        }
    }

    /// Asks one provider after the other until one answers, or nobody is left. A call that has ended well has told everything but
    /// its end.
    async fn work(&self, call: &mut Call, targets: Vec<Target>) -> (End, Option<(usize, Summary, Ending)>) {
        let mut last: Option<Failure> = None;
        let count = targets.len();
        for (place, target) in targets.into_iter().enumerate() {
            let endpoint = &self.endpoints[target.provider];
            let is_last_target = place + 1 == count;
            let mut tries = 0;
            loop {
                if call.record.attempts() >= ATTEMPTS {
                    break;
                }
                let slot = match self.admitted(call, endpoint, &target.model, is_last_target).await {
                    Ok(slot) => slot,
                    Err(Stop::End(end)) => return (end, None),
                    Err(Stop::Next(failure)) => {
                        // What a provider itself said tells more than that it was not asked.
                        last = last.or(Some(failure));
                        break;
                    }
                };
                let attempted = Box::pin(self.attempt(call, endpoint, &target)).await;
                drop(slot);
                let failure = match attempted {
                    Ok((end, summary, ending)) => return (end, Some((target.provider, summary, ending))),
                    Err(failure) => failure,
                };
                if failure.class == Class::Log {
                    return (End::Failed(failure), None);
                }
                tries += 1;
                let knows = endpoint.provider.capabilities().idempotency;
                let again = match failure.next() {
                    Next::Never => return (End::Failed(failure), None),
                    Next::Elsewhere => false,
                    Next::AgainIfKnown => knows,
                    // Somebody else can be asked at once, and limits are not waited for.
                    Next::Again => failure.class != Class::RateLimited || is_last_target,
                };
                let pause = endpoint.pause(tries, &failure).filter(|_| again && tries <= endpoint.retries.times);
                last = Some(failure);
                let Some(pause) = pause else { break };
                if let Some(end) = self.pause(call, pause).await {
                    return (end, None);
                }
            }
        }
        let none = || Failure::new(Class::Internal, "nobody was asked");
        (End::Failed(last.unwrap_or_else(none)), None)
    }

    /// Waits until a provider may be asked: for its limits, its circuit and a slot.
    async fn admitted(&self, call: &mut Call, endpoint: &Endpoint, model: &str, is_last: bool) -> Result<Slot, Stop> {
        if let Some(wait) = endpoint.parked(model) {
            let longest = Duration::from_millis(endpoint.retries.longest_ms);
            if !is_last || wait > longest {
                let message = format!("the provider {} asks to be left alone", endpoint.provider.name());
                return Err(Stop::Next(Failure {
                    retry_after: Some(wait),
                    ..Failure::new(Class::RateLimited, message)
                }));
            }
            if let Some(end) = self.pause(call, wait).await {
                return Err(Stop::End(end));
            }
        }
        let slot = match endpoint.slots.try_take() {
            Some(slot) => slot,
            None => self.queued(call, endpoint).await?,
        };
        // Last, for whoever is permitted has to say what came of it.
        endpoint.permit().map_err(Stop::Next)?;
        Ok(slot)
    }

    /// Waits in the queue. The call stands on the log before it does.
    async fn queued(&self, call: &mut Call, endpoint: &Endpoint) -> Result<Slot, Stop> {
        let unwritten = std::mem::take(&mut call.unwritten);
        if !unwritten.is_empty() {
            self.append(unwritten).await.map_err(|failure| Stop::End(End::Failed(failure)))?;
            call.is_requested = true;
        }
        let party = call.party.clone();
        let mut closing = self.closing.subscribe();
        tokio::select! {
            slot = endpoint.slots.take(&party) => slot.map_err(|_| {
                let message = format!("too many calls wait for the provider {}", endpoint.provider.name());
                let wait = Some(Duration::from_secs(1));
                Stop::Next(Failure { retry_after: wait, ..Failure::new(Class::QueueFull, message) })
            }),
            () = call.outlet.left() => Err(Stop::End(End::Cancelled)),
            () = closed(&mut closing) => Err(Stop::End(End::Interrupted)),
            () = sleep(endpoint.timeouts.whole) => {
                Err(Stop::Next(Failure::new(Class::Whole, "the call waited too long for its turn")))
            }
        }
    }

    /// Pauses; an end where there is one meanwhile.
    async fn pause(&self, call: &mut Call, pause: Duration) -> Option<End> {
        let mut closing = self.closing.subscribe();
        tokio::select! {
            () = sleep(pause) => None,
            () = call.outlet.left() => Some(End::Cancelled),
            () = closed(&mut closing) => Some(End::Interrupted),
        }
    }

    /// Settles a call, and then tells the caller its end.
    async fn finish(
        &self,
        mut call: Call,
        end: End,
        provider: Option<(usize, Summary, Ending)>,
    ) -> Result<(), Failure> {
        let (asked, summary, ending) = match provider {
            Some((place, summary, ending)) => (Some(&*self.endpoints[place].provider), summary, ending),
            None => (None, Summary::default(), Ending::default()),
        };
        let has_output = call.outlet.is_begun() || ending.has_output;
        let (outcome, failure) = match end {
            End::Completed => (Outcome::Completed, None),
            End::Failed(failure) if has_output => (Outcome::Truncated, Some(failure)),
            End::Failed(failure) => (Outcome::Failed, Some(failure)),
            End::Cancelled => (
                Outcome::Cancelled,
                Some(Failure::new(Class::Cancelled, "the caller left before the end of the answer")),
            ),
            End::Interrupted => (Outcome::Interrupted, Some(interrupted())),
        };
        let is_requested = call.is_requested;
        let mut entries = std::mem::take(&mut call.unwritten);
        entries.extend(call.record.settled(outcome, failure.as_ref(), &summary, asked, self.log.now()));
        // A call that the log did not take the request of is none: if it was taken all the same, the next start settles it.
        let settled = match &failure {
            Some(failure) if failure.class == Class::Log && !is_requested => Err(failure.clone()),
            _ => self.append(entries.clone()).await,
        };
        if settled.is_ok() {
            self.ended[outcome as usize].fetch_add(1, Ordering::Relaxed);
        }
        let failure = settled.as_ref().err().cloned().or(failure);
        call.tell(failure, ending).await;
        if settled.is_err() && is_requested && self.settle_later(entries).await {
            self.ended[outcome as usize].fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        settled
    }

    /// Tries again and again to settle a call that the log would not take; whether it did in the end.
    async fn settle_later(&self, entries: Vec<CallEntry>) -> bool {
        let deadline = Instant::now() + SETTLE_FOR;
        let mut closing = self.closing.subscribe();
        while Instant::now() < deadline {
            tokio::select! {
                () = sleep(SETTLE_EVERY) => {}
                () = closed(&mut closing) => return false,
            }
            if self.append(entries.clone()).await.is_ok() {
                return true;
            }
        }
        false
    }
}

/// What an attempt has left to be told once the call is settled.
#[derive(Default)]
struct Ending {
    /// Whether there was output.
    has_output: bool,
    /// The last pieces of a stream, or the whole answer.
    last: Vec<bytes::Bytes>,
    head: Option<super::outlet::Head>,
}

/// Why a provider is not asked.
enum Stop {
    /// Another may be.
    Next(Failure),
    /// Nobody is.
    End(End),
}

impl Call {
    /// Tells the caller the end.
    async fn tell(mut self, failure: Option<Failure>, ending: Ending) {
        // Whoever has gone by now does not hear it.
        match (failure, ending.head) {
            (None, _) if self.outlet.is_begun() => {
                for piece in ending.last {
                    let _ = self.outlet.give(piece).await;
                }
            }
            (None, Some(head)) => {
                let body = ending.last.into_iter().next().unwrap_or_default();
                self.outlet.tell(Begun::Whole(head, body));
            }
            (Some(failure), _) => {
                let refused = Refused {
                    call: Some(self.record.id),
                    provider: self.record.provider().to_owned(),
                    attempts: self.record.attempts(),
                    failure,
                };
                if self.outlet.is_begun() {
                    let _ = self.outlet.give(refused.event()).await;
                } else {
                    self.outlet.tell(Begun::Refused(refused));
                }
            }
            (None, None) => {}
        }
    }
}

/// The log did not take something.
fn refused(problem: Problem) -> Failure {
    let details = problem.details();
    let seconds = details.facts.get("retry_after_seconds").and_then(serde_json::Value::as_u64);
    Failure { retry_after: seconds.map(Duration::from_secs), ..Failure::new(Class::Log, details.detail.clone()) }
}

/// Completes when the server ends.
async fn closed(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending().await
    }
}
