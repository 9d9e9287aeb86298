//! The envelope: what is known of an event without reading its body.
//!
//! Owns: the mapping to record headers, which is the CloudEvents 1.0 Kafka protocol binding in binary mode
//! (attributes as `ce_` headers in UTF-8, the data's media type as `content-type`). Headers stay clear even where the
//! body is sealed.
//! Never: holds anything that is part of what was said.

use std::str::FromStr;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{EventId, Headers, headers::HeadersWriter};

/// How far the content of an event may be trusted. A derived event is never trusted more than its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Came from outside the mesh (web pages, tool output, unknown senders): data, never instructions.
    External,
    /// Came from a client of this mesh.
    Client,
    /// Made by Meshlog itself.
    System,
}

impl Trust {
    /// The label written in the `ce_trust` header.
    pub const fn label(self) -> &'static str {
        match self {
            Trust::External => "external",
            Trust::Client => "client",
            Trust::System => "system",
        }
    }
}

/// What every event carries beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The event's id (`ce_id`).
    pub id: EventId,
    /// Which part of the mesh made it, as a URI reference (`ce_source`): `/gateway/http`, `/stage/embed`.
    pub source: String,
    /// What happened (`ce_type`): `meshlog.message.accepted`.
    pub kind: String,
    /// When the event was made, in microseconds since 1970-01-01T00:00:00Z (`ce_time`).
    pub time: i64,
    /// The space whose data the body holds (`ce_space`); the unit by which bodies may be sealed.
    pub space: Option<String>,
    /// The event that this one was derived from (`ce_causationid`).
    pub causation: Option<EventId>,
    /// The first event of the chain that led here (`ce_correlationid`).
    pub correlation: Option<EventId>,
    /// W3C trace context (`ce_traceparent`).
    pub traceparent: Option<String>,
    /// How far the content may be trusted (`ce_trust`).
    pub trust: Trust,
}

/// Headers that are no envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header {header} {problem}; a producer must write CloudEvents 1.0 headers in binary mode")]
pub struct EnvelopeError {
    /// The name of the header at fault.
    pub header: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The media type of a clear body: Avro, single-object encoding.
pub const AVRO_CONTENT_TYPE: &str = "application/vnd.apache.avro+single-object";

impl Envelope {
    /// The record headers, in a fixed order.
    pub fn to_headers(&self) -> Headers {
        let mut headers = HeadersWriter::with_capacity(384);
        let mut id = uuid::Uuid::encode_buffer();
        headers.push("ce_specversion", b"1.0");
        headers.push("ce_id", self.id.0.hyphenated().encode_lower(&mut id).as_bytes());
        headers.push("ce_source", self.source.as_bytes());
        headers.push("ce_type", self.kind.as_bytes());
        headers.push("ce_time", format_micros(self.time).as_bytes());
        headers.push("ce_trust", self.trust.label().as_bytes());
        if let Some(space) = &self.space {
            headers.push("ce_space", space.as_bytes());
        }
        for (name, related) in [("ce_causationid", self.causation), ("ce_correlationid", self.correlation)] {
            if let Some(related) = related {
                headers.push(name, related.0.hyphenated().encode_lower(&mut id).as_bytes());
            }
        }
        if let Some(traceparent) = &self.traceparent {
            headers.push("ce_traceparent", traceparent.as_bytes());
        }
        headers.push("content-type", AVRO_CONTENT_TYPE.as_bytes());
        headers.finish()
    }

