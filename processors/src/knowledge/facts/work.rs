//! Work: for whom, and as what, people work; what they belong to and run.
//!
//! Owns: the rules of verbs for beginning, doing and ending such work.
//! Never: takes an organisation that no entity names for an employer, but for a kind of place ("a hospital").

use super::{
    EntityKind, Relation,
    lexicon::{self, Class},
    reader::{Claim, Reader, Who},
    rules::Telling,
    verb::{Group, Tense},
};

/// Whom people work for.
const FIRMS: &[EntityKind] = &[EntityKind::Organisation, EntityKind::Product];

impl Reader<'_> {
    pub(super) fn volunteers(&mut self, claim: &Claim, at: usize) {
        // "I volunteered there last week" neither says that one does nor that one ceased to.
        let once = claim.group.tense == Tense::Past && !claim.group.over;
        if once || !matches!(self.word(at), "at" | "with" | "for") {
            return;
        }
        let from = self.behind_article(at + 1);
        let body = self.entity(from, &[EntityKind::Organisation]);
        let place = body.or_else(|| self.noun(at + 1).filter(|place| lexicon::class(&place.head).is(Class::WORKPLACE)));
        let Some(place) = place.filter(|place| self.word(place.next) != "of") else { return };
        self.tell(claim, Telling::State, Relation::VolunteersAt, &place, 0.8);
    }

    /// A firm of one's own.
    pub(super) fn business(&mut self, claim: &Claim, telling: Telling, at: usize) {
        let from = self.behind_article(at);
        let own = usize::from(self.word(from) == "own");
        let Some(firm) = self.noun(from + own).filter(|_| from > at) else { return };
        let general = matches!(firm.end.name.as_str(), "business" | "company" | "store" | "shop" | "startup");
        let schooled =
            matches!(firm.head.as_str(), "school" | "university" | "college" | "bank" | "library" | "hospital");
        if !lexicon::class(&firm.head).is(Class::WORKPLACE) || schooled || general && own == 0 || self.word(at) == "the"
        {
            return;
        }
        self.tell(claim, telling, Relation::Owns, &firm, 0.75);
    }

    /// "at X as a nurse", "as a nurse for X".
    pub(super) fn work(&mut self, claim: &Claim, telling: Telling, mut at: usize) {
        while matches!(self.word(at), "full-time" | "part-time" | "remotely" | "again" | "there" | "here") {
            at += 1;
        }
        for _ in 0..2 {
            let next = match self.word(at) {
                "at" | "for" => self.firm(claim, telling, at + 1, 0.9),
                "as" => self.job(claim, telling, at + 1),
                _ => None,
            };
            // "at X in Munich as a manager".
            let next = next.map(|next| match self.word(next) {
                "in" if self.entity(next + 1, &[EntityKind::Place]).is_some() => next + 2,
                _ => next,
            });
            match next {
                Some(next) => at = next,
                None => return,
            }
        }
    }

    /// A firm, or the kind of place that people work at. Gives the token behind it.
    pub(super) fn firm(&mut self, claim: &Claim, telling: Telling, at: usize, confidence: f32) -> Option<usize> {
        let from = self.behind_article(at);
        if let Some(firm) = self.entity(from, FIRMS) {
            let bound = self.ends_phrase(firm.next);
            if !bound {
                return None;
            }
            self.tell(claim, telling, Relation::WorksAt, &firm, confidence);
            return Some(firm.next);
        }
        let place = self.noun(at)?;
        if from == at || self.word(at) == "some" || !lexicon::class(&place.head).is(Class::WORKPLACE) {
            return None;
        }
        let called = matches!(self.word(place.next), "called" | "named" | "of");
        if called {
            return None;
        }
        self.tell(claim, telling, Relation::WorksAt, &place, confidence * 0.8);
        Some(place.next)
    }

    pub(super) fn employs(&mut self, claim: &Claim, telling: Telling, at: usize, confidence: f32) {
        self.firm(claim, telling, at, confidence);
    }

    pub(super) fn works_as(&mut self, claim: &Claim, telling: Telling, at: usize) {
        self.job(claim, telling, at);
    }

    /// "a nurse". Gives the token behind it.
    pub(super) fn job(&mut self, claim: &Claim, telling: Telling, at: usize) -> Option<usize> {
        let job = self.noun(at)?;
        let from = self.behind_article(at);
        let judged = matches!(
            self.word(from),
            "good"
                | "great"
                | "bad"
                | "terrible"
                | "fast"
                | "slow"
                | "big"
                | "better"
                | "best"
                | "huge"
                | "decent"
                | "real"
                | "true"
                | "horrible"
                | "natural"
                | "amazing"
                | "quick"
                | "careful"
                | "night"
                | "total"
                | "bit"
                | "nervous"
                | "first-time"
                | "proud"
                | "happy"
                | "lifelong"
                | "self-taught"
                | "amateur"
                | "home"
                | "wonderful"
                | "fantastic"
                | "awesome"
                | "talented"
        );
        if judged || !lexicon::class(&job.head).is(Class::JOB) || self.is_joined(job.next) {
            return None;
        }
        // "You're a great coach" praises.
        if self.word(job.next) == "of" || claim.who == Who::Addressee {
            return None;
        }
        self.tell(claim, telling, Relation::WorksAs, &job, 0.85);
        Some(job.next)
    }

    pub(super) fn joins(&mut self, claim: &Claim, telling: Telling, at: usize) {
        let from = self.behind_article(at);
        if from == at && self.entity(from, &[EntityKind::Organisation]).is_some_and(|firm| self.ends_phrase(firm.next))
        {
            self.firm(claim, telling, at, 0.8);
            return;
        }
        self.member(claim, telling, at);
    }

    /// A club, or an organisation that one belongs to.
    pub(super) fn member(&mut self, claim: &Claim, telling: Telling, at: usize) {
        let from = self.behind_article(at);
        if telling == Telling::State
            && let Some(body) = self.entity(from, &[EntityKind::Organisation])
        {
            self.tell(claim, telling, Relation::MemberOf, &body, 0.85);
            return;
        }
        let Some(club) = self.noun(at).filter(|club| from > at && lexicon::class(&club.head).is(Class::CLUB)) else {
            return;
        };
        // "The team" is one that only this text knows.
        let general = matches!(club.end.name.as_str(), "team" | "group" | "club" | "community" | "party" | "band");
        if self.word(club.next) == "of" || general || self.word(from) == "whole" {
            return;
        }
        self.tell(claim, telling, Relation::MemberOf, &club, 0.75);
    }

    pub(super) fn quits(&mut self, claim: &Claim, mut at: usize) {
        if self.word(at) == "working" {
            at += 1;
        } else if matches!(self.word(at), "my" | "the" | "a") && matches!(self.word(at + 1), "job" | "position") {
            at += 2;
        }
        if matches!(self.word(at), "at" | "from" | "with") {
            self.firm(claim, Telling::Ends, at + 1, 0.85);
        }
    }

    pub(super) fn begins(&mut self, claim: &Claim, mut at: usize) {
        if matches!(self.word(at), "work" | "working") {
            at += 1;
        } else {
            at = self.behind_job(at).unwrap_or(at);
        }
        match self.word(at) {
            "at" | "with" => {
                self.firm(claim, Telling::Begins, at + 1, 0.85);
            }
            "for" if self.word(at - 1) == "working" => {
                self.firm(claim, Telling::Begins, at + 1, 0.85);
            }
            "as" if self.word(at - 1).starts_with("work") || self.word(at - 1) == "job" => {
                self.work(claim, Telling::Begins, at)
            }
            "playing" => {
                self.plays(&Claim { group: Group { tense: Tense::Present, ..claim.group }, ..claim.clone() }, at + 1)
            }
            "taking" => self.lessons(claim, Telling::Begins, at + 1),
            "using" if self.word(at - 1) != "stopped" => self.uses(claim, Telling::Begins, at + 1),
            "dating" => self.with_person(claim, Telling::Begins, Relation::Partner, at + 1),
            _ => {
                if !matches!(self.word(at), "at" | "with" | "for" | "as") {
                    self.business(claim, Telling::Begins, at);
                    self.lessons(claim, Telling::Begins, at);
                }
            }
        }
    }

    /// Behind "a new job".
    pub(super) fn behind_job(&self, at: usize) -> Option<usize> {
        let mut at = self.behind_article(at);
        while matches!(self.word(at), "new" | "great" | "job" | "full-time" | "part-time" | "summer")
            && !matches!(self.word(at), "job")
        {
            at += 1;
        }
        matches!(self.word(at), "job" | "position" | "internship" | "role" | "gig").then_some(at + 1)
    }

    pub(super) fn becomes(&mut self, claim: &Claim, at: usize) {
        let from = self.behind_article(at);
        if self.word(from) == "member" && self.word(from + 1) == "of" {
            return self.member(claim, Telling::Begins, from + 2);
        }
        self.diet(claim, Telling::Begins, from);
        if from > at {
            self.job(claim, Telling::Begins, at);
        }
    }
}
