//! Calls of models: the dispatcher with its providers, put together with the log and the models of this process.
//!
//! Owns: which providers there are when nothing is configured, and that calls which a server before this one left open are settled
//! before new ones are taken.

mod asking;
mod ledger;
mod log;
mod models;
mod open;
mod recordings;
mod scan;
mod stage;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use meshlog_connectors::{
    calls::{
        Config, Dispatcher,
        config::{KnowledgeConfig, OfferedModel, ProviderConfig, ProviderKind, SummariesConfig},
    },
    providers::{
        Price, Provider,
        local::{ChatModel, Local, TextEncoder},
        openai::{OpenAi, Options},
        replay::{Pace, Replay},
        tokens,
    },
};
use meshlog_pipeline::EventLog;
use meshlog_processors::{asking::Answerer, embedding::Encoder, knowledge::model::Reads, summaries::writing::Sums};
use tokio::{runtime::Handle, task::JoinHandle};

use super::{HouseError, engine::Engine, plan::Plan};
use asking::Asker;
use ledger::Ledger;
use log::CallLogPort;
pub(super) use log::OWN as OWN_CALLS;
pub(super) use stage::DispatchStage;

/// The provider of what runs in this process, where none is configured.
const LOCAL: &str = "local";
/// The provider that repeats what was recorded.
const REPLAY: &str = "replay";
/// What the calls of the model that reads messages are for.
const KNOWLEDGE: &str = "knowledge";
/// What the calls of the model that sums up threads are for.
const SUMMARIES: &str = "summaries";
/// The file that names this node.
const NODE: &str = "node";
/// How often it is noted which calls are open.
const NOTE_EVERY: Duration = Duration::from_secs(5);

/// What is to be called, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallOptions {
    /// Providers, names of models and keys.
    pub(crate) config: Config,
    /// The file of a chat model that runs here, where no local provider is configured.
    pub(crate) chat_model: Option<PathBuf>,
    /// Nobody is asked: calls are answered with what this log has recorded.
    pub(crate) replay: Option<Pace>,
}

/// The dispatcher of this node, and the note of its open calls.
pub(super) struct Calls {
    pub(super) dispatcher: Dispatcher,
    /// The model that reads messages and what it reads, if one does.
    pub(super) reader: Option<(Reads, Arc<dyn Answerer>)>,
    /// The model that sums up threads and what it sums up, if one does.
    pub(super) summariser: Option<(Sums, Arc<dyn Answerer>)>,
    log: Arc<CallLogPort>,
    runtime: Handle,
    noting: JoinHandle<()>,
}

impl Calls {
    /// Settles what the server before this one left open, and opens the dispatcher.
    pub(super) fn open(
        plan: &Plan,
        engine: &Engine,
        events: &EventLog,
        encoder: Option<&Arc<dyn Encoder>>,
        runtime: &Handle,
    ) -> Result<Self, HouseError> {
        let owner = node(&plan.data).map_err(HouseError::System)?;
        let log = Arc::new(CallLogPort::new(events.clone(), &owner));
        let settled = open::settle(events, engine, &log, &owner)?;
        if settled > 0 {
            tracing::warn!(
                calls = settled,
                "calls that were under way when the server ended are settled as interrupted"
            );
        }
        let (config, providers) = match plan.calls.replay {
            Some(pace) => repeating(events, pace)?,
            None => configured(&plan.calls, encoder)?,
        };
        if config.providers.iter().any(|provider| provider.kind == ProviderKind::Openai) {
            // The tables of its tokenizer take a moment to make, which the first answer without usage need not wait for.
            runtime.spawn_blocking(|| tokens::count(""));
        }
        let dispatcher = Dispatcher::new(&config, providers, log.clone(), owner).map_err(HouseError::Calls)?;
        let ledger = Arc::new(Ledger::new(events.clone()));
        let knowledge = plan.reads_with_model().then_some(config.knowledge.as_ref()).flatten();
        let own = Own { dispatcher: &dispatcher, events, ledger, runtime };
        let reader = knowledge.map(|knowledge| own.reader(knowledge)).transpose()?;
        let summaries = plan.sums_up_with_model().then_some(config.summaries.as_ref()).flatten();
        let summariser = summaries.map(|summaries| own.summariser(summaries)).transpose()?;
        let noted = log.clone();
        let noting = runtime.spawn(async move {
            loop {
                tokio::time::sleep(NOTE_EVERY).await;
                noted.note_open().await;
            }
        });
        Ok(Self { dispatcher, reader, summariser, log, runtime: runtime.clone(), noting })
    }

    /// Settles the calls that are under way as interrupted, and ends. It blocks.
    pub(super) fn close(&self) {
        self.noting.abort();
        self.runtime.block_on(self.dispatcher.close());
        self.runtime.block_on(self.log.note_open());
    }
}

/// What asks for Meshlog itself.
struct Own<'a> {
    dispatcher: &'a Dispatcher,
    events: &'a EventLog,
    ledger: Arc<Ledger>,
    runtime: &'a Handle,
}

