//! The chat model: from a file to answers.
//!
//! Owns: the life of a generation, from the prompt through prefill and choice to the last text, and the threads it
//! computes in.
//! Promises: generations share the weights and nothing else. Cancelling is seen before each layer of the forward pass.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::Value;

use super::ChatError;
use super::decoder::{Cache, Decoder};
use super::gguf::Gguf;
use super::held::Held;
use super::sampling::{Sampler, Sampling};
use super::template::Template;
use super::vocabulary::Vocabulary;

/// Tokens of a prompt that are read at once: enough to use each weight many times while it is in the processor's
/// caches, few enough that one layer, the step at which a cancel is seen, takes milliseconds.
const TOGETHER: usize = 128;

/// Threads of a model. With more, handing out the short steps between the products costs more than they save.
const MOST_THREADS: usize = 4;

/// A conversation as tokens, up to where the answer begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Invariant: at least one, and fewer than the context has room for.
    tokens: Vec<u32>,
}

impl Prompt {
    /// The tokens, at least one.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }
}

/// Why an answer is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model has ended it, or a stop string has come.
    Stop,
    /// It has as many tokens as it may, or the context is full.
    Length,
    /// The caller wanted no more.
    Cancelled,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Why it is over.
    pub finish: Finish,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were chosen; also those whose text was held back, and the one that ended the answer.
    pub output_tokens: usize,
}

/// A chat model in memory: nine bits for each weight, so up to twice its file. Shared between threads by reference.
pub struct ChatModel {
    id: String,
    context: usize,
    vocabulary: Vocabulary,
    template: Template,
    decoder: Decoder,
    threads: ThreadPool,
}

impl fmt::Debug for ChatModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, context, .. } = self;
        formatter.debug_struct("ChatModel").field("id", id).field("context", context).finish_non_exhaustive()
    }
}

impl ChatModel {
    /// Opens a GGUF file, with the `tokenizer.json` beside it if there is one. Reads all of it; no file stays open.
    ///
    /// # Errors
    /// A file is missing or damaged, or the model is of a kind that is not supported. The message names the file.
    pub fn open(path: &Path) -> Result<Self, ChatError> {
        let mut gguf = Gguf::open(path)?;
        let vocabulary = Vocabulary::read(&mut gguf)?;
        let template = Template::read(&gguf, &vocabulary)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = ThreadPoolBuilder::new()
            .num_threads(cores.min(MOST_THREADS))
            .thread_name(|index| format!("chat-{index}"))
            .build()
            .map_err(|cause| ChatError::Compute { cause: format!("its threads cannot be started: {cause}") })?;
        let decoder = threads.install(|| Decoder::read(&mut gguf))?;
        if vocabulary.len() == 0 || vocabulary.len() > decoder.tokens() {
            let (listed, embedded) = (vocabulary.len(), decoder.tokens());
            return Err(gguf.corrupt(format!("its tokenizer has {listed} tokens and its embedding {embedded}")));
        }
        let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { id, context: decoder.context(), vocabulary, template, decoder, threads })
    }

    /// The same model with a context of at most so many tokens: the memory of a generation grows with what it uses.
    #[must_use]
    pub fn with_context_tokens(mut self, most: usize) -> Self {
        self.context = self.context.min(most);
        self
    }

    /// The file's name without its ending, for example `gemma3-270m`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The family, as the file states it: `gemma3`, `llama`, `qwen2` or `qwen3`.
    pub fn architecture(&self) -> &'static str {
        self.decoder.family()
    }

    /// Tokens that a prompt and its answer may have together.
    pub fn context_tokens(&self) -> usize {
        self.context
    }

    /// How many tokens a text is, without any that a prompt adds.
    ///
    /// # Errors
    /// The tokenizer fails on the text.
    pub fn count_tokens(&self, text: &str) -> Result<usize, ChatError> {
        Ok(self.vocabulary.encode(text)?.len())
    }

    /// Writes a conversation of OpenAI's chat messages, and tools in the same form, as the model wants it.
    ///
    /// A template that knows no tools leaves them out.
    ///
    /// # Errors
    /// A message cannot be read, the template refuses the conversation, or it is too long for the context.
    pub fn prompt(&self, messages: &[Value], tools: Option<&Value>) -> Result<Prompt, ChatError> {
        let text = self.template.render(messages, tools)?;
        let tokens = self.vocabulary.prompt(&text)?;
        if tokens.is_empty() {
            return Err(ChatError::Refused { words: "the conversation is empty".to_owned() });
        }
        if tokens.len() >= self.context {
            return Err(ChatError::TooLong { prompt: tokens.len(), context: self.context });
        }
        Ok(Prompt { tokens })
    }

    /// Answers a prompt of this model. Gives the text in parts, in whole characters and without the stop strings, and
    /// returns when the answer is over. Blocks: it computes all the while.
    ///
    /// `is_cancelled` is asked often and from other threads, at least with each layer; once it says so, no more text
    /// comes. The same holds when `on_text` breaks.
    ///
    /// # Errors
    /// The forward pass fails, or computes what is no number: the file is damaged.
    pub fn generate(
        &self,
        prompt: &Prompt,
        settings: &Sampling,
        is_cancelled: &(dyn Fn() -> bool + Sync),
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Outcome, ChatError> {
        let prompt_tokens = prompt.tokens.len();
        let room = self.context.saturating_sub(prompt_tokens);
        let stop: Vec<&str> =
            settings.stop.iter().map(String::as_str).chain(self.template.stops().iter().copied()).collect();
        let mut generation = Generation {
            model: self,
            cache: self.decoder.cache(),
            is_cancelled,
            text: Text { held: Held::new(&stop), at_start: true, on_text },
            sampler: Sampler::new(settings),
            most: settings.max_tokens.unwrap_or(room).min(room),
            output_tokens: 0,
        };
        let finish = generation.run(&prompt.tokens)?;
        Ok(Outcome { finish, prompt_tokens, output_tokens: generation.output_tokens })
    }

    /// Whether the first word of an answer has a space before it that is not the model's.
    fn pads_with_space(&self) -> bool {
        self.vocabulary.pads_with_space() || self.template.pads_with_space()
    }
}

