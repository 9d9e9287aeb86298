//! Questions: a file of questions whose evidence is known.

use std::{fs::File, io::BufReader, path::Path};

use meshlog_connectors::api::DEFAULT_SPACE;
use serde::Deserialize;
use serde_json::Value;

use super::Failure;

/// A question; fields that are not named here, such as an answer, are not looked at.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Question {
    /// The space to ask.
    #[serde(default = "default_space")]
    pub(super) space: String,
    /// The words to ask with.
    pub(super) question: String,
    /// What kind of question it is: a number or a name.
    #[serde(default)]
    category: Value,
    /// The sender's ids of the messages that answer it.
    #[serde(default)]
    pub(super) evidence: Vec<String>,
    /// The threads these lie in.
    #[serde(default)]
    pub(super) sessions: Vec<String>,
}

impl Question {
    /// The category as a name.
    pub(super) fn category(&self) -> String {
        match &self.category {
            Value::Null => "-".to_owned(),
            Value::String(name) => name.clone(),
            other => other.to_string(),
        }
    }
}

/// Reads the questions of a file.
///
/// # Errors
/// When it cannot be read, is no array of questions, or has none.
pub(super) fn read(file: &Path) -> Result<Vec<Question>, Failure> {
    let opened = File::open(file).map_err(|error| Failure::file("open", file, &error))?;
    let help = "see \"meshlog evaluate --help\" for the form of questions";
    let questions: Vec<Question> = serde_json::from_reader(BufReader::new(opened))
        .map_err(|error| Failure::local(format!("{} holds no questions: {error}", file.display()), help))?;
    if questions.is_empty() {
        return Err(Failure::local(format!("{} holds no question", file.display()), help));
    }
    Ok(questions)
}

fn default_space() -> String {
    DEFAULT_SPACE.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_may_be_numbers_or_names_or_absent() {
        let text = r#"[{"question":"a","category":4,"answer":2022},{"question":"b","category":"time","space":"s"},{"question":"c"}]"#;
        let questions: Vec<Question> = serde_json::from_str(text).expect("they are questions");
        let found: Vec<_> = questions.iter().map(|question| (question.category(), question.space.as_str())).collect();
        assert_eq!(found, [("4".into(), "main"), ("time".into(), "s"), ("-".into(), "main")]);
    }

    #[test]
    fn the_example_questions_are_about_the_example_conversations() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let text = std::fs::read_to_string(examples.join("conversations.jsonl")).expect("the example is there");
        let messages: Vec<meshlog_connectors::api::NewMessage> =
            text.lines().map(|line| serde_json::from_str(line).expect("each line is a message")).collect();
        let questions = read(&examples.join("questions.json")).expect("the example is there");
        for question in &questions {
            assert!(!question.evidence.is_empty(), "{question:?}");
            for id in &question.evidence {
                let evidence = messages.iter().find(|message| message.id.as_deref() == Some(id));
                let evidence = evidence.unwrap_or_else(|| panic!("{id} is no message"));
                assert_eq!(evidence.space, question.space, "{id}");
                assert!(question.sessions.contains(&evidence.thread), "{id}");
            }
        }
    }
}
