//! Found: what of a model's notes stands in the text.
//!
//! Owns: looking names, subjects, objects and times up in the words of a message, and giving each the place where it stands.
//! Promises: what is not there is left out, and so are kinds and relations that the house does not know. Where the patterns found
//! the same, in other words or of another extent, it is told in their words, so that it is one name and one fact.
//! Never: takes a pronoun for a name, or a note of one message for another.

use std::ops::Range;

use super::{
    super::{
        entities::{EntityKind, EntityMention, normalised},
        facts::{FactEnd, FactMention, Modality, Polarity, Relation},
        stage::{Found, Words},
    },
    MOST_SURE,
    answer::{Named, Stated},
};
use crate::{Facets, Micros, message::Message};

/// The longest name or phrase that is taken, in bytes.
const LONGEST: usize = 120;
/// Words by which the author means himself or herself.
const AUTHOR: [&str; 12] =
    ["author", "the author", "user", "the user", "i", "me", "my", "myself", "mine", "we", "our", "us"];
/// Words that name nobody by themselves.
const PRONOUNS: [&str; 20] = [
    "he", "him", "his", "she", "her", "hers", "they", "them", "their", "it", "its", "you", "your", "this", "that",
    "these", "those", "someone", "somebody", "everyone",
];

/// A passage of a message in which notes are looked up.
pub(super) struct Passage<'a> {
    text: &'a str,
    /// Where it stands in the message.
    start: usize,
    /// The text in small letters, with single spaces and plain quotation marks.
    folded: String,
    /// For each byte of `folded` where its letter begins in the text; and the text's end.
    places: Vec<usize>,
    /// Who says it, and when.
    author: &'a str,
    sent_at: Micros,
    words: Words,
    patterns: &'a Found,
}

impl<'a> Passage<'a> {
    pub(super) fn new(message: &'a Message<'_>, range: Range<usize>, patterns: &'a Found) -> Self {
        let Facets { author, role, sent_at, .. } = &message.facets;
        let text = &message.text[range.clone()];
        let (folded, places) = folded(text);
        Self { text, start: range.start, folded, places, author, sent_at: *sent_at, words: Words::of(role), patterns }
    }

    /// The mention that a note names, if it is there.
    pub(super) fn mention(&self, named: &Named) -> Option<EntityMention> {
        let kind = kind(&named.kind)?;
        if !self.words.name || is_one_of(&AUTHOR, &named.name) || is_one_of(&PRONOUNS, &named.name) {
            return None;
        }
        let range = self.name(&named.name, None)?;
        let known = self.patterns.mentions.iter().find(|mention| overlap(&mention.text, &range));
        Some(match known {
            Some(known) => EntityMention { confidence: MOST_SURE.min(known.confidence), ..known.clone() },
            None => {
                let name = self.said(&range);
                EntityMention { text: range, kind, name, confidence: MOST_SURE }
            }
        })
    }

    /// The fact that a note states, if its subject and its object are there.
    pub(super) fn fact(&self, stated: &Stated) -> Option<FactMention> {
        if !self.words.state {
            return None;
        }
        let relation = Relation::parse(&stated.relation.to_lowercase().replace(['_', ' '], "-"))?;
        let polarity = match stated.polarity.to_lowercase().as_str() {
            "" | "affirmed" => Polarity::Affirmed,
            "denied" => Polarity::Denied,
            _ => return None,
        };
        let modality = match stated.modality.to_lowercase().as_str() {
            "" | "asserted" => Modality::Asserted,
            "planned" => Modality::Planned,
            "wished" => Modality::Wished,
            "possible" => Modality::Possible,
            _ => return None,
        };
        let quote = self.find(&stated.quote, None);
        let subject = self.subject(stated, quote.as_ref())?;
        if is_one_of(&PRONOUNS, &stated.object) || is_one_of(&AUTHOR, &stated.object) {
            return None;
        }
        let place = self.name(&stated.object, quote.as_ref())?;
        let object = self.end(&place, &stated.object_kind);
        if same(&subject.name, &object.name) {
            return None;
        }
        let text = quote.map_or(place.clone(), |quote| quote.start.min(place.start)..quote.end.max(place.end));
        let (since, until) = (self.time(&stated.since), self.time(&stated.until));
        let until = until.map(|(_, end)| end);
        let over = stated.is_over.then_some(self.sent_at);
        let found = FactMention {
            text,
            subject,
            relation,
            object,
            polarity,
            modality,
            valid_from: since.map(|(start, _)| start),
            valid_until: over.map_or(until, |over| Some(until.unwrap_or(over).min(over))),
            confidence: sure(stated.confidence),
        };
        Some(self.in_words_of_patterns(found))
    }

