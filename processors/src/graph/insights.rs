//! Insights: what people want to be remembered, in their words.

use uuid::Uuid;

use super::{
    change::Insight,
    cursor::{ListMark, optional},
    forgetting, keys,
    snapshot::Snapshot,
    tables::Table,
};
use crate::{Page, PageLimit, StoreError, database::keys::put_name};

/// So many insights are looked at for what they name.
const NAMING: usize = 200;

/// An insight; its sources are the messages that are not forgotten.
pub type InsightAnswer = Insight;

/// What the places of a list begin with: of a space, or of one thread.
pub(super) fn list(space: &str, thread: Option<&str>) -> Vec<u8> {
    let mut key = keys::space(space);
    key.push(u8::from(thread.is_some()));
    thread.inspect(|thread| put_name(&mut key, thread));
    key
}

pub(super) fn mark(space: &str, thread: Option<&str>) -> ListMark {
    ListMark::new("insights", &[space.as_bytes(), &optional(thread.map(str::as_bytes))])
}

impl Snapshot<'_> {
    pub(super) fn insight(&self, space: &str, id: Uuid) -> Result<Option<InsightAnswer>, StoreError> {
        let stored: Option<Insight> = self.get_json(Table::Insights, &keys::in_space(space, id))?;
        let Some(mut insight) = stored else { return Ok(None) };
        let mut sources = Vec::new();
        for source in insight.sources {
            if self.get(Table::Forgotten, &forgetting::buried(space, source))?.is_none() {
                sources.push(source);
            }
        }
        insight.sources = sources;
        Ok(Some(insight))
    }

    /// The insights whose text names an entity, the newest first.
    pub(super) fn insights_naming(&self, space: &str, id: Uuid) -> Result<Vec<InsightAnswer>, StoreError> {
        let id = self.links.canonical(id);
        let limit = PageLimit { items: NAMING, bytes: usize::MAX };
        let mut naming = Vec::new();
        for insight in self.insights(space, None, limit, None)?.items {
            if self.named_in(space, &insight.text)?.iter().any(|(named, _)| *named == id) {
                naming.push(insight);
            }
        }
        Ok(naming)
    }

    /// The insights of a space, or of one of its threads, the newest first.
    pub(super) fn insights(
        &self,
        space: &str,
        thread: Option<&str>,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<InsightAnswer>, StoreError> {
        let mark = mark(space, thread);
        let from = mark.place::<24>(cursor);
        let (mut items, mut bytes) = (Vec::new(), 0);
        for row in self.rows_from(Table::Pinned, &list(space, thread), from.as_ref().map_or(&[], |place| &place[..])) {
            let place = keys::last_place(&row?.0).ok_or_else(|| self.damaged())?;
            if limit.is_reached(items.len(), bytes) {
                return Ok(Page { items, next: Some(mark.cursor(&place)) });
            }
            let (_, id) = keys::of_place(keys::turned(place));
            let insight = self.insight(space, id)?.ok_or_else(|| self.damaged())?;
            bytes += insight.text.len();
            items.push(insight);
        }
        Ok(Page { items, next: None })
    }
}
