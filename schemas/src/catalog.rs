//! The catalogue: every schema that any event was ever written with, by fingerprint.
//!
//! Owns: the table from fingerprint to schema and decoder, and the schema that each event type is written with now.
//! Never: forgets a version. A file in `avro/` is never changed once committed (`avro/fingerprints.txt` holds them to
//! it); a new shape is a new file, its line here, and an upcaster for the version before it (see `docs/events.md`).

use std::sync::LazyLock;

use crate::{DecodeError, Event, Topic, codec, fingerprint::fingerprint, upcast};

/// Reads a whole datum of one schema version as today's event.
type Decode = fn(&'static SchemaVersion, &[u8]) -> Result<Event, DecodeError>;

/// One version of one event type's schema.
#[derive(Debug)]
pub struct SchemaVersion {
    /// The topic its events are written to.
    pub topic: Topic,
    /// The schema's full name.
    pub name: &'static str,
    /// Its version, from 1.
    pub version: u32,
    /// CRC-64-AVRO of the canonical form that apache-avro makes, as written (little-endian) in a body's header. For schemas with
    /// a logical type that is not the form of Avro's specification (`{"type":"long"}` stands for `"long"` in it); who follows
    /// the specification writes [`fingerprint`], and is read all the same.
    pub fingerprint: [u8; 8],
    /// The schema as committed.
    pub json: &'static str,
    pub(crate) decode: Decode,
    /// The fields that are read and written, with their types.
    #[cfg(test)]
    fields: fn() -> Vec<(&'static str, String)>,
}

impl SchemaVersion {
    /// The fingerprint as 16 hexadecimal digits, most significant first.
    pub fn fingerprint_hex(&self) -> String {
        format!("{:016x}", u64::from_le_bytes(self.fingerprint))
    }
}

macro_rules! version {
    ($topic:ident, $file:literal, $fingerprint:literal, $namespace:literal, $event:ident v $version:literal) => {
        version!($topic, $file, $fingerprint, $namespace, $event v $version, crate::$event, std::convert::identity)
    };
    // Written in an older shape, which the upcaster brings up to the event.
    (
        $topic:ident, $file:literal, $fingerprint:literal, $namespace:literal, $event:ident v $version:literal,
        $shape:path, $upcaster:path
    ) => {
        SchemaVersion {
            topic: Topic::$topic,
            name: concat!("meshlog.", $namespace, ".", stringify!($event)),
            version: $version,
            fingerprint: u64::to_le_bytes($fingerprint),
            json: include_str!(concat!("../avro/", $file)),
            decode: |version, datum| Ok(Event::$event($upcaster(codec::read::<$shape>(version, datum)?))),
            #[cfg(test)]
            fields: <$shape as crate::binary::Record>::fields,
        }
    };
}

/// Every committed version, oldest first within a name. The newest of a name is the one written.
#[rustfmt::skip]
static CATALOG: [SchemaVersion; 26] = [
    version!(Schemas, "schemas/schema-registered.v1.avsc", 0xa3b4413d66c06d4e, "schemas", SchemaRegistered v 1),
    version!(Messages, "messages/message-accepted.v1.avsc", 0x1c6f12ecd90d0057, "messages", MessageAccepted v 1),
    version!(Messages, "messages/message-edited.v1.avsc", 0x2234c66b804fdc59, "messages", MessageEdited v 1,
        crate::MessageEdited, Box::new),
    version!(Deliveries, "deliveries/message-routed.v1.avsc", 0x6ee2842cb867dbce, "deliveries", MessageRouted v 1),
    version!(Embeddings, "embeddings/text-embedded.v1.avsc", 0xc4423f053cfab644, "embeddings", TextEmbedded v 1),
    version!(Knowledge, "knowledge/knowledge-extracted.v1.avsc", 0x0ca13fe08e2019f0, "knowledge", KnowledgeExtracted v 1),
    version!(Knowledge, "knowledge/entities-merged.v1.avsc", 0x3e7c0f5bd6598ad9, "knowledge", EntitiesMerged v 1),
    version!(Knowledge, "knowledge/entities-parted.v1.avsc", 0x3afa85839461fe33, "knowledge", EntitiesParted v 1),
    version!(Knowledge, "knowledge/thread-summarised.v1.avsc", 0xe0cb34a47b6bd04f, "knowledge", ThreadSummarised v 1),
    version!(Memory, "memory/insight-pinned.v1.avsc", 0xa0fda242d1c28cba, "memory", InsightPinned v 1),
    version!(Memory, "memory/fact-corrected.v1.avsc", 0x430880fb848ed828, "memory", FactCorrected v 1),
    version!(Memory, "memory/memory-forgotten.v1.avsc", 0x4f750521fe18c07c, "memory", MemoryForgotten v 1),
    version!(Memory, "memory/thread-filed.v1.avsc", 0xc984fb4af67a0e33, "memory", ThreadFiled v 1),
    version!(Memory, "memory/retention-set.v1.avsc", 0x42a47ae246c0ef1c, "memory", RetentionSet v 1),
    version!(Calls, "calls/call-requested.v1.avsc", 0xb9df140e04e69ea9, "calls", CallRequested v 1),
    version!(Calls, "calls/attempt-started.v1.avsc", 0xb1e98e0d287c2554, "calls", AttemptStarted v 1),
    version!(Calls, "calls/attempt-failed.v1.avsc", 0x5eca1457e2d264b3, "calls", AttemptFailed v 1),
    version!(Calls, "calls/call-settled.v1.avsc", 0x83d28ca5eb97b7c5, "calls", CallSettled v 1,
        upcast::CallSettledV1, upcast::call_settled_v1),
    version!(Calls, "calls/call-settled.v2.avsc", 0xe56ea8e21f016373, "calls", CallSettled v 2,
        crate::CallSettled, Box::new),
    version!(Registry, "registry/subscription-added.v1.avsc", 0x4ea82b7cf097a118, "registry", SubscriptionAdded v 1),
    version!(Registry, "registry/subscription-removed.v1.avsc", 0xab9688cc6e5a49b6, "registry",
        SubscriptionRemoved v 1),
    version!(DeadLetters, "dead-letters/event-failed.v1.avsc", 0x2665413322d4f5a5, "deadletters", EventFailed v 1,
        upcast::EventFailedV1, upcast::event_failed_v1),
    version!(DeadLetters, "dead-letters/event-failed.v2.avsc", 0x30bfe61867d7093f, "deadletters", EventFailed v 2),
    version!(DeadLetters, "dead-letters/redrive-requested.v1.avsc", 0x5c7110abc7a423cc, "deadletters",
        RedriveRequested v 1),
    version!(DeadLetters, "dead-letters/dead-letter-redriven.v1.avsc", 0x6d5379027b84669f, "deadletters",
        DeadLetterRedriven v 1),
    version!(DeadLetters, "dead-letters/dead-letter-discarded.v1.avsc", 0x44aa81dde3667cbd, "deadletters",
        DeadLetterDiscarded v 1),
];

/// Every schema version, oldest first within a name.
pub fn catalog() -> &'static [SchemaVersion] {
    &CATALOG
}

/// The fingerprints of the catalogue's schemas by Avro's specification, in its order.
static SPECIFIED: LazyLock<Vec<Option<[u8; 8]>>> =
    LazyLock::new(|| CATALOG.iter().map(|version| fingerprint(version.json)).collect());

/// The version that a body with this fingerprint was written with, by us or by who follows Avro's specification.
pub(crate) fn by_fingerprint(fingerprint: [u8; 8]) -> Option<&'static SchemaVersion> {
    let specified = || SPECIFIED.iter().position(|specified| *specified == Some(fingerprint));
    let ours = CATALOG.iter().find(|version| version.fingerprint == fingerprint);
    ours.or_else(|| specified().map(|place| &CATALOG[place]))
}

