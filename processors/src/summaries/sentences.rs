//! Sentences: where they begin and end in a text of any script.
//!
//! Promises: ranges lie on characters, in order, apart from each other, none longer than [`LONGEST`]; a text costs time in
//! proportion to its length, and no more than [`MOST_READ`] bytes of it are looked at.
//! Never: says what a sentence is worth.

use std::ops::Range;

/// What stands behind this in a text has no part in a summary.
pub(super) const MOST_READ: usize = 64 * 1024;

/// The most bytes of a sentence; a longer one is cut at a space.
pub(super) const LONGEST: usize = 320;

/// English abbreviations behind which a full stop ends no sentence, in lower case.
const ABBREVIATIONS: [&str; 18] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "vs", "etc", "approx", "no", "jr", "sr", "fig", "inc", "ca", "bzw", "resp",
    "nr",
];

/// What a sentence is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Running text.
    Prose,
    /// An item of a list.
    Item,
    /// A heading, a quotation, a row of a table, or a block that is marked as code.
    Set,
}

/// A sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Its bytes, without spaces around.
    pub(super) range: Range<usize>,
    /// What it is part of.
    pub(super) part: Part,
}

/// The sentences of a text.
pub(super) fn sentences(text: &str) -> Vec<Span> {
    let text = &text[..text.floor_char_boundary(MOST_READ)];
    let mut spans = Vec::new();
    let mut is_fenced = false;
    let mut paragraph: Option<(Range<usize>, Part)> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let here = start..start + line.len();
        start = here.end;
        let body = line.trim();
        if body.starts_with("```") || body.starts_with("~~~") {
            is_fenced = !is_fenced;
            flush(text, &mut paragraph, &mut spans);
            continue;
        }
        let (part, marker) = match is_fenced {
            true => (Part::Set, 0),
            false => part_of(body),
        };
        // A line that goes on in small letters was only wrapped.
        let goes_on = part == Part::Prose && body.starts_with(char::is_lowercase);
        match &mut paragraph {
            Some((range, of)) if goes_on && *of != Part::Set => range.end = here.end,
            _ => {
                flush(text, &mut paragraph, &mut spans);
                let indent = line.len() - line.trim_start().len();
                if !body.is_empty() {
                    paragraph = Some((here.start + indent + marker..here.end, part));
                }
            }
        }
    }
    flush(text, &mut paragraph, &mut spans);
    spans
}

/// What a line, without spaces around, is part of, and how many bytes of it only mark that.
fn part_of(line: &str) -> (Part, usize) {
    if line.starts_with(['#', '>', '|']) {
        return (Part::Set, 0);
    }
    for bullet in ["- ", "* ", "+ ", "• ", "– ", "· "] {
        if line.starts_with(bullet) {
            return (Part::Item, bullet.len());
        }
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let is_numbered =
        (1..=3).contains(&digits) && (line[digits..].starts_with(". ") || line[digits..].starts_with(") "));
    if is_numbered { (Part::Item, digits + 2) } else { (Part::Prose, 0) }
}

/// Cuts what was gathered into sentences.
fn flush(text: &str, paragraph: &mut Option<(Range<usize>, Part)>, spans: &mut Vec<Span>) {
    let Some((range, part)) = paragraph.take() else { return };
    let mut start = range.start;
    while start < range.end {
        let end = start + end_of_sentence(&text[start..range.end]);
        push(text, start..end, part, spans);
        start = end;
    }
}

/// Where the first sentence of a paragraph ends.
fn end_of_sentence(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if !is_end(c) {
            continue;
        }
        // More marks and what closes them belong to the sentence: "really?!" and "(No.)".
        while characters.next_if(|(_, next)| is_end(*next) || is_closing(*next)).is_some() {}
        let end = characters.peek().map_or(text.len(), |(at, _)| *at);
        let rest = &text[end..];
        let ends = match c {
            '.' => rest.starts_with(char::is_whitespace) && !goes_on(&text[..at], rest.trim_start()),
            '!' | '?' | '…' => !rest.starts_with(char::is_alphanumeric),
            _ => true,
        };
        if ends {
            return end;
        }
    }
    text.len()
}

