//! The catalogue: every schema that any event was ever written with, by fingerprint.
//!
//! Owns: the table from fingerprint to schema and decoder, and the schema that each event type is written with now.
//! Never: forgets a version. A file in `avro/` is never changed once committed (`avro/fingerprints.txt` holds them to
//! it); a new shape is a new file, its line here, and an upcaster in the older version's decoder.

use std::sync::LazyLock;

use apache_avro::{Schema, rabin::Rabin, reader::datum::GenericDatumReader};

use crate::{Event, Topic, codec::DecodeError};

/// Turns the Avro body of one schema version into the newest event type.
type Decode = fn(&GenericDatumReader<'static>, &mut &[u8]) -> Result<Event, DecodeError>;

/// One version of one event type's schema.
pub struct SchemaVersion {
    /// The topic its events are written to.
    pub topic: Topic,
    /// The schema's full name.
    pub name: String,
    /// Its version, from 1.
    pub version: u32,
    /// CRC-64-AVRO of the canonical form, as written (little-endian) in a body's header.
    pub fingerprint: [u8; 8],
    /// The schema as committed.
    pub json: &'static str,
    /// The parsed schema.
    pub schema: &'static Schema,
    pub(crate) decode: Decode,
}

impl SchemaVersion {
    /// The fingerprint as 16 hexadecimal digits, most significant first.
    pub fn fingerprint_hex(&self) -> String {
        format!("{:016x}", u64::from_le_bytes(self.fingerprint))
    }
}

macro_rules! version {
    ($topic:ident, $file:literal, $version:literal, $event:ident) => {
        (Topic::$topic, $version, include_str!(concat!("../avro/", $file)), |reader, body| {
            Ok(Event::$event(crate::codec::read(reader, body)?))
        })
    };
}

/// Every committed version, oldest first within a name. The newest of a name is the one written.
const VERSIONS: &[(Topic, u32, &str, Decode)] = &[
    version!(Schemas, "schemas/schema-registered.v1.avsc", 1, SchemaRegistered),
    version!(Messages, "messages/message-accepted.v1.avsc", 1, MessageAccepted),
    version!(Deliveries, "deliveries/message-routed.v1.avsc", 1, MessageRouted),
    version!(Embeddings, "embeddings/text-embedded.v1.avsc", 1, TextEmbedded),
    version!(Registry, "registry/subscription-added.v1.avsc", 1, SubscriptionAdded),
    version!(Registry, "registry/subscription-removed.v1.avsc", 1, SubscriptionRemoved),
    version!(DeadLetters, "dead-letters/event-failed.v1.avsc", 1, EventFailed),
];

static CATALOG: LazyLock<Vec<SchemaVersion>> = LazyLock::new(|| {
    VERSIONS
        .iter()
        .map(|&(topic, version, json, decode)| {
            // Invariant: the files are part of the program and a test parses each of them.
            let schema = Schema::parse_str(json).expect("a committed schema is valid");
            let name = schema.name().expect("a committed schema is a record").to_string();
            let mut fingerprint = [0; 8];
            fingerprint.copy_from_slice(&schema.fingerprint::<Rabin>().bytes);
            // The catalogue lives as long as the program.
            let schema = &*Box::leak(Box::new(schema));
            SchemaVersion { topic, name, version, fingerprint, json, schema, decode }
        })
        .collect()
});

/// Every schema version, oldest first within a name.
pub fn catalog() -> &'static [SchemaVersion] {
    &CATALOG
}

/// The version that a body with this fingerprint was written with.
pub(crate) fn by_fingerprint(fingerprint: [u8; 8]) -> Option<&'static SchemaVersion> {
    CATALOG.iter().find(|version| version.fingerprint == fingerprint)
}

/// The newest version of the schema with this full name.
pub(crate) fn newest(name: &str) -> &'static SchemaVersion {
    // Invariant: only names of event types are asked for, and a test encodes each of them.
    CATALOG.iter().rev().find(|version| version.name == name).expect("every event type has a schema")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use apache_avro::schema_compatibility::SchemaCompatibility;

    use super::*;

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
        catalog().iter().for_each(|version| by_name.entry(&version.name).or_default().push(version));
        for (name, versions) in by_name {
            for (index, version) in versions.iter().enumerate() {
                assert_eq!(version.version as usize, index + 1, "{name}: versions count up from 1");
                for other in &versions {
                    SchemaCompatibility::can_read(version.schema, other.schema).unwrap_or_else(|error| {
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
    fn fingerprints_are_distinct() {
        let mut fingerprints: Vec<_> = catalog().iter().map(|version| version.fingerprint).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), catalog().len());
    }
}
