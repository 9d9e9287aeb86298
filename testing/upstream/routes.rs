//! Routes: which answer a request gets.

use std::time::Duration;

use tokio::time;

use super::{
    State, breaks, embeddings,
    http::Request,
    prompt::{self, Chat, Embed},
    refusals::{self, Refusal, error_object},
    reply::Reply,
    script::{self, Behaviour, Break, Framing, Kind, Notes, Script},
    stream::{self, Course},
    wire::{Left, Wire},
};

const JSON: &str = "application/json";
/// The number of `slow` that does not say it.
const USUAL_SLOWNESS: u64 = 1000;
const INVALID: &str = "invalid_request_error";

/// Answers a request.
pub(super) async fn answer(state: &State, request: &Request<'_>, wire: &mut Wire<'_>) -> Result<(), Left> {
    let is_told = request.path.contains("/_");
    if state.options.record && !is_told {
        state.counters.record(request);
    }
    match (request.method, request.path) {
        ("POST", "/v1/chat/completions") => chat(state, request, wire).await,
        ("POST", "/v1/embeddings") => embed(state, request, wire).await,
        ("GET", "/v1/models") => {
            let models: Vec<_> = script::names().map(model).collect();
            let list = serde_json::json!({ "object": "list", "data": models });
            wire.whole(200, JSON, &[], list.to_string().as_bytes()).await
        }
        ("GET", path) if path.starts_with("/v1/models/") => {
            let body = model(path.trim_start_matches("/v1/models/")).to_string();
            wire.whole(200, JSON, &[], body.as_bytes()).await
        }
        ("GET", "/_counts" | "/v1/_counts") => {
            let counts = serde_json::to_vec(&state.counters.read()).unwrap_or_default();
            wire.whole(200, JSON, &[], &counts).await
        }
        ("POST", "/_reset" | "/v1/_reset") => {
            state.counters.reset();
            wire.whole(200, JSON, &[], b"{}").await
        }
        (method, path) => {
            let body = error_object(&format!("Invalid URL ({method} {path})"), INVALID, "null", "null");
            wire.whole(404, JSON, &[], &body).await
        }
    }
}

fn model(name: &str) -> serde_json::Value {
    serde_json::json!({ "id": name, "object": "model", "created": 1_790_000_000, "owned_by": "scripted" })
}

async fn chat(state: &State, request: &Request<'_>, wire: &mut Wire<'_>) -> Result<(), Left> {
    wire.open(request.header("idempotency-key"));
    let chat = match read::<Chat<'_>>(request.body) {
        Ok(chat) => chat,
        Err(message) => return bad_request(wire, &message).await,
    };
    let Some(script) = begin(state, wire, &chat.model, chat.is_streamed()).await? else { return Ok(()) };
    let id = request_id(request);
    let headers = [("x-request-id", id.as_str()), ("openai-processing-ms", "1"), ("openai-version", "2020-10-01")];
    let reply = |kind, framing, number| Reply::new(&chat, request.body, kind, framing, number);
    match script.behaviour {
        Behaviour::Refuses(refusal) => refuse(wire, refusal, &id).await,
        Behaviour::Answers(Kind::Notes(Notes::Plain), _) if chat.has_schema() => {
            wire.fault("no-schema");
            let message =
                "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.";
            wire.whole(400, JSON, &headers, &error_object(message, INVALID, r#""response_format""#, "null")).await
        }
        Behaviour::Answers(kind, framing) if chat.is_streamed() => {
            let course = Course { framing, pace: script.pace, broken: None, number: script.number };
            stream::send(wire, &headers, &reply(kind, framing, script.number), course).await
        }
        Behaviour::Answers(kind, framing) => {
            let reply = reply(kind, framing, script.number);
            wire.reports(reply.usage);
            if framing == Framing::Split {
                wire.drip = Some(Duration::ZERO);
            }
            wire.whole(200, JSON, &headers, &reply.whole()).await
        }
        Behaviour::Breaks(broken) => {
            let reply = reply(Kind::Plain, Framing::Usual, None);
            if chat.is_streamed() && is_for_streams(broken) {
                if broken == Break::Drip {
                    wire.drip = Some(Duration::from_millis(script.number.unwrap_or(1)));
                }
                let broken = if broken == Break::Huge { Break::Gigantic } else { broken };
                let course =
                    Course { framing: Framing::Usual, pace: script.pace, broken: Some(broken), number: script.number };
                return stream::send(wire, &headers, &reply, course).await;
            }
            if broken == Break::Drip {
                wire.reports(reply.usage);
            }
            breaks::send(wire, &headers, &reply.whole(), broken, script.number).await
        }
    }
}

/// Whether a break looks different in a stream.
fn is_for_streams(broken: Break) -> bool {
    !matches!(broken, Break::ErrorInOk | Break::CutFirst | Break::Never | Break::WrongType | Break::Empty)
}

async fn embed(state: &State, request: &Request<'_>, wire: &mut Wire<'_>) -> Result<(), Left> {
    wire.open(request.header("idempotency-key"));
    let embed = match read::<Embed<'_>>(request.body) {
        Ok(embed) => embed,
        Err(message) => return bad_request(wire, &message).await,
    };
    let Some(script) = begin(state, wire, &embed.model, false).await? else { return Ok(()) };
    let id = request_id(request);
    let headers = [("x-request-id", id.as_str())];
    let (body, usage) = embeddings::answer(&embed);
    match script.behaviour {
        Behaviour::Refuses(refusal) => refuse(wire, refusal, &id).await,
        Behaviour::Breaks(broken) => breaks::send(wire, &headers, &body, broken, script.number).await,
        Behaviour::Answers(..) => {
            wire.reports(Some(usage));
            wire.whole(200, JSON, &headers, &body).await
        }
    }
}

