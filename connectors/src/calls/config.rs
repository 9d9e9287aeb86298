//! Configuration of calls: providers, models' names and callers' keys, as they stand in `meshlog.toml`.
//!
//! Owns: the file's form, its defaults, and what has to fit together. An unknown field is refused, never passed over.
//! Never: holds a key. Keys are named by where they are.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{OWN_LABEL, secret::Reference};
use crate::providers::{Price, Timeouts};

/// Everything about calls.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who answers calls.
    pub providers: Vec<ProviderConfig>,
    /// Names of models that callers may use besides the providers' own.
    pub models: Vec<ModelConfig>,
    /// Keys that callers show. Where there is none, callers need none.
    pub keys: Vec<KeyConfig>,
    /// The model that reads messages for what is known, if one is to.
    pub knowledge: Option<KnowledgeConfig>,
    /// The model that sums up threads, if one does.
    pub summaries: Option<SummariesConfig>,
}

/// A model that reads messages for whom they name and what they state, beside the patterns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnowledgeConfig {
    /// Its name, as callers would give it. Another one reads everything again.
    pub model: String,
    /// The most tokens, in and out, that it may use on a day (UTC) before the rest waits for the next. Default: 200,000.
    #[serde(default = "default_tokens_per_day")]
    pub tokens_per_day: u64,
    /// The spaces that it reads. Default: all.
    #[serde(default)]
    pub spaces: Vec<String>,
    /// Whose messages it reads, of `user` and `assistant`; of an assistant's only names are taken. Default: `user`.
    #[serde(default = "default_roles")]
    pub roles: Vec<String>,
    /// The day from which on messages are read, such as `2026-11-01`, by when they were said. Default: all.
    pub since: Option<String>,
}

impl KnowledgeConfig {
    /// When the first messages that are read were said, in microseconds since the epoch.
    ///
    /// # Errors
    /// It is no date.
    pub fn since_micros(&self) -> Result<Option<i64>, String> {
        let Some(since) = &self.since else { return Ok(None) };
        let date =
            date(since).ok_or_else(|| format!("[knowledge] since is \"{since}\"; say a date such as 2026-11-01"))?;
        let nanos = date.midnight().assume_utc().unix_timestamp_nanos();
        Ok(i64::try_from(nanos / 1_000).ok())
    }

    fn check(&self) -> Result<(), String> {
        if self.model.is_empty() {
            return Err("[knowledge] model is empty; name a model such as \"openai/gpt-5-mini\"".to_owned());
        }
        if self.tokens_per_day == 0 {
            return Err(
                "[knowledge] tokens_per_day must be 1 or more; without [knowledge] no model is asked".to_owned()
            );
        }
        if let Some(role) = self.roles.iter().find(|role| !matches!(role.as_str(), "user" | "assistant")) {
            return Err(format!("[knowledge] roles has \"{role}\"; only \"user\" and \"assistant\" are read"));
        }
        self.since_micros().map(drop)
    }
}

/// A model that sums up threads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummariesConfig {
    /// Its name, as callers would give it. What another one wrote stays.
    pub model: String,
    /// The most tokens, in and out, that it may use on a day (UTC) before the rest waits for the next. Default: 200,000.
    #[serde(default = "default_tokens_per_day")]
    pub tokens_per_day: u64,
    /// The spaces whose threads it sums up. Default: all.
    #[serde(default)]
    pub spaces: Vec<String>,
    /// How long nothing is to be said in a thread before its last turns are summed up. Default: 600.
    #[serde(default = "default_quiet_seconds")]
    pub quiet_seconds: u32,
}

impl SummariesConfig {
    /// The same in microseconds.
    pub fn quiet_micros(&self) -> i64 {
        i64::from(self.quiet_seconds) * 1_000_000
    }

