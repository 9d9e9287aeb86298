//! Progress: bars on standard error for work that takes long, when a person looks at it.
//!
//! Promises: nothing is drawn where standard error is no terminal, or where output is for programs.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn although nothing moved.
const TICK: Duration = Duration::from_millis(250);

/// How the amount that a bar counts is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes, with their rate and the time left.
    Bytes,
    /// Things of the given plural, with the time left.
    Count(&'static str),
}

/// A bar; it goes away when it is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for an amount of work, or one that only moves when the amount is not known.
    pub(super) fn new(json: bool, total: Option<u64>, unit: Unit) -> Self {
        let bar = ProgressBar::with_draw_target(total, target(json));
        bar.set_style(style(total.is_some(), unit));
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// So much has been done, and this is worth saying about it.
    pub(super) fn show(&self, done: u64, message: String) {
        self.bar.set_position(done);
        self.bar.set_message(message);
    }

    /// The amount of work has turned out to be this.
    pub(super) fn set_total(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Writes a line to standard error without breaking the bar.
    pub(super) fn note(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn target(json: bool) -> ProgressDrawTarget {
    // The standard error target hides itself where there is no terminal.
    if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
}

fn style(known: bool, unit: Unit) -> ProgressStyle {
    let template = match (known, unit) {
        (true, Unit::Bytes) => "{bar:24} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}  {msg}".to_owned(),
        (false, Unit::Bytes) => "{spinner} {bytes} {bytes_per_sec}  {msg}".to_owned(),
        (true, Unit::Count(things)) => format!("{{bar:24}} {{human_pos}}/{{human_len}} {things} eta {{eta}}  {{msg}}"),
        (false, Unit::Count(things)) => format!("{{spinner}} {{human_pos}} {things}  {{msg}}"),
    };
    ProgressStyle::with_template(&template).expect("the templates are constants of this file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_is_a_valid_template() {
        for known in [true, false] {
            for unit in [Unit::Bytes, Unit::Count("events")] {
                style(known, unit);
            }
        }
    }
}