/// Finds the script of a model, counts its fault and waits as long as the first byte has to; `None` where there is no such
/// model, which is told then.
async fn begin(state: &State, wire: &mut Wire<'_>, model: &str, is_streamed: bool) -> Result<Option<Script>, Left> {
    wire.name(model);
    let before = state.counters.model(model);
    let Some(script) = Script::parse(model) else {
        wire.fault("unknown-model");
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        let body = error_object(&message, INVALID, "null", r#""model_not_found""#);
        wire.whole(404, JSON, &[], &body).await?;
        return Ok(None);
    };
    let script = if script.is_over(before) { Script::PLAIN } else { script };
    let script = state.drawn_fault(script, is_streamed).unwrap_or(script);
    if let Some(fault) = script.behaviour.fault() {
        wire.fault(fault);
    }
    if !state.options.delay.is_zero() {
        time::sleep(state.options.delay).await;
    }
    if let Behaviour::Answers(Kind::Slow, _) = script.behaviour {
        time::sleep(Duration::from_millis(script.number.unwrap_or(USUAL_SLOWNESS))).await;
    }
    if let Behaviour::Answers(Kind::Notes(_), _) = script.behaviour {
        time::sleep(Duration::from_millis(script.number.unwrap_or(0))).await;
    }
    Ok(Some(script))
}

impl State {
    /// The fault that a request gets by the share of faults.
    fn drawn_fault(&self, script: Script, is_streamed: bool) -> Option<Script> {
        let Behaviour::Answers(Kind::Plain | Kind::Numbered, Framing::Usual) = script.behaviour else { return None };
        if self.options.fault_percent <= 0.0 {
            return None;
        }
        let mut chance = self.options.seed ^ self.counters.draw().wrapping_mul(0x2545_F491_4F6C_DD1D);
        let share = (prompt::next(&mut chance) % 10_000) as f64 / 100.0;
        if share >= self.options.fault_percent {
            return None;
        }
        let refusal = |name| refusals::named(name).map(Behaviour::Refuses);
        let behaviour = match prompt::next(&mut chance) % if is_streamed { 5 } else { 4 } {
            0 => refusal("500"),
            1 => refusal("429-ms"),
            2 => refusal("529"),
            3 => Some(Behaviour::Breaks(Break::CutFirst)),
            _ => Some(Behaviour::Breaks(Break::Cut)),
        };
        Some(Script { behaviour: behaviour?, number: None, pace: script.pace })
    }
}

async fn refuse(wire: &mut Wire<'_>, refusal: &Refusal, id: &str) -> Result<(), Left> {
    let values = refusal.headers_now();
    let mut headers = vec![("x-request-id", id)];
    headers.extend(values.iter().map(|(name, value)| (*name, value.as_str())));
    let (content_type, body) = refusal.body.render();
    wire.whole(refusal.status, content_type, &headers, &body).await
}

async fn bad_request(wire: &mut Wire<'_>, message: &str) -> Result<(), Left> {
    wire.fault("bad-request");
    let text = format!("We could not parse the JSON body of your request. ({message})");
    wire.whole(400, JSON, &[], &error_object(&text, INVALID, "null", "null")).await
}

fn read<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn request_id(request: &Request<'_>) -> String {
    format!("req_{:016x}", prompt::hash(request.body))
}