    fn check(&self) -> Result<(), String> {
        if self.model.is_empty() {
            return Err("[summaries] model is empty; name a model such as \"openai/gpt-5-mini\"".to_owned());
        }
        if self.tokens_per_day == 0 {
            let what = "[summaries] tokens_per_day must be 1 or more; without [summaries] no model is asked";
            return Err(what.to_owned());
        }
        Ok(())
    }
}

fn default_quiet_seconds() -> u32 {
    600
}

fn default_tokens_per_day() -> u64 {
    200_000
}

fn default_roles() -> Vec<String> {
    vec!["user".to_owned()]
}

fn date(text: &str) -> Option<time::Date> {
    let form = time::format_description::parse_borrowed::<2>("[year]-[month]-[day]").ok()?;
    time::Date::parse(text, &form).ok()
}

/// A provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Its name: callers may write `NAME/MODEL`.
    pub name: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Where its routes begin, such as `https://api.openai.com/v1`.
    pub base_url: Option<String>,
    /// The key that it is shown.
    pub api_key: Option<Reference>,
    /// Further headers of requests to it.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The header by which it knows a repeated request, if it does.
    pub idempotency_header: Option<String>,
    /// The file of a local model.
    pub file: Option<PathBuf>,
    /// Whether usage is asked for in streams where callers do not; they are not shown it. Default: true.
    #[serde(default = "yes")]
    pub ask_for_usage: bool,
    /// The most calls under way at once.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// The most calls that wait for one of these to end.
    #[serde(default = "default_queue")]
    pub queue: usize,
    /// How long it may take, phase by phase.
    #[serde(default)]
    pub timeouts: TimeoutConfig,
    /// How often, and after which pauses, it is asked again.
    #[serde(default)]
    pub retries: RetryConfig,
    /// Its models. Callers may use their names as they are.
    #[serde(default)]
    pub models: Vec<OfferedModel>,
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// OpenAI's chat completions and embeddings, at any base URL.
    Openai,
    /// A model that runs in this process.
    Local,
}

/// How long a provider may take, in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutConfig {
    /// Until there is a connection.
    pub connect_ms: u64,
    /// From the request until the first byte of the answer's body.
    pub first_byte_ms: u64,
    /// Between two pieces of the body.
    pub between_bytes_ms: u64,
    /// From the request to the end.
    pub whole_ms: u64,
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self { connect_ms: 5_000, first_byte_ms: 300_000, between_bytes_ms: 60_000, whole_ms: 900_000 }
    }
}

impl From<TimeoutConfig> for Timeouts {
    fn from(config: TimeoutConfig) -> Self {
        let of = Duration::from_millis;
        Self {
            connect: of(config.connect_ms),
            first_byte: of(config.first_byte_ms),
            between_bytes: of(config.between_bytes_ms),
            whole: of(config.whole_ms),
        }
    }
}

/// How often a provider is asked again.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// How often after the first time.
    pub times: u32,
    /// The first pause; the next are twice as long each, and each is varied by a fifth.
    pub first_ms: u64,
    /// The longest pause that is made, also where the provider asks for one. A longer wait is told to the caller instead.
    pub longest_ms: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { times: 2, first_ms: 500, longest_ms: 8_000 }
    }
}

/// A model that a provider has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferedModel {
    /// Its name at the provider.
    pub name: String,
    /// What it costs.
    pub price: Option<PriceConfig>,
}

/// What a model costs, in US dollars for a million tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// The date from which these prices hold, such as `2026-11-01`. Events name it.
    pub as_of: String,
    /// Input.
    pub input: f64,
    /// Input that is read from the provider's cache. Default: as input.
    pub cached_input: Option<f64>,
    /// Input that is written to the provider's cache. Default: as input.
    pub cache_write: Option<f64>,
    /// Output, with reasoning.
    #[serde(default)]
    pub output: f64,
}

