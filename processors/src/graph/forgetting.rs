//! Forgetting: what is taken out of the store, and what is kept so that it does not come back.
//!
//! ```text
//! space | "scope" | Scope as JSON     -> Forgetting as JSON
//! space | "message" | message id      -> nothing: a message of which something was taken out or refused
//! space | "fact" | fact id            -> nothing
//! space | "insight" | insight id      -> until
//! ```
//!
//! Promises: the order of what is forgotten and what is taken in does not matter. Of many messages, some at a time are taken
//! out, so that it takes little memory; what does the same again after a crash finds less to do.

use uuid::Uuid;

use super::{
    change::{Correction, FactForgotten, Insight, InsightForgotten},
    insights, keys,
    pending::Pending,
    row::{FactRow, MessageRow},
    tables::Table,
};
use crate::{Facets, Forgetting, Micros, Scope, StoreError};

/// So many messages are taken out at once.
const AT_ONCE: usize = 1_000;

const ACTION: &str = "forget";

/// The forgetting of a row, or `None` where it is another.
pub(super) fn of_row(key: &[u8], value: &[u8]) -> Result<Option<Forgetting>, serde_json::Error> {
    let mark = keys::named("", "scope").split_off(2);
    let is_scope = key.get(..2).and_then(|length| {
        let after = 2 + usize::from(u16::from_be_bytes(length.try_into().ok()?));
        Some(key.get(after..)?.starts_with(&mark))
    });
    is_scope.unwrap_or(false).then(|| serde_json::from_slice(value)).transpose()
}

/// Where it is kept that something was taken out of a message.
pub(super) fn buried(space: &str, message_id: Uuid) -> Vec<u8> {
    keys::of_named(space, "message", message_id)
}

impl Correction {
    /// A correction as forgettings see it: like a message of its author that was taken in when it was written.
    pub(super) fn facets(&self) -> Facets {
        written(&self.space, None, &self.author, self.at)
    }
}

impl Insight {
    /// An insight as forgettings see it: like a message of its author that was taken in when it was written.
    pub(super) fn facets(&self) -> Facets {
        written(&self.space, self.thread.as_deref(), &self.author, self.at)
    }
}

fn written(space: &str, thread: Option<&str>, author: &str, at: Micros) -> Facets {
    Facets {
        space: space.to_owned(),
        thread: thread.unwrap_or_default().to_owned(),
        author: author.to_owned(),
        role: String::new(),
        sent_at: at,
        accepted_at: at,
    }
}

