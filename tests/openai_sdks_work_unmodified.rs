//! OpenAI's own SDKs with nothing changed but the base URL, through the gateway to a provider and to the models in its process.

use crate::support::sdks::{Gateway, Made, sdks};

/// Runs programs of tests/sdks one after the other; the log must have the calls that they made, and no others.
pub fn check(start: impl FnOnce() -> Gateway, programs: &[&str]) {
    let Some(sdks) = sdks() else { return };
    let gateway = start();
    let options = gateway.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let made: Vec<Made> = programs.iter().map(|program| sdks.run(program, &options)).collect();
    gateway.check_log(&made);
}

#[test]
fn the_sdk_for_python_does_not_notice_the_gateway() {
    check(Gateway::of_scripted, &["openai_sdk.py"]);
}

#[test]
fn the_sdk_for_javascript_does_not_notice_the_gateway() {
    check(Gateway::of_scripted, &["openai_sdk.mjs"]);
}

#[test]
fn both_sdks_use_the_models_of_this_process() {
    check(Gateway::of_local_models, &["local_models.py", "local_models.mjs"]);
}
