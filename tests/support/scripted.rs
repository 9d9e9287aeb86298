//! A scripted provider on a port of its own, beside the servers that are tested.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use super::{Server, model, up};
use crate::upstream::{Counts, Upstream};

/// A provider that behaves as the model's name says; see `testing/upstream.rs`.
pub struct Scripted {
    upstream: Upstream,
    runtime: tokio::runtime::Runtime,
}

impl Scripted {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let upstream = runtime.block_on(Upstream::start());
        Self { upstream, runtime }
    }

    /// A configuration in `directory` with this provider, named `scripted`, for every model; `more` stands among its settings.
    pub fn config(&self, directory: &Path, more: &str) -> PathBuf {
        let path = directory.join("meshlog.toml");
        let url = self.upstream.base_url();
        let text = format!(
            "[[providers]]\nname = \"scripted\"\nkind = \"openai\"\nbase_url = \"{url}\"\n{more}\n\
             [[models]]\nname = \"*\"\ntargets = [\"scripted/*\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A configuration in which the model `name` behaves as `script` says and failed calls are not repeated; `more` stands behind it.
    pub fn config_of(&self, directory: &Path, name: &str, script: &str, more: &str) -> PathBuf {
        let path = self.config(directory, "retries = { times = 0 }");
        let named = format!("[[models]]\nname = \"{name}\"\ntargets = [\"scripted/{script}\"]\n");
        let text = std::fs::read_to_string(&path).unwrap() + &named + more;
        std::fs::write(&path, text).unwrap();
        path
    }

    /// What a client of OpenAI's takes as its base.
    pub fn base_url(&self) -> String {
        self.upstream.base_url()
    }

    pub fn counts(&self) -> Counts {
        let _entered = self.runtime.enter();
        self.upstream.counts()
    }
}

/// A server over `data` with this configuration, on any port.
pub fn start(data: &Path, config: &Path) -> Server {
    Server::started(up(data, "127.0.0.1:0", &model()).arg("--config").arg(config).stderr(Stdio::inherit()))
}