impl Pending<'_> {
    /// Forgets messages, and what people wrote.
    pub(super) fn forget(&mut self, forgetting: &Forgetting) -> Result<(), StoreError> {
        let Forgetting { space, scope, .. } = forgetting;
        if self.tables.forgotten().add(forgetting) {
            let scope = serde_json::to_string(scope).map_err(|cause| self.tables.error(ACTION, cause))?;
            let mut key = keys::named(space, "scope");
            key.extend_from_slice(scope.as_bytes());
            self.put_json(Table::Forgotten, key, forgetting)?;
        }
        // Also where it is known already: a crash may have come before everything was taken out.
        match scope {
            Scope::Message(id) => {
                self.bury(space, *id);
                self.forget_message(*id, forgetting)?;
            }
            Scope::Thread(thread) => self.forget_all(Table::Threads, &keys::named(space, thread), forgetting)?,
            Scope::Author(author) => self.forget_all(Table::Authors, &keys::named(space, author), forgetting)?,
            Scope::Space | Scope::Messages => self.forget_all(Table::Threads, &keys::space(space), forgetting)?,
        }
        if !matches!(scope, Scope::Message(_) | Scope::Messages) {
            self.forget_corrections(forgetting)?;
            self.forget_insights(forgetting)?;
        }
        Ok(())
    }

    /// Forgets the messages that a list has and that are covered.
    fn forget_all(&mut self, list: Table, prefix: &[u8], forgetting: &Forgetting) -> Result<(), StoreError> {
        // What the batch added before is then in the list too.
        self.flush()?;
        for (number, id) in self.ids(list, prefix).enumerate() {
            self.forget_message(id?, forgetting)?;
            if (number + 1) % AT_ONCE == 0 {
                self.flush()?;
            }
        }
        self.flush()
    }

    fn forget_message(&mut self, id: Uuid, forgetting: &Forgetting) -> Result<(), StoreError> {
        let before: Option<MessageRow> = self.get_json(Table::Messages, id.as_bytes())?;
        let Some(before) = before else { return Ok(()) };
        let mut now = before.clone();
        now.readings.retain(|_, reading| !forgetting.covers(id, &reading.facets));
        if now.readings.len() < before.readings.len() {
            self.bury(&forgetting.space, id);
        }
        self.change_message(id, &before, &now)
    }

    /// Remembers the id of a message that is forgotten, so that no insight names it as a source.
    pub(super) fn bury(&mut self, space: &str, id: Uuid) {
        self.put(Table::Forgotten, buried(space, id), Vec::new());
    }

    fn forget_corrections(&mut self, forgetting: &Forgetting) -> Result<(), StoreError> {
        for id in self.ids(Table::Corrections, &keys::space(&forgetting.space)) {
            let id = id?;
            self.change_fact(&forgetting.space, id, |row| {
                row.correction.take_if(|correction| forgetting.covers_written(id, &correction.facets()));
            })?;
        }
        Ok(())
    }

    fn forget_insights(&mut self, forgetting: &Forgetting) -> Result<(), StoreError> {
        for id in self.ids(Table::Insights, &keys::space(&forgetting.space)) {
            let id = id?;
            let stored = self.get_json(Table::Insights, &keys::in_space(&forgetting.space, id))?;
            if let Some(insight) = stored.filter(|insight: &Insight| forgetting.covers_written(id, &insight.facets())) {
                self.place_insight(&insight, -1)?;
            }
        }
        Ok(())
    }

    /// Forgets a fact: nothing of what was read about it stays.
    pub(super) fn forget_fact(&mut self, forgotten: &FactForgotten) -> Result<(), StoreError> {
        let FactForgotten { space, fact_id } = forgotten;
        self.put(Table::Forgotten, keys::of_named(space, "fact", *fact_id), Vec::new());
        for message_id in self.messages_of_fact(space, *fact_id)? {
            let before: MessageRow = self.get_json(Table::Messages, message_id.as_bytes())?.unwrap_or_default();
            let mut now = before.clone();
            for reading in now.readings.values_mut() {
                reading.facts.retain(|fact| fact.fact_id != *fact_id);
            }
            self.change_message(message_id, &before, &now)?;
        }
        self.change_fact(space, *fact_id, |row: &mut FactRow| row.correction = None)
    }

    pub(super) fn is_fact_forgotten(&self, space: &str, id: Uuid) -> Result<bool, StoreError> {
        Ok(self.get(Table::Forgotten, &keys::of_named(space, "fact", id))?.is_some())
    }

    /// Pins an insight. One that is forgotten still replaces what it was before.
    pub(super) fn pin(&mut self, insight: &Insight) -> Result<(), StoreError> {
        let Insight { insight_id: id, space, at, .. } = insight;
        let stored: Option<Insight> = self.get_json(Table::Insights, &keys::in_space(space, *id))?;
        if let Some(stored) = stored {
            self.place_insight(&stored, -1)?;
        }
        let until = self.insight_forgotten_until(space, *id)?;
        if until.is_some_and(|until| *at <= until) || self.tables.forgotten().covers_written(*id, &insight.facets()) {
            return Ok(());
        }
        self.place_insight(insight, 1)
    }

    /// Forgets an insight up to a time.
    pub(super) fn forget_insight(&mut self, forgotten: &InsightForgotten) -> Result<(), StoreError> {
        let InsightForgotten { space, insight_id: id, until } = forgotten;
        let until = self.insight_forgotten_until(space, *id)?.map_or(*until, |known| known.max(*until));
        self.put(Table::Forgotten, keys::of_named(space, "insight", *id), until.to_be_bytes().to_vec());
        let stored = self.get_json(Table::Insights, &keys::in_space(space, *id))?;
        match stored.filter(|insight: &Insight| insight.at <= until) {
            Some(insight) => self.place_insight(&insight, -1),
            None => Ok(()),
        }
    }

    fn insight_forgotten_until(&self, space: &str, id: Uuid) -> Result<Option<Micros>, StoreError> {
        let row = self.get(Table::Forgotten, &keys::of_named(space, "insight", id))?;
        Ok(row.and_then(|bytes| bytes.first_chunk().copied()).map(i64::from_be_bytes))
    }

    /// Puts an insight in all lists, or takes it out of them.
    fn place_insight(&mut self, insight: &Insight, sign: i64) -> Result<(), StoreError> {
        let Insight { insight_id: id, space, thread, at, .. } = insight;
        let row = self.tables.keyspaces().to_json(insight)?;
        self.count_row(sign, Table::Insights, keys::in_space(space, *id), row);
        let of_thread = thread.as_deref().map(|thread| insights::list(space, Some(thread)));
        for list in [Some(insights::list(space, None)), of_thread].into_iter().flatten() {
            let key = keys::joined(&[&list, &keys::turned(keys::place(*at, *id))]);
            self.count_row(sign, Table::Pinned, key, Vec::new());
        }
        self.counts(space)?.insights += sign;
        Ok(())
    }
}
