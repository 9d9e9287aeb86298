//! Ask: a model's answer from what memory holds, with the turns that it rests on.

use meshlog_connectors::api::{ContextItem, ContextRequest, ContextResponse, DEFAULT_SPACE, PromptFamily, SectionName};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Context, EXIT_CODES, Failure, Outcome, Output,
    client::{Client, Duty},
    output::{harmless, one_line, shortened},
};

/// How much of a cited turn is shown, in characters.
const EXCERPT: usize = 300;

/// The longest answer, in tokens.
const ANSWER_TOKENS: u32 = 1_000;
/// How many turns are shown of which none is cited.
const SHOWN: usize = 5;

/// The arguments of `meshlog ask`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog ask where do we keep the spare key
  meshlog ask \"what did we decide about the roof?\" --space home --thread chimney
  meshlog ask \"what is due this week?\" --model gpt-5-mini --budget-tokens 8000
  meshlog --json ask \"where is the key?\" | jq -r .answer

Without a configured model the turns that bear most on the question are shown.

{EXIT_CODES}"))]
pub(super) struct AskArguments {
    /// What to ask, in plain words
    #[arg(required = true, value_name = "QUESTION")]
    question: Vec<String>,

    /// The space that is remembered from
    #[arg(long, default_value = DEFAULT_SPACE, value_name = "SPACE")]
    space: String,

    /// The thread that goes on with the question; its latest turns are told to the model
    #[arg(long, value_name = "THREAD")]
    thread: Option<String>,

    /// The model that answers [default: the first that is configured]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// How many tokens the model is told at most
    #[arg(long, default_value_t = 4096, value_name = "NUMBER")]
    budget_tokens: u32,
}

/// What was answered, and on what it rests.
#[derive(Debug, Serialize)]
struct Answered {
    /// What the model said; `null` where there is none.
    answer: Option<String>,
    /// The model that said it.
    model: Option<String>,
    /// The turns, facts and insights that the answer cites.
    citations: Vec<ContextItem>,
    /// The turns that the model was told from memory, the best first.
    found: Vec<ContextItem>,
    /// The tokens that the model was told.
    context_tokens: u32,
}

/// The part of OpenAI's list of models that is needed.
#[derive(Debug, Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Debug, Deserialize)]
struct Model {
    id: String,
    meshlog: Kinds,
}

#[derive(Debug, Deserialize)]
struct Kinds {
    kinds: Vec<String>,
}

/// The part of OpenAI's chat completion that is needed.
#[derive(Debug, Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Said,
}

#[derive(Debug, Deserialize)]
struct Said {
    content: Option<String>,
}

/// Asks, and shows the answer.
pub(super) fn run(context: &mut Context, arguments: AskArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let AskArguments { question, space, thread, model, budget_tokens } = arguments;
    let model = match model {
        Some(model) => Some(model),
        None => {
            let chats = |model: &Model| model.meshlog.kinds.iter().any(|kind| kind == "chat");
            client.get::<Models>("/v1/models", &[])?.data.into_iter().find(chats).map(|model| model.id)
        }
    };
    let request = ContextRequest {
        space: space.clone(),
        thread,
        query: Some(question.join(" ")),
        budget_tokens,
        provider: PromptFamily::Openai,
        model: model.clone(),
    };
    let told: ContextResponse = client.post("/v1/context", &request, Duty::Ordinary)?;
    let answer = model.as_deref().map(|model| answer(&client, model, &space, &told)).transpose()?;
    let citations = answer.as_deref().map(|answer| cited(&told, answer)).unwrap_or_default();
    let answered = Answered { answer, model, citations, found: best(&told), context_tokens: told.tokens };
    show(&mut context.output, &answered)?;
    Ok(Outcome::Done)
}

fn answer(client: &Client, model: &str, space: &str, told: &ContextResponse) -> Result<String, Failure> {
    // Without a thread: what memory told would come back into memory as if it had been said.
    let request =
        json!({"model": model, "messages": told.messages, "max_tokens": ANSWER_TOKENS, "meshlog": {"space": space}});
    let completion: Completion = client.post("/v1/chat/completions", &request, Duty::Long)?;
    let said = completion.choices.into_iter().next().and_then(|choice| choice.message.content);
    Ok(said.unwrap_or_default().trim().to_owned())
}

fn recalled(told: &ContextResponse) -> impl Iterator<Item = &ContextItem> {
    let of_recalled = told.sections.iter().filter(|section| section.name == SectionName::Recalled);
    of_recalled.flat_map(|section| &section.items)
}

/// The turns whose numbers stand in an answer, in square brackets.
fn cited(told: &ContextResponse, answer: &str) -> Vec<ContextItem> {
    let is_cited =
        |item: &&ContextItem| item.citation.is_some_and(|number| numbers(answer).any(|cited| cited == number));
    told.sections.iter().flat_map(|section| &section.items).filter(is_cited).cloned().collect()
}

/// The numbers in square brackets: `[1]`, `[1, 3]`, `[1][3]`.
fn numbers(answer: &str) -> impl Iterator<Item = u32> + '_ {
    let lists = answer.split('[').skip(1).filter_map(|rest| rest.split_once(']')).map(|(list, _)| list);
    let whole =
        lists.filter(|list| list.chars().all(|character| character.is_ascii_digit() || ", ;".contains(character)));
    whole.flat_map(|list| list.split([',', ';', ' '])).filter_map(|number| number.parse().ok())
}

/// All turns that were found, the best first.
fn best(told: &ContextResponse) -> Vec<ContextItem> {
    let mut items: Vec<ContextItem> = recalled(told).cloned().collect();
    items.sort_by(|left, right| right.score.unwrap_or(0.0).total_cmp(&left.score.unwrap_or(0.0)));
    items
}

fn show(output: &mut Output, answered: &Answered) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(answered);
    }
    if let Some(answer) = &answered.answer {
        output.line(harmless(answer))?;
        output.line("")?;
    }
    let (why, items) = match (&answered.answer, answered.citations.as_slice(), answered.found.as_slice()) {
        (Some(_), [], []) => ("nothing was found in memory", &[][..]),
        (None, _, []) => ("no chat model is configured, and nothing was found", &[][..]),
        (Some(_), [], found) => ("the answer cites no turn; those that bear most on the question:", found),
        (None, _, found) => ("no chat model is configured; the turns that bear most on the question:", found),
        (Some(_), cited, _) => ("it rests on", cited),
    };
    let why = output.faint(why);
    output.line(why)?;
    for item in items.iter().take(items.len().min(SHOWN.max(answered.citations.len()))) {
        let number = item.citation.map(|number| format!("[{number}] ")).unwrap_or_default();
        let author = output.bold(&one_line(&item.author));
        let text = shortened(&one_line(&item.text), EXCERPT);
        let thread = item.thread_id.as_deref().map(|thread| format!("  {}", one_line(thread))).unwrap_or_default();
        output.line(format!("{number}{author}  {}{thread}: {text}", item.sent_at))?;
        if let Some(position) = &item.position {
            let place = output.faint(&format!("    {}/{}/{}", position.topic, position.partition, position.offset));
            output.line(place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_brackets_are_citations_and_other_brackets_are_none() {
        let found = |answer| numbers(answer).collect::<Vec<_>>();
        assert_eq!(found("Under the pot [2], as said before [1, 3][12]."), [2, 1, 3, 12]);
        assert_eq!(found("[see 4] a[i] [x] [ [5 []"), [] as [u32; 0]);
    }
}
