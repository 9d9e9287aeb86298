//! Arguments: options of the command line, each with a value.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use crate::client::Target;

/// Options that were given and not yet taken.
#[derive(Debug)]
pub(crate) struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Reads options; `--stream` may stand without a value.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = BTreeMap::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("{word} is not an option"))?;
            let value = words.next_if(|next| !next.starts_with("--"));
            let value = value.or_else(|| (name == "stream").then(|| "true".to_owned()));
            options.insert(name.to_owned(), value.ok_or_else(|| format!("{word} needs a value"))?);
        }
        Ok(Self(options))
    }

    pub(crate) fn text(&mut self, name: &str, usual: &str) -> String {
        self.0.remove(name).unwrap_or_else(|| usual.to_owned())
    }

    pub(crate) fn number<T: FromStr>(&mut self, name: &str, usual: T) -> Result<T, String> {
        let Some(text) = self.0.remove(name) else { return Ok(usual) };
        text.parse().map_err(|_| format!("--{name} {text} is not understood"))
    }

    pub(crate) fn numbers<T: FromStr>(&mut self, name: &str, usual: &str) -> Result<Vec<T>, String> {
        let text = self.text(name, usual);
        let wrong = |_| format!("--{name} {text} is not understood");
        text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(wrong)
    }

    pub(crate) fn seconds(&mut self, usual: u64) -> Result<Duration, String> {
        let seconds = self.number("seconds", usual as f64)?;
        Duration::try_from_secs_f64(seconds).map_err(|error| format!("--seconds {seconds}: {error}"))
    }

    pub(crate) fn targets(&mut self, name: &str) -> Result<Vec<Target>, String> {
        let text = self.0.remove(name).ok_or_else(|| format!("--{name} is missing"))?;
        text.split(',').map(Target::parse).collect()
    }

    pub(crate) fn target(&mut self) -> Result<Target, String> {
        let text = self.0.remove("target").ok_or("--target is missing")?;
        Target::parse(&text)
    }

    /// Nothing may be left that nobody understood.
    pub(crate) fn end(self) -> Result<(), String> {
        self.0.into_keys().next().map_or(Ok(()), |name| Err(format!("--{name} is not an option here")))
    }
}
