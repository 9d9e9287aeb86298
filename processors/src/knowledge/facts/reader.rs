//! Reader: goes through the sentences of a text and asks the rules at each place where a fact can begin.
//!
//! Owns: what is left out (questions, suppositions, orders, the speech of others), who a sentence speaks of, and how
//! confident a fact is beside what its rule says.
//! Promises: each rule looks at a bounded number of tokens, so the whole stays linear.
//! Never: decides what a verb means (see `rules`).

use std::collections::HashSet;

use super::{
    EntityKind, FactEnd, FactMention, Modality, Polarity, Relation,
    lexicon::{self, Class},
    phrase::Object,
    rules::Telling,
    token::{Sentence, Shape, Token, sentences_in},
    verb::{self, Form, Group, Tense},
};
use crate::{
    Micros,
    knowledge::{
        entities::{EntityMention, Speaker},
        times::TimeMention,
    },
};

/// The most words between "my" and the kin it speaks of.
const LONGEST_KIN: usize = 3;
/// Names that are roles, whom nobody tells a fact about.
const ROLES: [&str; 10] = ["user", "assistant", "system", "bot", "human", "ai", "tool", "me", "you", "unknown"];

/// Which form of a verb goes with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Author,
    Addressee,
    Other,
}

/// Whom a clause speaks of.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) end: FactEnd,
    pub(super) who: Who,
    /// What its rule's confidence is multiplied with.
    pub(super) sure: f32,
    /// "I wish", "I think" stand before.
    pub(super) modality: Modality,
    /// Its first token and the first one behind it.
    pub(super) from: usize,
    pub(super) next: usize,
}

/// What a rule has read, before its object.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) subject: FactEnd,
    pub(super) who: Who,
    pub(super) sure: f32,
    pub(super) group: Group,
    /// The first token of the clause.
    pub(super) from: usize,
    pub(super) form: Form,
}

