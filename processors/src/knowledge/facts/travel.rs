//! Travel: where people live, move and go.
//!
//! Owns: the rules of verbs before a place.
//! Never: takes a habit ("I go to Oslo a lot") for a journey.

use super::{
    EntityKind, Modality, Relation,
    reader::{Claim, Reader},
    rules::{TOOLS, Telling},
    token::Shape,
    verb::{Form, Group, Tense, Verb},
};

const PLACES: &[EntityKind] = &[EntityKind::Place];

impl Reader<'_> {
    pub(super) fn place(&mut self, claim: &Claim, telling: Telling, relation: Relation, at: usize, confidence: f32) {
        let at = if matches!(self.word(at), "the") { at + 1 } else { at };
        let Some(place) = self.entity(at, PLACES) else { return };
        // "Berlin style", "Oslo's": the place only describes.
        let next = self.token(place.next);
        if next.is_some_and(|next| next.shape == Shape::Possessive || next.glued && next.word == "-") {
            return;
        }
        // "Oslo and Bergen": not one of them alone.
        let and = self.word(place.next) == "and" && self.entity(place.next + 1, PLACES).is_some();
        if and && relation != Relation::Visits {
            return;
        }
        self.tell(claim, telling, relation, &place, confidence);
    }

    /// Behind words like "back" that a direction can have.
    pub(super) fn behind_direction(&self, mut at: usize) -> usize {
        while matches!(
            self.word(at),
            "back"
                | "here"
                | "out"
                | "over"
                | "down"
                | "up"
                | "right"
                | "away"
                | "together"
                | "permanently"
                | "all"
                | "the"
                | "way"
                | "happily"
                | "alone"
        ) {
            at += 1;
        }
        at
    }

    pub(super) fn live(&mut self, claim: &Claim, at: usize) {
        let at = self.behind_direction(at);
        if matches!(self.word(at), "in" | "at") {
            self.place(claim, Telling::State, Relation::LivesIn, at + 1, 0.9);
        }
    }

    pub(super) fn moves(&mut self, claim: &Claim, at: usize) {
        let mut at = self.behind_direction(at);
        let mut left = None;
        if self.word(at) == "from" {
            let from = self.behind_article(at + 1);
            left = self.entity(from, TOOLS);
            let known = left.is_some() || self.entity(from, PLACES).is_some();
            if known && self.word(from + 1) == "to" {
                at = from + 1;
            }
        }
        if self.word(at) != "to" {
            return;
        }
        if let Some(left) = left {
            self.tell(claim, Telling::Ends, Relation::Uses, &left, 0.8);
        }
        self.place(claim, Telling::Begins, Relation::LivesIn, at + 1, 0.9);
        if let Some(tool) = self.entity(self.behind_article(at + 1), TOOLS) {
            self.tell(claim, Telling::Begins, Relation::Uses, &self.without_version(&tool), 0.7);
        }
    }

    pub(super) fn goes(&mut self, claim: &Claim, at: usize) {
        self.diet(claim, Telling::Begins, at);
        if self.word(at) == "to" {
            let school = self.entity(self.behind_article(at + 1), &[EntityKind::Organisation]).is_some();
            if school && matches!(claim.form, Form::Base | Form::Third) && claim.group.tense == Tense::Present {
                return self.school(claim, Telling::State, at + 1);
            }
        }
        self.travels(claim, Verb::Go, at);
    }

    pub(super) fn travels(&mut self, claim: &Claim, verb: Verb, at: usize) {
        let at = self.behind_direction(at);
        let to = match (verb, self.word(at)) {
            (Verb::Visit, _) => at,
            (_, "to") => at + 1,
            (Verb::Go, "on")
                if matches!(self.word(at + 2), "trip" | "vacation" | "cruise") && self.word(at + 3) == "to" =>
            {
                at + 4
            }
            _ => return,
        };
        // A habit ("I go to X") is no journey.
        self.place(claim, Telling::Begins, Relation::Visits, to, 0.8);
    }

    pub(super) fn plans(&mut self, claim: &Claim, at: usize) {
        let from = self.behind_article(at);
        let trip = (from..from + 3).find(|&at| {
            matches!(self.word(at), "trip" | "vacation" | "holiday" | "visit" | "flight" | "journey" | "getaway")
        });
        let Some(trip) = trip.filter(|&trip| self.word(trip + 1) == "to" && from > at) else { return };
        let group = Group { modality: Modality::Planned, ..claim.group };
        let claim = Claim { group, ..claim.clone() };
        self.place(&claim, Telling::Begins, Relation::Visits, trip + 2, 0.85);
    }
}
