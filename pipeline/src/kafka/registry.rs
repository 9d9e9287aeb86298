//! A schema registry with Confluent's API: which id stands for which of our schemas, and the other way round.
//!
//! Every schema ever written is registered when the log opens, oldest first, under its full name as the subject (Confluent's
//! RecordNameStrategy). A topic holds events of several types, so the topic alone cannot be the subject; and an event type is
//! one thing on whatever topics a mesh keeps it, its versions compatible with each other, so the topic is no part of it.
//!
//! Ids that are not ours are asked for when a record with one is read:
//!
//! ```text
//!   found            remembered, at most MOST_REMEMBERED
//!   not there        remembered for FORGET_AFTER; after MOST_MISSES of these nothing is asked for PAUSE
//!   no fit answer    nothing is asked for PAUSE
//! ```
//!
//! Owns: the conversation with the registry, and what is remembered of it.
//! Never: asks while a partition is followed, only for whoever reads; asks twice at a time; writes credentials into an error.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::Mutex,
    time::{Duration, Instant},
};

use lru::LruCache;
use meshlog_schemas::{SchemaVersion, catalog};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use ureq::{
    Agent, Body,
    http::{Response, Uri},
};

use crate::lock::lock;

/// How long the registry may take to register one schema.
const REGISTER_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to say what an id is, while a reader waits.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(3);
/// How long it is not asked after it gave no fit answer, or was asked for too much that is not there.
const PAUSE: Duration = Duration::from_secs(10);
/// How long an id is held to be unknown.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// How many ids may be unknown before there is a pause.
const MOST_MISSES: usize = 32;
/// How many ids that are not ours are remembered.
const MOST_REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not zero");
/// The largest answer, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

type Fingerprint = [u8; 8];

/// What a registry did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RegistryError {
    #[error("\"{0}\" is no URL of a schema registry; use http://HOST:PORT/PATH (HTTPS is not spoken)")]
    NoUrl(String),
    #[error("the schema registry at {url} is not reached: {cause}; see that it runs, and that the URL is right")]
    Unreachable { url: String, cause: String },
    #[error(
        "the schema registry at {url} refuses version {version} of the subject {subject} as incompatible with what it has \
         there: {said}; remove what others registered under this subject, or have it take versions that are compatible \
         in both directions (FULL_TRANSITIVE)"
    )]
    Incompatible { url: String, subject: &'static str, version: u32, said: String },
    #[error("the schema registry at {url} answered status {status} when it was asked to {asked}: {said}")]
    Refused { url: String, status: u16, asked: String, said: String },
    #[error(
        "the schema registry at {url} answered something that is not understood when it was asked to {asked}: {cause}; \
         see that the URL is that of Confluent's API"
    )]
    Garbage { url: String, asked: String, cause: String },
}

/// A registry that has all our schemas.
pub(super) struct Registry {
    agent: Agent,
    url: String,
    /// The URL without credentials.
    shown: String,
    /// Of our schemas.
    ids: HashMap<Fingerprint, u32>,
    ours: HashMap<u32, Fingerprint>,
    others: Mutex<Others>,
    /// Held while it is asked, so that it is asked for one id at a time.
    asking: Mutex<()>,
}

/// What is known of ids that are not ours.
struct Others {
    answers: LruCache<u32, Answer>,
    misses: usize,
    quiet_until: Option<Instant>,
}

enum Answer {
    Schema(Fingerprint),
    NotThere(Instant),
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    schema: String,
    /// Avro, where it is not said.
    schema_type: Option<String>,
}

