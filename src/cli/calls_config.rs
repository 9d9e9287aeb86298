//! Configuration of calls: the file with providers, models and keys, and what stands beside it on the command line.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use meshlog_connectors::{calls::Config, providers::replay::Pace};

use super::Failure;
use crate::house::CallOptions;

/// Where the configuration is looked for if it is not named.
const CONFIG: &str = "meshlog.toml";
/// Where the chat model lies below a directory of models.
const CHAT_MODEL: &str = "models/gemma3-270m.gguf";

/// Which models are called, and how.
#[derive(Debug, clap::Args)]
pub(super) struct CallArguments {
    /// The file with providers, models and keys (docs/gateway.md) [default: ./meshlog.toml, if it is there]
    #[arg(long, env = "MESHLOG_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// The GGUF file of a chat model that runs in this process [default: ./models/gemma3-270m.gguf, if it is there]
    #[arg(long, env = "MESHLOG_CHAT_MODEL", value_name = "FILE")]
    chat_model: Option<PathBuf>,
}

/// Who answers calls.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArguments {
    /// Who answers calls of models: those configured, or only what this log has recorded, asking nobody (replay)
    #[arg(long, env = "MESHLOG_PROVIDER", value_enum, default_value = "configured", value_name = "WHO")]
    provider: Who,

    /// When recorded answers come: piece by piece as they did, or at once
    #[arg(long, env = "MESHLOG_REPLAY_PACE", value_enum, default_value = "recorded", value_name = "PACE")]
    replay_pace: ReplayPace,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Who {
    Configured,
    Replay,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ReplayPace {
    Recorded,
    AtOnce,
}

impl CallArguments {
    /// What they say, with the file read.
    ///
    /// # Errors
    /// The file cannot be read, or is not of its form.
    pub(super) fn options(self, data: &Path) -> Result<CallOptions, Failure> {
        let config = match self.config {
            Some(path) => read(&path)?,
            None if Path::new(CONFIG).exists() => read(Path::new(CONFIG))?,
            None => Config::default(),
        };
        let chat_model = match self.chat_model {
            Some(path) if !path.exists() => {
                let what = format!("the chat model {} is not there", path.display());
                return Err(Failure::local(what, "run `make model-chat`, or name another GGUF file with --chat-model"));
            }
            Some(path) => Some(path),
            None => [PathBuf::from(CHAT_MODEL), data.join(CHAT_MODEL)].into_iter().find(|path| path.exists()),
        };
        Ok(CallOptions { config, chat_model, replay: None })
    }
}

impl ReplayArguments {
    /// The pace of recorded answers; `None` where providers are asked.
    pub(super) fn pace(&self) -> Option<Pace> {
        match (self.provider, self.replay_pace) {
            (Who::Configured, _) => None,
            (Who::Replay, ReplayPace::Recorded) => Some(Pace::Recorded),
            (Who::Replay, ReplayPace::AtOnce) => Some(Pace::AtOnce),
        }
    }
}

fn read(path: &Path) -> Result<Config, Failure> {
    let fault = |what: String| Failure::local(what, "correct the file, or name another with --config");
    let text = fs::read_to_string(path)
        .map_err(|error: io::Error| fault(format!("the configuration {} cannot be read: {error}", path.display())))?;
    Config::parse(&text).map_err(|error| fault(format!("the configuration {} is wrong: {error}", path.display())))
}
