//! The model: what changes mean, without tables. It looks at everything for each question.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use uuid::Uuid;

use super::super::{
    id::{Place, folded},
    validity::{ANSWERS_FROM, Assertion, Held, history},
    *,
};
use crate::{Forgetting, Forgotten, knowledge::entities::EntityKind};

/// A space as it should be.
#[derive(Default)]
pub(super) struct Model {
    space: String,
    pub(super) readings: BTreeMap<(Uuid, String), Reading>,
    links: BTreeMap<Uuid, (Place, Merged)>,
    corrections: BTreeMap<Uuid, Correction>,
    corrected: BTreeMap<Uuid, BTreeSet<Uuid>>,
    pub(super) insights: BTreeMap<Uuid, Insight>,
}

/// What binds two nodes: messages, facts by relation, and when both were first mentioned.
type Bond = (u64, BTreeMap<String, u64>, Option<i64>);

/// Where a node stands: when, in which message or correction, where it is named, and what is stated of it.
type Standpoint = (i64, Uuid, Vec<(u32, u32)>, Vec<Uuid>);

/// A name in a message.
struct Named {
    id: Uuid,
    kind: EntityKind,
    spelling: String,
    message: Uuid,
    sent_at: i64,
    start: u32,
    end: u32,
}

/// A fact.
pub(super) struct Stated {
    pub(super) fact: Fact,
    pub(super) said_at: i64,
    pub(super) messages: Vec<Uuid>,
    pub(super) is_correction: bool,
}

impl Model {
    pub(super) fn of(space: &str, changes: &[Change]) -> Self {
        let mut model = Model { space: space.into(), ..Model::default() };
        let mut forgotten = Forgotten::default();
        let (mut facts, mut insights, mut buried) = (HashSet::new(), BTreeMap::new(), HashSet::new());
        for change in changes {
            match change {
                Change::Forgotten(forgetting) => _ = forgotten.add(forgetting),
                Change::FactForgotten(fact) if fact.space == space => _ = facts.insert(fact.fact_id),
                Change::InsightForgotten(insight) if insight.space == space => {
                    let until = insights.entry(insight.insight_id).or_insert(insight.until);
                    *until = insight.until.max(*until);
                }
                Change::Read(reading) if reading.facets.space == space => {
                    let key = (reading.message_id, reading.family().to_owned());
                    model.readings.insert(key, reading.clone());
                }
                Change::Merged(merged) if merged.space == space => {
                    let [from, into] =
                        [&merged.from, &merged.into].map(|name| Place::of_entity(space, merged.kind, name).unwrap());
                    model.links.insert(from.id, (into, merged.clone()));
                }
                Change::Parted(parted) if parted.space == space => {
                    model.links.remove(&Place::of_entity(space, parted.kind, &parted.from).unwrap().id);
                }
                Change::Corrected(correction) if correction.space == space => {
                    model.corrected.entry(correction.corrects).or_default().insert(correction.fact_id);
                    let stored = model.corrections.entry(correction.fact_id).or_insert_with(|| correction.clone());
                    *stored = correction.clone().max(stored.clone());
                }
                Change::Pinned(insight) if insight.space == space => {
                    model.insights.insert(insight.insight_id, insight.clone());
                }
                _ => {}
            }
        }
        model.links.retain(|from, (into, _)| *from != into.id);
        // What was ever found in a message counts for whether its sources go.
        for change in changes {
            match change {
                Change::Read(reading)
                    if !reading.is_empty() && forgotten.covers(reading.message_id, &reading.facets) =>
                {
                    buried.insert(reading.message_id);
                }
                Change::Forgotten(Forgetting { scope: crate::Scope::Message(id), .. }) => _ = buried.insert(*id),
                _ => {}
            }
        }
        model.readings.retain(|(id, _), reading| {
            reading.facts.retain(|fact| !facts.contains(&fact.fact_id));
            !forgotten.covers(*id, &reading.facets) && !reading.is_empty()
        });
        model
            .corrections
            .retain(|id, correction| !facts.contains(id) && !forgotten.covers_written(*id, &correction.facets()));
        model.insights.retain(|id, insight| {
            insight.sources.retain(|source| !buried.contains(source));
            insights.get(id).is_none_or(|until| insight.at > *until)
                && !forgotten.covers_written(*id, &insight.facets())
        });
        model
    }