impl Own<'_> {
    /// The model that reads messages, as configured.
    fn reader(&self, config: &KnowledgeConfig) -> Result<(Reads, Arc<dyn Answerer>), HouseError> {
        let asker = self.asker(KNOWLEDGE, &config.model, config.tokens_per_day)?;
        let since = config.since_micros().map_err(HouseError::Calls)?;
        let (model, spaces, roles) = (config.model.clone(), config.spaces.clone(), config.roles.clone());
        Ok((Reads { model, spaces, roles, since }, asker))
    }

    /// The model that sums up threads, as configured.
    fn summariser(&self, config: &SummariesConfig) -> Result<(Sums, Arc<dyn Answerer>), HouseError> {
        let asker = self.asker(SUMMARIES, &config.model, config.tokens_per_day)?;
        let (model, spaces, quiet) = (config.model.clone(), config.spaces.clone(), config.quiet_micros());
        Ok((Sums { model, spaces, quiet }, asker))
    }

    /// Asks a model for a purpose, which is also the name of its part of the configuration.
    fn asker(&self, purpose: &'static str, model: &str, tokens_per_day: u64) -> Result<Arc<dyn Answerer>, HouseError> {
        if !self.dispatcher.has_model(model) {
            return Err(HouseError::Calls(format!("[{purpose}] model \"{model}\": no provider has it")));
        }
        let (dispatcher, runtime, events) = (self.dispatcher.clone(), self.runtime.clone(), self.events.clone());
        let ledger = self.ledger.clone();
        Ok(Arc::new(Asker::new(dispatcher, runtime, events, ledger, purpose, tokens_per_day)))
    }
}

/// The name of this node: made once, and kept with its data.
fn node(data: &Path) -> std::io::Result<String> {
    let path = data.join(NODE);
    match fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Ok(_) => write_node(data, &path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => write_node(data, &path),
        Err(error) => Err(error),
    }
}

fn write_node(data: &Path, path: &Path) -> std::io::Result<String> {
    let name = meshlog_schemas::EventId::fresh().to_string();
    fs::create_dir_all(data)?;
    let new = path.with_extension("new");
    fs::write(&new, &name)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, path)?;
    Ok(name)
}

/// Everything is answered by what was recorded.
fn repeating(events: &EventLog, pace: Pace) -> Result<(Config, Vec<Arc<dyn Provider>>), HouseError> {
    let recordings = recordings::Recorded::read(events.clone())?;
    tracing::info!(answers = recordings.len(), "calls are answered with what was recorded; nobody is asked");
    let text = format!(
        "[[providers]]\nname = \"{REPLAY}\"\nkind = \"local\"\n[[models]]\nname = \"*\"\ntargets = [\"{REPLAY}/*\"]\n"
    );
    let mut config = Config::parse(&text).map_err(HouseError::Calls)?;
    for model in recordings.models() {
        config.providers[0].models.push(OfferedModel { name: model, price: None });
    }
    let replay = Replay::new(REPLAY, Arc::new(recordings), pace);
    Ok((config, vec![Arc::new(replay)]))
}

fn configured(
    options: &CallOptions,
    encoder: Option<&Arc<dyn Encoder>>,
) -> Result<(Config, Vec<Arc<dyn Provider>>), HouseError> {
    let mut config = options.config.clone();
    if !config.providers.iter().any(|provider| provider.kind == ProviderKind::Local || provider.name == LOCAL) {
        let text = format!("[[providers]]\nname = \"{LOCAL}\"\nkind = \"local\"\nconcurrency = 2\n");
        let mut own = Config::parse(&text).map_err(HouseError::Calls)?.providers;
        own[0].file = options.chat_model.clone().filter(|file| file.exists());
        config.providers.append(&mut own);
    }
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    for provider in &mut config.providers {
        providers.push(match provider.kind {
            ProviderKind::Openai => Arc::new(openai(provider)?),
            ProviderKind::Local => Arc::new(local(provider, encoder)?),
        });
    }
    Ok((config, providers))
}

fn prices(provider: &ProviderConfig) -> Result<Vec<(String, Price)>, HouseError> {
    let priced = provider.models.iter().filter_map(|model| Some((model, model.price.as_ref()?)));
    priced
        .map(|(model, price)| {
            Ok((model.name.clone(), price.price(&provider.name, &model.name).map_err(HouseError::Calls)?))
        })
        .collect()
}

fn openai(provider: &ProviderConfig) -> Result<OpenAi, HouseError> {
    let key = provider.api_key.as_ref().map(|key| key.resolve()).transpose();
    let key = key.map_err(|error| HouseError::Calls(format!("provider {}: {error}", provider.name)))?;
    OpenAi::new(Options {
        name: provider.name.clone(),
        base_url: provider.base_url.clone().unwrap_or_default(),
        key,
        headers: provider.headers.clone().into_iter().collect(),
        idempotency_header: provider.idempotency_header.clone(),
        connect: Duration::from_millis(provider.timeouts.connect_ms),
        prices: prices(provider)?,
    })
    .map_err(HouseError::Calls)
}

/// The models of this process: a chat model's file, and the one that embeds.
fn local(provider: &mut ProviderConfig, encoder: Option<&Arc<dyn Encoder>>) -> Result<Local, HouseError> {
    let mut chats: BTreeMap<String, Arc<dyn ChatModel>> = BTreeMap::new();
    if let Some(file) = &provider.file {
        let (name, model) =
            models::chat(file).map_err(|error| HouseError::Calls(format!("provider {}: {error}", provider.name)))?;
        chats.insert(name, model);
    }
    let mut encoders: BTreeMap<String, Arc<dyn TextEncoder>> = BTreeMap::new();
    if let Some(encoder) = encoder {
        let (name, encoder) = models::encoder(encoder);
        encoders.insert(name, encoder);
    }
    let prices = prices(provider)?;
    for name in chats.keys().chain(encoders.keys()) {
        if !provider.models.iter().any(|model| model.name == *name) {
            provider.models.push(OfferedModel { name: name.clone(), price: None });
        }
    }
    Ok(Local::new(&provider.name, chats, encoders, prices))
}
