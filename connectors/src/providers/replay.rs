//! Replay: answers that were recorded before are given again, byte for byte.
//!
//! Owns: which recorded answer belongs to a request, and the pauses between its pieces.
//! Never: asks anybody. A request that was not recorded is refused.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;

use super::{Answer, Ask, Body, Capabilities, Class, Failure, Kind, Mode, Price, Provider, Reply, openai, tokens};

/// An answer as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its media type.
    pub content_type: String,
    /// The headers that were kept.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Bytes,
    /// The pieces it came in: microseconds before each, and bytes.
    pub pieces: Vec<(u64, usize)>,
}

/// Where recorded answers are.
pub trait Recordings: Send + Sync + 'static {
    /// The answer to a request, by what was asked; `None` where there is none. Of several the next in turn.
    fn find(&self, kind: Kind, mode: Mode, body: &[u8]) -> Result<Option<Recorded>, String>;
}

/// When the pieces of a recorded answer are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As they came.
    Recorded,
    /// All at once.
    AtOnce,
}

/// A provider that only repeats.
pub struct Replay {
    name: String,
    recordings: Arc<dyn Recordings>,
    pace: Pace,
}

impl Replay {
    /// A provider of this name that answers from `recordings`.
    pub fn new(name: &str, recordings: Arc<dyn Recordings>, pace: Pace) -> Self {
        Self { name: name.to_owned(), recordings, pace }
    }
}

impl Provider for Replay {
    fn name(&self) -> &str {
        &self.name
    }

    fn wire(&self) -> &'static str {
        "openai"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { chat: true, embeddings: true, idempotency: true }
    }

    fn count_tokens(&self, _model: &str, text: &str) -> u64 {
        tokens::count(text)
    }

    fn price(&self, _model: &str) -> Option<&Price> {
        None
    }

    fn health(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn ask(&self, ask: Ask) -> Answer<'_, Reply> {
        let (recordings, pace) = (self.recordings.clone(), self.pace);
        Box::pin(async move {
            let (kind, mode, hides_usage) = (ask.kind, ask.mode, ask.hides_usage);
            let found = tokio::task::spawn_blocking(move || recordings.find(ask.kind, ask.mode, &ask.original)).await;
            let found = found.map_err(|error| Failure::new(Class::Internal, error.to_string()))?;
            let found = found.map_err(|error| Failure::new(Class::Internal, error))?;
            let recorded = found.ok_or_else(|| {
                let message = "this request was not recorded, and a replay asks nobody";
                Failure { status: Some(404), ..Failure::new(Class::NoModel, message) }
            })?;
            let Recorded { content_type, headers, body, pieces } = recorded;
            Ok(Reply {
                content_type,
                headers,
                body: paced(body, pieces, pace),
                reader: openai::reader(kind, mode, hides_usage),
            })
        })
    }
}

/// The body in its pieces. What the pieces do not cover comes behind them.
fn paced(body: Bytes, pieces: Vec<(u64, usize)>, pace: Pace) -> Body {
    let state = (body, pieces.into_iter());
    Box::pin(stream::unfold(state, move |(mut body, mut pieces)| async move {
        if body.is_empty() {
            return None;
        }
        let (micros, length) = pieces.next().unwrap_or((0, body.len()));
        if pace == Pace::Recorded {
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
        let piece = body.split_to(length.min(body.len()));
        Some((Ok(piece), (body, pieces)))
    }))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_body_comes_in_its_pieces_and_whole() {
        let body = Bytes::from_static(b"abcdef");
        let pieces: Vec<_> = paced(body.clone(), vec![(0, 1), (5, 2)], Pace::Recorded).collect().await;
        let pieces: Vec<_> = pieces.into_iter().map(Result::unwrap).collect();
        assert_eq!(pieces, ["a", "bc", "def"]);
        assert_eq!(paced(body, vec![(u64::MAX, 60)], Pace::AtOnce).collect::<Vec<_>>().await.len(), 1);
    }
}