impl Registry {
    /// Registers every schema ever written.
    ///
    /// # Errors
    /// The registry is not reached, or does not take one.
    pub(super) fn open(url: &str) -> Result<Self, RegistryError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .user_agent(concat!("meshlog/", env!("CARGO_PKG_VERSION")))
            .build();
        let url = url.trim_end_matches('/').to_owned();
        let mut registry = Self {
            agent: config.new_agent(),
            shown: without_credentials(&url)?,
            url,
            ids: HashMap::new(),
            ours: HashMap::new(),
            others: Mutex::new(Others { answers: LruCache::new(MOST_REMEMBERED), misses: 0, quiet_until: None }),
            asking: Mutex::default(),
        };
        for version in catalog() {
            let id = registry.register(version)?;
            registry.ids.insert(version.fingerprint, id);
            registry.ours.insert(id, version.fingerprint);
        }
        Ok(registry)
    }

    /// The id of one of our schemas.
    pub(super) fn id(&self, fingerprint: Fingerprint) -> Option<u32> {
        self.ids.get(&fingerprint).copied()
    }

    /// The schema of an id, if that is known without asking.
    pub(super) fn known(&self, id: u32) -> Option<Fingerprint> {
        self.ours.get(&id).copied().or_else(|| match lock(&self.others).answers.get(&id) {
            Some(Answer::Schema(fingerprint)) => Some(*fingerprint),
            _ => None,
        })
    }

    /// The schema of an id, for which the registry is asked if it need be and may be.
    pub(super) fn look_up(&self, id: u32) -> Option<Fingerprint> {
        if let Some(known) = self.known(id) {
            return Some(known);
        }
        if !lock(&self.others).may_ask(id) {
            return None;
        }
        let _alone = lock(&self.asking);
        // Somebody may have asked while this one waited.
        if let Some(known) = self.known(id) {
            return Some(known);
        }
        if !lock(&self.others).may_ask(id) {
            return None;
        }
        let answer = self.ask(id);
        let mut others = lock(&self.others);
        match answer {
            Ok(Some(fingerprint)) => {
                others.answers.put(id, Answer::Schema(fingerprint));
                Some(fingerprint)
            }
            Ok(None) => {
                tracing::warn!(id, registry = self.shown, "the schema registry has no Avro schema with this id");
                others.answers.put(id, Answer::NotThere(Instant::now()));
                others.misses += 1;
                if others.misses >= MOST_MISSES {
                    others.pause();
                }
                None
            }
            Err(error) => {
                tracing::warn!(id, %error, "what was written with this schema id cannot be read now");
                others.pause();
                None
            }
        }
    }

    fn register(&self, version: &SchemaVersion) -> Result<u32, RegistryError> {
        let subject = version.name;
        let asked = || format!("register version {} of the subject {subject}", version.version);
        let request = self.agent.post(format!("{}/subjects/{subject}/versions", self.url));
        let request = request.config().timeout_global(Some(REGISTER_LIMIT)).build();
        let (status, body) =
            self.answer(request.send_json(json!({ "schema": version.json.trim(), "schemaType": "AVRO" })))?;
        match status {
            200 => Ok(self.parse::<Registered>(&body, asked)?.id),
            409 => Err(RegistryError::Incompatible {
                url: self.shown.clone(),
                subject,
                version: version.version,
                said: message(&body),
            }),
            _ => Err(self.refused(status, asked(), &body)),
        }
    }

    /// The schema of an id; `None` if the registry has no Avro schema with it that stands by itself.
    fn ask(&self, id: u32) -> Result<Option<Fingerprint>, RegistryError> {
        let asked = || format!("tell the schema with the id {id}");
        let request = self.agent.get(format!("{}/schemas/ids/{id}", self.url));
        let (status, body) = self.answer(request.config().timeout_global(Some(LOOK_UP_LIMIT)).build().call())?;
        match status {
            200 => {
                let found: Found = self.parse(&body, asked)?;
                let is_avro = found.schema_type.is_none_or(|kind| kind == "AVRO");
                Ok(meshlog_schemas::fingerprint(&found.schema).filter(|_| is_avro))
            }
            404 => Ok(None),
            _ => Err(self.refused(status, asked(), &body)),
        }
    }

    fn answer(&self, response: Result<Response<Body>, ureq::Error>) -> Result<(u16, String), RegistryError> {
        let unreachable =
            |error: ureq::Error| RegistryError::Unreachable { url: self.shown.clone(), cause: error.to_string() };
        let mut response = response.map_err(unreachable)?;
        let body = response.body_mut().with_config().limit(MOST_BYTES).lossy_utf8(true).read_to_string();
        Ok((response.status().as_u16(), body.map_err(unreachable)?))
    }

    fn parse<T: DeserializeOwned>(&self, body: &str, asked: impl Fn() -> String) -> Result<T, RegistryError> {
        serde_json::from_str(body).map_err(|error| RegistryError::Garbage {
            url: self.shown.clone(),
            asked: asked(),
            cause: error.to_string(),
        })
    }

    fn refused(&self, status: u16, asked: String, body: &str) -> RegistryError {
        RegistryError::Refused { url: self.shown.clone(), status, asked, said: message(body) }
    }
}

impl Others {
    fn may_ask(&mut self, id: u32) -> bool {
        let is_quiet = self.quiet_until.is_some_and(|until| Instant::now() < until);
        let is_known_to_be_missing =
            matches!(self.answers.get(&id), Some(Answer::NotThere(since)) if since.elapsed() < FORGET_AFTER);
        !is_quiet && !is_known_to_be_missing
    }

    fn pause(&mut self) {
        self.misses = 0;
        self.quiet_until = Some(Instant::now() + PAUSE);
    }
}

fn without_credentials(url: &str) -> Result<String, RegistryError> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let host = rest.find('@').map_or(rest, |at| &rest[at + 1..]);
    let shown = format!("{scheme}://{host}");
    match url.parse::<Uri>() {
        Ok(parsed) if scheme == "http" && parsed.host().is_some_and(|host| !host.is_empty()) => Ok(shown),
        _ => Err(RegistryError::NoUrl(shown)),
    }
}

/// What an answer says in words, within one line.
fn message(body: &str) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let said = serde_json::from_str::<Said>(body).map_or_else(|_| body.to_owned(), |said| said.message);
    let line: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(400).collect()
}

#[cfg(test)]
mod tests;
