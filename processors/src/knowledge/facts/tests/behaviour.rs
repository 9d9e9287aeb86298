//! What the table cannot show: times, clauses, confidence, other speakers, and texts of great length.

use super::{
    super::{ANSWERS_FROM, EntityKind, FactMention, Relation},
    found, micros, shown, speaker,
};
use crate::knowledge::entities::Speaker;

/// The facts of a text said on 12 June 2024.
fn told(text: &str) -> Vec<FactMention> {
    found(text, &speaker(), micros("2024-06-12T10:00:00Z"))
}

#[track_caller]
fn check_times(text: &str, from: Option<&str>, until: Option<&str>) {
    let facts = told(text);
    let times: Vec<_> = facts.iter().map(|fact| (fact.valid_from, fact.valid_until)).collect();
    assert_eq!(times, [(from.map(micros), until.map(micros))], "{text}");
}

#[test]
fn a_fact_holds_since_when_its_words_say() {
    check_times("I live in Oslo.", None, None);
    check_times("I moved to Oslo in May 2023.", Some("2023-05-01"), None);
    check_times("In May 2023, I moved to Oslo.", Some("2023-05-01"), None);
    check_times("I've lived in Oslo since 2016.", Some("2016-01-01"), None);
    check_times("I left Google in March 2024.", Some("2024-03-01"), None);
    check_times("I'll start at Siemens in September 2024.", Some("2024-09-01"), None);
    check_times("I joined Microsoft yesterday.", Some("2024-06-11"), None);
}

#[test]
fn what_is_over_ended_when_its_words_say_or_when_it_was_told() {
    check_times("I worked at Volvo until 2019.", None, Some("2020-01-01"));
    check_times("I worked at Volvo in 2018.", Some("2018-01-01"), Some("2019-01-01"));
    check_times("I used to live in Paris.", None, Some("2024-06-12T10:00:00Z"));
    check_times("I was a nurse.", None, Some("2024-06-12T10:00:00Z"));
}

#[test]
fn the_present_takes_no_time_from_a_weekday() {
    check_times("I work at Siemens on Mondays.", None, None);
    check_times("Today I live in Oslo.", None, None);
}

#[test]
fn the_clause_reaches_from_its_subject_to_its_time() {
    let clause = |text: &'static str| told(text).into_iter().map(|fact| &text[fact.text]).collect::<Vec<_>>();
    assert_eq!(clause("Well, I moved to Oslo last year, which is nice."), ["I moved to Oslo last year"]);
    assert_eq!(clause("Hi! My sister Ana lives in Hamburg now."), ["My sister Ana", "Ana lives in Hamburg"]);
    assert_eq!(clause("I live in Oslo and work at Siemens."), ["I live in Oslo", "work at Siemens"]);
}

#[test]
fn ends_have_a_kind_where_they_are_entities() {
    let fact = told("I live in  New  York.").remove(0);
    assert_eq!((fact.object.kind, fact.object.name.as_str()), (Some(EntityKind::Place), "New York"));
    let fact = told("I'm a software  engineer.").remove(0);
    assert_eq!((fact.object.kind, fact.object.name.as_str()), (None, "software engineer"));
    assert_eq!((fact.subject.kind, fact.subject.name.as_str()), (Some(EntityKind::Person), "Nora Lindqvist"));
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let facts: Vec<String> = told(text).iter().filter(|fact| fact.confidence >= ANSWERS_FROM).map(shown).collect();
    assert_eq!(facts, expected, "{text}");
}

#[test]
fn what_people_do_is_told() {
    check("I play the violin and tennis.", &["me:plays:violin", "me:plays:tennis"]);
    check("I've been volunteering at an animal shelter.", &["me:volunteers-at:animal shelter"]);
    check("I signed up for a pottery class.", &["me:studies:pottery"]);
    check("I opened a small bakery in May.", &["me:owns:small bakery"]);
    check("I lost my job at Intel.", &["-me:works-at:Intel"]);
    check("I've always loved sailing.", &["me:likes:sailing"]);
    check("I love the beach.", &["me:likes:beach"]);
    check("Joined a chess club last week!", &["me:member-of:chess club"]);
    check("I'm building a website using Django, so wish me luck.", &["me:uses:Django"]);
    check("We decided against Redis.", &["-me:decided:Redis"]);
    check("I met Emma, my cousin, at the fair.", &["me:relative:Emma"]);
    check("I have a deadline of May 3 for the thesis.", &["thesis:deadline:May 3"]);
    check("There is a final deadline of May 3 for my thesis.", &["thesis:deadline:May 3"]);
    check("I'm a photo editor based in Oslo.", &["me:works-as:photo editor", "me:lives-in:Oslo"]);
    check("I prefer Python to Java.", &["me:prefers:Python"]);
    check("I'm using Python 3.11 with Flask.", &["me:uses:Python", "Python:version:3.11", "me:uses:Flask"]);
}

#[test]
fn half_a_phrase_is_no_object() {
    check("I love creating a safe, inviting place for all.", &[]);
    check("I prefer a style that nobody else has.", &[]);
    check("I love spending time with the people I know.", &[]);
    check("I use Werkzeug.security for that.", &[]);
    check("We can use Redis for that.", &[]);
    check("When I joined the team, it was small.", &[]);
}

#[test]
fn roles_are_nobody() {
    let to_assistant = Speaker { author: "user".to_owned(), participants: vec!["assistant".to_owned()] };
    assert_eq!(found("You live in Bergen.", &to_assistant, 0), []);
    let facts = found("I live in Bergen.", &to_assistant, 0);
    assert_eq!((facts[0].subject.name.as_str(), facts[0].relation), ("user", Relation::LivesIn));
    let nobody = Speaker::default();
    assert_eq!(found("I live in Bergen.", &nobody, 0), []);
}

#[test]
fn among_several_you_is_nobody() {
    let several = Speaker { author: "Nora".to_owned(), participants: vec!["Tobias".to_owned(), "Priya".to_owned()] };
    assert_eq!(found("You live in Bergen.", &several, 0), []);
}

#[test]
fn pronouns_jokes_and_old_perfects_are_less_sure() {
    let sure = |text: &str| told(text)[0].confidence;
    let plain = sure("I live in Oslo.");
    assert!(sure("You live in Oslo.") < plain);
    assert!(sure("I live in Oslo lol.") < ANSWERS_FROM);
    assert!(sure("I have lived in Oslo.") < ANSWERS_FROM);
    assert!(sure("I have lived in Oslo for ten years.") >= ANSWERS_FROM);
}

#[test]
fn a_fact_said_twice_in_a_message_is_one() {
    assert_eq!(told("I live in Oslo. Yes, I live in Oslo!").len(), 1);
}

/// Each of these repeats what could make a rule go back or look ahead without end. Were it quadratic, this would not
/// come to an end.
#[test]
fn long_texts_take_linear_time() {
    const PIECES: &str = "I |I really |my |my dear |Ana |Ana's |and |I love |I love a |, and |using |I'm building |\"|“|'|'a |[|`|\
        ```|> |not |I live in Oslo and |my sister |my sister, |deadline of |the |the deadline |I use Rust, |\
        I use Rust and |He |a-|5.|I decided to |I like tea, |my favorite |due |call me |?|I have |\
        my number is 1|- |I said, |that I |Tokio 1.|'s|n't";
    for piece in PIECES.split('|') {
        told(&(piece.repeat(300_000 / piece.len()) + "end"));
    }
}