    /// Whom or what a fact is about: the author, or a name in the text.
    fn subject(&self, stated: &Stated, quote: Option<&Range<usize>>) -> Option<FactEnd> {
        let name = stated.subject.as_str();
        if is_one_of(&AUTHOR, name) || same(name, self.author) {
            return Some(FactEnd { kind: Some(EntityKind::Person), name: self.author.to_owned() });
        }
        if is_one_of(&PRONOUNS, name) {
            return None;
        }
        Some(self.end(&self.name(name, quote)?, &stated.subject_kind))
    }

    /// What stands at a place, as an end of a fact: the patterns' name for it, if they know it for just this.
    fn end(&self, range: &Range<usize>, kind_name: &str) -> FactEnd {
        let name = self.said(range);
        let known = self.patterns.mentions.iter().filter(|mention| overlap(&mention.text, range));
        match known.into_iter().find(|mention| same(&mention.name, &name)) {
            Some(known) => FactEnd { kind: Some(known.kind), name: known.name.clone() },
            None => FactEnd { kind: kind(kind_name), name },
        }
    }

    /// The same fact as the patterns told it, where they found it too: with an object that is a part of this one or the reverse.
    fn in_words_of_patterns(&self, found: FactMention) -> FactMention {
        let tells = |known: &&FactMention| {
            known.relation == found.relation
                && known.polarity == found.polarity
                && same(&known.subject.name, &found.subject.name)
                && overlap(&known.text, &found.text)
        };
        let told = || self.patterns.facts.iter().filter(tells);
        let known = told()
            .find(|known| same(&known.object.name, &found.object.name))
            .or_else(|| told().find(|known| is_part(&known.object.name, &found.object.name)));
        match known {
            Some(known) => FactMention { confidence: found.confidence.min(MOST_SURE), ..known.clone() },
            None => found,
        }
    }

    /// The period that words name, if the text has them and they name one.
    fn time(&self, words: &str) -> Option<(Micros, Micros)> {
        let range = self.find(words, None)?;
        let time = self.patterns.times.iter().find(|time| overlap(&time.text, &range))?;
        Some((time.start, time.end))
    }

    /// Where a name or phrase stands in the message; what is longer than one can be is none.
    fn name(&self, name: &str, near: Option<&Range<usize>>) -> Option<Range<usize>> {
        self.find(name, near).filter(|_| name.len() <= LONGEST)
    }

