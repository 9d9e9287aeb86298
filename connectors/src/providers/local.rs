//! Local models: a chat model and an embedding model that run in this process, behind the same trait as every provider.
//!
//! Owns: OpenAI's format around what the models say. The models themselves are given to it.
//! Never: computes on the threads that serve connections.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Answer, Ask, Body, Capabilities, Class, Failure, Kind, Mode, Price, Provider, Reply, openai};

/// Pieces that may wait for whoever reads them.
const PIECES: usize = 64;
/// The most texts of one embeddings request.
const INPUTS: usize = 2_048;

/// A chat model that runs here.
pub trait ChatModel: Send + Sync {
    /// About how many tokens a text has.
    fn count_tokens(&self, text: &str) -> u64;

    /// Continues a conversation and hands what is said to `on_text`, piece by piece; a break ends it within a token. It blocks.
    ///
    /// # Errors
    /// The conversation cannot be continued: it is too long, or not of the form that the model knows.
    fn generate(
        &self,
        request: &Generation,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Generated, Failure>;
}

/// A model that makes vectors of texts here.
pub trait TextEncoder: Send + Sync {
    /// How many tokens a text has.
    fn count_tokens(&self, text: &str) -> u64;

    /// The texts' vectors, of unit length. It blocks.
    ///
    /// # Errors
    /// The model failed.
    fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure>;
}

/// What is to be continued, and how.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Generation {
    /// The conversation, in OpenAI's format.
    pub messages: Vec<Value>,
    /// Tools that the model may ask for, as they stand.
    pub tools: Option<Value>,
    /// 0 is always the likeliest token.
    pub temperature: Option<f64>,
    /// Only of the likeliest tokens with this probability together.
    pub top_p: Option<f64>,
    /// Only of so many of the likeliest tokens.
    pub top_k: Option<usize>,
    /// The same seed gives the same words.
    pub seed: Option<u64>,
    /// The most tokens that are put out.
    #[serde(alias = "max_tokens")]
    pub max_completion_tokens: Option<usize>,
    /// Texts at which it ends.
    pub stop: Option<StopTexts>,
    /// How many answers; only one is given.
    pub n: Option<u64>,
}

/// One text, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum StopTexts {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl StopTexts {
    /// All of them.
    pub fn all(&self) -> Vec<String> {
        match self {
            StopTexts::One(text) => vec![text.clone()],
            StopTexts::Several(texts) => texts.clone(),
        }
    }
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generated {
    /// Whether the model came to its end by itself; else it was cut at the most tokens.
    pub has_stopped: bool,
    /// Tokens of the conversation.
    pub prompt_tokens: u64,
    /// Tokens that were put out.
    pub output_tokens: u64,
}

/// Models that run here, by their names.
pub struct Local {
    name: String,
    chats: BTreeMap<String, Arc<dyn ChatModel>>,
    encoders: BTreeMap<String, Arc<dyn TextEncoder>>,
    prices: Vec<(String, Price)>,
}

impl Local {
    /// A provider of this name with the models given.
    pub fn new(
        name: &str,
        chats: BTreeMap<String, Arc<dyn ChatModel>>,
        encoders: BTreeMap<String, Arc<dyn TextEncoder>>,
        prices: Vec<(String, Price)>,
    ) -> Self {
        Self { name: name.to_owned(), chats, encoders, prices }
    }

    fn no_model(&self, ask: &Ask) -> Failure {
        let message = format!("there is no local model {} for {}", ask.model, ask.kind.name());
        Failure { status: Some(404), ..Failure::new(Class::NoModel, message) }
    }