/// A text as the rules see it.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: &'a [Token<'a>],
    pub(super) entities: &'a [EntityMention],
    pub(super) times: &'a [TimeMention],
    pub(super) at: Micros,
    author: &'a str,
    addressee: Option<&'a str>,
    participants: &'a [String],
    /// The tokens of the part of a sentence that is told.
    pub(super) begin: usize,
    pub(super) end: usize,
    /// Others named so far: none, one, or that there are several.
    named: Vec<&'a str>,
    /// How many facts stand before the sentence, and whether it is a joke.
    jokes: bool,
    facts: Vec<FactMention>,
    seen: HashSet<(String, Relation, String, Polarity, Modality)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        text: &'a str,
        tokens: &'a [Token<'a>],
        speaker: &'a Speaker,
        at: Micros,
        entities: &'a [EntityMention],
        times: &'a [TimeMention],
    ) -> Reader<'a> {
        let mut others =
            speaker.participants.iter().map(|name| name.trim()).filter(|name| *name != speaker.author.trim());
        let addressee = others.next().filter(|name| others.next().is_none() && is_somebody(name));
        Reader {
            text,
            tokens,
            entities,
            times,
            at,
            author: speaker.author.trim(),
            addressee,
            participants: &speaker.participants,
            begin: 0,
            end: 0,
            named: Vec::new(),
            jokes: false,
            facts: Vec::new(),
            seen: HashSet::new(),
        }
    }

    pub(super) fn facts(mut self) -> Vec<FactMention> {
        let sentences = sentences_in(self.tokens);
        for (at, sentence) in sentences.iter().enumerate() {
            if self.is_order(sentence) {
                if self.gives_text(sentence) {
                    break;
                }
                continue;
            }
            let next = sentences.get(at + 1).map_or("", |next| self.tokens[next.tokens.start].word);
            self.jokes = matches!(next, "jk" | "kidding") || self.is_joke(sentence);
            self.begin = sentence.tokens.start;
            self.end = self.told_end(sentence);
            self.sentence(sentence);
        }
        self.facts.sort_by_key(|fact| fact.text.start);
        self.facts
    }

    pub(super) fn token(&self, at: usize) -> Option<&'a Token<'a>> {
        self.tokens.get(at).filter(|_| at < self.end)
    }

    /// The word at a place of the sentence; empty where there is none.
    pub(super) fn word(&self, at: usize) -> &'a str {
        self.token(at).map_or("", |token| token.word)
    }

    pub(super) fn author(&self) -> FactEnd {
        FactEnd { kind: Some(EntityKind::Person), name: self.author.to_owned() }
    }

    fn sentence(&mut self, sentence: &Sentence) {
        let mut carried: Option<Claim> = None;
        let mut building: Option<Claim> = None;
        let mut at = self.begin;
        while at < sentence.tokens.end {
            if at < self.end {
                self.unclaimed(at);
                if let Some(claim) = self.claim(at).or_else(|| self.carried(at, carried.as_ref())) {
                    let before = self.facts.len();
                    self.predicate(&claim);
                    let builds = claim.who == Who::Author && claim.group.copula && !claim.group.negated;
                    if builds
                        && self.word(claim.group.next).ends_with("ing")
                        && claim.group.modality == Modality::Asserted
                    {
                        building = Some(claim.clone());
                    }
                    if self.facts.len() > before {
                        carried = Some(claim);
                    }
                } else if self.word(at) == "using"
                    && let Some(claim) = building.as_ref()
                {
                    self.built_with(claim, at);
                } else if matches!(
                    self.word(at),
                    "he" | "she" | "they" | "it" | "who" | "which" | "that" | "i" | "we" | "you"
                ) {
                    carried = None;
                }
            }
            self.remember(at);
            at += 1;
        }
    }

    /// Keeps whom the text has named so far, for "he" and "she".
    fn remember(&mut self, at: usize) {
        let Shape::Entity(entity) = self.tokens[at].shape else { return };
        let mention = &self.entities[entity];
        let name = mention.name.as_str();
        if mention.kind != EntityKind::Person || self.named.len() > 1 || self.takes_part(name) {
            return;
        }
        let same = |other: &&str| other.starts_with(name) || name.starts_with(*other);
        if !self.named.iter().any(same) {
            self.named.push(name);
        }
    }

    fn takes_part(&self, name: &str) -> bool {
        let is = |one: &str| !one.is_empty() && (one.starts_with(name) || name.starts_with(one));
        is(self.author) || self.participants.iter().any(|one| is(one.trim()))
    }

    /// A subject that can begin a clause, with the words before its verb.
    fn claim(&self, at: usize) -> Option<Claim> {
        let subject = self.subject(at)?;
        let mut group = verb::group(self.tokens, subject.next, self.end)?;
        let mut sure = subject.sure;
        if subject.modality != Modality::Asserted {
            let planned = group.modality == Modality::Planned && subject.modality == Modality::Possible;
            if group.modality != Modality::Asserted && !planned {
                return None;
            }
            group.modality = subject.modality;
            if subject.modality == Modality::Wished {
                group.tense = Tense::Present;
            }
        }
        if group.hedged {
            sure *= 0.8;
        }
        let form = verb::verb(self.word(group.next)).map_or(Form::Base, |(_, form)| form);
        Some(Claim { subject: subject.end, who: subject.who, sure, group, from: subject.from, form })
    }

    /// "... and work at X": the subject of the verb before.
    fn carried(&self, at: usize, carried: Option<&Claim>) -> Option<Claim> {
        let carried = carried.filter(|_| matches!(self.word(at), "and" | "but" | "then"))?;
        if carried.group.negated || at > carried.from + 24 {
            return None;
        }
        let mut group = verb::group(self.tokens, at + 1, self.end)?;
        let (_, form) = verb::verb(self.word(group.next)).unwrap_or((verb::Verb::Have, Form::Base));
        let told = group.helped || group.copula;
        if !told {
            let same = form == carried.form && verb::verb(self.word(group.next)).is_some();
            if !same || self.token(group.next)?.shape != Shape::Word {
                return None;
            }
            group.modality = carried.group.modality;
            group.tense = carried.group.tense;
            group.helped = carried.group.helped;
            group.copula = carried.group.copula;
            group.over = carried.group.over;
        }
        let (subject, who, sure) = (carried.subject.clone(), carried.who, carried.sure * 0.95);
        Some(Claim { subject, who, sure, group, from: at + 1, form })
    }

    /// Who is spoken of at a token, where a clause can begin there.
    fn subject(&self, at: usize) -> Option<Subject> {
        let token = self.token(at)?;
        // "Joined a gym last week!"
        let dropped = at == self.begin && !self.author.is_empty() && self.tells_alone(at);
        if dropped {
            return Some(Subject {
                end: self.author(),
                who: Who::Author,
                sure: 0.9,
                modality: Modality::Asserted,
                from: at,
                next: at,
            });
        }
        let (end, who, sure) = match token.word {
            "i" if !self.author.is_empty() => (self.author(), Who::Author, 1.0),
            "we" if !self.author.is_empty() => (self.author(), Who::Author, 0.95),
            "you" => {
                let name = self.addressee?.to_owned();
                (FactEnd { kind: Some(EntityKind::Person), name }, Who::Addressee, 0.8)
            }
            "he" | "she" => match self.named.as_slice() {
                [one] => {
                    let end = FactEnd { kind: Some(EntityKind::Person), name: (*one).to_owned() };
                    (end, Who::Other, 0.8)
                }
                _ => return None,
            },
            _ => (self.entity(at, &[EntityKind::Person])?.end, Who::Other, 1.0),
        };
        let named = matches!(token.shape, Shape::Entity(_));
        let modality = self.opening(at, named)?;
        Some(Subject { end, who, sure, modality, from: at, next: at + 1 })
    }

    /// Whether a verb at the head of a sentence speaks of the author, whom it leaves out.
    fn tells_alone(&self, at: usize) -> bool {
        let at = at + usize::from(matches!(self.word(at), "just" | "finally" | "recently"));
        matches!(
            self.word(at),
            "joined"
                | "moved"
                | "bought"
                | "adopted"
                | "decided"
                | "started"
                | "upgraded"
                | "switched"
                | "visited"
                | "went"
                | "sold"
                | "graduated"
                | "got"
                | "signed"
                | "love"
                | "opened"
        )
    }

    /// Whether a clause can begin at a token, and how what stands before it colours the clause.
    fn opening(&self, at: usize, named: bool) -> Option<Modality> {
        if at == self.begin {
            return Some(Modality::Asserted);
        }
        let before = &self.tokens[at - 1];
        let back =
            |steps: usize| at.checked_sub(steps).filter(|at| *at >= self.begin).map_or("", |at| self.tokens[at].word);
        let class = lexicon::class(before.word);
        match before.shape {
            Shape::Gap | Shape::Break => Some(Modality::Asserted),
            Shape::Sign => {
                let said = (2..=4).any(|steps| is_said(back(steps)) && back(steps + 1) != "i");
                let opens = !matches!(before.word, "'" | "’" | "@" | "#" | "$" | "/" | "&");
                (!said && opens).then_some(Modality::Asserted)
            }
            _ if before.time.is_some() => Some(Modality::Asserted),
            Shape::Entity(_) => {
                let kin = named && (2..=4).any(|steps| matches!(back(steps), "my" | "our"));
                (kin || !named && lexicon::class(back(2)).is(Class::BEFORE_SUBJECT) && self.takes_part_at(at - 1))
                    .then_some(Modality::Asserted)
            }
            Shape::Word if matches!(before.word, "maybe" | "perhaps") => Some(Modality::Possible),
            Shape::Word if class.is(Class::BEFORE_SUBJECT) => Some(Modality::Asserted),
            Shape::Word if class.is(Class::ADVERB) => {
                let opens = at < self.begin + 2 || lexicon::class(back(2)).is(Class::BEFORE_SUBJECT | Class::ADVERB);
                (opens || !self.tokens[at - 2].is_spoken()).then_some(Modality::Asserted)
            }
            // "when I lived in Tokyo"
            Shape::Word if matches!(before.word, "when" | "before" | "after") => {
                let told = matches!(verb::verb(self.word(at + 1)), Some((_, Form::Past)));
                told.then_some(Modality::Asserted)
            }
            Shape::Word if before.word == "wish" => matches!(back(2), "i" | "we").then_some(Modality::Wished),
            Shape::Word if matches!(before.word, "think" | "believe" | "guess") => {
                (matches!(back(2), "i" | "we")).then_some(Modality::Possible)
            }
            Shape::Word if before.word == "that" => {
                let known = matches!(
                    back(2),
                    "mentioned" | "fact" | "know" | "remember" | "note" | "forgot" | "forget" | "now"
                );
                known.then_some(Modality::Asserted)
            }
            Shape::Word if before.word == "you" => (back(2) == "told" && back(3) == "i").then_some(Modality::Asserted),
            Shape::Word if named && lexicon::kin(before.word).is_some() => (2..=1 + LONGEST_KIN)
                .any(|steps| matches!(back(steps), "my" | "our" | "'s"))
                .then_some(Modality::Asserted),
            _ => None,
        }
    }

    /// Whether somebody who takes part has a name that begins so, in small letters.
    pub(super) fn is_participant(&self, lower: &str) -> bool {
        self.participants.iter().any(|one| one.trim().to_lowercase().starts_with(lower))
    }

    fn takes_part_at(&self, at: usize) -> bool {
        matches!(self.tokens[at].shape, Shape::Entity(entity) if self.takes_part(&self.entities[entity].name))
    }

    /// Who owns what follows "my", "our", "your", "his", "her" or "Ana's" at a token, and the token behind that.
    pub(super) fn owner(&self, at: usize) -> Option<Subject> {
        let person = |name: &str| FactEnd { kind: Some(EntityKind::Person), name: name.to_owned() };
        let (end, who, sure, next) = match self.word(at) {
            "my" if !self.author.is_empty() => (self.author(), Who::Author, 1.0, at + 1),
            "our" if !self.author.is_empty() => (self.author(), Who::Author, 0.95, at + 1),
            "your" => (person(self.addressee?), Who::Addressee, 0.8, at + 1),
            "his" | "her" => match self.named.as_slice() {
                [one] => (person(one), Who::Other, 0.75, at + 1),
                _ => return None,
            },
            _ => {
                let owner = self.entity(at, &[EntityKind::Person])?;
                (self.token(at + 1)?.shape == Shape::Possessive).then_some((owner.end, Who::Other, 0.95, at + 2))?
            }
        };
        Some(Subject { end, who, sure, modality: Modality::Asserted, from: at, next })
    }

    /// Adds a fact. Its rule says how it tells (see [`Telling`]) and how sure it is of itself.
    pub(super) fn tell(
        &mut self,
        claim: &Claim,
        telling: Telling,
        relation: Relation,
        object: &Object,
        confidence: f32,
    ) {
        let group = &claim.group;
        let mut modality = group.modality;
        // "I was working at X when ...": whether that is over is not said.
        if telling == Telling::State && group.tense == Tense::Past && claim.form == Form::Ing && !group.over {
            return;
        }
        let event = matches!(telling, Telling::Begins | Telling::Ends | Telling::Resolved);
        if group.negated && (group.tense == Tense::Past || telling == Telling::Ends) || event && group.over {
            return;
        }
        if event && modality == Modality::Asserted && group.tense == Tense::Present && claim.form != Form::Past {
            if claim.form != Form::Ing {
                return;
            }
            modality = Modality::Planned;
        }
        let told = Group { modality, ..*group };
        let validity = self.validity(claim.from, object.next, &told, telling);
        let denied = group.negated != (telling == Telling::Ends);
        let mut sure = confidence * claim.sure;
        // "I have lived in X" may be over; "since" and "for" say that it is not.
        let lasting = validity.from.is_some()
            || (object.next..object.next + 3).any(|at| matches!(self.word(at), "for" | "since"));
        if group.tense == Tense::Perfect
            && telling == Telling::State
            && !lasting
            && !group.negated
            && claim.form != Form::Ing
            && !group.copula
        {
            sure *= 0.6;
        }
        if self.jokes {
            sure *= 0.5;
        }
        let end = validity.end.unwrap_or(0).max(self.tokens[object.next - 1].end);
        let fact = FactMention {
            text: self.tokens[claim.from].start..end,
            subject: claim.subject.clone(),
            relation,
            object: object.end.clone(),
            polarity: if denied { Polarity::Denied } else { Polarity::Affirmed },
            modality,
            valid_from: validity.from,
            valid_until: validity.until,
            confidence: sure,
        };
        self.add(fact);
    }

    pub(super) fn add(&mut self, fact: FactMention) {
        let key = (fact.subject.name.clone(), fact.relation, fact.object.name.clone(), fact.polarity, fact.modality);
        if fact.subject.name == fact.object.name || fact.object.name.is_empty() || !self.seen.insert(key) {
            return;
        }
        self.facts.push(fact);
    }
}

fn is_somebody(name: &str) -> bool {
    !name.is_empty() && !ROLES.contains(&name.to_lowercase().as_str())
}

fn is_said(word: &str) -> bool {
    matches!(
        word,
        "said"
            | "says"
            | "told"
            | "asked"
            | "wrote"
            | "replied"
            | "texted"
            | "goes"
            | "reads"
            | "quote"
            | "claims"
            | "yelled"
            | "like"
    )
}
