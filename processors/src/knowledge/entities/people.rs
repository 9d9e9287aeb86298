//! People: names of those who take part, first names, and names told by a title or by kin.
//!
//! Owns: where a person's name begins and ends, and what a name that is a common word needs to count.
//! Never: takes a role ("Mom", "the President") for a name.

use super::{
    EntityKind, Speaker,
    finder::{Finder, Found},
    gazetteer,
    lexicon::Class,
    token::Shape,
};

/// The most words that follow a first name.
const MOST_SURNAMES: usize = 3;

/// What is named like people, and is none.
const STORMS: [&str; 5] = ["Hurricane", "Typhoon", "Storm", "Cyclone", "Fort"];

/// Somebody who takes part in the conversation.
#[derive(Debug)]
pub(super) struct Participant {
    words: Vec<String>,
    /// Whether the first word is also a common one, and small letters or the start of a sentence tell nothing.
    common: bool,
}

/// The participants whose names are names.
pub(super) fn participants(speaker: &Speaker) -> Vec<Participant> {
    let names = std::iter::once(&speaker.author).chain(&speaker.participants);
    names.filter_map(|name| participant(name)).collect()
}

fn participant(name: &str) -> Option<Participant> {
    const ROLES: &[&str] = &["user", "assistant", "system", "bot", "human", "ai", "tool", "me", "you", "unknown"];
    let words: Vec<String> = name.split_whitespace().map(str::to_lowercase).collect();
    let first = words.first()?;
    if first.chars().count() < 2 || ROLES.contains(&first.as_str()) {
        return None;
    }
    let common = gazetteer::first_name(first).unwrap_or(false) || super::lexicon::class(first).is(Class::COMMON);
    Some(Participant { words, common })
}

/// The name of a participant, whole, its first word alone, or the beginning of that ("Mel").
pub(super) fn participant_at(finder: &Finder<'_>, at: usize) -> Option<Found> {
    let token = &finder.tokens[at];
    if !token.capital && !finder.small {
        return None;
    }
    let here = finder.spelled(at).to_lowercase();
    let mut best: Option<Found> = None;
    for participant in &finder.participants {
        let first = &participant.words[0];
        if *first != here {
            continue;
        }
        let rest = &participant.words[1..];
        let whole = rest.iter().enumerate().all(|(step, word)| {
            finder
                .tokens
                .get(at + 1 + step)
                .is_some_and(|token| token.is_word() && finder.text[token.start..token.end].to_lowercase() == *word)
        });
        let in_full = whole && !rest.is_empty();
        if participant.common && !in_full && !is_meant(finder, at, at + 1) {
            continue;
        }
        let next = if whole { at + participant.words.len() } else { with_surnames(finder, at + 1) };
        if best.as_ref().is_none_or(|best| best.next < next) {
            best = Some(finder.found(at, next, EntityKind::Person, 0.95));
        }
    }
    best.or_else(|| nickname(finder, at, &here))
}

fn nickname(finder: &Finder<'_>, at: usize, here: &str) -> Option<Found> {
    let token = &finder.tokens[at];
    if here.len() < 3 || token.class.is(Class::COMMON) || token.loud || !token.capital {
        return None;
    }
    let short = finder.participants.iter().any(|one| one.words[0].len() > here.len() && one.words[0].starts_with(here));
    let addressed = is_addressed(finder, at);
    (short && (addressed || !token.opens)).then(|| finder.found(at, at + 1, EntityKind::Person, 0.8))
}

/// A first name with what belongs to it, or a name behind a title or kin.
pub(super) fn person_at(finder: &Finder<'_>, at: usize) -> Option<Found> {
    let token = &finder.tokens[at];
    if !token.capital {
        return None;
    }
    if finder.before(at).is_some_and(|before| STORMS.contains(&&finder.text[before.start..before.end])) {
        return None;
    }
    let titled = has_title(finder, at);
    let kin = has_kin(finder, at);
    let name = first_name(finder, at);
    let Some((next, ambiguous)) = name else {
        // No known name: a title or kin must vouch for it.
        let plain = !token.class.is(Class::COMMON) && !token.loud && is_spelled_as_name(finder.spelled(at));
        if !plain || !(titled || kin || is_called(finder, at)) || finder.spelled(at).len() < 2 {
            return None;
        }
        let confidence = if titled { 0.9 } else { 0.8 };
        return Some(finder.found(at, with_surnames(finder, at + 1), EntityKind::Person, confidence));
    };
    if token.loud && ambiguous {
        return None;
    }
    if ambiguous && !(titled || kin || is_called(finder, at) || is_meant(finder, at, next)) {
        return None;
    }
    let next = if token.loud { next } else { with_surnames(finder, next) };
    let confidence = if ambiguous && !kin { 0.7 } else { 0.85 };
    Some(finder.found(at, next, EntityKind::Person, confidence))
}

/// The end of a first name, with a second one behind a dash, and whether it is a common word too.
fn first_name(finder: &Finder<'_>, at: usize) -> Option<(usize, bool)> {
    let ambiguous = gazetteer::first_name(&finder.spelled(at).to_lowercase())?;
    if !is_spelled_as_name(finder.spelled(at)) {
        return None;
    }
    let tail = finder.tokens.get(at + 1..at + 3).filter(|tail| tail[0].is_sign('-') && tail[0].glued);
    Some(match tail {
        Some(tail) if tail[1].glued && tail[1].capital => (at + 3, false),
        // "Rose-coloured" is no Rose.
        Some(_) if ambiguous => return None,
        _ => (at + 1, ambiguous),
    })
}

