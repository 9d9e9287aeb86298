//! Client: requests to a Meshlog server.
//!
//! Owns: one pool of connections, and what the ways in which a request can fail mean.
//! Promises: every answer that is no success is a [`Failure`]; a problem document arrives in it unchanged.
//! Never: goes through a proxy, speaks TLS, or tries twice (see `patience` for that).

use std::{
    io::{BufReader, Read},
    time::Duration,
};

use meshlog_connectors::{api::MessagesAccepted, problem::ProblemDetails};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ureq::{Agent, Body, http::Response};

use super::{Failure, output, percent};

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an ordinary request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);
/// How long a request may take that makes the server read a whole topic.
const LONG_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// How long a stream may be silent. The server sends a comment at least every 15 seconds.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// The largest answer, in bytes; it bounds the memory that a foreign server could take.
const ANSWER_LIMIT: u64 = 1024 * 1024 * 1024;
/// How much is shown of an answer that is not understood, in characters.
const EXCERPT: usize = 120;

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Two minutes: for answers from what is there.
    Ordinary,
    /// Hours: for work over whole topics.
    Long,
}

/// A server, by its address.
pub(super) struct Client {
    agent: Agent,
    /// Without a slash at the end.
    url: String,
}

impl Client {
    /// A client of the server at this URL; nothing is sent yet.
    ///
    /// # Errors
    /// When it is no `http://` URL.
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let url = url.trim_end_matches('/');
        if url.starts_with("https://") {
            let help = "use http:// for a server on this machine; for one far away, forward its port, \
                        for example: ssh -L 7700:127.0.0.1:7700 HOST";
            return Err(Failure::local(format!("{url}: this command speaks no TLS"), help));
        }
        if url.strip_prefix("http://").is_none_or(str::is_empty) {
            return Err(Failure::local(format!("\"{url}\" is no URL of a server"), "use http://HOST:PORT"));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_LIMIT))
            .user_agent(concat!("meshlog/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.new_agent(), url: url.to_owned() })
    }

    /// Asks for the JSON document at a path.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Failure> {
        let request = self.agent.get(self.address(path, query));
        let response = request.config().timeout_global(Some(REQUEST_LIMIT)).build().call();
        self.document(path, response)
    }

    /// Asks for the text at a path, whatever the status of the answer.
    pub(super) fn status_and_text(&self, path: &str) -> Result<(u16, String), Failure> {
        let request = self.agent.get(self.address(path, &[]));
        let response = request.config().timeout_global(Some(REQUEST_LIMIT)).build().call();
        let mut response = response.map_err(|error| self.unreachable(&error))?;
        let text = self.text(&mut response)?;
        Ok((response.status().as_u16(), text))
    }

    /// Sends a JSON document to a path, and answers the one that comes back.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        duty: Duty,
    ) -> Result<T, Failure> {
        let limit = match duty {
            Duty::Ordinary => REQUEST_LIMIT,
            Duty::Long => LONG_LIMIT,
        };
        let request = self.agent.post(self.address(path, &[])).config().timeout_global(Some(limit)).build();
        self.document(path, request.send_json(body))
    }

    /// Puts a JSON document in the place of the one at a path, and answers the one that comes back.
    pub(super) fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let request = self.agent.put(self.address(path, &[])).config().timeout_global(Some(REQUEST_LIMIT)).build();
        self.document(path, request.send_json(body))
    }

    /// Sends a request without a body to a path, and answers the JSON document that comes back.
    pub(super) fn post_bare<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let request = self.agent.post(self.address(path, &[]));
        let response = request.config().timeout_global(Some(REQUEST_LIMIT)).build().send_empty();
        self.document(path, response)
    }

    /// Removes what is at a path, and answers the document that comes back.
    pub(super) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.document(path, self.deleted(path))
    }

    /// Removes what is at a path, of which nothing is left to be told.
    pub(super) fn remove(&self, path: &str) -> Result<(), Failure> {
        self.successful(path, self.deleted(path)).map(drop)
    }

    fn deleted(&self, path: &str) -> Result<Response<Body>, ureq::Error> {
        let request = self.agent.delete(self.address(path, &[]));
        request.config().timeout_global(Some(REQUEST_LIMIT)).build().call()
    }

    /// Sends messages as JSON lines.
    pub(super) fn send_lines(&self, query: &[(&str, String)], lines: &[u8]) -> Result<MessagesAccepted, Failure> {
        let path = "/v1/messages";
        let request = self.agent.post(self.address(path, query)).content_type("application/x-ndjson");
        let response = request.config().timeout_global(Some(REQUEST_LIMIT)).build().send(lines);
        self.document(path, response)
    }

    /// Opens a stream of server-sent events, after the last event seen if there is one.
    pub(super) fn stream(
        &self,
        path: &str,
        query: &[(&str, String)],
        last_event_id: Option<&str>,
    ) -> Result<BufReader<impl Read + use<>>, Failure> {
        let mut request = self.agent.get(self.address(path, query)).header("Accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.config().timeout_per_read(Some(SILENCE_LIMIT)).build().call();
        let response = self.successful(path, response)?;
        Ok(BufReader::new(response.into_body().into_with_config().limit(u64::MAX).reader()))
    }

    /// Opens a document that is too large to be held, at a path.
    pub(super) fn download(&self, path: &str, query: &[(&str, String)]) -> Result<impl Read + use<>, Failure> {
        let request = self.agent.get(self.address(path, query));
        let response = request.config().timeout_per_read(Some(SILENCE_LIMIT)).build().call();
        let response = self.successful(path, response)?;
        Ok(response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// The connection failed while an answer was being read.
    pub(super) fn broken_off(&self, reason: impl std::fmt::Display) -> Failure {
        Failure::Unreachable { url: self.url.clone(), reason: format!("the connection broke off: {reason}") }
    }

    fn address(&self, path: &str, query: &[(&str, String)]) -> String {
        format!("{}{path}{}", self.url, percent::query(query))
    }

    fn document<T: DeserializeOwned>(
        &self,
        path: &str,
        response: Result<Response<Body>, ureq::Error>,
    ) -> Result<T, Failure> {
        let mut response = self.successful(path, response)?;
        let text = self.text(&mut response)?;
        serde_json::from_str(&text).map_err(|error| {
            let what = format!("{}{path} answered something that is not understood: {error}", self.url);
            Failure::local(what, "check that server and command are of the same version: meshlog --version")
        })
    }

    fn successful(&self, path: &str, response: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Failure> {
        let mut response = response.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let text = self.text(&mut response)?;
        Err(self.refused(path, response.status().as_u16(), &text))
    }

    fn text(&self, response: &mut Response<Body>) -> Result<String, Failure> {
        let body = response.body_mut().with_config().limit(ANSWER_LIMIT).read_to_string();
        body.map_err(|error| self.broken_off(error))
    }

    fn refused(&self, path: &str, status: u16, text: &str) -> Failure {
        if let Ok(problem) = serde_json::from_str::<ProblemDetails>(text) {
            return Failure::Refused(Box::new(problem));
        }
        // The routes of model calls have OpenAI's form of errors.
        if let Ok(OpenAiError { error: OpenAiCause { message, code } }) = serde_json::from_str(text) {
            let what = format!("{}{path} answered status {status}: {message} ({})", self.url, code.unwrap_or_default());
            return Failure::local(
                what,
                "see \"meshlog calls\" and GET /v1/providers?check=true for what the provider said",
            );
        }
        let excerpt = output::shortened(&output::one_line(text), EXCERPT);
        let what = format!("{}{path} answered status {status} without a problem document: {excerpt}", self.url);
        Failure::local(what, "check that a meshlog listens there, and not another program")
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Failure::local(format!("\"{}\" is no URL of a server: {error}", self.url), "use http://HOST:PORT")
            }
            _ => Failure::Unreachable { url: self.url.clone(), reason: error.to_string() },
        }
    }
}

/// A failure in OpenAI's form, as far as it is told.
#[derive(Deserialize)]
struct OpenAiError {
    error: OpenAiCause,
}

#[derive(Deserialize)]
struct OpenAiCause {
    message: String,
    code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_refused(url: &str, expected: &str) {
        match Client::new(url) {
            Err(Failure::Local { what, .. }) => assert!(what.contains(expected), "{what}"),
            Err(failure) => panic!("{url}: {failure:?}"),
            Ok(_) => panic!("{url} was taken"),
        }
    }

    #[test]
    fn only_plain_http_urls_are_taken() {
        check_refused("https://example.org", "speaks no TLS");
        check_refused("127.0.0.1:7700", "is no URL");
        check_refused("http://", "is no URL");
        assert!(Client::new("http://127.0.0.1:7700/").is_ok());
    }

    #[test]
    fn a_foreign_server_is_named_as_such() {
        let client = Client::new("http://127.0.0.1:7700").expect("the URL is right");
        let Failure::Local { what, help } = client.refused("/v1/topics", 404, "<html>\n<b>nginx</b>") else {
            panic!("it is no problem of meshlog");
        };
        assert!(what.contains("status 404") && what.contains("<html> <b>nginx</b>"), "{what}");
        assert!(help.is_some_and(|help| help.contains("another program")));
    }
}
