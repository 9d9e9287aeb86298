//! Copula: what "is" and "was" say of a subject.
//!
//! Owns: the rules of predicates without a verb of their own, and of participles ("based in", "married to").
//! Never: takes an adjective for a fact but those of diets.

use super::{
    EntityKind, Modality, Relation,
    lexicon::{self, Class},
    phrase::Object,
    reader::{Claim, Reader, Who},
    rules::Telling,
    token::Shape,
    verb::{Form, Group, Tense, Verb},
};

impl Reader<'_> {
    pub(super) fn copula(&mut self, claim: &Claim, at: usize) {
        // What is said with "be" is a state, whatever its participle.
        let claim = &Claim { form: Form::Base, ..claim.clone() };
        match (self.word(at), self.word(at + 1)) {
            ("from", _) => self.place(claim, Telling::Timeless, Relation::From, at + 1, 0.9),
            ("born", _) => self.born(claim, at + 1),
            ("raised", "in") => self.place(claim, Telling::Timeless, Relation::From, at + 2, 0.85),
            ("based" | "located", "in" | "out") => {
                let next = at + 2 + usize::from(self.word(at + 2) == "of");
                self.place(claim, Telling::State, Relation::LivesIn, next, 0.85);
            }
            ("allergic", "to") => self.allergies(claim, at + 2),
            ("lactose" | "gluten", "intolerant") => {
                let mut cause = self.object(at, at + 1);
                cause.next = at + 2;
                self.tell(claim, Telling::State, Relation::AllergicTo, &cause, 0.9);
            }
            ("married", "to") => self.with_person(claim, Telling::State, Relation::Spouse, at + 2),
            ("engaged", "to") => self.with_person(claim, Telling::State, Relation::Partner, at + 2),
            ("employed", "at" | "by" | "with") => self.employs(claim, Telling::State, at + 2, 0.9),
            ("hired", "by" | "at") => self.employs(&as_past(claim), Telling::Begins, at + 2, 0.85),
            ("fired", "from" | "by") => self.employs(&as_past(claim), Telling::Ends, at + 2, 0.85),
            ("laid", "off") if matches!(self.word(at + 2), "from" | "by") => {
                self.employs(&as_past(claim), Telling::Ends, at + 3, 0.85);
            }
            ("promoted", "to") => self.works_as(&as_past(claim), Telling::Begins, at + 2),
            ("fluent", "in") => self.languages(claim, at + 2),
            ("into", _) => self.fond(claim, at + 1),
            ("fond", "of") => self.fond(claim, at + 2),
            ("passionate", "about") => self.fond(claim, at + 2),
            ("on" | "at", _) => self.stands_on(claim, at + 1),
            ("to", _) if claim.group.tense == Tense::Perfect => {
                let claim = Claim { form: Form::Past, ..claim.clone() };
                self.travels(&claim, Verb::Go, at);
            }
            _ => self.predicate_noun(claim, at),
        }
    }

    fn predicate_noun(&mut self, claim: &Claim, at: usize) {
        let from = self.behind_article(at);
        match (self.word(from), self.word(from + 1)) {
            ("member", "of") => return self.member(claim, Telling::State, from + 2),
            ("student", "at") => return self.school(claim, Telling::State, from + 2),
            ("fan", "of") => return self.fond(claim, from + 2),
            ("big" | "huge" | "massive", "fan") if self.word(from + 2) == "of" => return self.fond(claim, from + 3),
            ("native", _) if self.word(from + 2) == "speaker" => {
                if lexicon::class(self.word(from + 1)).is(Class::LANGUAGE) {
                    let mut language = self.object(from + 1, from + 2);
                    language.end.kind = None;
                    self.tell(claim, Telling::State, Relation::Speaks, &language, 0.9);
                }
                return;
            }
            _ => {}
        }
        if self.word(at) != "the" {
            self.diet(claim, Telling::State, from);
        }
        self.age(claim, Telling::State, at);
        if matches!(self.word(at), "a" | "an") {
            self.described(claim, at);
        } else if self.token(at).is_some_and(|token| matches!(token.shape, Shape::Entity(_))) {
            self.names(claim, at);
        } else if matches!(self.word(at), "my" | "our") && claim.who == Who::Other {
            self.kin_predicate(claim, at);
        }
    }

    /// "a nurse at X", "a 29-year-old nurse".
    fn described(&mut self, claim: &Claim, at: usize) {
        let mut from = at + 1;
        if let Some(years) = self.word(from).strip_suffix("-year-old").filter(|years| years.parse::<u8>().is_ok()) {
            let mut age = self.object(from, from + 1);
            age.end.kind = None;
            age.end.name = years.to_owned();
            if claim.group.tense == Tense::Present && !claim.group.negated {
                self.tell(claim, Telling::State, Relation::Age, &age, 0.9);
            }
            from += 1;
        }
        let Some(mut next) = self.job(claim, Telling::State, from) else { return };
        next += usize::from(self.word(next) == "working");
        if matches!(self.word(next), "at" | "for" | "with") {
            self.firm(claim, Telling::State, next + 1, 0.9);
        } else if matches!(self.word(next), "based" | "living") && self.word(next + 1) == "in" {
            self.place(claim, Telling::State, Relation::LivesIn, next + 2, 0.85);
        }
    }

    /// "I'm Katrin", "I'm Craig, a 44-year-old nurse".
    fn names(&mut self, claim: &Claim, at: usize) {
        let present = claim.group.tense == Tense::Present && claim.group.modality == Modality::Asserted;
        if claim.who != Who::Author || !present || claim.group.negated {
            return;
        }
        let Some(name) = self.entity(at, &[EntityKind::Person]) else { return };
        let next = self.token(name.next);
        let bound = next.is_none_or(|next| !next.is_spoken() && next.shape != Shape::Possessive || next.word == "and");
        let own = self.tokens[claim.from].word == "i";
        if bound && own && !self.is_other(&name.end.name) {
            self.tell(claim, Telling::State, Relation::Name, &name, 0.8);
        }
        if self.word(name.next) == "," && matches!(self.word(name.next + 1), "a" | "an") {
            self.described(claim, name.next + 1);
        }
    }

    /// "Karim is my brother".
    fn kin_predicate(&mut self, claim: &Claim, at: usize) {
        let mut kin = at + 1;
        while lexicon::class(self.word(kin)).is(Class::KIN_ADJECTIVE) && kin < at + 3 {
            kin += 1;
        }
        let Some((relation, false)) = lexicon::kin(self.word(kin)) else { return };
        let bound = self.ends_phrase(kin + 1) && self.token(kin + 1).is_none_or(|next| next.shape != Shape::Possessive);
        if !bound || claim.subject.kind != Some(EntityKind::Person) || claim.group.tense != Tense::Present {
            return;
        }
        let object = Object { end: claim.subject.clone(), head: String::new(), next: kin + 1 };
        let claim = Claim { subject: self.author(), ..claim.clone() };
        self.tell(&claim, Telling::State, relation, &object, 0.9);
    }

    fn born(&mut self, claim: &Claim, mut at: usize) {
        if self.word(at) == "and" && self.word(at + 1) == "raised" {
            at += 2;
        }
        if self.word(at) == "in" {
            self.place(claim, Telling::Timeless, Relation::From, at + 1, 0.9);
        }
        let at = at + usize::from(matches!(self.word(at), "on" | "in"));
        self.birthday(claim, at);
    }

    /// A date with figures; "tomorrow" would mean nothing later.
    pub(super) fn birthday(&mut self, claim: &Claim, at: usize) {
        let Some(date) = self.date(at) else { return };
        let claim = Claim { group: Group { tense: Tense::Present, ..claim.group }, ..claim.clone() };
        self.tell(&claim, Telling::Timeless, Relation::Birthday, &date, 0.9);
    }

    /// A time mention that names a date, whole.
    pub(super) fn date(&self, at: usize) -> Option<Object> {
        let mut from = at;
        while matches!(self.word(from), "on" | "by" | "the" | "in" | "at") {
            from += 1;
        }
        let time = &self.times[self.token(from)?.time?];
        let spelled = self.text.get(time.text.clone())?;
        let relative = ["ago", "week", "last", "next", "in ", "since", "until", "before", "after"];
        let lower = spelled.to_lowercase();
        if !spelled.contains(|sign: char| sign.is_ascii_digit()) || relative.iter().any(|word| lower.contains(word)) {
            return None;
        }
        let next = (from..self.end).find(|&at| self.tokens[at].start >= time.text.end).unwrap_or(self.end);
        let mut date = self.object(from, next);
        let name = date.end.name.trim_start_matches("on ").trim_start_matches("the ").to_owned();
        date.end = super::FactEnd { kind: None, name };
        Some(date)
    }

    fn fond(&mut self, claim: &Claim, at: usize) {
        let past = claim.group.tense == Tense::Past && !claim.group.over;
        if past || claim.group.modality != Modality::Asserted {
            return;
        }
        for object in self.list(at, Self::taste) {
            self.tell(claim, Telling::State, Relation::Likes, &object, 0.8);
        }
    }
}

/// "was hired by": the participle tells an event.
fn as_past(claim: &Claim) -> Claim {
    Claim { form: Form::Past, ..claim.clone() }
}
