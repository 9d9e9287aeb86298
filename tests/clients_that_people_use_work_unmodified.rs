//! Clients that people use, set up as their manuals say for a server that speaks as OpenAI's.

use crate::{openai_sdks_work_unmodified::check, support::sdks::Gateway};

#[test]
fn the_command_llm_asks_and_its_turns_are_remembered() {
    check(Gateway::of_scripted, &["llm_command.py"]);
}

#[test]
fn vercels_ai_sdk_asks_and_its_turns_are_remembered() {
    check(Gateway::of_scripted, &["ai_sdk.mjs"]);
}
