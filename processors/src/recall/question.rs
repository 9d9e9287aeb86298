//! What a question asks about besides its subject.
//!
//! Owns: telling whether it asks for the assistant's own words.
//! Never: changes the question.

/// Phrases with which people ask for what an assistant said, in lower case.
const ASKS_ASSISTANT: [&str; 22] = [
    "you said",
    "you say",
    "you told",
    "you tell me",
    "you suggest",
    "you recommend",
    "you advise",
    "you mention",
    "you explain",
    "you list",
    "you propose",
    "you provide",
    "you gave",
    "you give me",
    "you write",
    "you wrote",
    "your suggestion",
    "your recommendation",
    "your advice",
    "your answer",
    "your response",
    "the assistant",
];

/// Whether the question asks for the assistant's own words.
pub(super) fn asks_for_the_assistant(question: &str) -> bool {
    let question = question.to_lowercase();
    ASKS_ASSISTANT.iter().any(|phrase| question.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_for_the_assistants_words_are_told_apart() {
        assert!(asks_for_the_assistant("What did you recommend for the garden?"));
        assert!(asks_for_the_assistant("Summarise YOUR ADVICE on taxes"));
        assert!(!asks_for_the_assistant("When did I tell Ada about the garden?"));
    }
}
