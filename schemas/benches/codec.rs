//! How much faster are typed bodies than the plain path through apache-avro, with its `Value` in between?
//!
//! The peer turns the same struct into a `Value` and writes that with the parsed schema, and back: what a user of
//! apache-avro does who keeps the schemas parsed. It writes the datum alone; the codec its frame as well. Both sides run
//! in turn, round by round; a ratio is the median of the rounds' ratios.

use std::{hint::black_box, time::Instant};

use apache_avro::{Schema, from_value, reader::datum::GenericDatumReader, to_value, writer::datum::GenericDatumWriter};
use meshlog_schemas::{Event, EventId, MessageAccepted, TextEmbedded, catalog, decode, encode, schema_of};
use serde::{Serialize, de::DeserializeOwned};

const ROUNDS: usize = 31;
/// How long one side runs in a round.
const SECONDS: f64 = 0.02;
/// Marker and fingerprint, which stand before the datum.
const FRAME_BYTES: usize = 10;

fn main() {
    // Ids are text in our schemas, as serde has it for people.
    apache_avro::util::set_serde_human_readable(true);
    println!(
        "codec against plain apache-avro 0.22: {ROUNDS} rounds of {SECONDS} s a side, one thread; CPU: {}",
        cpu_features()
    );
    println!("{:<40} {:>8} {:>12} {:>12} {:>8}", "", "bytes", "plain ns", "codec ns", "ratio");
    let mut figures = Vec::new();
    measure("message_200", message(110), Event::MessageAccepted, &mut figures);
    measure("message_1k", message(930), Event::MessageAccepted, &mut figures);
    measure("embedded_384", embedded(384), Event::TextEmbedded, &mut figures);
    println!("{{\"figures\": {{{}}}}}", figures.join(", "));
}

/// Measures both directions of one event on both sides.
fn measure<T>(name: &str, body: T, event: fn(T) -> Event, figures: &mut Vec<String>)
where
    T: Serialize + DeserializeOwned + Clone + PartialEq + std::fmt::Debug,
{
    let event = event(body.clone());
    let bytes = encode(&event).expect("the event can be written");
    let fingerprint = schema_of(&bytes).expect("the event has a schema").fingerprint;
    let version = catalog().iter().find(|version| version.fingerprint == fingerprint).expect("the schema is known");
    let schema = Schema::parse_str(version.json).expect("a committed schema is valid");

    let plain_encode = || {
        let value = to_value(&body).expect("the body is a value");
        let writer = GenericDatumWriter::builder(&schema).build().expect("the schema can be written");
        writer.write_value_to_vec(value).expect("the value fits")
    };
    let plain_decode = || {
        let reader = GenericDatumReader::builder(&schema).build().expect("the schema can be read");
        let value = reader.read_value(&mut &bytes[FRAME_BYTES..]).expect("the datum fits");
        from_value::<T>(&value).expect("the value fits")
    };
    assert_eq!(plain_encode(), bytes[FRAME_BYTES..]);
    assert_eq!(plain_decode(), body);
    assert_eq!(decode(&bytes).expect("the event can be read"), event);

    let encoded = compare(&plain_encode, &|| encode(black_box(&event)));
    report(figures, &format!("encode_{name}"), bytes.len(), encoded);
    let decoded = compare(&plain_decode, &|| decode(black_box(&bytes)));
    report(figures, &format!("decode_{name}"), bytes.len(), decoded);
}

/// Nanoseconds a call of the peer and of the codec, and how many times faster the codec is.
struct Comparison {
    plain: f64,
    codec: f64,
    ratio: f64,
}

fn compare<A, B>(plain: &dyn Fn() -> A, codec: &dyn Fn() -> B) -> Comparison {
    let (mut plains, mut codecs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // The side that goes first changes, so that neither profits from a clock that slows down.
        let (plain, codec) = if round % 2 == 0 {
            let plain = nanoseconds(plain);
            (plain, nanoseconds(codec))
        } else {
            let codec = nanoseconds(codec);
            (nanoseconds(plain), codec)
        };
        plains.push(plain);
        codecs.push(codec);
        ratios.push(plain / codec);
    }
    Comparison { plain: median(&mut plains), codec: median(&mut codecs), ratio: median(&mut ratios) }
}

fn nanoseconds<T>(work: &dyn Fn() -> T) -> f64 {
    const BATCH: u32 = 100;
    let started = Instant::now();
    let mut calls = 0_u32;
    while started.elapsed().as_secs_f64() < SECONDS {
        for _ in 0..BATCH {
            black_box(work());
        }
        calls += BATCH;
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn report(figures: &mut Vec<String>, name: &str, bytes: usize, comparison: Comparison) {
    let Comparison { plain, codec, ratio } = comparison;
    println!("{name:<40} {bytes:>8} {plain:>12.0} {codec:>12.0} {ratio:>8.1}");
    figures.push(format!("\"{name}_ns\": {codec:.0}"));
    figures.push(format!("\"{name}_over_apache_avro\": {ratio:.2}"));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn message(text_bytes: usize) -> MessageAccepted {
    MessageAccepted {
        source_id: Some("D1:3".into()),
        space: "conversation-26".into(),
        thread: "session-4".into(),
        author: "Caroline".into(),
        role: "user".into(),
        sent_at: 1_683_554_160_000_000,
        text: "I went to the support group yesterday and it was powerful. ".chars().cycle().take(text_bytes).collect(),
    }
}

fn embedded(dims: u16) -> TextEmbedded {
    TextEmbedded {
        message_id: EventId::of_source("conversation-26", "D1:3"),
        space: "conversation-26".into(),
        thread: "session-4".into(),
        author: "Caroline".into(),
        role: "user".into(),
        sent_at: 1_683_554_160_000_000,
        accepted_at: 1_790_000_000_000_000,
        model: "all-MiniLM-L6-v2@0123456789ab".into(),
        dims: dims.into(),
        content_hash: vec![0xA5; 32],
        vector: (0..dims).flat_map(|index| (f32::from(index).sin() / 14.0).to_le_bytes()).collect(),
    }
}

/// What of the processor's features may matter to a copy.
fn cpu_features() -> String {
    #[cfg(target_arch = "x86_64")]
    let features = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("ermsb", is_x86_feature_detected!("ermsb")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let features = [(std::env::consts::ARCH, true)];
    features.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}
