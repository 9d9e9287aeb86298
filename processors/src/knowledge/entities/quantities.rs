//! Quantities: amounts with a unit of measure, a currency or a percent sign.
//!
//! Owns: which figures and words make one amount.
//! Never: reads times ("3 hours"), ages and counts of things.

use super::{
    EntityKind,
    finder::{Finder, Found},
    lexicon::Class,
    token::{Shape, Token},
};

/// "3 kg", "15%", "5-10 km", "50 euros", "300k USD".
pub(super) fn quantity_at(finder: &Finder<'_>, at: usize) -> Option<Found> {
    let token = &finder.tokens[at];
    let before = at.checked_sub(1).and_then(|at| finder.tokens.get(at));
    // "v3", "#3" and "2/3" are no amounts of their own.
    let part = before.is_some_and(|before| {
        token.glued && !matches!(before.shape, Shape::Sign('(' | '~' | '*' | '>' | '<' | '"' | '-' | '–' | '+' | '='))
    });
    if part {
        return None;
    }
    let last = range_end(finder, at);
    if is_wholly(finder, at) {
        return None;
    }
    let next = unit_end(finder, last + 1)?;
    Some(finder.found(at, next, EntityKind::Quantity, 0.9))
}

/// "$1,200", "£2.5 million", "$300k".
pub(super) fn money_at(finder: &Finder<'_>, at: usize) -> Option<Found> {
    let number = finder.tokens.get(at + 1).filter(|token| token.shape == Shape::Number && token.glued)?;
    let named = !finder.text[number.start..number.end].starts_with('0') || number.end - number.start > 2;
    // "$1" is as often a parameter; "US$" is a currency too.
    let parameter = number.end - number.start == 1 && finder.tokens[at].glued;
    if !named || parameter {
        return None;
    }
    let next = scale_end(finder, at + 2);
    Some(finder.found(at, next, EntityKind::Quantity, 0.95))
}

/// "ten kilometers".
pub(super) fn spelled_at(finder: &Finder<'_>, at: usize) -> Option<Found> {
    if !finder.tokens[at].class.is(Class::NUMBER) {
        return None;
    }
    let mut next = at + 1;
    while next < at + 4 && finder.tokens.get(next).is_some_and(|token| token.class.is(Class::NUMBER)) {
        next += 1;
    }
    let unit = finder.tokens.get(next).filter(|token| token.class.is(Class::UNIT) && !token.glued)?;
    // "two pounds" is one; "one mg" is not written.
    (unit.end - unit.start > 2).then(|| finder.found(at, next + 1, EntityKind::Quantity, 0.85))
}

/// "I 100% agree".
fn is_wholly(finder: &Finder<'_>, at: usize) -> bool {
    const AGREED: [&str; 7] = ["agree", "sure", "behind", "worth", "true", "right", "certain"];
    let Some(tail) = finder.tokens.get(at + 1..at + 3).filter(|tail| tail[0].is_sign('%')) else { return false };
    finder.spelled(at) == "100" && AGREED.contains(&&finder.text[tail[1].start..tail[1].end])
}

/// The last number of "5-10".
fn range_end(finder: &Finder<'_>, at: usize) -> usize {
    let Some([sign, number]) = finder.tokens.get(at + 1..at + 3) else { return at };
    let range = matches!(sign.shape, Shape::Sign('-' | '–')) && number.shape == Shape::Number;
    if range { at + 2 } else { at }
}

fn scale_end(finder: &Finder<'_>, at: usize) -> usize {
    let Some(token) = finder.tokens.get(at).filter(|token| token.class.is(Class::SCALE)) else { return at };
    let short = token.end - token.start < 3;
    // "$5 m" is not written, "$5m" and "$5 million" are.
    if short == token.glued { at + 1 } else { at }
}

/// The end of the unit that begins at a token.
fn unit_end(finder: &Finder<'_>, at: usize) -> Option<usize> {
    let sign = finder.tokens.get(at)?;
    match sign.shape {
        Shape::Sign('%') => return Some(at + 1),
        Shape::Sign('€' | '£') if sign.glued => return Some(at + 1),
        Shape::Sign('°') => {
            let scale = finder.tokens.get(at + 1).filter(|token| token.glued && token.is_word());
            return scale
                .is_some_and(|token| matches!(finder.text.get(token.start..token.end), Some("C" | "F")))
                .then_some(at + 2);
        }
        // "5-mile".
        Shape::Sign('-') if sign.glued => {
            return finder.tokens.get(at + 1).filter(|token| token.glued && is_unit(finder, token)).map(|_| at + 2);
        }
        _ => {}
    }
    if is_unit(finder, sign) {
        let per = finder.tokens.get(at + 1..at + 3).filter(|tail| tail[0].is_sign('/') && tail[1].glued);
        let rate = per.is_some_and(|tail| matches!(finder.text.get(tail[1].start..tail[1].end), Some("h" | "s")));
        return Some(if rate { at + 3 } else { at + 1 });
    }
    let scaled = scale_end(finder, at);
    (scaled > at && finder.tokens.get(scaled).is_some_and(|token| is_unit(finder, token))).then_some(scaled + 1)
}

fn is_unit(finder: &Finder<'_>, token: &Token) -> bool {
    if !token.is_word() || !token.class.is(Class::UNIT | Class::SIGN_UNIT) {
        return false;
    }
    // "5 G" and "5G" are nets, "5 g" is a mass; "5 Pounds Lane" is an address.
    let spelled = &finder.text[token.start..token.end];
    spelled.len() > 1 || spelled == "g"
}
