//! OpenAI's own SDKs and other clients, which scripts/with-sdks.sh puts at hand, against a gateway of their own.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use tempfile::TempDir;

use super::{Server, model, scripted::Scripted, up};

/// The key of callers; `tests/sdks/checks.py` shows it.
const KEY: &str = "sk-tests";
/// How long a program may take, in seconds.
const PATIENCE: &str = "300";

/// Where the SDKs are.
pub struct Sdks {
    python: PathBuf,
    node: PathBuf,
    scripts: PathBuf,
}

/// What the script put at hand, or `None` where it did not, which is said.
pub fn sdks() -> Option<Sdks> {
    let path = |name| env::var_os(name).map(PathBuf::from);
    let found = || {
        Some(Sdks {
            python: path("MESHLOG_TEST_SDK_PYTHON")?,
            node: path("MESHLOG_TEST_SDK_NODE")?,
            scripts: path("MESHLOG_TEST_SDK_SCRIPTS")?,
        })
    };
    let sdks = found();
    if sdks.is_none() {
        eprintln!("left out: no SDKs; see scripts/with-sdks.sh");
    }
    sdks
}

/// What a program says of the requests that it made.
#[derive(Deserialize)]
pub struct Made {
    /// The calls that answers named.
    calls: Vec<String>,
    /// Requests that became calls whose answer nobody waited for.
    unheard: usize,
}

impl Sdks {
    /// Runs a program of tests/sdks, in Python or in JavaScript; every check of it must hold.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Made {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE);
        if Path::new(program).extension().is_some_and(|extension| extension == "py") {
            command.arg(&self.python).arg("-B");
        } else {
            // Packages are looked for beside the link to the programs, not beside the programs.
            command.arg(&self.node).args(["--preserve-symlinks", "--preserve-symlinks-main"]);
        }
        // What is on this machine must not be asked for through a proxy.
        command.arg(self.scripts.join(program)).args(arguments).env("NO_PROXY", "*").env("no_proxy", "*");
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {}\n{printed}\n{complaint}", output.status);
        println!("{program}\n{printed}");
        serde_json::from_str(printed.lines().last().unwrap()).unwrap()
    }
}

/// A gateway for SDKs, with what stands behind it.
pub struct Gateway {
    server: Server,
    scripted: Option<Scripted>,
    chat_model: Option<PathBuf>,
    _directory: TempDir,
}

impl Gateway {
    /// With the scripted provider, as the programs want it.
    pub fn of_scripted() -> Self {
        let scripted = Scripted::start();
        let url = scripted.base_url();
        let config = format!(
            r#"
            [[providers]]
            name = "scripted"
            kind = "openai"
            base_url = "{url}"
            models = [{{ name = "plain" }}]

            [[providers]]
            name = "failing"
            kind = "openai"
            base_url = "{url}"
            retries = {{ times = 0 }}

            [[models]]
            name = "renamed"
            targets = ["scripted/params"]

            [[models]]
            name = "*"
            targets = ["scripted/*"]

            [[keys]]
            label = "tests"
            key = {{ env = "MESHLOG_TEST_KEY" }}
            "#
        );
        Self::start(&config, Some(scripted), None)
    }

    /// With the models that run in its process and nothing else; the chat model only where its weights are, else that is said.
    pub fn of_local_models() -> Self {
        let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("models/gemma3-270m.gguf");
        let file = env::var_os("MESHLOG_CHAT_MODEL").map_or_else(default, PathBuf::from);
        let chat_model = file.is_file().then_some(file);
        if chat_model.is_none() {
            eprintln!("left out: no chat model; run \"make model-chat\"");
        }
        Self::start("", None, chat_model)
    }

    fn start(config: &str, scripted: Option<Scripted>, chat_model: Option<PathBuf>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("meshlog.toml");
        fs::write(&path, config).unwrap();
        let mut command = up(&directory.path().join("data"), "127.0.0.1:0", &model());
        command.stderr(std::process::Stdio::inherit()).env("MESHLOG_TEST_KEY", KEY).env_remove("MESHLOG_CHAT_MODEL");
        command.arg("--config").arg(path);
        if let Some(file) = &chat_model {
            command.arg("--chat-model").arg(file);
        }
        Self { server: Server::started(&mut command), scripted, chat_model, _directory: directory }
    }

    /// The options that the programs take.
    pub fn options(&self) -> Vec<String> {
        let mut options = vec!["--base-url".to_owned(), format!("{}/v1", self.server.url)];
        if let Some(scripted) = &self.scripted {
            options.extend(["--upstream".to_owned(), scripted.base_url()]);
        } else {
            options.extend(["--embedding-model", "all-MiniLM-L6-v2"].map(str::to_owned));
        }
        if let Some(file) = &self.chat_model {
            let name = file.file_stem().unwrap().to_str().unwrap();
            options.extend(["--chat-model".to_owned(), name.to_owned()]);
        }
        options
    }

    /// Checks that the log has exactly the calls that programs made, each of them settled once.
    pub fn check_log(&self, made: &[Made]) {
        let heard: Vec<&String> = made.iter().flat_map(|made| &made.calls).collect();
        let unheard: usize = made.iter().map(|made| made.unheard).sum();
        let requested = self.calls("meshlog.call.requested");
        let ids: BTreeSet<_> = requested.iter().collect();
        assert_eq!(ids.len(), requested.len(), "a call is requested once");
        assert!(heard.iter().all(|call| ids.contains(call)), "what was told is on the log");
        assert_eq!(ids.len(), heard.len() + unheard, "a request is a call");
        // Callers who left do not wait until the log has the end.
        self.server.eventually("every call is settled once", || {
            let mut settled = self.calls("meshlog.call.settled");
            let count = settled.len();
            settled.sort();
            settled.dedup();
            assert_eq!(settled.len(), count, "a call is settled once");
            settled.iter().eq(ids.iter().copied())
        });
    }

    /// The calls that events of a type on the log are of.
    fn calls(&self, kind: &str) -> Vec<String> {
        let mut calls = Vec::new();
        let mut from = "start".to_owned();
        loop {
            let (status, page) = self.server.get(&format!("/v1/events?topic=calls&type={kind}&limit=1000&from={from}"));
            assert_eq!(status, 200, "{page}");
            let items = page["items"].as_array().unwrap();
            calls.extend(items.iter().map(|event| event["data"]["call_id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { return calls };
            from = next.to_owned();
        }
    }
}
