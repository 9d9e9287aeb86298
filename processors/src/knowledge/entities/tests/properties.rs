//! What holds for every text and every speaker.

use proptest::prelude::*;

use super::super::{EntityKind, Speaker, entities_in};

/// Words and signs that mentions are made of, put together without sense.
const PIECES: &str = "Ana|ana|ANA|Will|May|Tobias|Meyer|O'Brien|Jean|-|Luc|my|sister|Mr|.|Dr.|works|at|in|\
    moved|to|from|Berlin|Paris|Nice|Lake|Mount|Como|University|of|Oslo|Bank|Ltd|Street|Acme|The|the|I|Rust|\
    Python|iPhone|tokio|1.54|v2|.|1|15|3.12.0|%|$|€|°|C|kg|miles|million|k|two|\"|“|”|'|’s|'s|reading|book|\
    by|https://|www.|://|example.org|@|@mira|#|#topic|`|```|a_b|fooBar|FooBarBaz|::|()|/|/etc/hosts|--flag|\
    0x|E0502|PROJ-1|,|:|*|**|(|)|[|](|\n|👍|é|ß|named|called|company";

fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(
        (prop::sample::select(PIECES.split('|').collect::<Vec<_>>()), prop::bool::weighted(0.8)),
        0..20,
    );
    let sentence = pieces.prop_map(|pieces| {
        pieces.iter().map(|(piece, space)| format!("{piece}{}", if *space { " " } else { "" })).collect::<String>()
    });
    prop_oneof![sentence, any::<String>(), "[A-Za-z0-9 ’'`.:/@#$%“”()\\[\\]_–-]{0,60}"]
}

fn speakers() -> impl Strategy<Value = Speaker> {
    let name = || prop_oneof![Just("Tobias Meyer".to_owned()), Just("Will".to_owned()), any::<String>()];
    (name(), prop::collection::vec(name(), 0..4)).prop_map(|(author, participants)| Speaker { author, participants })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn mentions_are_in_order_apart_and_named(text in texts(), speaker in speakers()) {
        let mentions = entities_in(&text, &speaker);
        let mut end = 0;
        for mention in &mentions {
            prop_assert!(mention.text.start >= end && mention.text.start < mention.text.end);
            let spelled = text.get(mention.text.clone());
            prop_assert!(spelled.is_some());
            prop_assert_eq!(spelled, spelled.map(str::trim));
            prop_assert!(!mention.name.is_empty() && mention.confidence > 0.0 && mention.confidence <= 1.0);
            end = mention.text.end;
        }
        prop_assert_eq!(mentions, entities_in(&text, &speaker));
    }

    #[test]
    fn an_address_is_found_whatever_stands_before_it(words in "[a-z ]{0,40}", path in "[a-z0-9]{1,20}") {
        let address = format!("https://example.org/{path}");
        let text = format!("{words} {address}");
        let found = entities_in(&text, &Speaker::default());
        let last = found.last().unwrap();
        prop_assert_eq!((last.kind, &text[last.text.clone()]), (EntityKind::Url, address.as_str()));
    }
}
