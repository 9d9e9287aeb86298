//! Migration: a log carried from one engine to another, as the command asks for it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use meshlog_pipeline::{EmbeddedTransfer, KafkaOptions, KafkaTransfer, TransferSource, TransferTarget};
use meshlog_replay::migrate::{self, Carried, MigrateError, Verification, Watch};

use super::{HouseError, files};

/// A log that can be migrated.
#[derive(Debug, Clone)]
pub(crate) enum LogPlace {
    /// The embedded log of a data directory.
    Embedded(PathBuf),
    /// A log on Kafka.
    Kafka(Box<KafkaOptions>),
}

impl fmt::Display for LogPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogPlace::Embedded(data) => write!(formatter, "embedded:{}", data.display()),
            LogPlace::Kafka(options) => write!(formatter, "kafka://{}", options.brokers),
        }
    }
}

/// What came of a migration.
#[derive(Debug)]
pub(crate) struct Migrated {
    /// `None` if only a comparison was asked for.
    pub(crate) carried: Option<Carried>,
    pub(crate) verification: Verification,
}

/// Carries what `to` lacks of `from`, then compares both.
///
/// # Errors
/// One of them cannot be opened, read or written, or `to` holds something else.
pub(crate) fn migrate(from: &LogPlace, to: &LogPlace, watch: &mut Watch<'_>) -> Result<Migrated, HouseError> {
    files::allow_many();
    let mut source = open(from)?;
    let mut target = open_or_make(to, &mut *source)?;
    let carried = migrate::migrate(&mut *source, &mut *target, watch)?;
    let verification = migrate::verify(&mut *source, &mut *target, watch)?;
    Ok(Migrated { carried: Some(carried), verification })
}

/// Compares both.
///
/// # Errors
/// One of them cannot be opened or read.
pub(crate) fn verify(from: &LogPlace, to: &LogPlace, watch: &mut Watch<'_>) -> Result<Migrated, HouseError> {
    files::allow_many();
    let verification = migrate::verify(&mut *open(from)?, &mut *open(to)?, watch)?;
    Ok(Migrated { carried: None, verification })
}

fn open(place: &LogPlace) -> Result<Box<dyn TransferSource>, MigrateError> {
    Ok(match place {
        LogPlace::Embedded(data) => Box::new(EmbeddedTransfer::open(&log_in(data))?),
        LogPlace::Kafka(options) => Box::new(KafkaTransfer::open(options)?),
    })
}

fn open_or_make(place: &LogPlace, source: &mut dyn TransferSource) -> Result<Box<dyn TransferTarget>, MigrateError> {
    let starts = migrate::starts(source)?;
    Ok(match place {
        LogPlace::Embedded(data) => Box::new(EmbeddedTransfer::open_or_make(&log_in(data), source.layout(), starts)?),
        LogPlace::Kafka(options) => Box::new(KafkaTransfer::open_or_make(options, source.layout(), &starts)?),
    })
}

/// Where the log stands in a data directory.
fn log_in(data: &Path) -> PathBuf {
    data.join("log")
}