    pub(super) fn canonical(&self, id: Uuid) -> Uuid {
        let mut way = vec![id];
        while let Some((into, _)) = self.links.get(&way[way.len() - 1]) {
            if let Some(begin) = way.iter().position(|seen| *seen == into.id) {
                return *way[begin..].iter().min().unwrap();
            }
            way.push(into.id);
        }
        way[way.len() - 1]
    }

    fn mentions(&self) -> Vec<Named> {
        let mut mentions: BTreeMap<(Uuid, u32, u32, Uuid), Named> = BTreeMap::new();
        for reading in self.readings.values() {
            for mention in &reading.mentions {
                let Some(id) = entity_id(&self.space, mention.kind, &mention.name) else { continue };
                let named = Named {
                    id,
                    kind: mention.kind,
                    spelling: mention.name.clone(),
                    message: reading.message_id,
                    sent_at: reading.facets.sent_at,
                    start: mention.start,
                    end: mention.end,
                };
                let known = mentions.entry((reading.message_id, mention.start, mention.end, id)).or_insert(named);
                known.spelling = known.spelling.clone().min(mention.name.clone());
            }
        }
        mentions.into_values().collect()
    }

    /// What each message states: of two readings with the same fact, the surer one's, or the first family's.
    fn statements(&self) -> BTreeMap<(Uuid, Uuid), (Fact, i64)> {
        let mut statements: BTreeMap<_, (Fact, i64)> = BTreeMap::new();
        for ((message, _), reading) in &self.readings {
            for fact in &reading.facts {
                let key = (*message, fact.fact_id);
                let (kept, _) = statements.entry(key).or_insert_with(|| (fact.clone(), reading.facets.sent_at));
                if kept.confidence < fact.confidence {
                    *kept = fact.clone();
                }
            }
        }
        statements
    }

    /// The entities that facts have at their ends, with spelling and time, in messages and corrections.
    fn ends(&self) -> Vec<(Place, String, i64)> {
        let stated = self.statements().into_values().map(|(fact, at)| ([fact.subject, fact.object], at));
        let corrections = self.corrections.values().cloned();
        let corrected = corrections.map(|correction| ([correction.subject, correction.object], correction.at));
        let ends = stated.chain(corrected).flat_map(|(ends, at)| ends.map(|end| (end, at)));
        let places = ends.map(|(end, at)| (Place::of_end(&self.space, &end), end.name, at));
        places.filter(|(place, ..)| place.kind.is_some()).collect()
    }

    /// All facts.
    pub(super) fn facts(&self) -> BTreeMap<Uuid, Stated> {
        let mut facts: BTreeMap<Uuid, Stated> = BTreeMap::new();
        for (id, correction) in &self.corrections {
            let Correction { subject, relation, object, polarity, valid_from, valid_until, at, .. } =
                correction.clone();
            let modality = "asserted".to_owned();
            let (fact_id, confidence) = (*id, 1_000);
            let (start, end) = (0, 0);
            let fact = Fact {
                fact_id,
                start,
                end,
                subject,
                relation,
                object,
                polarity,
                modality,
                valid_from,
                valid_until,
                confidence,
            };
            facts.insert(*id, Stated { fact, said_at: at, messages: Vec::new(), is_correction: true });
        }
        for ((message, id), (fact, said_at)) in self.statements() {
            let stated = facts.entry(id).or_insert_with(|| {
                let messages = Vec::new();
                Stated { fact, said_at, messages, is_correction: false }
            });
            stated.messages.push(message);
        }
        facts
    }