/// "Ana", not "ANA" or "AnaView".
fn is_spelled_as_name(word: &str) -> bool {
    word.chars().skip(1).any(char::is_lowercase) && !word.contains(|sign: char| sign.is_ascii_digit())
}

/// The end of a name whose first part ends before `next`.
fn with_surnames(finder: &Finder<'_>, mut next: usize) -> usize {
    let mut words = 0;
    while words < MOST_SURNAMES {
        let Some(token) = finder.tokens.get(next) else { break };
        let spelled = finder.spelled(next);
        let dashed = token.is_sign('-') && token.glued;
        if dashed && finder.tokens.get(next + 1).is_some_and(|token| token.glued && token.capital) {
            next += 2;
            continue;
        }
        // "J." and its stop.
        let initial = token.capital && !token.glued && spelled.len() == 1 && spelled != "I";
        if initial && finder.tokens.get(next + 1).is_some_and(|token| token.is_sign('.') && token.glued) {
            if !finder.tokens.get(next + 2).is_some_and(|token| finder.is_unexplained_capital(token)) {
                break;
            }
            next += 2;
            continue;
        }
        let joint = matches!(spelled, "de" | "van" | "von" | "del" | "bin" | "al" | "della" | "di");
        let joint = joint && finder.tokens.get(next + 1).is_some_and(|token| finder.is_unexplained_capital(token));
        if joint && !token.glued {
            next += 1;
            continue;
        }
        let belongs = finder.is_unexplained_capital(token) && !token.glued && is_spelled_as_name(spelled);
        if !belongs || token.class.is(Class::CALENDAR) {
            break;
        }
        next += 1;
        words += 1;
    }
    next
}

/// Whether a name that is a common word is meant as a name here.
fn is_meant(finder: &Finder<'_>, at: usize, next: usize) -> bool {
    let token = &finder.tokens[at];
    if !token.capital || token.loud {
        return false;
    }
    let follower = finder.tokens.get(next);
    let acts = follower.is_some_and(|token| token.class.is(Class::HUMAN_VERB) && !token.capital);
    if token.opens {
        let surname = follower.is_some_and(|token| finder.is_unexplained_capital(token) && !token.glued);
        return acts || surname;
    }
    if token.class.is(Class::CALENDAR) {
        let met = finder.before(at).is_some_and(|before| before.class.is(Class::HUMAN_VERB | Class::GREETING));
        return acts || met;
    }
    let before = finder.before(at);
    let governed = before.is_some_and(|before| before.class.is(Class::DETERMINER | Class::POSSESSOR));
    let inside = before.is_some_and(|before| before.capital && !before.opens && before.end - before.start > 1);
    let runs_on = follower.is_some_and(|token| token.is_word() && token.capital && token.class.is(Class::COMMON));
    !governed && !inside && !runs_on
}

/// Whether somebody is spoken to, or does what people do, by a word that may also be a place.
pub(super) fn is_addressed_or_acts(finder: &Finder<'_>, at: usize) -> bool {
    let acts = finder.tokens.get(at + 1).is_some_and(|token| token.class.is(Class::HUMAN_VERB));
    acts || has_kin(finder, at) || has_title(finder, at) || is_addressed(finder, at)
}

fn is_addressed(finder: &Finder<'_>, at: usize) -> bool {
    let greeted = finder.class_before(at, 1).is(Class::GREETING);
    let parted = at > 0 && finder.tokens[at - 1].is_sign(',') && finder.class_before(at, 2).is(Class::GREETING);
    let opens = finder.tokens[at].opens && finder.tokens.get(at + 1).is_some_and(|token| token.is_sign(','));
    greeted || parted || opens
}

fn has_title(finder: &Finder<'_>, at: usize) -> bool {
    let stop = at > 0 && finder.tokens[at - 1].is_sign('.');
    let back = if stop { 2 } else { 1 };
    let Some(title) = at.checked_sub(back).and_then(|at| finder.tokens.get(at)) else { return false };
    title.class.is(Class::TITLE) && title.capital && !finder.tokens[at].glued
}

/// "my sister Ana", "my coach, Henrik".
fn has_kin(finder: &Finder<'_>, at: usize) -> bool {
    let comma = at > 0 && finder.tokens[at - 1].is_sign(',');
    let back = if comma { 2 } else { 1 };
    if !finder.class_before(at, back).is(Class::KIN) {
        return false;
    }
    // "my best friend Ana", "our old dog Rex".
    let owned = (1..=3).any(|step| {
        let owner = finder.class_before(at, back + step);
        let genitive = at.checked_sub(back + step).is_some_and(|at| finder.tokens[at].shape == Shape::Possessive);
        owner.is(Class::POSSESSOR) || genitive
    });
    // Behind a comma a list can go on; only a name that a comma closes again stands beside what it names.
    let closed = finder.tokens.get(at + 1).is_some_and(|token| matches!(token.shape, Shape::Sign(',' | '.')));
    owned && (!comma || closed)
}

/// "a guy called Anselm", "my name is Farid".
fn is_called(finder: &Finder<'_>, at: usize) -> bool {
    let called = finder.class_before(at, 1).is(Class::CALLED) && {
        let who = finder.class_before(at, 2) | finder.class_before(at, 3);
        who.is(Class::BEING | Class::KIN) && !who.is(Class::FIRM | Class::THING)
    };
    let back = |back: usize| at.checked_sub(back).map_or("", |at| finder.spelled(at));
    called || back(1) == "is" && back(2) == "name"
}
