//! Tense: whether a sentence looks back or ahead where its time expression does not say.
//!
//! Owns: the choice between the occurrences of something that recurs ("in May", "on Monday", "Christmas").
//! Never: reads further than a few words around the expression, so that long sentences cost no more.

use time::{Date, PrimitiveDateTime};

use super::{
    calendar::Span,
    lexicon::{Tense, Word},
    token::Token,
};

const WORDS_BEFORE: usize = 14;
const WORDS_AFTER: usize = 10;

/// Where a time lies, seen from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Back,
    Ahead,
    Unsaid,
}

/// What the words around the tokens `from..to` say: the nearest verb before them, or else after them, those of the same
/// clause first.
pub(super) fn direction(tokens: &[Token], from: usize, to: usize) -> Direction {
    if tokens[..from].last().is_some_and(|token| token.word == Word::Since) {
        return Direction::Back;
    }
    let clause = clause_direction(tokens, from, to);
    if clause != Direction::Unsaid {
        return clause;
    }
    told(before(tokens, from)).or_else(|| told(after(tokens, to))).map_or(Direction::Unsaid, Direction::of)
}

/// What the words of the same clause say.
pub(super) fn clause_direction(tokens: &[Token], from: usize, to: usize) -> Direction {
    let in_clause = |token: &&Token| !matches!(token.word, Word::Sign(b',' | b';' | b':' | b'('));
    told(before(tokens, from).take_while(in_clause))
        .or_else(|| told(after(tokens, to).take_while(in_clause)))
        .map_or(Direction::Unsaid, Direction::of)
}

impl Direction {
    fn of(tense: Tense) -> Direction {
        match tense {
            Tense::Past => Direction::Back,
            Tense::Future => Direction::Ahead,
        }
    }
}

fn before(tokens: &[Token], from: usize) -> impl Iterator<Item = &Token> {
    tokens[..from].iter().rev().take(WORDS_BEFORE)
}

fn after(tokens: &[Token], to: usize) -> impl Iterator<Item = &Token> {
    tokens[to.min(tokens.len())..].iter().take(WORDS_AFTER)
}

fn told<'t>(tokens: impl Iterator<Item = &'t Token>) -> Option<Tense> {
    tokens
        .take_while(|token| !matches!(token.word, Word::LineBreak | Word::Sign(b'.' | b'!' | b'?')))
        .find_map(|token| if let Word::Tense(tense) = token.word { Some(tense) } else { None })
}

/// Which occurrence of something that comes once a year is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Last,
    This,
    Next,
    /// The sentence's direction decides.
    Said(Direction),
}

/// Years looked at around the message's, nearest first: leap days are up to eight years apart.
const YEARS: [i32; 17] = [0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6, -7, 7, -8, 8];

/// The occurrence that is meant, of something that `in_year` gives for a year.
pub(super) fn of_years(now: PrimitiveDateTime, which: Which, in_year: impl Fn(i32) -> Option<Span>) -> Option<Span> {
    let today = now.date();
    let spans = || YEARS.iter().filter_map(|offset| in_year(now.year().checked_add(*offset)?));
    match which {
        Which::Last => spans().filter(|span| span.end.date() <= today).max_by_key(|span| span.start),
        Which::Next => spans().filter(|span| span.start.date() > today).min_by_key(|span| span.start),
        Which::This => spans().find(|span| span.contains(now)).or_else(|| in_year(now.year())),
        Which::Said(direction) => said(now, direction, spans()),
    }
}

/// How many days away a day and month may be before its tense is taken for another verb's ("we had to move the call on
/// 10 July"): who speaks of a day of almost a year ago says so.
const FAR: i64 = 270;

/// As `of_years`, for dates told by day and month: the nearest where the tense would lead far away.
pub(super) fn near_of_years(
    now: PrimitiveDateTime,
    direction: Direction,
    in_year: impl Fn(i32) -> Option<Span>,
) -> Option<Span> {
    of_years(now, Which::Said(direction), &in_year)
        .filter(|span| distance(now, span) <= FAR)
        .or_else(|| of_years(now, Which::Said(Direction::Unsaid), in_year))
}

/// The latest that has begun, the first that is not over, or the nearest of all.
pub(super) fn said(
    now: PrimitiveDateTime,
    direction: Direction,
    mut spans: impl Iterator<Item = Span>,
) -> Option<Span> {
    match direction {
        Direction::Back => spans.filter(|span| span.start <= now).max_by_key(|span| span.start),
        Direction::Ahead => spans.filter(|span| span.end > now).min_by_key(|span| span.start),
        Direction::Unsaid => spans.by_ref().min_by_key(|span| distance(now, span)),
    }
}

/// Whole days between a moment and a span.
fn distance(now: PrimitiveDateTime, span: &Span) -> i64 {
    let days = |from: Date, to: Date| (to - from).whole_days();
    days(now.date(), span.start.date()).max(days(span.end.date(), now.date())).max(0)
}
