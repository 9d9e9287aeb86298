//! Tokens: what a call used, in classes that do not overlap, and what that costs.
//!
//! Owns: the classes, prices by date, and the way from a provider's usage to both.
//! Never: a float for money. Costs are whole billionths of a US dollar; prices, billionths for a million tokens.

use serde::Deserialize;
use serde_json::Value;

/// Tokens of a call. No token is in two classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Input that was neither read from nor written to the provider's cache.
    pub input: u64,
    /// Input that was written to the provider's cache.
    pub cache_write: u64,
    /// Input that was read from the provider's cache.
    pub cache_read: u64,
    /// Output without reasoning.
    pub output: u64,
    /// Output that the model thought and did not say.
    pub reasoning: u64,
}

/// What a model costs, from a date on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// Names this table in events: provider, model and date.
    pub table: String,
    /// Billionths of a US dollar for a million tokens of input.
    pub input: u64,
    /// The same for input that is written to the cache.
    pub cache_write: u64,
    /// The same for input that is read from the cache.
    pub cache_read: u64,
    /// The same for output, spoken or thought.
    pub output: u64,
}

impl Price {
    /// What the tokens cost, in billionths of a US dollar, rounded to the nearest.
    pub fn cost_nanos(&self, tokens: &Tokens) -> i64 {
        let of = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let millionths = of(tokens.input, self.input)
            + of(tokens.cache_write, self.cache_write)
            + of(tokens.cache_read, self.cache_read)
            + of(tokens.output.saturating_add(tokens.reasoning), self.output);
        i64::try_from((millionths + 500_000) / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// Usage as OpenAI's format has it: what is cached stands inside of the input, what is thought inside of the output.
#[derive(Debug, Default, Deserialize)]
struct OpenAiUsage {
    #[serde(default)]
    prompt_tokens: Number,
    #[serde(default)]
    completion_tokens: Number,
    #[serde(default)]
    prompt_tokens_details: Option<InputDetails>,
    #[serde(default)]
    completion_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Default, Deserialize)]
struct InputDetails {
    #[serde(default)]
    cached_tokens: Number,
    #[serde(default)]
    cache_write_tokens: Number,
}

#[derive(Debug, Default, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    reasoning_tokens: Number,
}

/// A count, as loosely as providers write it: null and what is no count is none.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
struct Number(u64);

impl From<Value> for Number {
    fn from(value: Value) -> Self {
        let float = || value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64);
        Self(value.as_u64().or_else(float).unwrap_or(0))
    }
}

impl Tokens {
    /// All of them.
    pub fn total(&self) -> u64 {
        [self.input, self.cache_write, self.cache_read, self.output, self.reasoning]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// The tokens of a `usage` object in OpenAI's format; `None` where it is no such object.
    pub fn of_openai(usage: &str) -> Option<Self> {
        let usage: OpenAiUsage = serde_json::from_str(usage).ok()?;
        let input = usage.prompt_tokens_details.unwrap_or_default();
        let output = usage.completion_tokens_details.unwrap_or_default();
        // Providers are known to report more cached tokens than tokens: what does not fit is left out.
        let cache_read = input.cached_tokens.0.min(usage.prompt_tokens.0);
        let cache_write = input.cache_write_tokens.0.min(usage.prompt_tokens.0 - cache_read);
        let reasoning = output.reasoning_tokens.0.min(usage.completion_tokens.0);
        Some(Self {
            input: usage.prompt_tokens.0 - cache_read - cache_write,
            cache_write,
            cache_read,
            output: usage.completion_tokens.0 - reasoning,
            reasoning,
        })
    }
}

/// The tokens of a text by OpenAI's newest tokenizer (o200k). For models of others it is about right: within a fifth for
/// English text.
pub fn count(text: &str) -> u64 {
    bpe_openai::o200k_base().count(text) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICE: Price = Price {
        table: String::new(),
        input: 1_250_000_000,
        cache_write: 1_500_000_000,
        cache_read: 125_000_000,
        output: 10_000_000_000,
    };

    #[test]
    fn the_classes_do_not_overlap() {
        let usage = r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
            "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":20,"unheard_of":{}}}"#;
        let tokens = Tokens::of_openai(usage).unwrap();
        assert_eq!(tokens, Tokens { input: 10, cache_write: 30, cache_read: 60, output: 30, reasoning: 20 });
        assert_eq!(tokens.total(), 150);
    }

    #[test]
    fn usage_is_read_as_loosely_as_it_is_written() {
        let only = |input, output| Some(Tokens { input, output, ..Tokens::default() });
        assert_eq!(
            Tokens::of_openai(r#"{"prompt_tokens":8,"completion_tokens":null,"prompt_tokens_details":null}"#),
            only(8, 0)
        );
        assert_eq!(Tokens::of_openai(r#"{"prompt_tokens":8.0,"completion_tokens":-3}"#), only(8, 0));
        assert_eq!(Tokens::of_openai("[]").unwrap_or_default(), Tokens::default());
        assert_eq!(Tokens::of_openai("7"), None);
    }

    #[test]
    fn a_cost_is_exact() {
        let tokens = Tokens { input: 1_000, cache_write: 10, cache_read: 100, output: 7, reasoning: 3 };
        // 1,250,000 + 15,000 + 12,500 + 100,000 billionths of a dollar.
        assert_eq!(PRICE.cost_nanos(&tokens), 1_377_500);
        assert_eq!(PRICE.cost_nanos(&Tokens { output: u64::MAX, ..Tokens::default() }), i64::MAX);
    }

    #[test]
    fn tokens_are_counted_as_openai_does() {
        assert_eq!(count(""), 0);
        assert_eq!(count("hello world"), 2);
    }

    proptest! {
        #[test]
        fn whatever_is_reported_nothing_is_counted_twice(prompt in any::<u32>(), output in any::<u32>(), cached in any::<u32>(), written in any::<u32>(), thought in any::<u32>()) {
            let usage = format!(
                r#"{{"prompt_tokens":{prompt},"completion_tokens":{output},"prompt_tokens_details":{{"cached_tokens":{cached},"cache_write_tokens":{written}}},"completion_tokens_details":{{"reasoning_tokens":{thought}}}}}"#
            );
            prop_assert_eq!(Tokens::of_openai(&usage).unwrap().total(), u64::from(prompt) + u64::from(output));
        }
    }
}
