//! Kin and possessions: what "my", "Ana's" and the like say, wherever it stands in a sentence.
//!
//! Owns: "my sister Ana", "my birthday is", "the deadline for X is", "call me", and versions of named products.
//! Never: takes a relative without a name, or one of one's relatives, for a fact.

use super::{
    EntityKind, FactEnd, Relation,
    lexicon::{self, Class},
    phrase::Object,
    reader::{Claim, Reader, Subject, Who},
    rules::Telling,
    token::Shape,
    verb::{Form, Group},
};

/// The most adjectives between an owner and the kin.
const MOST_ADJECTIVES: usize = 2;

impl Reader<'_> {
    /// Facts that need no subject with a verb.
    pub(super) fn unclaimed(&mut self, at: usize) {
        match self.word(at) {
            "deadline" => return self.deadline(at),
            "due" => return self.due(at),
            "call"
                if self.word(at + 1) == "me"
                    && (at == self.begin || matches!(self.word(at - 1), "," | "please" | "and" | "just")) =>
            {
                return self.called(at);
            }
            "reach" | "contact" | "email" if self.word(at + 1) == "me" && self.word(at + 2) == "at" => {
                let claim = self.plain_claim(self.author(), at, 1.0);
                return self.contact(&claim, at + 3);
            }
            _ => {}
        }
        let Some(owner) = self.owner(at) else { return self.product_version(at) };
        let claim = self.owner_claim(&owner);
        self.kin(&claim, owner.next);
        self.beside_kin(&claim, owner.next);
        self.possession(&claim, owner.next);
    }

    pub(super) fn plain_claim(&self, subject: FactEnd, from: usize, sure: f32) -> Claim {
        Claim { subject, who: Who::Other, sure, group: Group::bare(from), from, form: Form::Third }
    }

    fn owner_claim(&self, owner: &Subject) -> Claim {
        Claim { who: owner.who, ..self.plain_claim(owner.end.clone(), owner.from, owner.sure) }
    }

    /// Whether a name is that of somebody who takes part and is not the author.
    pub(super) fn is_other(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        !self.author().name.to_lowercase().starts_with(&lower) && self.is_participant(&lower)
    }

    /// "sister Ana", "sister's name is Ana", "sister is called Ana".
    fn kin(&mut self, claim: &Claim, at: usize) {
        let mut kin = at;
        while kin < at + MOST_ADJECTIVES
            && lexicon::class(self.word(kin)).is(Class::KIN_ADJECTIVE)
            && lexicon::kin(self.word(kin)).is_none()
        {
            kin += 1;
        }
        let Some((relation, several)) = lexicon::kin(self.word(kin)) else { return };
        let beside = kin + 1;
        let comma = self.word(beside) == ",";
        let (name, sure) = match (self.word(beside), self.word(beside + 1)) {
            (",", _) => (beside + 1, 0.8),
            ("is" | "are", "called" | "named") => (beside + 2, 0.9),
            ("called" | "named", _) => (beside + 1, 0.9),
            ("is", _) if self.entity(beside + 1, &[EntityKind::Person]).is_some() => (beside + 1, 0.85),
            ("'s", "name") if matches!(self.word(beside + 2), "is" | "was") => (beside + 3, 0.9),
            ("'s", "names") if self.word(beside + 2) == "are" => (beside + 3, 0.9),
            _ => (beside, 0.9),
        };
        let person = |reader: &Self, at: usize| reader.entity(at, &[EntityKind::Person]);
        let names = if several { self.list(name, person) } else { person(self, name).into_iter().collect() };
        for found in names {
            // A comma can also stand before who is spoken to, or go on with a list.
            let closed = matches!(self.word(found.next), ",") || self.token(found.next).is_none();
            if comma && (!closed || self.is_other(&found.end.name) || several) {
                return;
            }
            self.tell(claim, Telling::State, relation, &found, sure);
        }
    }

    /// "Ana, my sister, ...": the name stands before.
    fn beside_kin(&mut self, claim: &Claim, at: usize) {
        let Some(before) = claim.from.checked_sub(2).filter(|before| *before >= self.begin) else { return };
        let mut kin = at;
        while kin < at + MOST_ADJECTIVES && lexicon::class(self.word(kin)).is(Class::KIN_ADJECTIVE) {
            kin += 1;
        }
        let Some((relation, false)) = lexicon::kin(self.word(kin)) else { return };
        let closed =
            self.token(kin + 1).is_none_or(|next| next.shape == Shape::Sign && next.word == "," || next.word == "from");
        let Some(name) = self.entity(before, &[EntityKind::Person]).filter(|_| closed && self.word(before + 1) == ",")
        else {
            return;
        };
        // "Thanks, Ana, my sister is": somebody spoken to.
        let listed = before > self.begin && matches!(self.word(before - 1), "," | "and");
        if before == self.begin || listed || self.is_other(&name.end.name) {
            return;
        }
        let object = Object { next: kin + 1, ..name };
        let claim = Claim { from: before, ..claim.clone() };
        self.tell(&claim, Telling::State, relation, &object, 0.85);
    }

    /// "birthday is on 3 May", "favorite colour is green".
    fn possession(&mut self, claim: &Claim, at: usize) {
        let is =
            |at: usize| self.word(at) == "is" || self.token(at).is_some_and(|token| token.shape == Shape::Possessive);
        match (self.word(at), self.word(at + 1)) {
            ("birthday", _) if is(at + 1) => self.birthday(claim, at + 2),
            ("name", _) if is(at + 1) && self.begins_clause(claim.from) => {
                if let Some(name) = self.entity(at + 2, &[EntityKind::Person]) {
                    self.tell(claim, Telling::State, Relation::Name, &name, 0.9);
                }
            }
            ("home" | "native", "country") => {
                let next = at + 2 + usize::from(self.word(at + 2) == ",") + usize::from(is(at + 2));
                self.place(claim, Telling::Timeless, Relation::From, next, 0.8);
            }
            ("hometown", _) if is(at + 1) => self.place(claim, Telling::Timeless, Relation::From, at + 2, 0.85),
            ("email" | "number" | "e-mail", _) if is(at + 1) => self.contact(claim, at + 2),
            ("email", "address") | ("phone" | "mobile" | "cell", "number") if is(at + 2) => self.contact(claim, at + 3),
            ("employer", _) if is(at + 1) => self.employs(claim, Telling::State, at + 2, 0.85),
            ("native" | "first", "language") | ("mother", "tongue") if is(at + 2) => self.languages(claim, at + 3),
            ("favorite" | "favourite", _) => self.favourite(claim, at + 1),
            _ => {}
        }
    }

    fn begins_clause(&self, at: usize) -> bool {
        at == self.begin
            || !self.tokens[at - 1].is_spoken()
            || lexicon::class(self.tokens[at - 1].word).is(Class::BEFORE_SUBJECT)
    }

    fn favourite(&mut self, claim: &Claim, at: usize) {
        let Some(is) = (at + 1..at + 4).find(|&at| matches!(self.word(at), "is" | "are")) else { return };
        // "My favorite part is the end" speaks of what only this text knows.
        let vague = matches!(
            self.word(is - 1),
            "part"
                | "parts"
                | "thing"
                | "things"
                | "one"
                | "ones"
                | "memory"
                | "moment"
                | "time"
                | "way"
                | "of"
                | "piece"
                | "scene"
        );
        if vague || !self.begins_clause(claim.from) && !matches!(self.word(claim.from - 1), "of") {
            return;
        }
        let next = is + 1 + usize::from(matches!(self.word(is + 1), "definitely" | "probably" | "still" | "actually"));
        for object in self.list(next, Self::taste) {
            self.tell(claim, Telling::State, Relation::Likes, &object, 0.75);
        }
    }

    fn contact(&mut self, claim: &Claim, at: usize) {
        let Some(token) = self.token(at) else { return };
        if let Some(address) = self.entity(at, &[EntityKind::Url]) {
            if address.end.name.contains('@') {
                self.tell(claim, Telling::State, Relation::Contact, &address, 0.9);
            }
            return;
        }
        let mut next = at;
        let part = |at: usize| {
            self.token(at)
                .is_some_and(|token| token.shape == Shape::Number || matches!(token.word, "+" | "(" | ")" | "-"))
        };
        while part(next) && next < at + 12 {
            next += 1;
        }
        let figures =
            self.text[token.start..self.tokens[next.max(at + 1) - 1].end].chars().filter(char::is_ascii_digit).count();
        if next > at && (6..=16).contains(&figures) {
            let mut number = self.object(at, next);
            number.end.kind = None;
            self.tell(claim, Telling::State, Relation::Contact, &number, 0.85);
        }
    }

    fn called(&mut self, at: usize) {
        let Some(name) = self.entity(at + 2, &[EntityKind::Person]) else { return };
        let bound = self.token(name.next).is_none_or(|next| !next.is_spoken() && next.shape != Shape::Possessive);
        if bound {
            let claim = self.plain_claim(self.author(), at, 1.0);
            self.tell(&claim, Telling::State, Relation::Name, &name, 0.85);
        }
    }

    /// "The deadline for the report is 15 March", "the thesis deadline is May 3".
    fn deadline(&mut self, at: usize) {
        if self.word(at + 1) == "of" && self.dated_deadline(at, at + 2) {
            return;
        }
        let (thing, mut next, from) = if self.word(at + 1) == "for" {
            let Some(thing) = self.noun(at + 2) else { return };
            let next = thing.next;
            (thing, next, at)
        } else {
            let Some(thing) = self.noun_before(at) else { return };
            (thing.0, at + 1, thing.1)
        };
        let is = self.word(next) == "is" || self.word(next) == "of";
        if !is {
            return;
        }
        next += 1;
        self.falls(thing, from, next);
    }

    /// "a deadline of April 1 for the first sprint". Gives whether it is one.
    fn dated_deadline(&mut self, at: usize, date: usize) -> bool {
        let Some(date) = self.date(date) else { return false };
        let mut next = date.next;
        if self.word(next) == "," {
            next += 1;
        }
        let articled = matches!(self.word(next + 1), "the" | "my" | "our");
        let Some(thing) = self.noun(next + 1).filter(|_| self.word(next) == "for" && articled) else { return false };
        let next = thing.next;
        let claim = self.plain_claim(thing.end, at, 1.0);
        self.tell(&claim, Telling::Timeless, Relation::Deadline, &Object { next, ..date }, 0.8);
        true
    }

    /// "The tax return is due on April 30".
    fn due(&mut self, at: usize) {
        if !at.checked_sub(1).is_some_and(|at| at >= self.begin && self.word(at) == "is") {
            return;
        }
        let Some((thing, from)) = self.noun_before(at - 1) else { return };
        self.falls(thing, from, at + 1);
    }

    fn falls(&mut self, thing: Object, from: usize, at: usize) {
        let Some(date) = self.date(at) else { return };
        if lexicon::class(&thing.head).is(Class::POINTING) || thing.end.kind == Some(EntityKind::Person) {
            return;
        }
        let claim = self.plain_claim(thing.end, from, 1.0);
        self.tell(&claim, Telling::Timeless, Relation::Deadline, &date, 0.8);
    }

    /// The noun that ends before a token, behind an article, and where the article stands.
    fn noun_before(&self, at: usize) -> Option<(Object, usize)> {
        let article = (self.begin..at).rev().take(5).find(|&at| matches!(self.word(at), "the" | "my" | "our"))?;
        let plain = (article + 1..at).all(|at| !self.ends_phrase(at));
        (plain && article + 1 < at).then(|| (self.object(article + 1, at), article))
    }
}