/// A name of a model that callers may use, and who is asked for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The name; it may have one `*`, which stands for anything.
    pub name: String,
    /// `PROVIDER/MODEL`, in the order in which they are asked: each next one if those before cannot answer. A `*` in it stands for
    /// what that in the name stood for.
    pub targets: Vec<String>,
}

/// A key that callers show.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// What stands in events in its place.
    pub label: String,
    /// Where it is to be had.
    pub key: Reference,
}

const fn yes() -> bool {
    true
}

const fn default_concurrency() -> usize {
    256
}

const fn default_queue() -> usize {
    1_024
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// It is not of the form, or its parts do not fit together; where and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config)
    }

    fn check(&self) -> Result<(), String> {
        for (index, provider) in self.providers.iter().enumerate() {
            let name = &provider.name;
            if name.is_empty() || name.contains(['/', '*', ' ']) {
                return Err(format!(
                    "provider \"{name}\": a name must not be empty nor have a slash, a star or a space"
                ));
            }
            if self.providers[..index].iter().any(|other| other.name == *name) {
                return Err(format!("there are two providers \"{name}\"; give them different names"));
            }
            match provider.kind {
                ProviderKind::Openai if provider.base_url.is_none() => {
                    return Err(format!("provider {name}: say base_url, such as https://api.openai.com/v1"));
                }
                ProviderKind::Local if provider.base_url.is_some() || provider.api_key.is_some() => {
                    return Err(format!("provider {name} is local: it has no base_url and no api_key"));
                }
                _ => {}
            }
            if provider.concurrency == 0 {
                return Err(format!("provider {name}: concurrency must be 1 or more"));
            }
            for model in &provider.models {
                if let Some(price) = &model.price {
                    price.price(name, &model.name)?;
                }
            }
        }
        for model in &self.models {
            self.check_model(model)?;
        }
        for (index, key) in self.keys.iter().enumerate() {
            if key.label.is_empty() || self.keys[..index].iter().any(|other| other.label == key.label) {
                return Err(format!("the key labels must differ and not be empty; \"{}\" does not", key.label));
            }
            if key.label.starts_with(OWN_LABEL) {
                return Err(format!("the key label \"{}\" begins as Meshlog's own do; choose another", key.label));
            }
        }
        self.knowledge.as_ref().map_or(Ok(()), KnowledgeConfig::check)?;
        self.summaries.as_ref().map_or(Ok(()), SummariesConfig::check)
    }

    fn check_model(&self, model: &ModelConfig) -> Result<(), String> {
        let name = &model.name;
        let stars = name.matches('*').count();
        if name.is_empty() || stars > 1 {
            return Err(format!("model \"{name}\": a name must not be empty and may have one star"));
        }
        if model.targets.is_empty() {
            return Err(format!("model {name}: say targets, such as [\"openai/gpt-5\"]"));
        }
        for target in &model.targets {
            let provider = target.split_once('/').map(|(provider, _)| provider);
            if !self.providers.iter().any(|known| Some(known.name.as_str()) == provider) {
                return Err(format!(
                    "model {name}: the target \"{target}\" must be PROVIDER/MODEL of a provider that is there"
                ));
            }
            if target.contains('*') && stars == 0 {
                return Err(format!("model {name}: the target \"{target}\" has a star, and the name has none"));
            }
        }
        Ok(())
    }
}

