//! Proper names of organisations and places that no list knows, told by their form or by the words before them.
//!
//! Owns: names with a telling last or first word ("Brightwater Ltd", "Lake Como"), and what follows "works at".
//! Never: reads headings, where every word has a capital, or takes a name made of ordinary words ("Public Library").

use super::{
    EntityKind,
    finder::{Finder, Found},
    gazetteer,
    lexicon::Class,
    token::{Shape, Token},
};

/// The most tokens of a name.
const LONGEST: usize = 8;

/// A name whose own words tell what it is.
pub(super) fn by_form(finder: &Finder<'_>, at: usize) -> Option<Found> {
    let token = &finder.tokens[at];
    if !token.capital || token.loud {
        return None;
    }
    if token.class.is(Class::DETERMINER) {
        return None;
    }
    if let Some(found) = headed(finder, at).or_else(|| led(finder, at)) {
        return Some(found);
    }
    // The run must begin here: "Community" in "Anna Community Center" begins none.
    let before = finder.before(at).filter(|before| before.capital && !before.class.is(Class::DETERMINER));
    if before.is_some_and(|before| !before.opens) || token.opens && token.class.is(Class::COMMON) {
        return None;
    }
    let end = run_end(finder, at);
    // The last telling word of the run closes the name.
    (at + 1..end).rev().find_map(|last| closed(finder, at, last))
}

fn closed(finder: &Finder<'_>, at: usize, last: usize) -> Option<Found> {
    let class = finder.tokens[last].class;
    let words = || finder.tokens[at..last].iter().filter(|token| token.is_word());
    let own = words().any(|word| {
        word.capital && !word.class.is(Class::COMMON | Class::JOINT | Class::CALENDAR) && word.end - word.start > 1
    });
    // "Chi-Square" is one word.
    if !own || class.is(Class::JOINT) || finder.tokens[last].glued {
        return None;
    }
    if class.is(Class::ORGANISATION) {
        return Some(finder.found(at, last + 1, EntityKind::Organisation, 0.85));
    }
    if class.is(Class::PLACE) {
        return Some(finder.found(at, last + 1, EntityKind::Place, 0.8));
    }
    let certain = class.is(Class::PERHAPS_ORGANISATION) && !finder.tokens[at].opens;
    certain.then(|| finder.found(at, last + 1, EntityKind::Organisation, 0.75))
}

/// Where a run of capitalised words ends, with "of" and "and" inside.
fn run_end(finder: &Finder<'_>, at: usize) -> usize {
    let mut end = at + 1;
    let mut next = at + 1;
    while next < finder.tokens.len().min(at + LONGEST) {
        let token = &finder.tokens[next];
        let abbreviation = token.is_sign('.') && token.glued && finder.spelled(next - 1) == "St";
        if token.is_word() && token.capital && !token.opens {
            end = next + 1;
        } else {
            let joins = token.is_sign('&') || token.is_sign('-') && token.glued || abbreviation || of(finder, next);
            if !joins {
                break;
            }
        }
        next += 1;
    }
    end
}

fn of(finder: &Finder<'_>, at: usize) -> bool {
    matches!(finder.spelled(at), "of" | "and" | "de" | "del" | "la") && finder.tokens[at].is_word()
}

/// "University of Oslo".
fn headed(finder: &Finder<'_>, at: usize) -> Option<Found> {
    if !finder.tokens[at].class.is(Class::HEAD) || finder.tokens.get(at + 1).map(|_| finder.spelled(at + 1))? != "of" {
        return None;
    }
    let mut next = at + 2;
    while finder.tokens.get(next).is_some_and(|token| token.is_word() && token.capital && !token.opens)
        && next < at + LONGEST
    {
        next += 1;
    }
    (next > at + 2).then(|| finder.found(at, next, EntityKind::Organisation, 0.85))
}

/// "Lake Como", "Mount Kenya".
fn led(finder: &Finder<'_>, at: usize) -> Option<Found> {
    if !finder.tokens[at].class.is(Class::PLACE_LEAD) {
        return None;
    }
    let next = run_of_names(finder, at + 1, 2)?;
    Some(finder.found(at, next, EntityKind::Place, 0.85))
}

/// A name of which the words before it tell what it is.
pub(super) fn by_context(finder: &Finder<'_>, at: usize) -> Option<Found> {
    if !finder.is_unexplained_capital(&finder.tokens[at]) || finder.tokens[at].class.is(Class::CALENDAR) {
        return None;
    }
    let kind = kind_before(finder, at)?;
    let end = run_of_names(finder, at, 4)?;
    let known = gazetteer::first_name(&finder.spelled(at).to_lowercase()).is_some();
    // What is written in capitals throughout is as often a term; a known first name is a person's.
    if known || !finder.spelled(at).contains(char::is_lowercase) {
        return None;
    }
    let more = finder.tokens.get(end).is_some_and(|token| token.is_word() && token.capital && !token.opens);
    (!more).then(|| finder.found(at, end, kind, 0.65))
}

fn kind_before(finder: &Finder<'_>, at: usize) -> Option<EntityKind> {
    // An article in between changes nothing: "in the Skellig".
    let article = finder.class_before(at, 1).is(Class::DETERMINER);
    let back = if article { 2 } else { 1 };
    let (near, far) = (finder.class_before(at, back), finder.class_before(at, back + 1));
    let near_is = |word: &str| at.checked_sub(back).is_some_and(|at| finder.spelled(at) == word);
    if near.is(Class::CALLED) {
        let what = far | finder.class_before(at, back + 2);
        return match () {
            () if what.is(Class::FIRM) => Some(EntityKind::Organisation),
            () if what.is(Class::THING) => Some(EntityKind::Product),
            () => None,
        };
    }
    let comma = at > 1 && finder.tokens[at - 1].is_sign(',');
    let firm = comma && finder.class_before(at, 2).is(Class::FIRM) && finder.class_before(at, 3).is(Class::POSSESSOR);
    if firm || near.is(Class::JOINED) || far.is(Class::EMPLOYED) && near_is("at") {
        return Some(EntityKind::Organisation);
    }
    if article {
        return None;
    }
    let dwells = near.is(Class::WHERE) && far.is(Class::DWELLS);
    (dwells || near.is(Class::VISITS)).then_some(EntityKind::Place)
}

/// The end of a run of names, of at most so many words.
fn run_of_names(finder: &Finder<'_>, at: usize, most: usize) -> Option<usize> {
    let mut next = at;
    while next < at + most && finder.tokens.get(next).is_some_and(|token| is_name(finder, next, token)) {
        next += 1;
    }
    let possessive = finder.tokens.get(next).is_some_and(|token| token.shape == Shape::Possessive);
    // "moved to Ana's": somebody's, not somewhere.
    (next > at && !possessive).then_some(next)
}

fn is_name(finder: &Finder<'_>, at: usize, token: &Token) -> bool {
    let class = token.class;
    let tells = class.is(Class::PERHAPS_ORGANISATION | Class::ORGANISATION | Class::PLACE);
    let last = tells && token.capital && !token.opens;
    last || finder.is_unexplained_capital(token) && finder.spelled(at).contains(char::is_lowercase)
}
