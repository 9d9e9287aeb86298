//! Figures: names and numbers, and how many measurements become one.

use std::{collections::BTreeMap, time::Duration};

/// What was found, by name.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Adds a figure, unless it is none.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64) {
        if value.is_nan() {
            return;
        }
        // Thousandths are finer than what anything here is measured to; adding zero makes a negative zero a plain one.
        self.0.insert(name.into(), (value * 1000.0).round() / 1000.0 + 0.0);
    }

    /// The last line of the output.
    pub(crate) fn json(&self) -> String {
        serde_json::json!({ "figures": self.0 }).to_string()
    }

    /// Prints each on a line.
    pub(crate) fn print(&self) {
        for (name, value) in &self.0 {
            println!("{name:<40} {value:>14}");
        }
    }
}

/// The times that calls took.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn summary(mut self) -> Summary {
        self.0.sort_unstable();
        let at = |share: f64| {
            let rank = (self.0.len() as f64 * share).ceil() as usize;
            self.0.get(rank.max(1) - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
        };
        Summary { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

/// Percentiles, in milliseconds; none of them a number where nothing was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Summary {
    pub(crate) fn named(self) -> [(&'static str, f64); 4] {
        [("p50_ms", self.p50), ("p90_ms", self.p90), ("p99_ms", self.p99), ("max_ms", self.max)]
    }
}

/// The middle one; of an even number, the lower of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| !value.is_nan());
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
