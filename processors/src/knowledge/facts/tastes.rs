//! Tastes: what people like, eat and cannot stand.
//!
//! Owns: the rules of verbs for liking and eating, of diets and of allergies.
//! Never: makes a liking of praise ("I love your idea") or of one evening ("I loved the film").

use super::{
    Modality, Relation,
    lexicon::{self, Class},
    phrase::Object,
    reader::{Claim, Reader},
    rules::Telling,
    verb::{Form, Group, Tense, Verb},
};

/// What only jokes are allergic to.
const NO_ALLERGY: [&str; 10] =
    ["mornings", "mondays", "people", "work", "drama", "nonsense", "exercise", "stupid", "bullshit", "fun"];

impl Reader<'_> {
    pub(super) fn diet(&mut self, claim: &Claim, telling: Telling, at: usize) {
        if !lexicon::class(self.word(at)).is(Class::DIET) || self.token(at).is_none_or(|token| token.time.is_some()) {
            return;
        }
        let eats = self.word(at + 1) == "diet";
        if eats || self.ends_phrase(at + 1) {
            let mut diet = self.object(at, at + 1);
            diet.end.kind = None;
            self.tell(claim, telling, Relation::Diet, &diet, 0.9);
        }
    }

    pub(super) fn likes(&mut self, claim: &Claim, verb: Verb, at: usize) {
        let (relation, confidence) = match verb {
            Verb::Dislike => (Relation::Dislikes, 0.75),
            Verb::Prefer => (Relation::Prefers, 0.75),
            _ => (Relation::Likes, 0.7),
        };
        let always = claim.group.tense == Tense::Perfect && (claim.from..at).any(|at| self.word(at) == "always");
        let past = claim.group.tense != Tense::Present && !claim.group.over && !always;
        let claim = &Claim {
            group: Group { tense: if always { Tense::Present } else { claim.group.tense }, ..claim.group },
            ..claim.clone()
        };
        if past || claim.group.negated && relation != Relation::Likes || claim.group.able || claim.form == Form::Ing {
            return;
        }
        if claim.group.modality != Modality::Asserted {
            return;
        }
        if relation == Relation::Prefers
            && let Some(object) = self.preference(at)
        {
            return self.tell(claim, Telling::State, relation, &object, 0.7);
        }
        for object in self.list(at, Self::taste) {
            let known = if object.is_plain() { confidence } else { confidence + 0.1 };
            self.tell(claim, Telling::State, relation, &object, known);
        }
    }

    /// "Python to Java", "to use tabs".
    fn preference(&self, at: usize) -> Option<Object> {
        if self.word(at) == "to" {
            return self.activity(at + 1);
        }
        let pointing = lexicon::class(self.word(at)).is(Class::POINTING);
        let object = self.noun(at).filter(|object| !pointing && object.next <= at + 2)?;
        (self.word(object.next) == "to").then_some(object)
    }

    pub(super) fn stands(&mut self, claim: &Claim, at: usize) {
        if !claim.group.able || !claim.group.negated {
            return;
        }
        let claim = Claim { group: Group { negated: false, ..claim.group }, ..claim.clone() };
        for object in self.list(at, Self::taste) {
            self.tell(&claim, Telling::State, Relation::Dislikes, &object, 0.8);
        }
    }

    pub(super) fn consumes(&mut self, claim: &Claim, at: usize) {
        if claim.group.negated {
            self.food(claim, Telling::State, at);
        } else {
            self.diet(claim, Telling::State, self.behind_article(at));
        }
    }

    pub(super) fn food(&mut self, claim: &Claim, telling: Telling, at: usize) {
        let at = at + usize::from(matches!(self.word(at), "any"));
        if claim.form == Form::Ing && telling == Telling::State {
            return;
        }
        let food = |reader: &Self, at: usize| {
            let plain = !lexicon::class(reader.word(at)).is(Class::NO_FOOD);
            reader.noun(at).filter(|food| plain && food.next <= at + 3)
        };
        for food in self.list(at, food) {
            self.tell(claim, telling, Relation::Eats, &food, 0.8);
        }
    }

    pub(super) fn stops(&mut self, claim: &Claim, at: usize) {
        match self.word(at) {
            "eating" | "drinking" => self.food(claim, Telling::Ends, at + 1),
            "using" => self.uses(claim, Telling::Ends, at + 1),
            "working" if matches!(self.word(at + 1), "at" | "for") => {
                self.firm(claim, Telling::Ends, at + 2, 0.85);
            }
            "being" => self.diet(claim, Telling::Ends, self.behind_article(at + 1)),
            _ => {}
        }
    }

    pub(super) fn allergies(&mut self, claim: &Claim, at: usize) {
        let cause = |reader: &Self, at: usize| {
            let joke = NO_ALLERGY.contains(&reader.word(at));
            reader.noun(at).filter(|_| !joke)
        };
        for cause in self.list(at, cause) {
            self.tell(claim, Telling::State, Relation::AllergicTo, &cause, 0.85);
        }
    }
}