    pub(super) fn place(&self, end: &End) -> Place {
        let place = Place::of_end(&self.space, end);
        Place { id: self.canonical(place.id), ..place }
    }

    /// What has become of each fact.
    pub(super) fn judged(&self) -> BTreeMap<Uuid, (Standing, Option<Held>)> {
        let facts = self.facts();
        let mut judged = BTreeMap::new();
        let mut groups: BTreeMap<(Uuid, &str), Vec<Assertion>> = BTreeMap::new();
        for (id, stated) in &facts {
            let fact = &stated.fact;
            let standing = match () {
                () if self.corrected.contains_key(id) => Standing::Corrected,
                () if fact.confidence < ANSWERS_FROM => Standing::Unsure,
                () if fact.modality != "asserted" => Standing::NotAsserted,
                () => Standing::Holds,
            };
            judged.insert(*id, (standing, None));
            if standing != Standing::Holds {
                continue;
            }
            let object = self.place(&fact.object);
            let linked = self.links.values().find(|(into, _)| into.id == object.id).map(|(into, _)| into.key.clone());
            let assertion = Assertion {
                fact_id: *id,
                object: if Place::of_end(&self.space, &fact.object).id == object.id {
                    object.key
                } else {
                    linked.unwrap()
                },
                is_denied: fact.polarity == "denied",
                said_at: stated.said_at,
                valid_from: fact.valid_from,
                valid_until: fact.valid_until,
            };
            groups.entry((self.place(&fact.subject).id, &fact.relation)).or_default().push(assertion);
        }
        for ((_, relation), assertions) in groups {
            for (id, held) in history(relation, assertions) {
                let standing = if held.until.is_some() { Standing::Ended } else { Standing::Holds };
                judged.insert(id, (standing, Some(held)));
            }
        }
        judged
    }

    /// Facts of a filter, in order.
    pub(super) fn facts_of(&self, filter: &FactFilter) -> Vec<Uuid> {
        let judged = self.judged();
        let mut found = Vec::new();
        for (id, stated) in self.facts() {
            let fact = &stated.fact;
            let is = |wanted: Option<Uuid>, end: &End| {
                wanted.is_none_or(|wanted| self.canonical(wanted) == self.place(end).id)
            };
            let fits = is(filter.subject, &fact.subject)
                && is(filter.object, &fact.object)
                && filter.relation.as_ref().is_none_or(|relation| *relation == fact.relation);
            let holds = |held: &Held| match filter.at {
                Some(at) => held.from <= at && held.until.is_none_or(|until| at < until),
                None => held.until.is_none() || filter.include == Include::All,
            };
            let admitted = match judged[&id].1 {
                Some(held) => holds(&held),
                None => filter.include == Include::All && filter.at.is_none_or(|at| stated.said_at <= at),
            };
            if fits && admitted {
                found.push((stated.said_at, id));
            }
        }
        found.sort();
        found.into_iter().rev().map(|(_, id)| id).collect()
    }

