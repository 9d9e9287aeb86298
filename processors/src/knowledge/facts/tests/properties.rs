//! What holds for every text, every speaker and every history.

use proptest::prelude::*;

use super::{
    super::{Modality, Polarity, Relation, facts_in},
    found,
};
use crate::knowledge::entities::Speaker;

/// Words and signs that facts are made of, put together without sense.
const PIECES: &str = "I|i|we|you|he|she|Ana|Tobias|my|our|your|his|Ana's|sister|dog|dogs|named|called|is|am|\
    'm|are|was|been|have|'ve|has|had|do|don't|didn’t|not|never|no|longer|used|to|will|might|\
    want|would|love|like|hate|prefer|can't|stand|work|works|working|at|as|for|in|from|live|\
    lives|moved|joined|left|quit|job|Siemens|Google|Oslo|Berlin|a|an|the|nurse|vegan|\
    allergic|peanuts|and|or|but|,|.|!|?|:|;|-|\"|“|”|'|’|`|```|[|]|(|)|\n|> |use|Rust|\
    Postgres 16|tokio|1.54|v2|upgraded|switched|version|birthday|on 3 May|34|years|old|\
    since 2019|until May|last year|in May|email|ana@example.org|speak|French|decided|\
    deadline|due|if|imagine|that|which|hiking|two|cats|👍|é|ß|favorite|color|green";

fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(
        (prop::sample::select(PIECES.split('|').collect::<Vec<_>>()), prop::bool::weighted(0.8)),
        0..24,
    );
    let sentence = pieces.prop_map(|pieces| {
        pieces.iter().map(|(piece, space)| format!("{piece}{}", if *space { " " } else { "" })).collect::<String>()
    });
    prop_oneof![4 => sentence, 1 => any::<String>(), 1 => "[A-Za-z0-9 ’'`.:/@#$%“”()\\[\\]_–-]{0,60}"]
}

fn speakers() -> impl Strategy<Value = Speaker> {
    let name =
        || prop_oneof![Just("Tobias Meyer".to_owned()), Just("user".to_owned()), Just(String::new()), any::<String>()];
    (name(), prop::collection::vec(name(), 0..3)).prop_map(|(author, participants)| Speaker { author, participants })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn facts_are_in_order_and_in_the_text(text in texts(), speaker in speakers(), at in any::<i64>()) {
        let facts = found_whenever(&text, &speaker, at);
        let mut start = 0;
        for fact in &facts {
            prop_assert!(fact.text.start >= start && fact.text.start < fact.text.end);
            prop_assert!(text.get(fact.text.clone()).is_some());
            prop_assert!(fact.confidence > 0.0 && fact.confidence <= 1.0);
            prop_assert!(!fact.object.name.trim().is_empty() && !fact.subject.name.trim().is_empty());
            prop_assert_eq!(Relation::parse(fact.relation.name()), Some(fact.relation));
            if let (Some(from), Some(until)) = (fact.valid_from, fact.valid_until) {
                prop_assert!(from <= until);
            }
            start = fact.text.start;
        }
        prop_assert_eq!(facts, found_whenever(&text, &speaker, at));
    }

    #[test]
    fn mentions_of_another_text_do_no_harm(text in texts(), other in texts()) {
        let speaker = Speaker { author: "Ana".to_owned(), participants: vec!["Tobias".to_owned()] };
        let anchor = crate::knowledge::times::Anchor::new(0, time::UtcOffset::UTC);
        let times = crate::knowledge::times::times_in(&other, &anchor);
        let entities = crate::knowledge::entities::entities_in(&other, &speaker);
        for fact in facts_in(&text, &speaker, 0, &entities, &times) {
            prop_assert!(text.get(fact.text.clone()).is_some());
        }
    }

    #[test]
    fn a_question_tells_nothing(text in "(I|We|You|Ana) (work|live|like|use)s? (at|in)? ?(Siemens|Oslo|jazz|Rust)") {
        let speaker = Speaker { author: "Nora".to_owned(), participants: vec!["Tobias".to_owned()] };
        prop_assert_eq!(found(&format!("{text}?"), &speaker, 0), []);
        prop_assert_eq!(found(&format!("\"{text}.\""), &speaker, 0), []);
        prop_assert_eq!(found(&format!("If {text}, fine."), &speaker, 0), []);
    }
}

fn found_whenever(text: &str, speaker: &Speaker, at: i64) -> Vec<super::super::FactMention> {
    found(text, speaker, at)
}

#[test]
fn names_of_relations_are_distinct() {
    let names: std::collections::HashSet<&str> = Relation::ALL.iter().map(|relation| relation.name()).collect();
    assert_eq!(names.len(), Relation::ALL.len());
    assert_eq!(Relation::parse("knows"), None);
    assert_eq!((Polarity::Denied.name(), Modality::Possible.name()), ("denied", "possible"));
}
