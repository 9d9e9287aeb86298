//! Works and versions: quoted titles beside a word like "reading", and names with a version number.
//!
//! Owns: which quotations are titles, and which numbers are a product's version or model.
//! Never: takes what somebody said for a title.

use super::{
    EntityKind,
    finder::{Finder, Found},
    lexicon::Class,
    token::Shape,
};

/// The most tokens between the marks of a title.
const LONGEST_TITLE: usize = 14;
/// Organisations whose name with more capitals behind it is a product ("Google Tag Manager").
const MAKERS: &[&str] = &[
    "Google",
    "Microsoft",
    "Adobe",
    "Amazon",
    "Apple",
    "Samsung",
    "Sony",
    "Toyota",
    "Honda",
    "Ford",
    "Nintendo",
    "Canon",
    "Nikon",
    "Dell",
    "Garmin",
    "Meta",
    "Facebook",
    "Atlassian",
    "Volkswagen",
    "BMW",
    "Hyundai",
    "Kia",
    "Nissan",
    "Volvo",
];
/// How many tokens before the mark are looked at for a word that speaks of a work.
const REACH: usize = 6;

/// The title in a quotation that begins at a token.
pub(super) fn title_at(finder: &Finder<'_>, at: usize) -> Option<Found> {
    let mark = &finder.tokens[at];
    let closing = |token: &super::token::Token| match mark.shape {
        Shape::Sign('“') => token.is_sign('”'),
        shape => token.shape == shape,
    };
    let first = finder.tokens.get(at + 1).filter(|token| token.glued && token.capital)?;
    let length = finder.tokens[at + 1..].iter().take(LONGEST_TITLE).position(|token| closing(token) && token.glued)?;
    let close = at + 1 + length;
    let inside = &finder.tokens[at + 1..close];
    let titled = inside.iter().all(|token| match token.shape {
        Shape::Word => token.capital || token.class.is(Class::JOINT) || token.end - token.start < 4,
        Shape::Number | Shape::Possessive => true,
        Shape::Sign(sign) => matches!(sign, ':' | '-' | '\'' | '&' | ','),
        _ => false,
    });
    let from = at.saturating_sub(REACH);
    let told = finder.tokens[from..at].iter().any(|token| token.class.is(Class::WORK));
    let told = told
        || finder
            .tokens
            .get(close + 1..close + 3)
            .is_some_and(|tail| finder.text[tail[0].start..tail[0].end] == *"by" && tail[1].capital);
    let length = finder.tokens[close - 1].end - first.start;
    if !titled || !told || length < 2 {
        return None;
    }
    let text = first.start..finder.tokens[close - 1].end;
    let text = text.start..text.start + finder.text[text.clone()].trim_end_matches(',').len();
    Some(Found { next: close + 1, named: text.len(), text, kind: EntityKind::Product, confidence: 0.8 })
}

/// Widens a known product by the version behind it: "Python 3.12", and "iPhone 15" where it takes whole numbers. A
/// whole number is a part of the name, a version is not.
pub(super) fn take_version(finder: &Finder<'_>, found: &mut Found, numbered: bool) {
    let Some((next, whole)) = version_end(finder, found.next) else { return };
    if whole && !numbered {
        return;
    }
    found.text.end = finder.tokens[next - 1].end;
    if whole {
        found.named = found.text.len();
    }
    found.next = next;
}

/// A maker's name with the name of what it made.
pub(super) fn model_of(finder: &Finder<'_>, at: usize, next: usize) -> Option<Found> {
    if next != at + 1 || finder.tokens[at].loud || !MAKERS.contains(&finder.spelled(at)) {
        return None;
    }
    let mut end = next;
    while end < next + 3 && finder.tokens.get(end).is_some_and(|token| token.is_word() && token.capital && !token.opens)
    {
        end += 1;
    }
    // "Google CEO": what is in capitals throughout is rather a role or a term.
    let named = end > next && finder.spelled(next).contains(char::is_lowercase);
    named.then(|| finder.found(at, end, EntityKind::Product, 0.7))
}

/// An unknown name with a version of three numbers: "serde 1.0.219".
pub(super) fn versioned(finder: &Finder<'_>, at: usize) -> Option<Found> {
    let token = &finder.tokens[at];
    let number = finder.tokens.get(at + 1).filter(|token| token.shape == Shape::Number && !token.glued)?;
    let three = finder.text[number.start..number.end].matches('.').count() == 2;
    let plain = !token.class.is(Class::COMMON | Class::CODE_WORD | Class::CALENDAR) && token.end - token.start > 2;
    if !three || !plain || finder.text[number.start..number.end].contains(',') {
        return None;
    }
    let mut found = finder.found(at, at + 1, EntityKind::Product, 0.6);
    take_version(finder, &mut found, false);
    Some(found)
}

/// The end of a version, and whether it is a whole number.
fn version_end(finder: &Finder<'_>, at: usize) -> Option<(usize, bool)> {
    let token = finder.tokens.get(at).filter(|token| !token.glued)?;
    let spelled = &finder.text[token.start..token.end];
    if token.shape == Shape::Number {
        let versioned = spelled.contains('.') && !spelled.contains(',');
        let follower = finder.tokens.get(at + 1);
        let unit = follower.is_some_and(|token| {
            token.glued && !matches!(token.shape, Shape::Sign(_) | Shape::Break)
                || token.is_sign('%')
                || token.class.is(Class::UNIT | Class::SIGN_UNIT)
        });
        let counts = !versioned && (spelled.len() > 2 || spelled.contains(','));
        return (!unit && !counts).then_some((at + 1, !versioned));
    }
    // "v2" is one word, "v2.1" a word and a number.
    let figures = spelled.strip_prefix('v')?;
    if figures.is_empty() || !figures.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut next = at + 1;
    while finder
        .tokens
        .get(next..next + 2)
        .is_some_and(|tail| tail[0].is_sign('.') && tail[0].glued && tail[1].glued && tail[1].shape == Shape::Number)
    {
        next += 2;
    }
    Some((next, false))
}