    /// All nodes by name, with spellings, mentions, facts, and times.
    pub(super) fn entities(&self) -> BTreeMap<Uuid, Entity> {
        let mut entities: BTreeMap<Uuid, (Entity, BTreeMap<String, u64>)> = BTreeMap::new();
        let mut entity = |id: Uuid, kind, spelling: &str, at: i64, mentions, facts| {
            let id = self.canonical(id);
            let (entity, spellings) = entities.entry(id).or_insert_with(|| {
                let merged = Vec::new();
                let (name, aliases, degree) = (String::new(), Vec::new(), 0);
                let (mentions, facts, first_said, last_said) = (0, 0, at, at);
                let entity = Entity { id, kind, name, aliases, mentions, first_said, last_said, degree, facts, merged };
                (entity, BTreeMap::new())
            });
            entity.mentions += mentions;
            entity.facts += facts;
            entity.first_said = entity.first_said.min(at);
            entity.last_said = entity.last_said.max(at);
            *spellings.entry(spelling.to_owned()).or_default() += 1;
        };
        for named in self.mentions() {
            entity(named.id, named.kind, &named.spelling, named.sent_at, 1, 0);
        }
        for (place, name, at) in self.ends() {
            entity(place.id, place.kind.unwrap(), &name, at, 0, 1);
        }
        for (one, other) in self.pairs().keys() {
            for end in [one, other] {
                entities.get_mut(&self.canonical(*end)).unwrap().0.degree += 1;
            }
        }
        for (from, (_, merged)) in &self.links {
            let id = self.canonical(*from);
            let Some((entity, _)) = entities.get_mut(&id).filter(|_| id != *from) else { continue };
            let Merged { from: name, reason, confidence, author, at, .. } = merged.clone();
            entity.merged.push(MergedName { id: *from, name, reason, confidence, author, at });
        }
        let finished = entities.into_iter().map(|(id, (mut entity, spellings))| {
            entity.aliases = spellings.into_iter().collect();
            entity.aliases.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
            entity.name = entity.aliases[0].0.clone();
            (id, entity)
        });
        finished.collect()
    }

    /// Pairs of names with the messages that mention both.
    pub(super) fn pairs(&self) -> BTreeMap<(Uuid, Uuid), Vec<(i64, Uuid)>> {
        let mut by_message: BTreeMap<Uuid, (i64, Vec<Uuid>)> = BTreeMap::new();
        for named in self.mentions() {
            let (_, names) = by_message.entry(named.message).or_insert((named.sent_at, Vec::new()));
            if !names.contains(&named.id) {
                names.push(named.id);
            }
        }
        let mut pairs: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (message, (sent_at, names)) in by_message {
            for (at, one) in names.iter().take(12).enumerate() {
                for other in names.iter().take(12).skip(at + 1) {
                    pairs.entry((*one.min(other), *one.max(other))).or_default().push((sent_at, message));
                }
            }
        }
        pairs
    }

    /// The neighbours of a node: together, facts by relation, and the first time together.
    pub(super) fn bonds(&self, id: Uuid, at: Option<i64>) -> BTreeMap<Uuid, Bond> {
        let mut bonds: BTreeMap<Uuid, Bond> = BTreeMap::new();
        let id = self.canonical(id);
        for ((one, other), messages) in self.pairs() {
            let ends = [self.canonical(one), self.canonical(other)];
            if ends[0] == ends[1] || !ends.contains(&id) {
                continue;
            }
            let other = if ends[0] == id { ends[1] } else { ends[0] };
            let bond = bonds.entry(other).or_default();
            bond.0 += messages.len() as u64;
            let first = messages.iter().map(|(at, _)| *at).min();
            bond.2 = [bond.2, first].into_iter().flatten().min();
        }
        let judged = self.judged();
        for (fact_id, stated) in self.facts() {
            let ends = [self.place(&stated.fact.subject), self.place(&stated.fact.object)];
            let holds = judged[&fact_id].1.is_some_and(|held| held.holds(at)) && stated.fact.polarity != "denied";
            let are_nodes = ends.iter().all(|end| end.kind.is_some());
            if !holds || !are_nodes || ends[0].id == ends[1].id || !ends.iter().any(|end| end.id == id) {
                continue;
            }
            let other = if ends[0].id == id { ends[1].id } else { ends[0].id };
            *bonds.entry(other).or_default().1.entry(stated.fact.relation).or_default() += 1;
        }
        bonds
    }

