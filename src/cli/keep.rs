//! Rules for how long events are kept, as people write them.

use std::{str::FromStr, time::Duration};

use meshlog_pipeline::Retention;
use meshlog_schemas::Topic;

/// `TOPIC=LIMIT[,LIMIT]`, where a limit is an age (`30m`, `12h`, `30d`) or a size (`500MB`, `20GB`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeepRule {
    pub(super) topic: Topic,
    pub(super) retention: Retention,
}

const UNITS: [(&str, Limit); 7] = [
    // Sizes first: "MB" ends like no age, but "d" is a letter of many words.
    ("KB", Limit::Bytes(1_000)),
    ("MB", Limit::Bytes(1_000_000)),
    ("GB", Limit::Bytes(1_000_000_000)),
    ("s", Limit::Seconds(1)),
    ("m", Limit::Seconds(60)),
    ("h", Limit::Seconds(3_600)),
    ("d", Limit::Seconds(86_400)),
];

#[derive(Clone, Copy)]
enum Limit {
    Bytes(u64),
    Seconds(u64),
}

impl FromStr for KeepRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (topic, limits) =
            text.split_once('=').ok_or("write TOPIC=LIMIT, such as deliveries=30d or embeddings=20GB")?;
        let topic: Topic =
            topic.trim().parse().map_err(|_| format!("there is no topic {topic}; \"meshlog topics\" lists them"))?;
        if matches!(topic, Topic::Schemas | Topic::Registry | Topic::DeadLetters) {
            return Err(format!("{topic} is read from its start at every start, and is kept for ever"));
        }
        let mut retention = Retention::default();
        for limit in limits.split(',') {
            match parse(limit.trim())? {
                Limit::Bytes(bytes) => retention.max_bytes = Some(bytes),
                Limit::Seconds(seconds) => retention.max_age = Some(Duration::from_secs(seconds)),
            }
        }
        Ok(Self { topic, retention })
    }
}

/// A size, such as `512MB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match parse(text.trim())? {
        Limit::Bytes(bytes) => Ok(bytes),
        Limit::Seconds(_) => Err(format!("{text} is no size; write one such as 500MB or 2GB")),
    }
}

fn parse(limit: &str) -> Result<Limit, String> {
    let wrong = || format!("{limit} is no limit; write an age (30m, 12h, 30d) or a size (500MB, 20GB)");
    for (unit, of) in UNITS {
        if let Some(number) = limit.strip_suffix(unit) {
            let number: u64 = number.trim().parse().map_err(|_| wrong())?;
            let times = |one: u64| number.checked_mul(one).filter(|product| *product > 0).ok_or_else(wrong);
            return Ok(match of {
                Limit::Bytes(one) => Limit::Bytes(times(one)?),
                Limit::Seconds(one) => Limit::Seconds(times(one)?),
            });
        }
    }
    Err(wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_people_write_them() {
        let day = Duration::from_secs(86_400);
        let rule = |topic, max_age, max_bytes| Ok(KeepRule { topic, retention: Retention { max_age, max_bytes } });
        assert_eq!("deliveries=30d".parse(), rule(Topic::Deliveries, Some(day * 30), None));
        assert_eq!("embeddings=2GB".parse(), rule(Topic::Embeddings, None, Some(2_000_000_000)));
        assert_eq!("messages=12h, 500MB".parse(), rule(Topic::Messages, Some(day / 2), Some(500_000_000)));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_a_hint() {
        for (text, hint) in [
            ("deliveries", "TOPIC=LIMIT"),
            ("nothing=1d", "no topic nothing"),
            ("registry=1d", "kept for ever"),
            ("messages=1x", "write an age"),
            ("messages=0d", "write an age"),
            ("messages=99999999999999999d", "write an age"),
        ] {
            let error = text.parse::<KeepRule>().unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