    /// Reads the envelope from record headers. Headers it does not know are left alone.
    ///
    /// # Errors
    /// A required header is missing, or one is not of its form.
    pub fn from_headers(headers: &Headers) -> Result<Self, EnvelopeError> {
        if required(headers, "ce_specversion")? != "1.0" {
            return Err(EnvelopeError { header: "ce_specversion", problem: "is not 1.0" });
        }
        let trust = match optional(headers, "ce_trust")? {
            None | Some("external") => Trust::External,
            Some("client") => Trust::Client,
            Some("system") => Trust::System,
            Some(_) => {
                return Err(EnvelopeError { header: "ce_trust", problem: "is none of external, client, system" });
            }
        };
        Ok(Self {
            id: parsed(required(headers, "ce_id")?, "ce_id", "is not a UUID")?,
            source: required(headers, "ce_source")?.to_owned(),
            kind: required(headers, "ce_type")?.to_owned(),
            time: parse_micros(required(headers, "ce_time")?)
                .ok_or(EnvelopeError { header: "ce_time", problem: "is not an RFC 3339 time" })?,
            space: optional(headers, "ce_space")?.map(str::to_owned),
            causation: optional_id(headers, "ce_causationid")?,
            correlation: optional_id(headers, "ce_correlationid")?,
            traceparent: optional(headers, "ce_traceparent")?.map(str::to_owned),
            trust,
        })
    }
}

/// Writes microseconds since the epoch as RFC 3339 in UTC. Times outside the years 0 to 9999 are held at the bounds.
pub fn format_micros(micros: i64) -> String {
    // Invariant: both bounds are representable, so the conversion and the formatting cannot fail.
    let bounded = micros.clamp(-62_135_596_800_000_000, 253_402_300_799_999_999);
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(bounded) * 1000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Reads an RFC 3339 time as microseconds since the epoch.
pub fn parse_micros(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1000)).ok()
}

fn optional<'a>(headers: &'a Headers, name: &'static str) -> Result<Option<&'a str>, EnvelopeError> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    std::str::from_utf8(value).map(Some).map_err(|_| EnvelopeError { header: name, problem: "is not UTF-8" })
}

fn required<'a>(headers: &'a Headers, name: &'static str) -> Result<&'a str, EnvelopeError> {
    optional(headers, name)?.ok_or(EnvelopeError { header: name, problem: "is missing" })
}

fn optional_id(headers: &Headers, name: &'static str) -> Result<Option<EventId>, EnvelopeError> {
    optional(headers, name)?.map(|text| parsed(text, name, "is not a UUID")).transpose()
}

fn parsed<T: FromStr>(text: &str, header: &'static str, problem: &'static str) -> Result<T, EnvelopeError> {
    text.parse().map_err(|_| EnvelopeError { header, problem })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope() -> impl Strategy<Value = Envelope> {
        let id = || any::<u128>().prop_map(|bits| EventId(uuid::Uuid::from_u128(bits)));
        (
            (id(), "[ -~]{1,40}", "[a-z.]{1,40}", -62_135_596_800_000_000_i64..253_402_300_800_000_000),
            (proptest::option::of("\\PC{1,20}"), proptest::option::of(id()), proptest::option::of(id())),
            (proptest::option::of("[0-9a-f-]{55}"), 0..3),
        )
            .prop_map(|((id, source, kind, time), (space, causation, correlation), (traceparent, trust))| {
                Envelope {
                    id,
                    source,
                    kind,
                    time,
                    space,
                    causation,
                    correlation,
                    traceparent,
                    trust: [Trust::External, Trust::Client, Trust::System][trust as usize],
                }
            })
    }

    proptest! {
        #[test]
        fn headers_round_trip(envelope in envelope()) {
            prop_assert_eq!(Envelope::from_headers(&envelope.to_headers()), Ok(envelope));
        }

        #[test]
        fn arbitrary_headers_never_panic(headers in proptest::collection::vec((".{0,20}", proptest::collection::vec(any::<u8>(), 0..40)), 0..12)) {
            let _ = Envelope::from_headers(&headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect());
        }
    }

    #[test]
    fn a_missing_header_is_named() {
        let error = Envelope::from_headers(&Headers::from_iter([("ce_specversion", "1.0")])).unwrap_err();
        assert_eq!(error.header, "ce_id");
    }

    #[test]
    fn an_unlabelled_event_is_external() {
        let id = EventId::fresh().to_string();
        let headers = Headers::from_iter([
            ("ce_specversion", "1.0"),
            ("ce_id", &id),
            ("ce_source", "/elsewhere"),
            ("ce_type", "meshlog.message.accepted"),
            ("ce_time", "2025-05-08T13:56:00Z"),
        ]);
        assert_eq!(Envelope::from_headers(&headers).map(|envelope| envelope.trust), Ok(Trust::External));
    }
}