    fn chat(&self, ask: &Ask) -> Result<Reply, Failure> {
        let model = self.chats.get(&ask.model).cloned().ok_or_else(|| self.no_model(ask))?;
        let request: Generation = serde_json::from_slice(&ask.body).map_err(|error| invalid(error.to_string()))?;
        if request.n.is_some_and(|n| n != 1) {
            return Err(invalid("a local model gives one answer: n must be 1".to_owned()));
        }
        let (sender, receiver) = mpsc::channel(PIECES);
        let frame = Frame::of(ask);
        let mode = ask.mode;
        tokio::task::spawn_blocking(move || {
            let told = match mode {
                Mode::Stream => frame.stream(&*model, &request, &sender),
                Mode::Whole => frame.whole(&*model, &request, &sender),
            };
            if let Err(failure) = told {
                // Whoever asked may have gone.
                let _ = sender.blocking_send(Err(failure));
            }
        });
        Ok(reply(ask, body(receiver)))
    }

    fn embed(&self, ask: &Ask) -> Result<Reply, Failure> {
        let encoder = self.encoders.get(&ask.model).cloned().ok_or_else(|| self.no_model(ask))?;
        let request: Embeddings = serde_json::from_slice(&ask.body)
            .map_err(|_| invalid("input must be a text or several, and encoding_format float or base64".to_owned()))?;
        let model = ask.model.clone();
        let (sender, receiver) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            // Whoever asked may have gone.
            let _ = sender.blocking_send(embedded(&*encoder, &model, request));
        });
        Ok(reply(ask, body(receiver)))
    }
}

impl Provider for Local {
    fn name(&self) -> &str {
        &self.name
    }

    fn wire(&self) -> &'static str {
        "openai"
    }

    fn capabilities(&self) -> Capabilities {
        // To do it again costs nobody anything but time.
        Capabilities { chat: !self.chats.is_empty(), embeddings: !self.encoders.is_empty(), idempotency: true }
    }

    fn does(&self, kind: Kind, model: &str) -> bool {
        match kind {
            Kind::Chat => self.chats.contains_key(model),
            Kind::Embeddings => self.encoders.contains_key(model),
        }
    }

    fn count_tokens(&self, model: &str, text: &str) -> u64 {
        let chat = self.chats.get(model).map(|chat| chat.count_tokens(text));
        chat.or_else(|| self.encoders.get(model).map(|encoder| encoder.count_tokens(text))).unwrap_or(0)
    }

    fn price(&self, model: &str) -> Option<&Price> {
        self.prices.iter().find(|(name, _)| name == model).map(|(_, price)| price)
    }

    fn health(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn ask(&self, ask: Ask) -> Answer<'_, Reply> {
        Box::pin(async move {
            match ask.kind {
                Kind::Chat => self.chat(&ask),
                Kind::Embeddings => self.embed(&ask),
            }
        })
    }
}

fn invalid(message: String) -> Failure {
    Failure { status: Some(400), ..Failure::new(Class::Invalid, message) }
}

fn reply(ask: &Ask, body: Body) -> Reply {
    let content_type = match ask.mode {
        Mode::Stream => "text/event-stream",
        Mode::Whole => "application/json",
    };
    let reader = openai::reader(ask.kind, ask.mode, ask.hides_usage);
    Reply { content_type: content_type.to_owned(), headers: BTreeMap::new(), body, reader }
}

fn body(receiver: mpsc::Receiver<Result<Bytes, Failure>>) -> Body {
    Box::pin(futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    }))
}

type Sender = mpsc::Sender<Result<Bytes, Failure>>;

/// What stands around the words of an answer.
struct Frame {
    id: String,
    model: String,
    created: u64,
    gives_usage: bool,
}

impl Frame {
    fn of(ask: &Ask) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Options {
            stream_options: Option<Usage>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Usage {
            include_usage: bool,
        }
        let options = serde_json::from_slice::<Options>(&ask.body).unwrap_or_default().stream_options;
        Self {
            id: format!("chatcmpl-{}", ask.call.0.simple()),
            model: ask.model.clone(),
            created,
            gives_usage: options.is_some_and(|options| options.include_usage),
        }
    }

