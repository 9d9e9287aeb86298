//! The envelope: what is known of an event without reading its body.
//!
//! Owns: the mapping to record headers, which is the CloudEvents 1.0 Kafka protocol binding in binary mode
//! (attributes as `ce_` headers in UTF-8, the data's media type as `content-type`). Headers stay clear even where the
//! body is sealed.
//! Never: holds anything that is part of what was said.

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

    /// Which part of the mesh made the event with these headers, as far as they say.
    pub fn source_of(headers: &Headers) -> Option<&str> {
        headers.get("ce_source").and_then(|source| std::str::from_utf8(source).ok())
    }

    /// What happened, as far as the headers say.
    pub fn kind_of(headers: &Headers) -> Option<&str> {
        headers.get("ce_type").and_then(|kind| std::str::from_utf8(kind).ok())
    }

    /// Reads the envelope from record headers. Headers it does not know are left alone.
    ///
    /// # Errors
    /// A required header is missing, or one is not of its form.
    pub fn from_headers(headers: &Headers) -> Result<Self, EnvelopeError> {
        let found = Found::among(headers);
        if found.specversion.required()? != "1.0" {
            return Err(EnvelopeError { header: "ce_specversion", problem: "is not 1.0" });
        }
        let trust = match found.trust.optional()? {
            None | Some("external") => Trust::External,
            Some("client") => Trust::Client,
            Some("system") => Trust::System,
            Some(_) => {
                return Err(EnvelopeError { header: "ce_trust", problem: "is none of external, client, system" });
            }
        };
        Ok(Self {
            id: found.id.id(found.id.required()?)?,
            source: found.source.required()?.to_owned(),
            kind: found.kind.required()?.to_owned(),
            time: parse_micros(found.time.required()?)
                .ok_or(EnvelopeError { header: "ce_time", problem: "is not an RFC 3339 time" })?,
            space: found.space.optional()?.map(str::to_owned),
            causation: found.causation.optional_id()?,
            correlation: found.correlation.optional_id()?,
            traceparent: found.traceparent.optional()?.map(str::to_owned),
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

/// The header of one attribute, where there is one.
struct Attribute<'a> {
    header: &'static str,
    value: Option<&'a [u8]>,
}

impl<'a> Attribute<'a> {
    fn optional(&self) -> Result<Option<&'a str>, EnvelopeError> {
        self.value.map(|value| std::str::from_utf8(value).map_err(|_| self.fault("is not UTF-8"))).transpose()
    }

    fn required(&self) -> Result<&'a str, EnvelopeError> {
        self.optional()?.ok_or(self.fault("is missing"))
    }

    fn optional_id(&self) -> Result<Option<EventId>, EnvelopeError> {
        self.optional()?.map(|text| self.id(text)).transpose()
    }

    fn id(&self, text: &str) -> Result<EventId, EnvelopeError> {
        text.parse().map_err(|_| self.fault("is not a UUID"))
    }

    fn fault(&self, problem: &'static str) -> EnvelopeError {
        EnvelopeError { header: self.header, problem }
    }
}

/// Every attribute's header, found in one pass: this is done for every event that is read.
macro_rules! attributes {
    ($($field:ident: $header:literal,)+) => {
        struct Found<'a> {
            $($field: Attribute<'a>,)+
        }

        impl<'a> Found<'a> {
            fn among(headers: &'a Headers) -> Self {
                let mut found = Self { $($field: Attribute { header: $header, value: None },)+ };
                for (name, value) in headers.raw() {
                    $(if name == $header.as_bytes() {
                        // The first of a name counts.
                        found.$field.value.get_or_insert(value);
                        continue;
                    })+
                }
                found
            }
        }
    };
}

attributes! {
    specversion: "ce_specversion",
    id: "ce_id",
    source: "ce_source",
    kind: "ce_type",
    time: "ce_time",
    trust: "ce_trust",
    space: "ce_space",
    causation: "ce_causationid",
    correlation: "ce_correlationid",
    traceparent: "ce_traceparent",
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
