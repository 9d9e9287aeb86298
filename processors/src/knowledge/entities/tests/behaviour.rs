//! What the table cannot show: names, other speakers, and texts of great length.

use super::super::{EntityKind, EntityMention, Speaker, entities_in};

fn found(text: &str) -> Vec<EntityMention> {
    entities_in(text, &Speaker::default())
}

#[track_caller]
fn check_name(text: &str, kind: EntityKind, name: &str) {
    let found = found(text);
    assert_eq!(found.iter().map(|found| (found.kind, found.name.as_str())).collect::<Vec<_>>(), [(kind, name)]);
}

#[test]
fn a_name_is_told_without_sign_version_and_wide_spaces() {
    check_name("ask @mira about it", EntityKind::Person, "mira");
    check_name("#gardening is fun", EntityKind::Topic, "gardening");
    check_name("the bug is in tokio 1.54", EntityKind::Product, "tokio");
    check_name("she has an iPhone 15", EntityKind::Product, "iPhone 15");
    check_name("I flew to New  York again", EntityKind::Place, "New York");
    check_name("That is Anna's", EntityKind::Person, "Anna");
}

#[test]
fn a_role_names_nobody() {
    let speaker = Speaker { author: "user".to_owned(), participants: vec!["assistant".to_owned(), String::new()] };
    assert_eq!(entities_in("Dear Assistant, the User is here.", &speaker), []);
}

#[test]
fn who_takes_part_needs_no_list() {
    let speaker = Speaker { author: "Quillon Abara".to_owned(), participants: vec!["Will".to_owned()] };
    let texts = |text: &'static str| -> Vec<&'static str> {
        entities_in(text, &speaker).into_iter().map(|found| &text[found.text]).collect()
    };
    assert_eq!(texts("Quillon Abara is here, and Will told me so"), ["Quillon Abara", "Will"]);
    assert_eq!(texts("hey quillon"), ["quillon"]);
    assert_eq!(texts("hey, will you come?"), [] as [&str; 0]);
    assert_eq!(texts("Thanks, Quill!"), ["Quill"]);
}

/// Each of these repeats what could make a rule go back or look ahead without end. Were it quadratic, this would not
/// come to an end.
#[test]
fn long_texts_take_linear_time() {
    const PIECES: &str = "1|1,|1.|a|A|Ana |Ana-|Ana.|J. |O'|'|’|\"|\"A |“|`|`a|```|``` |`\u{a0}|*|**|(|[|](|\
        [a](|://|a://|https://|www.|@|@a|a@|#|#a|_|a_|a.|a/|/|--|0x|::|()|)|A B |Lake |University of |\
        Bank of and |my friend |named |5 |5-|$|$5|two |two hundred |v1.|St. |\n|\u{301}|👍|Mr. |tokio 1.1.1 |\
        works at X |the |AB-1|E0502|aB|AaBb|http://a,";
    let speaker = Speaker { author: "Ana".to_owned(), participants: vec!["Lake J".to_owned()] };
    for piece in PIECES.split('|') {
        // What is opened a million times has to end once.
        let text = piece.repeat(1_000_000 / piece.len()) + "end";
        entities_in(&text, &speaker);
    }
}
