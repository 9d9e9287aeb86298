//! Timelines: where a node stands, by time.

use uuid::Uuid;

use super::{
    change::Fact,
    contribution::Contribution,
    cursor::ListMark,
    id::Place,
    keys,
    merge::Merge,
    row::MessageRow,
    snapshot::{Row, Snapshot},
    tables::Table,
    write::IN_A_CORRECTION,
};
use crate::{Micros, Order, Page, PageLimit, StoreError};

/// Which timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimelineQuery {
    /// The space.
    pub space: String,
    /// The entity.
    pub id: Uuid,
    /// From which end.
    pub order: Order,
}

/// Something that mentions a node, or states a fact of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// A message.
    Message {
        /// The message.
        message_id: Uuid,
        /// When it was said.
        sent_at: Micros,
        /// Its thread.
        thread: String,
        /// Who said it.
        author: String,
        /// Where it names the node: from where to where, in bytes.
        mentions: Vec<(u32, u32)>,
        /// What it states of it.
        facts: Vec<MomentFact>,
    },
    /// A correction.
    Correction {
        /// What is right.
        fact_id: Uuid,
        /// When it was written.
        at: Micros,
    },
}

/// A fact in a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MomentFact {
    /// Where it begins in the text, in bytes.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// The fact.
    pub fact_id: Uuid,
}

impl TimelineQuery {
    pub(super) fn mark(&self) -> ListMark {
        let order = u8::from(self.order == Order::NewestFirst);
        ListMark::new("timeline", &[self.space.as_bytes(), self.id.as_bytes(), &[order]])
    }
}

impl Snapshot<'_> {
    /// The messages and corrections in which a node stands.
    pub(super) fn timeline(
        &self,
        query: &TimelineQuery,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<Moment>, StoreError> {
        let TimelineQuery { space, id, order } = query;
        let mut items = Vec::new();
        if self.gathered(space, *id)?.is_none() {
            return Ok(Page { items, next: None });
        }
        let members = self.links.members(*id);
        let mark = query.mark();
        let from = mark.place::<24>(cursor);
        let list = |member: &Uuid| -> Box<dyn Iterator<Item = Result<Row, StoreError>>> {
            let member = member.as_bytes();
            match (order, &from) {
                (Order::OldestFirst, None) => Box::new(self.rows(Table::Timeline, member)),
                (Order::OldestFirst, Some(from)) => Box::new(self.rows_from(Table::Timeline, member, from)),
                (Order::NewestFirst, None) => Box::new(self.rows(Table::Timeline, member).rev()),
                (Order::NewestFirst, Some(from)) => Box::new(self.rows_up_to(Table::Timeline, member, from)),
            }
        };
        let places = members.iter().map(|member| {
            list(member).map(|row| {
                let (key, value) = row?;
                let place = keys::last_place(&key).ok_or_else(|| self.damaged())?;
                // Places of the newest first are turned, so that those of all names merge in order.
                let sorted = if *order == Order::NewestFirst { keys::turned(place) } else { place };
                Ok((sorted, place, value.first() == Some(&IN_A_CORRECTION)))
            })
        });
        for place in Merge::new(places.collect::<Vec<_>>()) {
            let (_, place, is_correction) = place?;
            if limit.is_reached(items.len(), 0) {
                return Ok(Page { items, next: Some(mark.cursor(&place)) });
            }
            let (at, id) = keys::of_place(place);
            items.push(match is_correction {
                true => Moment::Correction { fact_id: id, at },
                false => self.moment(space, id, &members)?,
            });
        }
        Ok(Page { items, next: None })
    }

    /// What a message has of a node.
    fn moment(&self, space: &str, message_id: Uuid, members: &[Uuid]) -> Result<Moment, StoreError> {
        let row: MessageRow = self.get_json(Table::Messages, message_id.as_bytes())?.ok_or_else(|| self.damaged())?;
        let contribution = Contribution::of(&row).ok_or_else(|| self.damaged())?;
        let is_node = |place: &Place| members.contains(&place.id);
        let read = row.readings.values().flat_map(|reading| &reading.mentions);
        let named =
            read.filter(|mention| Place::of_entity(space, mention.kind, &mention.name).as_ref().is_some_and(is_node));
        let mut mentions: Vec<_> = named.map(|mention| (mention.start, mention.end)).collect();
        mentions.sort_unstable();
        mentions.dedup();
        let stated = contribution.statements.values().map(|statement| &statement.fact);
        let about = stated
            .filter(|fact| [&fact.subject, &fact.object].map(|end| Place::of_end(space, end)).iter().any(is_node));
        let fact = |fact: &Fact| MomentFact { start: fact.start, end: fact.end, fact_id: fact.fact_id };
        let mut facts: Vec<_> = about.map(fact).collect();
        facts.sort_unstable();
        let facets = contribution.facets.clone();
        let (thread, author) = (facets.thread, facets.author);
        Ok(Moment::Message { message_id, sent_at: facets.sent_at, thread, author, mentions, facts })
    }
}