/// Whether a full stop between these ends no sentence.
fn goes_on(before: &str, after: &str) -> bool {
    let word = before.rsplit(|c: char| !c.is_alphanumeric() && c != '.').next().unwrap_or_default();
    let is_initial = word.chars().count() == 1 && word.chars().all(|c| c.is_uppercase() && c != 'I');
    let is_short = word.len() <= 8 && ABBREVIATIONS.contains(&word.to_lowercase().as_str());
    is_initial
        || is_short
        || word.contains('.') && after.starts_with(|c: char| !c.is_uppercase())
        || after.starts_with(char::is_lowercase)
}

/// Takes a sentence in, in pieces if it is too long.
fn push(text: &str, range: Range<usize>, part: Part, spans: &mut Vec<Span>) {
    let mut rest = trimmed(text, range);
    while rest.len() > LONGEST {
        let most = text.floor_char_boundary(rest.start + LONGEST);
        let piece = &text[rest.start..most];
        let cut = piece.rfind([';', ',', '，', '、', '،']).filter(|cut| *cut > LONGEST / 2);
        let cut = cut.map(|cut| cut + piece[cut..].chars().next().map_or(1, char::len_utf8));
        let cut = cut.or_else(|| piece.rfind(char::is_whitespace)).filter(|cut| *cut > 0).unwrap_or(piece.len());
        spans.push(Span { range: trimmed(text, rest.start..rest.start + cut), part });
        rest = trimmed(text, rest.start + cut..rest.end);
    }
    if !rest.is_empty() {
        spans.push(Span { range: rest, part });
    }
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let piece = &text[range.clone()];
    let start = range.start + piece.len() - piece.trim_start().len();
    start..start.max(range.start + piece.trim_end().len())
}

/// Marks that end sentences, of the scripts that have their own.
fn is_end(c: char) -> bool {
    matches!(
        c,
        '.' | '!'
            | '?'
            | '…'
            | '。'
            | '！'
            | '？'
            | '．'
            | '｡'
            | '।'
            | '॥'
            | '؟'
            | '۔'
            | '։'
            | '።'
            | '፧'
            | '။'
            | '។'
            | '‼'
            | '⁇'
            | '⁈'
            | '⁉'
    )
}

fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»' | '」' | '』' | '）' | '】' | '*' | '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<_> = sentences(text).into_iter().map(|span| text[span.range].to_owned()).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn sentences_end_where_their_script_ends_them() {
        check("I moved. Really?! Yes", &["I moved.", "Really?!", "Yes"]);
        check("Dr. Ada met J. R. at 3.5 km, e.g. there. Then?", &["Dr. Ada met J. R. at 3.5 km, e.g. there.", "Then?"]);
        check("東京に住む。猫がいる！", &["東京に住む。", "猫がいる！"]);
        check("मैं दिल्ली में हूँ। ठीक है।", &["मैं दिल्ली में हूँ।", "ठीक है।"]);
        check("أين أنت؟ هنا۔", &["أين أنت؟", "هنا۔"]);
        check("See example.com/a?b=c now. \"Done.\" Next", &["See example.com/a?b=c now.", "\"Done.\"", "Next"]);
    }

    #[test]
    fn lines_are_joined_where_they_were_only_wrapped() {
        check("We will meet\non Friday.\nBring cake", &["We will meet\non Friday.", "Bring cake"]);
        check("", &[]);
        check(" \n\n . ", &["."]);
    }

    #[test]
    fn lists_and_code_are_told_from_prose() {
        let parts = |text: &str| sentences(text).into_iter().map(|span| span.part).collect::<Vec<_>>();
        assert_eq!(
            parts("Do:\n- one\n2. two\n# Head\n> said"),
            [Part::Prose, Part::Item, Part::Item, Part::Set, Part::Set]
        );
        assert_eq!(parts("```\nlet x = 1;\n```\nSo."), [Part::Set, Part::Prose]);
    }

    proptest! {
        #[test]
        fn no_text_fails(text in ".{0,900}|[a-z. \n]{0,1500}|[日本。、]{0,400}") {
            let mut end = 0;
            for span in sentences(&text) {
                prop_assert!(span.range.start >= end && !span.range.is_empty() && span.range.len() <= LONGEST);
                prop_assert!(text.get(span.range.clone()).is_some());
                end = span.range.end;
            }
        }
    }
}