impl PriceConfig {
    /// The price of a provider's model.
    ///
    /// # Errors
    /// A number is negative or no number, or there is no date.
    pub fn price(&self, provider: &str, model: &str) -> Result<Price, String> {
        let nanos = |dollars: f64| {
            let is_price = dollars.is_finite() && (0.0..1e6).contains(&dollars);
            let fault = || {
                format!("provider {provider}, model {model}: a price must be 0 or more dollars for a million tokens")
            };
            is_price.then(|| (dollars * 1e9).round() as u64).ok_or_else(fault)
        };
        if date(&self.as_of).is_none() {
            return Err(format!("provider {provider}, model {model}: as_of must be a date such as 2026-11-01"));
        }
        Ok(Price {
            table: format!("{provider}/{model} {}", self.as_of),
            input: nanos(self.input)?,
            cache_read: nanos(self.cached_input.unwrap_or(self.input))?,
            cache_write: nanos(self.cache_write.unwrap_or(self.input))?,
            output: nanos(self.output)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[providers]]
        name = "openai"
        kind = "openai"
        base_url = "https://api.openai.com/v1"
        api_key = { env = "OPENAI_API_KEY" }
        timeouts = { first_byte_ms = 1000 }
        [[providers.models]]
        name = "gpt-5"
        price = { as_of = "2026-11-01", input = 1.25, cached_input = 0.125, output = 10.0 }

        [[providers]]
        name = "here"
        kind = "local"
        file = "models/gemma3-270m.gguf"

        [[models]]
        name = "fast-*"
        targets = ["openai/gpt-*", "here/gemma3-270m"]

        [[keys]]
        label = "notebook"
        key = { file = "keys/notebook" }

        [knowledge]
        model = "fast-5"
        since = "2026-11-01"

        [summaries]
        model = "fast-5"
        quiet_seconds = 30
    "#;

    #[test]
    fn a_whole_file_is_read() {
        let config = Config::parse(GOOD).unwrap();
        let openai = &config.providers[0];
        assert_eq!(openai.api_key, Some(Reference::Env("OPENAI_API_KEY".into())));
        assert_eq!((openai.timeouts.first_byte_ms, openai.timeouts.connect_ms), (1_000, 5_000));
        let price = openai.models[0].price.as_ref().unwrap().price("openai", "gpt-5").unwrap();
        assert_eq!((price.cache_read, price.cache_write, price.output), (125_000_000, 1_250_000_000, 10_000_000_000));
        assert_eq!(price.table, "openai/gpt-5 2026-11-01");
        let knowledge = config.knowledge.unwrap();
        assert_eq!((knowledge.tokens_per_day, knowledge.roles.as_slice()), (200_000, ["user".to_owned()].as_slice()));
        assert_eq!(knowledge.since_micros(), Ok(Some(1_793_491_200_000_000)));
        let summaries = config.summaries.unwrap();
        assert_eq!((summaries.tokens_per_day, summaries.quiet_micros()), (200_000, 30_000_000));
        assert!(Config::parse("").is_ok_and(|config| config.providers.is_empty() && config.knowledge.is_none()));
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        for (wrong, right, said) in [
            ("kind = \"openai\"", "kind = \"opneai\"", "opneai"),
            ("base_url = \"https://api.openai.com/v1\"", "", "base_url"),
            ("api_key = { env = \"OPENAI_API_KEY\" }", "api_key = \"sk-123\"", "api_key"),
            ("name = \"here\"", "name = \"openai\"", "two providers"),
            ("\"here/gemma3-270m\"", "\"nowhere/x\"", "nowhere/x"),
            ("name = \"fast-*\"", "name = \"fast\"", "star"),
            ("as_of = \"2026-11-01\"", "as_of = \"today\"", "as_of"),
            ("input = 1.25", "input = -1.0", "price"),
            ("[[keys]]", "[[kyes]]", "kyes"),
            ("label = \"notebook\"", "label = \"meshlog:x\"", "own"),
            ("model = \"fast-5\"", "", "model"),
            ("model = \"fast-5\"", "model = \"fast-5\"\ntokens_per_day = 0", "tokens_per_day"),
            ("model = \"fast-5\"", "model = \"fast-5\"\nroles = [\"tool\"]", "tool"),
            ("since = \"2026-11-01\"", "since = \"lately\"", "lately"),
        ] {
            assert!(GOOD.contains(wrong));
            let error = Config::parse(&GOOD.replacen(wrong, right, 1)).unwrap_err();
            assert!(error.contains(said), "{right}: {error}");
        }
    }
}