    /// How long a shortest path is.
    pub(super) fn distance(&self, from: Uuid, to: Uuid, at: Option<i64>, longest: usize) -> Option<usize> {
        let (from, to) = (self.canonical(from), self.canonical(to));
        let entities = self.entities();
        if !entities.contains_key(&from) || !entities.contains_key(&to) {
            return None;
        }
        let mut reached = BTreeMap::from([(from, 0)]);
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            for (next, (_, facts, first)) in self.bonds(node, at) {
                let is_bound = !facts.is_empty() || at.is_none_or(|at| first.is_some_and(|first| first <= at));
                if is_bound && !reached.contains_key(&next) {
                    reached.insert(next, reached[&node] + 1);
                    queue.push_back(next);
                }
            }
        }
        reached.get(&to).copied().filter(|distance| *distance <= longest)
    }

    /// What a search finds, in order.
    pub(super) fn search(&self, text: &str, kinds: &[EntityKind]) -> Vec<(Uuid, Match)> {
        let text = folded(text);
        let mut names: BTreeMap<Uuid, Vec<(EntityKind, String)>> = BTreeMap::new();
        for named in self.mentions() {
            names.entry(self.canonical(named.id)).or_default().push((named.kind, folded(&named.spelling)));
        }
        for (place, name, _) in self.ends() {
            names.entry(self.canonical(place.id)).or_default().push((place.kind.unwrap(), folded(&name)));
        }
        let entities = self.entities();
        let mut hits = Vec::new();
        for (id, names) in names {
            let fits = |(kind, name): &(EntityKind, String)| {
                if !kinds.is_empty() && !kinds.contains(kind) {
                    return None;
                }
                let words: Vec<_> = name.split(' ').collect();
                let later = (1..words.len()).any(|at| words[at..].join(" ").starts_with(&text));
                match () {
                    () if *name == text => Some(Match::Exact),
                    () if name.starts_with(&text) => Some(Match::Prefix),
                    () if later => Some(Match::Word),
                    () => None,
                }
            };
            if let Some(best) = names.iter().filter_map(fits).min() {
                hits.push((best, std::cmp::Reverse(entities[&id].mentions), id));
            }
        }
        hits.sort();
        hits.into_iter().map(|(best, _, id)| (id, best)).collect()
    }

    /// Where a node stands: times, ids, mentions and facts.
    pub(super) fn timeline(&self, id: Uuid) -> Vec<Standpoint> {
        let id = self.canonical(id);
        type Found = (BTreeSet<(u32, u32)>, BTreeSet<MomentFact>);
        let mut moments: BTreeMap<(i64, Uuid), Found> = BTreeMap::new();
        for named in self.mentions().iter().filter(|named| self.canonical(named.id) == id) {
            moments.entry((named.sent_at, named.message)).or_default().0.insert((named.start, named.end));
        }
        for ((message, _), (fact, sent_at)) in self.statements() {
            if [&fact.subject, &fact.object].into_iter().any(|end| self.place(end).id == id) {
                let moment = moments.entry((sent_at, message)).or_default();
                let Fact { start, end, fact_id, .. } = fact;
                moment.1.insert(MomentFact { start, end, fact_id });
            }
        }
        for (fact_id, stated) in self.facts() {
            let ends = [&stated.fact.subject, &stated.fact.object];
            if stated.is_correction && ends.into_iter().any(|end| self.place(end).id == id) {
                moments.entry((stated.said_at, fact_id)).or_default();
            }
        }
        let flat = moments.into_iter().map(|((at, id), (mentions, facts))| {
            (at, id, mentions.into_iter().collect(), facts.into_iter().map(|fact| fact.fact_id).collect())
        });
        flat.collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let mut entities: BTreeMap<String, i64> = BTreeMap::new();
        let mut names: BTreeSet<(Uuid, EntityKind)> = self.mentions().iter().map(|it| (it.id, it.kind)).collect();
        names.extend(self.ends().into_iter().map(|(place, ..)| (place.id, place.kind.unwrap())));
        for (_, kind) in names {
            *entities.entry(kind.name().to_owned()).or_default() += 1;
        }
        Counts {
            messages: self.readings.keys().map(|(id, _)| id).collect::<BTreeSet<_>>().len() as i64,
            mentions: self.mentions().len() as i64,
            entities,
            pairs: self.pairs().len() as i64,
            facts: self.facts().len() as i64,
            insights: self.insights.len() as i64,
            merged: self.links.len() as i64,
        }
    }
}
