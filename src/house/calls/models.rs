//! The models of this process as a provider asks them.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use meshlog_connectors::providers::{
    Class, Failure,
    local::{ChatModel, Generated, Generation, TextEncoder},
};
use meshlog_processors::{
    chat::{self, ChatError, Finish, Sampling},
    embedding::{Encoder, Role},
};

/// The most tokens of a conversation with its answer: what a generation keeps in memory grows with them.
const MOST_CONTEXT: usize = 8_192;

/// A chat model in a file, and its name. It is opened when it is first called, so that a server which is never asked does not
/// begin later, nor hold it in memory.
///
/// # Errors
/// There is no such file.
pub(super) fn chat(file: &Path) -> Result<(String, Arc<dyn ChatModel>), String> {
    if !file.is_file() {
        let path = file.display();
        return Err(format!("the chat model {path} is not there; run `make model-chat`, or name another GGUF file"));
    }
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok((name, Arc::new(Chat { file: file.to_owned(), opened: Mutex::default() })))
}

/// The embedding model, and its name: without the hash of its content, which is for the log.
pub(super) fn encoder(encoder: &Arc<dyn Encoder>) -> (String, Arc<dyn TextEncoder>) {
    let id = encoder.model_id();
    let name = id.split_once('@').map_or(id, |(name, _)| name).to_owned();
    (name, Arc::new(Texts(encoder.clone())))
}

struct Chat {
    file: PathBuf,
    opened: Mutex<Option<Arc<chat::ChatModel>>>,
}

impl Chat {
    /// The model, opened where it has not been. Who comes meanwhile waits. What could not be opened is tried again.
    fn model(&self) -> Result<Arc<chat::ChatModel>, ChatError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = &*opened {
            return Ok(model.clone());
        }
        let model = Arc::new(chat::ChatModel::open(&self.file)?.with_context_tokens(MOST_CONTEXT));
        Ok(opened.insert(model).clone())
    }
}

impl ChatModel for Chat {
    fn count_tokens(&self, text: &str) -> u64 {
        // Invariant: a call whose tokens are counted has opened the model.
        self.model().and_then(|model| model.count_tokens(text)).map_or(0, |count| count as u64)
    }

    fn generate(
        &self,
        request: &Generation,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Generated, Failure> {
        let model = self.model().map_err(|error| failure(&error))?;
        let prompt = model.prompt(&request.messages, request.tools.as_ref()).map_err(|error| failure(&error))?;
        let default = Sampling::default();
        let settings = Sampling {
            temperature: request.temperature.unwrap_or(default.temperature),
            top_p: request.top_p.unwrap_or(default.top_p),
            top_k: request.top_k,
            seed: request.seed,
            max_tokens: request.max_completion_tokens,
            stop: request.stop.as_ref().map(|stop| stop.all()).unwrap_or_default(),
        };
        let outcome = model.generate(&prompt, &settings, is_cancelled, on_text).map_err(|error| failure(&error))?;
        Ok(Generated {
            has_stopped: outcome.finish == Finish::Stop,
            prompt_tokens: outcome.prompt_tokens as u64,
            output_tokens: outcome.output_tokens as u64,
        })
    }
}

fn failure(error: &ChatError) -> Failure {
    let (class, status) = match error {
        ChatError::TooLong { .. } => (Class::Context, Some(400)),
        ChatError::Refused { .. } | ChatError::Message { .. } | ChatError::Tokenizer { .. } => {
            (Class::Invalid, Some(400))
        }
        _ => (Class::Internal, None),
    };
    Failure { status, ..Failure::new(class, error.to_string()) }
}

struct Texts(Arc<dyn Encoder>);

impl TextEncoder for Texts {
    fn count_tokens(&self, text: &str) -> u64 {
        self.0.count_tokens(text) as u64
    }

    fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let read = self.0.encode(Role::Document, &texts);
        let read = read.map_err(|error| Failure::new(Class::Internal, error.to_string()))?;
        Ok(read.iter().map(|embedding| embedding.vector.to_vec()).collect())
    }
}