    fn chunk(&self, choices: &Value, usage: Option<&Value>) -> Bytes {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model, "choices": choices,
        });
        if self.gives_usage {
            chunk["usage"] = usage.cloned().unwrap_or_default();
        }
        format!("data: {chunk}\n\n").into()
    }

    fn delta(&self, delta: &Value, finish: Option<&str>) -> Bytes {
        self.chunk(&json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]), None)
    }

    fn stream(&self, model: &dyn ChatModel, request: &Generation, sender: &Sender) -> Result<(), Failure> {
        let mut is_first = true;
        let mut say = |text: &str| {
            if text.is_empty() {
                return ControlFlow::Continue(());
            }
            let delta = if std::mem::take(&mut is_first) {
                json!({"role": "assistant", "content": text})
            } else {
                json!({"content": text})
            };
            match sender.blocking_send(Ok(self.delta(&delta, None))) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        };
        let generated = model.generate(request, &mut say, &|| sender.is_closed())?;
        let delta = if is_first { json!({"role": "assistant", "content": ""}) } else { json!({}) };
        let mut rest = vec![self.delta(&delta, Some(finish(generated)))];
        if self.gives_usage {
            rest.push(self.chunk(&json!([]), Some(&usage(generated))));
        }
        rest.push(Bytes::from_static(b"data: [DONE]\n\n"));
        for piece in rest {
            // Whoever asked may have gone.
            let _ = sender.blocking_send(Ok(piece));
        }
        Ok(())
    }

    fn whole(&self, model: &dyn ChatModel, request: &Generation, sender: &Sender) -> Result<(), Failure> {
        let mut said = String::new();
        let is_gone = AtomicBool::new(false);
        let mut say = |text: &str| {
            said.push_str(text);
            is_gone.store(sender.is_closed(), Ordering::Relaxed);
            if is_gone.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let generated = model.generate(request, &mut say, &|| sender.is_closed())?;
        let message = json!({"role": "assistant", "content": said, "refusal": null});
        let document = json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish(generated)}],
            "usage": usage(generated),
        });
        // Whoever asked may have gone.
        let _ = sender.blocking_send(Ok(document.to_string().into()));
        Ok(())
    }
}

fn finish(generated: Generated) -> &'static str {
    if generated.has_stopped { "stop" } else { "length" }
}

fn usage(generated: Generated) -> Value {
    let Generated { prompt_tokens, output_tokens, .. } = generated;
    json!({"prompt_tokens": prompt_tokens, "completion_tokens": output_tokens, "total_tokens": prompt_tokens + output_tokens})
}

/// A request for vectors.
#[derive(Deserialize)]
struct Embeddings {
    input: Inputs,
    #[serde(default)]
    encoding_format: Format,
    #[serde(default)]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Inputs {
    One(String),
    Several(Vec<String>),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Float,
    Base64,
}

fn embedded(encoder: &dyn TextEncoder, model: &str, request: Embeddings) -> Result<Bytes, Failure> {
    let texts = match request.input {
        Inputs::One(text) => vec![text],
        Inputs::Several(texts) => texts,
    };
    if texts.is_empty() || texts.len() > INPUTS {
        return Err(invalid(format!("input must be 1 to {INPUTS} texts")));
    }
    let tokens: u64 = texts.iter().map(|text| encoder.count_tokens(text)).sum();
    let vectors = encoder.encode(&texts)?;
    let dims = vectors.first().map_or(0, Vec::len);
    if request.dimensions.is_some_and(|wanted| wanted != dims) {
        return Err(invalid(format!("the model {model} makes vectors of {dims} dimensions and no others")));
    }
    let data = vectors.iter().enumerate().map(|(index, vector)| {
        let embedding = match request.encoding_format {
            Format::Float => json!(vector),
            Format::Base64 => json!(base64(&vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())),
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let document = json!({
        "object": "list", "data": data.collect::<Vec<_>>(), "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    });
    Ok(document.to_string().into())
}

/// Bytes in base64 (RFC 4648, with padding).
fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}
