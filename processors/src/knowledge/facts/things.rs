//! Things: what people own and use, and which versions of it.
//!
//! Owns: the rules of the verbs for having, getting, using and upgrading.
//! Never: takes a thing for owned that only a list of pets, vehicles and devices does not know.

use super::{
    EntityKind, FactEnd, Modality, Relation,
    lexicon::{self, Class},
    phrase::Object,
    reader::{Claim, Reader},
    rules::{TOOLS, Telling},
    token::Shape,
    verb::{Group, Tense},
};

/// Products whose number is a model and no version.
const MODELS: [&str; 8] = ["iphone", "playstation", "xbox", "galaxy", "ipad", "pixel", "kindle", "gopro"];

/// A version of a product.
struct Versioned {
    product: FactEnd,
    version: Object,
}

impl Reader<'_> {
    pub(super) fn has(&mut self, claim: &Claim, at: usize) {
        let at = at + usize::from(self.word(at) == "got");
        if claim.group.tense == Tense::Perfect {
            return;
        }
        if self.word(at) == "to" || claim.group.modality == Modality::Planned {
            return;
        }
        let (claim, at) = match self.word(at) {
            "no" => (Claim { group: Group { negated: !claim.group.negated, ..claim.group }, ..claim.clone() }, at + 1),
            "any" if claim.group.negated => (claim.clone(), at + 1),
            _ => (claim.clone(), at),
        };
        self.trait_of_body(&claim, at);
        let from = self.behind_article(at);
        if matches!(self.word(from), "job" | "position") || self.word(from) == "new" && self.word(from + 1) == "job" {
            let next = if self.word(from) == "new" { from + 2 } else { from + 1 };
            if self.word(next) == "at" {
                self.firm(&claim, Telling::State, next + 1, 0.85);
            } else if self.word(next) == "as" {
                self.job(&claim, Telling::State, next + 1);
            }
            return;
        }
        self.owns(&claim, Telling::State, at, 0.8);
        if self.tokens[at - 1].word.starts_with("own") {
            self.business(&claim, Telling::State, at);
        }
        self.has_kin(&claim, at);
    }

    /// "a nut allergy", "an allergy to nuts".
    fn trait_of_body(&mut self, claim: &Claim, at: usize) {
        let from = self.behind_article(at);
        if matches!(self.word(from), "allergy" | "allergies" | "intolerance") && self.word(from + 1) == "to" {
            return self.allergies(claim, from + 2);
        }
        if matches!(self.word(from + 1), "allergy" | "allergies" | "intolerance")
            && !matches!(
                self.word(from),
                "bad"
                    | "severe"
                    | "some"
                    | "mild"
                    | "many"
                    | "food"
                    | "seasonal"
                    | "skin"
                    | "no"
                    | "strong"
                    | "serious"
            )
            && !lexicon::class(self.word(from)).is(Class::POINTING)
        {
            let mut cause = self.object(from, from + 1);
            cause.next = from + 2;
            self.tell(claim, Telling::State, Relation::AllergicTo, &cause, 0.85);
        }
    }

    /// "a sister", "two kids".
    fn has_kin(&mut self, claim: &Claim, at: usize) {
        let counted = self.is_counted(at);
        let Some(kin) = self.noun(at).filter(|kin| counted && kin.next <= at + 4) else { return };
        let Some((relation, _)) = lexicon::kin(&kin.head) else { return };
        let last = lexicon::kin(self.word(kin.next - 1)).is_some();
        let described = matches!(self.word(kin.next), "in" | "at" | "from" | "on" | "to" | "that");
        if relation == Relation::Pet
            || !last
            || described
            || claim.group.negated
            || matches!(relation, Relation::Friend | Relation::Colleague)
        {
            return;
        }
        if matches!(self.word(kin.next), "named" | "called") {
            for named in self.list(kin.next + 1, |reader, at| reader.entity(at, &[EntityKind::Person])) {
                self.tell(claim, Telling::State, relation, &named, 0.85);
            }
            return;
        }
        self.tell(claim, Telling::State, relation, &kin, 0.75);
    }

    fn is_counted(&self, at: usize) -> bool {
        let number = self.token(at).is_some_and(|token| token.shape == Shape::Number);
        number
            || matches!(
                self.word(at),
                "a" | "an" | "one" | "two" | "three" | "four" | "five" | "six" | "my" | "another"
            )
    }

    /// Something that people own, with its article or number. A named animal is a pet too.
    pub(super) fn owns(&mut self, claim: &Claim, telling: Telling, at: usize, confidence: f32) {
        let bare = self.behind_article(at);
        let counted = self.is_counted(at) || claim.group.negated || telling == Telling::Ends && bare > at;
        if !counted || self.word(at) == "my" && telling != Telling::Ends {
            return;
        }
        if bare > at
            && let Some(product) = self.entity(bare, &[EntityKind::Product])
        {
            if self.ends_phrase(product.next) && !self.is_software(&product) {
                self.tell(claim, telling, Relation::Owns, &product, confidence - 0.05);
            }
            return;
        }
        let from = bare + usize::from(self.word(bare) == "another");
        let Some(mut thing) = self.thing(from) else { return };
        let called = matches!(self.word(thing.next), "named" | "called");
        let next = thing.next;
        if matches!(self.word(next), "in" | "to" | "for" | "that" | "who" | "which" | "with") && claim.group.negated {
            return;
        }
        if thing.end.name.starts_with("one ") && claim.group.negated {
            return;
        }
        thing.next = next;
        self.tell(claim, telling, Relation::Owns, &thing, confidence);
        if called && lexicon::kin(&thing.head).is_some() {
            for pet in self.list(next + 1, |reader, at| reader.entity(at, &[EntityKind::Person])) {
                self.tell(claim, telling, Relation::Pet, &pet, confidence);
            }
        }
    }

    fn thing(&self, at: usize) -> Option<Object> {
        let thing = self.noun(at).or_else(|| {
            let counted = matches!(self.word(at), "two" | "three" | "four" | "five" | "six");
            self.noun(at + 1).filter(|_| counted).map(|thing| self.object(at, thing.next))
        })?;
        let last = self.tokens[thing.next - 1].shape == Shape::Word;
        let toy = (at..thing.next).any(|at| {
            matches!(self.word(at), "toy" | "model" | "rental" | "dream" | "stuffed" | "company" | "virtual" | "hotel")
        });
        (last && !toy && lexicon::class(&thing.head).is(Class::OWNABLE) && thing.next <= at + 5).then_some(thing)
    }

    fn is_software(&self, product: &Object) -> bool {
        let name = product.end.name.to_lowercase();
        !MODELS.iter().any(|model| name.starts_with(model)) && !name.contains(' ')
    }

    pub(super) fn gets(&mut self, claim: &Claim, at: usize) {
        match (self.word(at), self.word(at + 1)) {
            ("married", "to") => return self.with_person(claim, Telling::Begins, Relation::Spouse, at + 2),
            ("engaged", "to") => return self.with_person(claim, Telling::Begins, Relation::Partner, at + 2),
            ("promoted", "to") => {
                return self.works_as(claim, Telling::Begins, at + 2);
            }
            ("hired", "at" | "by") => return self.employs(claim, Telling::Begins, at + 2, 0.85),
            ("fired", "from") => return self.employs(claim, Telling::Ends, at + 2, 0.85),
            ("laid", "off") if self.word(at + 2) == "from" => {
                return self.employs(claim, Telling::Ends, at + 3, 0.85);
            }
            _ => {}
        }
        let from = self.behind_article(at);
        let from = from + usize::from(self.word(from) == "new");
        if matches!(self.word(from), "job" | "position" | "internship") {
            match self.word(from + 1) {
                "at" | "with" => self.employs(claim, Telling::Begins, from + 2, 0.85),
                "as" => self.works_as(claim, Telling::Begins, from + 2),
                _ => {}
            }
            return;
        }
        // "got a dog bed": the list holds what can be owned.
        self.owns(claim, Telling::Begins, at, 0.75);
    }

    pub(super) fn sells(&mut self, claim: &Claim, at: usize) {
        self.owns(claim, Telling::Ends, at, 0.8);
    }

    pub(super) fn drives(&mut self, claim: &Claim, at: usize) {
        let from = self.behind_article(at);
        let Some(car) = self.entity(from, &[EntityKind::Product, EntityKind::Organisation]).filter(|_| from > at)
        else {
            return;
        };
        if self.ends_phrase(car.next) && !claim.group.negated && self.word(at) != "the" {
            self.tell(claim, Telling::State, Relation::Owns, &car, 0.65);
        }
    }

    /// One or more tools, and their versions where they are told.
    pub(super) fn uses(&mut self, claim: &Claim, telling: Telling, at: usize) {
        let tense = claim.group.tense;
        let passing = telling == Telling::State && tense != Tense::Present && !claim.group.over;
        if passing && !(tense == Tense::Perfect && claim.group.copula) {
            return;
        }
        let tool = |reader: &Self, at: usize| {
            let from = reader.behind_article(at);
            let tool = reader.entity(from, TOOLS)?;
            // "the `main` branch", "React components": not the tool alone, but it is used all the same.
            let named = !reader.tokens[from].word.starts_with(['-', '/']);
            let genitive = reader.token(tool.next).is_some_and(|next| next.shape == Shape::Possessive);
            let code = tool.end.kind == Some(EntityKind::CodeSymbol);
            // "the API" is one that only this text knows; "Werkzeug.security" is another thing.
            let generic = from > at && tool.end.kind == Some(EntityKind::Topic);
            (named && !genitive && !code && !generic && !reader.is_joined(tool.next))
                .then(|| reader.behind_version(tool))
        };
        let mut next = at;
        // "Python with Django": both.
        for _ in 0..3 {
            let tools = self.list(next, tool);
            let Some(last) = tools.last().map(|tool| tool.next) else { return };
            for tool in &tools {
                let from = (next..tool.next).rev().find(|&at| matches!(self.tokens[at].shape, Shape::Entity(_)));
                let Some(from) = from else { continue };
                let topic = tool.end.kind == Some(EntityKind::Topic);
                let plain = self.without_version(tool);
                self.tell(claim, telling, Relation::Uses, &plain, if topic { 0.65 } else { 0.8 });
                if telling != Telling::Ends && !claim.group.negated {
                    self.version(claim, telling, from, 0.8);
                }
            }
            if self.word(last) != "with" {
                return;
            }
            next = last + 1;
        }
    }

    /// "I'm building an app using Rust".
    pub(super) fn built_with(&mut self, claim: &Claim, at: usize) {
        let made = (claim.group.next..at.min(claim.group.next + 4)).any(|at| {
            matches!(
                self.word(at),
                "build"
                    | "building"
                    | "develop"
                    | "developing"
                    | "implement"
                    | "implementing"
                    | "create"
                    | "creating"
                    | "deploy"
                    | "deploying"
                    | "make"
                    | "making"
                    | "write"
                    | "writing"
                    | "set"
                    | "setting"
                    | "add"
                    | "adding"
                    | "working"
            )
        });
        let before = self
            .token(at - 1)
            .is_some_and(|token| token.shape != Shape::Sign && !lexicon::class(token.word).is(Class::END));
        let product = self.entity(self.behind_article(at + 1), &[EntityKind::Product]).is_some();
        if made && before && product && at <= claim.from + 20 {
            let claim = Claim { sure: claim.sure * 0.85, from: claim.from, ..claim.clone() };
            self.uses(&claim, Telling::State, at + 1);
        }
    }

    /// "Flask 2.3.1": the version belongs to the object, so that a list can go on behind it.
    fn behind_version(&self, tool: Object) -> Object {
        let next = self.versioned(tool.next - 1).map_or(tool.next, |versioned| versioned.version.next);
        Object { next: next.max(tool.next), ..tool }
    }

    /// The product without the number of its version.
    pub(super) fn without_version(&self, tool: &Object) -> Object {
        let mut plain = tool.clone();
        if let Some((name, _)) = split_version(&plain.end.name) {
            plain.end.name = name.to_owned();
        }
        plain
    }

    /// The version of the product that a token is.
    fn versioned(&self, at: usize) -> Option<Versioned> {
        let Shape::Entity(entity) = self.token(at)?.shape else { return None };
        let mention = &self.entities[entity];
        if !matches!(mention.kind, EntityKind::Product | EntityKind::Topic | EntityKind::CodeSymbol) {
            return None;
        }
        let spelled = &self.text[mention.text.clone()];
        let kind = Some(mention.kind);
        let told = |name: &str, version: &str, next: usize| {
            let version = version.trim().trim_start_matches(['v', 'V', '@', '=']);
            let end = FactEnd { kind: None, name: version.to_owned() };
            let product = FactEnd { kind, name: name.to_owned() };
            let plain =
                version.starts_with(|sign: char| sign.is_ascii_digit()) && version.len() < 16 && version.is_ascii();
            plain.then(|| Versioned { product, version: Object { end, head: String::new(), next } })
        };
        if let Some(rest) = spelled.strip_prefix(mention.name.as_str()).filter(|rest| !rest.trim().is_empty()) {
            return told(&mention.name, rest, at + 1);
        }
        if let Some((name, version)) = split_version(&mention.name) {
            return told(name, version, at + 1);
        }
        let mut next = at + 1;
        if matches!(self.word(next), "version" | "v") {
            next += 1;
        }
        let token = self.token(next).filter(|token| token.time.is_none() || next > at + 1)?;
        let number = token.shape == Shape::Number
            || token.word.strip_prefix('v').is_some_and(|rest| rest.starts_with(|sign: char| sign.is_ascii_digit()));
        // "Rust 5 times", "React 18 components".
        let bound = self.ends_phrase(next + 1) || token.word.contains('.');
        if !number
            || !bound
            || token.word.contains([',', '-'])
            || MODELS.contains(&mention.name.to_lowercase().as_str())
        {
            return None;
        }
        told(&mention.name, token.word, next + 1)
    }

    fn version(&mut self, claim: &Claim, telling: Telling, at: usize, confidence: f32) {
        let Some(Versioned { product, version }) = self.versioned(at) else { return };
        let group =
            Group { tense: if telling == Telling::State { Tense::Present } else { claim.group.tense }, ..claim.group };
        let claim = Claim { subject: product, group, ..claim.clone() };
        self.tell(&claim, telling, Relation::Version, &version, confidence);
    }

    /// "We are on Postgres 16".
    pub(super) fn stands_on(&mut self, claim: &Claim, at: usize) {
        if claim.group.tense == Tense::Present && !claim.group.negated {
            self.version(claim, Telling::State, self.behind_article(at), 0.85);
        }
    }

    pub(super) fn runs(&mut self, claim: &Claim, at: usize) {
        let from = self.behind_article(at);
        if claim.group.negated || self.versioned(from).is_none() {
            return self.business(claim, Telling::State, at);
        }
        self.version(claim, Telling::State, from, 0.85);
    }

    pub(super) fn switches(&mut self, claim: &Claim, mut at: usize) {
        if self.word(at) == "from" {
            let Some(left) = self.entity(self.behind_article(at + 1), TOOLS) else { return };
            if self.word(left.next) != "to" {
                return;
            }
            let plain = self.without_version(&left);
            let same = self
                .entity(left.next + 1, TOOLS)
                .is_some_and(|right| self.without_version(&right).end.name == plain.end.name);
            if !same {
                self.tell(claim, Telling::Ends, Relation::Uses, &plain, 0.85);
            }
            at = left.next;
        }
        if matches!(self.word(at), "to") {
            self.uses(claim, Telling::Begins, at + 1);
        }
    }

    /// "upgraded tokio to 1.54", "upgraded to Python 3.12", "upgraded Django from 4.1 to 4.2".
    pub(super) fn upgrades(&mut self, claim: &Claim, at: usize) {
        if self.word(at) == "to" {
            return self.version(claim, Telling::Begins, self.behind_article(at + 1), 0.85);
        }
        let from = self.behind_article(at);
        let Some(product) = self.entity(from, TOOLS) else { return };
        let plain = self.without_version(&product);
        let to = (product.next..product.next + 4).find(|&at| self.word(at) == "to");
        let Some(to) = to else { return };
        let at = to + 1 + usize::from(self.word(to + 1) == "version");
        let Some(token) = self.token(at) else { return };
        let version = token.word.trim_start_matches('v');
        let number = version.starts_with(|sign: char| sign.is_ascii_digit()) && !version.contains([',', '-']);
        if !number
            || version.len() > 15
            || !matches!(token.shape, Shape::Number | Shape::Word)
            || !(self.ends_phrase(at + 1) || token.time.is_some())
        {
            return;
        }
        let end = FactEnd { kind: None, name: version.to_owned() };
        let claim = Claim { subject: plain.end, ..claim.clone() };
        self.tell(&claim, Telling::Begins, Relation::Version, &Object { end, head: String::new(), next: at + 1 }, 0.85);
    }

    /// "tokio is at 1.54", "Our Postgres version is 15".
    pub(super) fn product_version(&mut self, at: usize) {
        let Some(product) = self.entity(at, TOOLS) else { return };
        let mut next = at + 1;
        let spoken_of = self.word(next) == "version";
        next += usize::from(spoken_of);
        if !(self.word(next) == "is" || self.token(next).is_some_and(|token| token.shape == Shape::Possessive)) {
            return;
        }
        next += 1;
        while matches!(self.word(next), "now" | "currently" | "still" | "already") {
            next += 1;
        }
        let placed = matches!(self.word(next), "at" | "on");
        next += usize::from(placed);
        let numbered = self.word(next) == "version";
        next += usize::from(numbered);
        let Some(token) = self.token(next) else { return };
        let version = token.word.trim_start_matches('v');
        let number =
            version.starts_with(|sign: char| sign.is_ascii_digit()) && (numbered || spoken_of || version.contains('.'));
        if !(spoken_of || placed || numbered) || !number || !self.ends_phrase(next + 1) || version.len() > 15 {
            return;
        }
        let end = FactEnd { kind: None, name: version.to_owned() };
        let claim = self.plain_claim(self.without_version(&product).end, at, 1.0);
        self.tell(
            &claim,
            Telling::State,
            Relation::Version,
            &Object { end, head: String::new(), next: next + 1 },
            0.85,
        );
    }
}

/// A name and the whole number that it ends with, where that is a version.
fn split_version(name: &str) -> Option<(&str, &str)> {
    let (product, version) = name.rsplit_once(' ')?;
    let model = MODELS.iter().any(|model| product.to_lowercase().starts_with(model));
    let number = version.starts_with(|sign: char| sign.is_ascii_digit()) && version.len() < 8;
    (number && !model).then_some((product, version))
}