/// The newest version of the schema with this full name.
pub(crate) fn newest(name: &str) -> &'static SchemaVersion {
    // Invariant: only names of event types are asked for, and a test encodes each of them.
    CATALOG.iter().rev().find(|version| version.name == name).expect("every event type has a schema")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use apache_avro::{Schema, rabin::Rabin, schema::RecordField, schema_compatibility::SchemaCompatibility};

    use super::*;

    fn parsed(version: &SchemaVersion) -> Schema {
        Schema::parse_str(version.json).unwrap_or_else(|error| panic!("{} v{}: {error}", version.name, version.version))
    }

    /// A schema's type as the binary encoding sees it, to which logical types make no difference.
    fn type_name(schema: &Schema) -> String {
        match schema {
            Schema::TimestampMicros | Schema::Long => "long".into(),
            Schema::Int => "int".into(),
            Schema::String => "string".into(),
            Schema::Bytes => "bytes".into(),
            Schema::Null => "null".into(),
            Schema::Union(union) => union.variants().iter().map(type_name).collect::<Vec<_>>().join(" or "),
            Schema::Array(array) => format!("array of {}", type_name(&array.items)),
            Schema::Record(record) => {
                let field = |field: &RecordField| format!("{}: {}", field.name, type_name(&field.schema));
                format!("{{{}}}", record.fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
            other => panic!("the codec cannot write {other:?} yet; see binary.rs"),
        }
    }

    #[test]
    fn every_version_is_read_and_written_field_by_field_as_its_schema_says() {
        for version in catalog() {
            let schema = parsed(version);
            let Schema::Record(record) = &schema else { panic!("{} is no record", version.name) };
            let declared: Vec<_> =
                record.fields.iter().map(|field| (field.name.clone(), type_name(&field.schema))).collect();
            let ours: Vec<_> = (version.fields)().into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
            assert_eq!(ours, declared, "{} v{}", version.name, version.version);
            assert_eq!(record.name.to_string(), version.name);
        }
    }

    #[test]
    fn fingerprints_are_those_of_the_schemas() {
        let line = |fingerprint: &str, version: &SchemaVersion| format!("0x{fingerprint} {}", version.name);
        let ours: Vec<_> = catalog().iter().map(|version| line(&version.fingerprint_hex(), version)).collect();
        let computed = |version: &SchemaVersion| {
            let bytes = parsed(version).fingerprint::<Rabin>().bytes;
            format!("{:016x}", u64::from_le_bytes(*bytes.first_chunk().unwrap()))
        };
        let computed: Vec<_> = catalog().iter().map(|version| line(&computed(version), version)).collect();
        assert_eq!(ours, computed);
    }

    fn avro_folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("avro")
    }

    #[test]
    fn every_committed_schema_file_is_in_the_catalogue() {
        let mut files = 0;
        for topic in
            fs::read_dir(avro_folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
        {
            for file in fs::read_dir(topic).unwrap().map(|entry| entry.unwrap().path()) {
                let json = fs::read_to_string(&file).unwrap();
                assert!(
                    catalog().iter().any(|version| version.json == json),
                    "{} is not in catalog.rs",
                    file.display()
                );
                files += 1;
            }
        }
        assert_eq!(files, catalog().len());
    }

    /// A committed schema is in logs already: its canonical form may never change.
    #[test]
    fn committed_fingerprints_never_change() {
        let recorded = fs::read_to_string(avro_folder().join("fingerprints.txt")).unwrap();
        let table: String = catalog()
            .iter()
            .map(|version| format!("{} {} v{}\n", version.fingerprint_hex(), version.name, version.version))
            .collect();
        assert_eq!(recorded, table, "a new version adds a line to avro/fingerprints.txt; an old line never changes");
    }

    /// Old readers read new events and new readers read old ones, for all versions ever committed.
    #[test]
    fn all_versions_of_a_schema_can_read_each_other() {
        let mut by_name: BTreeMap<&str, Vec<&SchemaVersion>> = BTreeMap::new();
        catalog().iter().for_each(|version| by_name.entry(version.name).or_default().push(version));
        for (name, versions) in by_name {
            for (index, version) in versions.iter().enumerate() {
                assert_eq!(version.version as usize, index + 1, "{name}: versions count up from 1");
                for other in &versions {
                    SchemaCompatibility::can_read(&parsed(version), &parsed(other)).unwrap_or_else(|error| {
                        panic!("{name}: v{} cannot be read as v{}: {error}", version.version, other.version)
                    });
                }
            }
        }
    }

    /// The gate itself must be able to close.
    #[test]
    fn the_gate_refuses_a_new_field_without_a_default() {
        let old = Schema::parse_str(r#"{"type":"record","name":"R","fields":[]}"#).unwrap();
        let new = Schema::parse_str(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#).unwrap();
        assert!(SchemaCompatibility::can_read(&old, &new).is_err());
    }

    #[test]
    fn a_fingerprint_by_avros_specification_is_known_too() {
        for version in catalog() {
            let specified = fingerprint(version.json).unwrap();
            assert!(std::ptr::eq(by_fingerprint(specified).unwrap(), version), "{} v{}", version.name, version.version);
        }
        // As computed by fastavro 1.13.
        let accepted = by_fingerprint(0x349d_5c2c_364d_8a25_u64.to_le_bytes()).unwrap();
        assert_eq!((accepted.name, accepted.version), ("meshlog.messages.MessageAccepted", 1));
        assert_ne!(accepted.fingerprint, fingerprint(accepted.json).unwrap());
    }

    #[test]
    fn fingerprints_are_distinct() {
        for version in catalog() {
            let ours = [Some(version.fingerprint), fingerprint(version.json)];
            for other in catalog().iter().filter(|other| !std::ptr::eq(*other, version)) {
                assert!(!ours.contains(&Some(other.fingerprint)) && !ours.contains(&fingerprint(other.json)));
            }
        }
    }
}