    /// Where words stand in the message: within `near`, or else first.
    fn find(&self, words: &str, near: Option<&Range<usize>>) -> Option<Range<usize>> {
        let (wanted, _) =
            folded(words.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '“' | '”')));
        if wanted.is_empty() {
            return None;
        }
        let mut first = None;
        for (at, _) in self.folded.match_indices(wanted.as_str()) {
            let end = at + wanted.len();
            if !self.is_whole(at, end) {
                continue;
            }
            let range = self.start + self.places[at]..self.start + self.places[end];
            if near.is_none_or(|near| near.start <= range.start && range.end <= near.end) {
                return Some(range);
            }
            first.get_or_insert(range);
        }
        first
    }

    /// Whether no word is cut at the ends of a place in `folded`.
    fn is_whole(&self, start: usize, end: usize) -> bool {
        let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        let cuts = |place: usize| {
            is_letter(self.folded[..place].chars().next_back()) && is_letter(self.folded[place..].chars().next())
        };
        !cuts(start) && !cuts(end)
    }

    /// The words at a place of the message, with single spaces.
    fn said(&self, range: &Range<usize>) -> String {
        let text = &self.text[range.start - self.start..range.end - self.start];
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The mentions in order, each place once; of two that overlap the longer.
pub(super) fn in_order(mut mentions: Vec<EntityMention>) -> Vec<EntityMention> {
    mentions.sort_by_key(|mention| (mention.text.start, std::cmp::Reverse(mention.text.end)));
    let mut kept: Vec<EntityMention> = Vec::new();
    for mention in mentions {
        if kept.last().is_none_or(|last| last.text.end <= mention.text.start) {
            kept.push(mention);
        }
    }
    kept
}

/// The facts in the order of their places, each once.
pub(super) fn each_once(mut facts: Vec<FactMention>) -> Vec<FactMention> {
    facts.sort_by_key(|fact| (fact.text.start, fact.text.end));
    let mut kept: Vec<FactMention> = Vec::new();
    for fact in facts {
        let is_again = |other: &FactMention| {
            (other.relation, other.polarity) == (fact.relation, fact.polarity)
                && same(&other.subject.name, &fact.subject.name)
                && same(&other.object.name, &fact.object.name)
        };
        if !kept.iter().any(is_again) {
            kept.push(fact);
        }
    }
    kept
}

fn kind(name: &str) -> Option<EntityKind> {
    match name.to_lowercase().replace(['_', ' '], "-").as_str() {
        "organization" | "company" => Some(EntityKind::Organisation),
        "location" | "city" | "country" => Some(EntityKind::Place),
        name => EntityKind::named(name),
    }
}

/// How sure a model says that it is, as far as it is believed.
fn sure(said: Option<f32>) -> f32 {
    match said {
        Some(share) if share <= 1.0 => share.min(MOST_SURE),
        Some(percent) if percent <= 100.0 => (percent / 100.0).min(MOST_SURE),
        _ => MOST_SURE,
    }
}

fn is_one_of(words: &[&str], name: &str) -> bool {
    words.contains(&name.trim().to_lowercase().as_str())
}

/// Whether two names are one but for case, accents and punctuation.
fn same(one: &str, other: &str) -> bool {
    let key = |name: &str| normalised(EntityKind::Topic, name);
    one == other || (!key(one).is_empty() && key(one) == key(other))
}

/// Whether one is the other without some of its first or last words.
fn is_part(one: &str, other: &str) -> bool {
    let (one, other) = (normalised(EntityKind::Topic, one), normalised(EntityKind::Topic, other));
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    !short.is_empty() && (long.starts_with(&format!("{short} ")) || long.ends_with(&format!(" {short}")))
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// A text in small letters with single spaces and plain quotation marks, and where each byte of that is from.
fn folded(text: &str) -> (String, Vec<usize>) {
    let (mut folded, mut places) = (String::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
    for (at, letter) in text.char_indices() {
        let before = folded.len();
        match letter {
            _ if letter.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            '‘' | '’' => folded.push('\''),
            '“' | '”' => folded.push('"'),
            _ => folded.extend(letter.to_lowercase()),
        }
        places.resize(places.len() + folded.len() - before, at);
    }
    places.push(text.len());
    (folded, places)
}

#[cfg(test)]
mod tests {
    use meshlog_pipeline::StoredEvent;
    use meshlog_schemas::{Event, MessageAccepted};
    use proptest::prelude::*;

    use super::{super::answer::Notes, *};
    use crate::testing::{message, stored};

    const SENT_AT: Micros = 1_714_554_000_000_000;

    fn said(role: &str, text: &str) -> StoredEvent {
        let Event::MessageAccepted(body) = message("s", "t", "Mina", text) else { panic!("a message") };
        stored(0, Event::MessageAccepted(MessageAccepted { role: role.into(), sent_at: SENT_AT, ..body }))
    }

    /// What is believed of an answer about a text, in words.
    fn believed(role: &str, text: &str, answer: &str) -> (Vec<String>, Vec<String>) {
        let event = said(role, text);
        let message = Message::of(&event).unwrap();
        let patterns = Found::of(&message);
        let passage = Passage::new(&message, 0..message.text.len(), &patterns);
        let notes = Notes::read(answer).unwrap();
        let mentions = in_order(notes.names.iter().filter_map(|named| passage.mention(named)).collect());
        let facts = each_once(notes.facts.iter().filter_map(|stated| passage.fact(stated)).collect());
        let mentions = mentions.iter().map(|mention| {
            assert!(text.get(mention.text.clone()).is_some());
            format!("{} {}", mention.kind.name(), mention.name)
        });
        let facts = facts.iter().map(|fact| {
            let words = text.get(fact.text.clone()).unwrap();
            format!("{} {} {} | {words}", fact.subject.name, fact.relation.name(), fact.object.name)
        });
        (mentions.collect(), facts.collect())
    }

    fn fact(subject: &str, relation: &str, object: &str, more: &str) -> String {
        format!(
            r#"{{"subject": "{subject}", "relation": "{relation}", "object": "{object}", "object_kind": "none"{more}}}"#
        )
    }

    #[test]
    fn what_stands_in_the_text_is_found_there_whatever_its_case_and_spaces() {
        let text = "At  work: the\nKLUB  für Pilze took me in.";
        let quote = r#", "quote": "the klub für pilze took me in""#;
        let answer = [
            r#"{"name": "Klub für Pilze", "kind": "organization"}"#,
            &fact("author", "member_of", "klub für pilze", quote),
        ];
        let (mentions, facts) = believed("user", text, &answer.concat());
        assert_eq!(mentions, ["organisation KLUB für Pilze"]);
        assert_eq!(facts, ["Mina member-of KLUB für Pilze | the\nKLUB  für Pilze took me in"]);
    }

    #[test]
    fn what_is_not_in_the_text_is_nobodys_name_and_no_fact() {
        let text = "My neighbour Tova breeds llamas; she lives near the station.";
        let invented = [
            fact("author", "owns", "alpacas", ""),
            fact("Nadia", "owns", "llamas", ""),
            fact("she", "lives-in", "the station", ""),
            fact("Tova", "breeds", "llamas", ""),
            fact("Tova", "owns", "llama", ""),
            fact("Tova", "owns", "it", ""),
            fact("Tova", "owns", "Tova", ""),
            fact("Tova", "owns", "", ""),
            fact("Tova", "owns", "llamas", r#", "modality": "dreamt""#),
            r#"{"name": "Nadia", "kind": "person"}{"name": "she", "kind": "person"}{"name": "Tova", "kind": "wizard"}"#
                .to_owned(),
        ];
        assert_eq!(believed("user", text, &invented.concat()), (vec![], vec![]));
        let (_, facts) = believed("user", text, &fact("Tova", "owns", "llamas", r#", "quote": "Tova has llamas""#));
        assert_eq!(facts, ["Tova owns llamas | llamas"], "of a quote that is wrong the object is shown");
        let (_, facts) = believed("assistant", text, &fact("Tova", "owns", "llamas", ""));
        assert!(facts.is_empty(), "what an assistant says is no fact");
    }

    #[test]
    fn what_the_patterns_found_too_is_told_in_their_words() {
        let text = "I moved to Oslo last week and I love hiking.";
        let answer = [
            fact("author", "lives-in", "oslo", r#", "quote": "I moved to Oslo", "confidence": 1"#),
            fact("Mina", "likes", "love hiking", ""),
            r#"{"name": "oslo", "kind": "organisation"}"#.to_owned(),
        ];
        let event = said("user", text);
        let message = Message::of(&event).unwrap();
        let patterns = Found::of(&message);
        let (mentions, facts) = believed("user", text, &answer.concat());
        assert_eq!(mentions, ["place Oslo"]);
        let of_patterns: Vec<_> = patterns.facts.iter().map(|fact| fact.object.name.as_str()).collect();
        assert_eq!(of_patterns, ["Oslo", "hiking"]);
        assert!(facts[0].starts_with("Mina lives-in Oslo") && facts[1].starts_with("Mina likes hiking"), "{facts:?}");
    }

    #[test]
    fn times_are_those_that_the_words_name_and_no_model_is_surer_than_the_bound() {
        let event = said("user", "Tova kept llamas until 2019, and since May 2021 goats.");
        let message = Message::of(&event).unwrap();
        let patterns = Found::of(&message);
        let passage = Passage::new(&message, 0..message.text.len(), &patterns);
        let read = |answer: String| passage.fact(&Notes::read(&answer).unwrap().facts[0]).unwrap();
        let goats =
            read(fact("Tova", "owns", "goats", r#", "since": "May 2021", "until": "2030-01-01", "confidence": 1.0"#));
        assert_eq!((goats.valid_from, goats.valid_until), (Some(1_619_827_200_000_000), None));
        assert!((goats.confidence - MOST_SURE).abs() < 1e-6);
        let llamas =
            read(fact("Tova", "owns", "llamas", r#", "until": "until 2019", "is_over": true, "confidence": "45%""#));
        assert!(llamas.valid_until.is_some_and(|until| until < SENT_AT) && (llamas.confidence - 0.45).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn anything_is_looked_up_in_any_text(text in "(İ|ß|ﬁ|a|A| |\n|Oslo|I live in|“|’|\u{301}){0,40}", words in "(İ|i|ß|ﬁ|a| |\n|oslo|\"|'|\u{301}){0,12}") {
            let event = said("user", &text);
            let message = Message::of(&event).unwrap();
            let patterns = Found::of(&message);
            let passage = Passage::new(&message, 0..text.len(), &patterns);
            if let Some(range) = passage.find(&words, None) {
                prop_assert!(text.get(range).is_some());
            }
            let answer = fact("author", "likes", "oslo", "");
            let _ = passage.fact(&Notes::read(&answer).unwrap().facts[0]);
        }
    }
}
