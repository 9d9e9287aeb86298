//! Learning: what people study, play and speak, and where.
//!
//! Owns: the rules of verbs for learning and for what was learned.
//! Never: takes "studying hard" for a subject.

use super::{
    EntityKind, FactEnd, Relation,
    lexicon::{self, Class},
    phrase::Object,
    reader::{Claim, Reader},
    rules::Telling,
    verb::{Tense, Verb},
};

impl Reader<'_> {
    pub(super) fn plays(&mut self, claim: &Claim, at: usize) {
        if claim.group.tense == Tense::Past && !claim.group.over {
            return;
        }
        let played = |reader: &Self, at: usize| {
            let from = at + usize::from(reader.word(at) == "the");
            let known = lexicon::class(reader.word(from)).is(Class::PLAYED) && reader.ends_phrase(from + 1);
            known.then(|| reader.object(from, from + 1))
        };
        for mut played in self.list(at, played) {
            played.end.kind = None;
            self.tell(claim, Telling::State, Relation::Plays, &played, 0.8);
        }
    }

    pub(super) fn takes(&mut self, claim: &Claim, at: usize) {
        self.lessons(claim, Telling::State, at);
        let trip = self.behind_article(at);
        if matches!(self.word(trip), "trip" | "vacation") && self.word(trip + 1) == "to" {
            self.place(claim, Telling::Begins, Relation::Visits, trip + 2, 0.8);
        }
    }

    /// "a pottery class": the object is pottery.
    pub(super) fn lessons(&mut self, claim: &Claim, telling: Telling, at: usize) {
        let Some(lessons) = self.noun(at) else { return };
        let from = self.behind_article(at);
        let taught = matches!(lessons.head.as_str(), "class" | "classes" | "lessons" | "course" | "workshop");
        let online = usize::from(matches!(self.word(from), "online" | "new" | "free" | "weekly" | "local"));
        let from = from + online;
        let named = taught && lessons.next > from + 1 && lessons.next <= from + 4;
        let class = lexicon::class(self.word(from));
        let general = class.is(Class::POINTING)
            || matches!(self.word(from), "first" | "few" | "two" | "three" | "great" | "different");
        if !named || general || claim.group.tense == Tense::Past && telling == Telling::State && !claim.group.over {
            return;
        }
        let mut taught = self.object(from, lessons.next - 1);
        taught.next = lessons.next;
        self.tell(claim, telling, Relation::Studies, &taught, 0.7);
    }

    pub(super) fn study(&mut self, claim: &Claim, verb: Verb, mut at: usize) {
        if verb == Verb::Major {
            if self.word(at) != "in" {
                return;
            }
            at += 1;
        }
        if !matches!(self.word(at), "at") {
            let Some(subject) = self
                .noun(at)
                .filter(|subject| self.behind_article(at) == at && lexicon::class(&subject.head).is(Class::SUBJECT))
                .or_else(|| self.entity(at, &[EntityKind::Topic]).filter(|topic| self.ends_phrase(topic.next)))
            else {
                return;
            };
            self.tell(claim, Telling::State, Relation::Studies, &subject, 0.8);
            at = subject.next;
        }
        if self.word(at) == "at" {
            self.school(claim, Telling::State, at + 1);
        }
    }

    pub(super) fn school(&mut self, claim: &Claim, telling: Telling, at: usize) {
        let Some(school) = self.entity(self.behind_article(at), &[EntityKind::Organisation]) else { return };
        let name = school.end.name.to_lowercase();
        let learned = ["university", "college", "school", "institute", "academy", "mit", "ucla", "eth", "polytechnic"];
        let plainly = learned.iter().any(|word| name.split(' ').any(|part| part == *word));
        if plainly {
            self.tell(claim, telling, Relation::StudiesAt, &school, 0.85);
        }
    }

    pub(super) fn speaks(&mut self, claim: &Claim, at: usize) {
        let at = at + usize::from(matches!(self.word(at), "fluent" | "some" | "both"));
        self.languages(claim, at);
    }

    pub(super) fn languages(&mut self, claim: &Claim, at: usize) {
        let language = |reader: &Self, at: usize| {
            let known = lexicon::class(reader.word(at)).is(Class::LANGUAGE);
            let bound = reader.ends_phrase(at + 1) || reader.word(at + 1) == "fluently";
            (known && bound).then(|| Object {
                end: FactEnd { kind: None, ..reader.object(at, at + 1).end },
                ..reader.object(at, at + 1)
            })
        };
        for language in self.list(at, language) {
            self.tell(claim, Telling::State, Relation::Speaks, &language, 0.9);
        }
    }
}
