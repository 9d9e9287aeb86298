//! Rules: which rule reads what a verb says of a subject.
//!
//! Owns: how a clause can tell, which forms of a verb tell at all, and the rules that belong to no other concept.
//! Never: decides who is spoken of, or what is told at all (see `reader`).

use super::{
    EntityKind, Relation,
    lexicon::{self, Class},
    reader::{Claim, Reader, Who},
    token::Shape,
    verb::{Form, Group, Tense, Verb, verb},
};

/// How a clause tells a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// It holds while the tense of the verb says so ("works").
    State,
    /// It holds from then on ("joined").
    Begins,
    /// It ceases to hold ("left").
    Ends,
    /// It came to its end as it should ("graduated from").
    Finished,
    /// It was resolved; a time behind the verb belongs to what was resolved.
    Resolved,
    /// No time changes it ("was born in").
    Timeless,
}

/// What people work with.
pub(super) const TOOLS: &[EntityKind] = &[EntityKind::Product, EntityKind::Topic, EntityKind::CodeSymbol];

impl Reader<'_> {
    /// Tells what a claim's predicate says, if a rule knows it.
    pub(super) fn predicate(&mut self, claim: &Claim) {
        let at = claim.group.next;
        let found = self.token(at).filter(|token| token.shape == Shape::Word).and_then(|token| verb(token.word));
        let Some((verb, form)) = found else {
            if claim.group.copula {
                self.copula(claim, at);
            }
            return;
        };
        let passive = claim.group.copula && form == Form::Past;
        let fits = match form {
            Form::Base => {
                claim.group.helped
                    || !claim.group.copula && claim.group.tense == Tense::Present && claim.who != Who::Other
            }
            Form::Third => claim.who == Who::Other && !claim.group.helped && !claim.group.copula,
            Form::Past => !claim.group.helped && !claim.group.copula,
            Form::Ing => claim.group.copula || claim.group.gerund,
        };
        if passive || claim.group.copula && form == Form::Base {
            return self.copula(claim, at);
        }
        if !fits {
            return;
        }
        let past = form == Form::Past && claim.group.tense == Tense::Present;
        let tense = if past { Tense::Past } else { claim.group.tense };
        let claim = Claim { group: Group { tense, ..claim.group }, form, ..claim.clone() };
        self.verb(&claim, verb, at + 1);
    }

    fn verb(&mut self, claim: &Claim, verb: Verb, at: usize) {
        // "We can use CSS" is an offer.
        if claim.group.able && !matches!(verb, Verb::Speak | Verb::Stand | Verb::Consume) {
            return;
        }
        match verb {
            Verb::Work => self.work(claim, Telling::State, at),
            Verb::Volunteer => self.volunteers(claim, at),
            Verb::Play => self.plays(claim, at),
            Verb::Take => self.takes(claim, at),
            Verb::Open => self.business(claim, Telling::Begins, at),
            Verb::Lose | Verb::Quit => self.quits(claim, at),
            Verb::Sign => {
                let next = at + usize::from(self.word(at) == "up");
                if matches!(self.word(next), "for" | "in") {
                    self.lessons(claim, Telling::Begins, next + 1);
                }
            }
            Verb::Live => self.live(claim, at),
            Verb::Move => self.moves(claim, at),
            Verb::Study | Verb::Major => self.study(claim, verb, at),
            Verb::Attend => self.school(claim, Telling::State, at),
            Verb::Graduate if self.word(at) == "from" => self.school(claim, Telling::Finished, at + 1),
            Verb::Join => self.joins(claim, Telling::Begins, at),
            Verb::Leave => self.joins(claim, Telling::Ends, at),
            Verb::Begin => self.begins(claim, at),
            Verb::Become => self.becomes(claim, at),
            Verb::Turn => self.turns(claim, at),
            Verb::Go => self.goes(claim, at),
            Verb::Travel | Verb::Visit => self.travels(claim, verb, at),
            Verb::Like | Verb::Dislike | Verb::Prefer => self.likes(claim, verb, at),
            Verb::Stand => self.stands(claim, at),
            Verb::Consume => self.consumes(claim, at),
            Verb::Stop => self.stops(claim, at),
            Verb::Have => self.has(claim, at),
            Verb::Get => self.gets(claim, at),
            Verb::Sell => self.sells(claim, at),
            Verb::Drive => self.drives(claim, at),
            Verb::Use => self.uses(claim, Telling::State, at),
            Verb::Switch => self.switches(claim, at),
            Verb::Upgrade => self.upgrades(claim, at),
            Verb::Run => self.runs(claim, at),
            Verb::Code if self.word(at) == "in" => self.uses(claim, Telling::State, at + 1),
            Verb::Speak => self.speaks(claim, at),
            Verb::Decide => self.decides(claim, at),
            Verb::Plan => self.plans(claim, at),
            Verb::Marry => self.with_person(claim, Telling::Begins, Relation::Spouse, at),
            Verb::Divorce => self.with_person(claim, Telling::Ends, Relation::Spouse, at),
            Verb::Date => self.with_person(claim, Telling::State, Relation::Partner, at),
            Verb::Come if self.word(at) == "from" && claim.group.modality == super::Modality::Asserted => {
                self.place(claim, Telling::Timeless, Relation::From, at + 1, 0.85);
            }
            Verb::Grow if self.word(at) == "up" && self.word(at + 1) == "in" => {
                self.place(claim, Telling::Timeless, Relation::From, at + 2, 0.85);
            }
            Verb::Belong if self.word(at) == "to" => self.member(claim, Telling::State, at + 1),
            Verb::Follow => self.diet(claim, Telling::State, self.behind_article(at)),
            _ => {}
        }
    }

    /// Whether a dash ties what stands before a token to what follows.
    pub(super) fn is_joined(&self, at: usize) -> bool {
        let dash = self.token(at).is_some_and(|token| token.glued && matches!(token.word, "-" | "." | "_" | "/"));
        dash && self.token(at + 1).is_some_and(|token| token.glued)
    }

    fn turns(&mut self, claim: &Claim, at: usize) {
        self.diet(claim, Telling::Begins, at);
        self.age(claim, Telling::Begins, at);
    }

    /// A number of years, with nothing behind it that would be counted.
    pub(super) fn age(&mut self, claim: &Claim, telling: Telling, at: usize) {
        let years = self.word(at).parse::<u8>().ok().filter(|years| (1..=120).contains(years));
        let Some(token) = self.token(at).filter(|token| token.shape == Shape::Number && years.is_some()) else {
            return;
        };
        let said = matches!(self.word(at + 1), "years" | "yrs" | "yo" | "y");
        let old = said && matches!(self.word(at + 2), "old" | "young");
        let bound = self.token(at + 1).is_none_or(|next| {
            next.time.is_some() && telling == Telling::Begins
                || next.shape == Shape::Sign && matches!(next.word, "," | ".")
                || matches!(next.word, "and" | "now" | "today")
        });
        let alone = bound && (token.time.is_none() || telling == Telling::Begins);
        let was = claim.group.tense == Tense::Past && telling == Telling::State;
        if was || !(old || alone) {
            return;
        }
        let mut age = self.object(at, at + 1);
        age.end.kind = None;
        if old {
            age.next = at + 3;
        }
        self.tell(claim, telling, Relation::Age, &age, if old { 0.9 } else { 0.75 });
    }

    fn decides(&mut self, claim: &Claim, at: usize) {
        let (at, negated) = match (self.word(at), self.word(at + 1)) {
            ("to", _) => (at + 1, false),
            ("not", "to") => (at + 2, true),
            ("with", _) if self.entity(at + 1, &[EntityKind::Person]).is_some() && self.word(at + 2) == "to" => {
                (at + 3, false)
            }
            ("against", _) => (at + 1, true),
            ("on", _) => {
                let Some(choice) =
                    self.token(at + 1).filter(|token| token.time.is_none()).and_then(|_| self.decision(at + 1))
                else {
                    return;
                };
                let pointing =
                    lexicon::class(self.word(at + 1)).is(Class::POINTING) && !matches!(self.word(at + 1), "a" | "an");
                if !pointing {
                    self.tell(claim, Telling::Resolved, Relation::Decided, &choice, 0.7);
                }
                return;
            }
            _ => return,
        };
        if claim.form != Form::Past || claim.group.negated {
            return;
        }
        let Some(action) = self.decision(at).filter(|_| !lexicon::class(self.word(at)).is(Class::POINTING)) else {
            return;
        };
        let claim = Claim { group: Group { negated, tense: Tense::Perfect, ..claim.group }, ..claim.clone() };
        self.tell(&claim, Telling::Resolved, Relation::Decided, &action, 0.8);
    }

    pub(super) fn with_person(&mut self, claim: &Claim, telling: Telling, relation: Relation, at: usize) {
        let Some(person) = self.entity(at, &[EntityKind::Person]) else { return };
        if self.token(person.next).is_none_or(|next| next.shape != Shape::Possessive) {
            self.tell(claim, telling, relation, &person, 0.85);
        }
    }
}