/// One answer on its way.
struct Generation<'a> {
    model: &'a ChatModel,
    cache: Cache,
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
    text: Text<'a>,
    sampler: Sampler,
    /// Tokens that the answer may take.
    most: usize,
    output_tokens: usize,
}

impl Generation<'_> {
    fn run(&mut self, prompt: &[u32]) -> Result<Finish, ChatError> {
        let mut state = Vec::new();
        for tokens in prompt.chunks(TOGETHER) {
            match self.read(tokens)? {
                Some(after) => state = after,
                None => return Ok(Finish::Cancelled),
            }
        }
        while self.output_tokens < self.most {
            let Some(token) = self.choose(&state)? else {
                return Ok(Finish::Cancelled);
            };
            self.output_tokens += 1;
            if self.model.vocabulary.is_end(token) {
                return Ok(self.text.finish(Finish::Stop));
            }
            let mut bytes = self.model.vocabulary.bytes(token);
            if std::mem::take(&mut self.text.at_start) && self.model.pads_with_space() {
                bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            }
            if let Some(finish) = self.text.push(bytes) {
                return Ok(finish);
            }
            if self.output_tokens == self.most {
                break;
            }
            match self.read(&[token])? {
                Some(after) => state = after,
                None => return Ok(Finish::Cancelled),
            }
        }
        Ok(self.text.finish(Finish::Length))
    }

    /// The state after more tokens. Nothing when cancelled.
    fn read(&mut self, tokens: &[u32]) -> Result<Option<Vec<f32>>, ChatError> {
        let Self { model, cache, is_cancelled, .. } = self;
        model.threads.install(|| model.decoder.read_tokens(cache, tokens, is_cancelled))
    }

    /// The next token. Nothing when cancelled.
    fn choose(&mut self, state: &[f32]) -> Result<Option<u32>, ChatError> {
        if (self.is_cancelled)() {
            return Ok(None);
        }
        let mut scores = self.model.threads.install(|| self.model.decoder.scores(state));
        // Some embeddings are padded with rows that are no tokens.
        scores.truncate(self.model.vocabulary.len());
        let cause = || ChatError::Compute { cause: "its weights compute what is no number".to_owned() };
        self.sampler.choose(&scores).map(Some).ok_or_else(cause)
    }
}

/// The text of an answer and who takes it.
struct Text<'a> {
    held: Held,
    /// Whether no token has come yet.
    at_start: bool,
    on_text: &'a mut dyn FnMut(&str) -> ControlFlow<()>,
}

impl Text<'_> {
    /// Hands on what a token adds, and says whether the answer is over.
    fn push(&mut self, bytes: &[u8]) -> Option<Finish> {
        let text = self.held.push(bytes);
        if self.give(&text).is_break() {
            return Some(Finish::Cancelled);
        }
        self.held.is_stopped().then_some(Finish::Stop)
    }

    /// Hands on what was held back, and says why the answer is over.
    fn finish(&mut self, finish: Finish) -> Finish {
        let text = self.held.finish();
        if self.give(&text).is_break() {
            return Finish::Cancelled;
        }
        if self.held.is_stopped() { Finish::Stop } else { finish }
    }

    fn give(&mut self, text: &str) -> ControlFlow<()> {
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        (self.on_text)(text)
    }
}

#[cfg(test)]
mod tests;
