//! Usage: what calls used, in buckets by day, space, provider, model, key and kind, and how buckets are summed up.
//!
//! Owns: what is counted of a call, and the grouping of buckets.
//! Promises: sums stop at the largest number instead of turning over; they do not depend on the order of calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::row::SettledRow;
use crate::Micros;

/// Microseconds of a day.
pub const MICROS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// What calls used. Nothing in it is negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many ended.
    pub calls: i64,
    /// Of them: answered in full.
    pub completed: i64,
    /// Of them: the provider broke off after output was given.
    pub truncated: i64,
    /// Of them: without output.
    pub failed: i64,
    /// Of them: the caller left.
    pub cancelled: i64,
    /// Of them: the server ended meanwhile.
    pub interrupted: i64,
    /// How often providers were asked.
    pub attempts: i64,
    /// Input that was neither read from nor written to a provider's cache.
    pub input_tokens: i64,
    /// Input that was written to a provider's cache.
    pub cache_write_tokens: i64,
    /// Input that was read from a provider's cache.
    pub cache_read_tokens: i64,
    /// Output without reasoning.
    pub output_tokens: i64,
    /// Output that was thought and not said.
    pub reasoning_tokens: i64,
    /// Billionths of a US dollar, of the calls whose model has a price.
    pub cost_nanos: i64,
    /// Calls whose model has no price.
    pub unpriced: i64,
    /// Calls whose tokens were counted here, because the provider did not report them.
    pub estimated: i64,
    /// Calls whose tokens nobody knows.
    pub without_usage: i64,
}

impl Tally {
    /// What one call used.
    pub(super) fn of(outcome: &str, settled: &SettledRow) -> Self {
        let is = |wanted: &str, found: &str| i64::from(wanted == found);
        Self {
            calls: 1,
            completed: is("completed", outcome),
            truncated: is("truncated", outcome),
            failed: is("failed", outcome),
            cancelled: is("cancelled", outcome),
            interrupted: is("interrupted", outcome),
            attempts: settled.attempts.max(0).into(),
            input_tokens: settled.input_tokens.max(0),
            cache_write_tokens: settled.cache_write_tokens.max(0),
            cache_read_tokens: settled.cache_read_tokens.max(0),
            output_tokens: settled.output_tokens.max(0),
            reasoning_tokens: settled.reasoning_tokens.max(0),
            cost_nanos: settled.cost_nanos.max(0),
            unpriced: i64::from(settled.cost_nanos < 0),
            estimated: is("estimated", &settled.usage_source),
            without_usage: is("none", &settled.usage_source),
        }
    }

    /// Adds what other calls used.
    pub fn add(&mut self, other: &Tally) {
        for (sum, number) in self.numbers().into_iter().zip({ *other }.numbers()) {
            // Invariant: neither is negative, so where the sum stops does not depend on the order.
            *sum = sum.saturating_add(*number);
        }
    }

    fn numbers(&mut self) -> [&mut i64; 16] {
        let Self {
            calls,
            completed,
            truncated,
            failed,
            cancelled,
            interrupted,
            attempts,
            input_tokens,
            cache_write_tokens,
            cache_read_tokens,
            output_tokens,
            reasoning_tokens,
            cost_nanos,
            unpriced,
            estimated,
            without_usage,
        } = self;
        [
            calls,
            completed,
            truncated,
            failed,
            cancelled,
            interrupted,
            attempts,
            input_tokens,
            cache_write_tokens,
            cache_read_tokens,
            output_tokens,
            reasoning_tokens,
            cost_nanos,
            unpriced,
            estimated,
            without_usage,
        ]
    }
}

/// What calls are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    /// Days since 1970-01-01 (UTC).
    pub(super) day: i64,
    pub(super) space: String,
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) key_label: String,
    pub(super) kind: String,
}

impl Bucket {
    /// The bucket of a call that has ended.
    pub(super) fn new(requested_at: Micros, space: &str, settled: &SettledRow, key_label: &str, kind: &str) -> Self {
        Self {
            day: requested_at.div_euclid(MICROS_PER_DAY),
            space: space.to_owned(),
            provider: settled.provider.clone(),
            model: settled.model.clone(),
            key_label: key_label.to_owned(),
            kind: kind.to_owned(),
        }
    }

    fn name(&self, dimension: Dimension) -> GroupName {
        match dimension {
            Dimension::Day => GroupName::Day(self.day),
            Dimension::Space => GroupName::Name(self.space.clone()),
            Dimension::Provider => GroupName::Name(self.provider.clone()),
            Dimension::Model => GroupName::Name(self.model.clone()),
            Dimension::Key => GroupName::Name(self.key_label.clone()),
            Dimension::Kind => GroupName::Name(self.kind.clone()),
        }
    }
}

/// What usage can be summed up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// The space.
    Space,
    /// Who was asked.
    Provider,
    /// The model's name at the provider.
    Model,
    /// The label of the caller's key.
    Key,
    /// The day on which the call was requested, in UTC.
    Day,
    /// `chat` or `embeddings`.
    Kind,
}

/// Which calls, and how they are summed up. An absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// One group for each combination of these; one for all calls where there are none.
    pub by: Vec<Dimension>,
    /// Only of this space.
    pub space: Option<String>,
    /// Only by this provider.
    pub provider: Option<String>,
    /// Only by this model.
    pub model: Option<String>,
    /// Only with the key of this label.
    pub key: Option<String>,
    /// From this day on, in days since 1970-01-01.
    pub from_day: Option<i64>,
    /// Up to this day and with it.
    pub to_day: Option<i64>,
}

impl UsageQuery {
    fn admits(&self, bucket: &Bucket) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.space, &bucket.space)
            && is(&self.provider, &bucket.provider)
            && is(&self.model, &bucket.model)
            && is(&self.key, &bucket.key_label)
    }
}

/// What a group is of in one dimension.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupName {
    /// A day, in days since 1970-01-01.
    Day(i64),
    /// A name; empty where there is none.
    Name(String),
}

/// Calls that are the same in every dimension asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// In the order of [`UsageQuery::by`].
    pub names: Vec<GroupName>,
    /// What they used.
    pub tally: Tally,
}

/// What calls used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// By their names, in the order of the dimensions.
    pub groups: Vec<Group>,
    /// All of them together.
    pub total: Tally,
}

/// Sums that are being made.
pub(super) struct Summary<'a> {
    query: &'a UsageQuery,
    groups: BTreeMap<Vec<GroupName>, Tally>,
    total: Tally,
}

impl<'a> Summary<'a> {
    pub(super) fn new(query: &'a UsageQuery) -> Self {
        Self { query, groups: BTreeMap::new(), total: Tally::default() }
    }

    /// Takes a bucket in if it is asked for, and answers how many groups there are.
    pub(super) fn add(&mut self, bucket: &Bucket, tally: &Tally) -> usize {
        if self.query.admits(bucket) {
            let names = self.query.by.iter().map(|dimension| bucket.name(*dimension)).collect();
            self.groups.entry(names).or_default().add(tally);
            self.total.add(tally);
        }
        self.groups.len()
    }

    pub(super) fn finish(self) -> Usage {
        let groups = self.groups.into_iter().map(|(names, tally)| Group { names, tally }).collect();
        Usage { groups, total: self.total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stop_at_the_largest_number() {
        let mut sum = Tally { input_tokens: i64::MAX - 1, calls: 1, ..Tally::default() };
        sum.add(&Tally { input_tokens: 5, calls: 1, ..Tally::default() });
        assert_eq!(sum, Tally { input_tokens: i64::MAX, calls: 2, ..Tally::default() });
    }
}
