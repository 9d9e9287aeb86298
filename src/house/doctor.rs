//! The doctor: what is wrong with the data directory of a server that does not run.
//!
//! Owns: reading every record of the log and saying what it found.
//! Never: changes a record or a view. It opens the log as its one owner, which lets the storage below finish what a
//! crash left half-way: copy the directory first where it may be evidence.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{ClearSealer, EmbeddedLog, EmbeddedOptions, EventLog, Log as _, LogError, ReadLimit};
use meshlog_processors::embedding::SentenceModel;
use meshlog_schemas::{Partition, Topic};

use super::HouseError;

const STEP: ReadLimit = ReadLimit { records: 2_000, bytes: 8 * 1024 * 1024 };

/// What the doctor found.
#[derive(Debug, Clone, Default)]
pub(crate) struct DoctorReport {
    /// Everything looked at, in order.
    pub(crate) findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// `ok`, `warning` or `error`.
    pub(crate) level: &'static str,
    /// What was looked at.
    pub(crate) subject: String,
    /// What was found.
    pub(crate) detail: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

/// Reads the whole log in `data`, looks whether views are there, and opens the model.
///
/// # Errors
/// The log is in use or cannot be opened at all.
pub(crate) fn doctor(data: &Path, model: &Path) -> Result<DoctorReport, HouseError> {
    let mut report = DoctorReport::default();
    if !data.join("log").is_dir() {
        report.add("error", "log", format!("{} holds no log", data.display()), "name the data directory with --data");
        return Ok(report);
    }
    let log = Arc::new(EmbeddedLog::open(&data.join("log"), EmbeddedOptions::default())?);
    let events = EventLog::new(log.clone(), Arc::new(ClearSealer));
    for topic in Topic::ALL {
        for partition in events.partitions(topic) {
            report.read_partition(&events, partition)?;
        }
    }
    for projection in ["threads", "text", "vectors"] {
        match std::fs::read_to_string(data.join("projections").join(projection).join("CURRENT")) {
            Ok(name) if data.join("projections").join(projection).join(name.trim()).is_dir() => {
                let detail = format!("the view {} is there; \"meshlog replay verify\" compares it", name.trim());
                report.ok(projection, detail);
            }
            Ok(name) => report.add(
                "warning",
                projection,
                format!("the view {} is missing", name.trim()),
                "nothing to do: the next start builds it from the log",
            ),
            Err(_) => report.ok(projection, "there is no view; the next start builds it from the log".to_owned()),
        }
    }
    match SentenceModel::open(model) {
        Ok(model) => report.ok("model", model.model_id().to_owned()),
        Err(error) => {
            report.add("error", "model", error.to_string(), "fetch it with \"make model\" or name it with --model")
        }
    }
    log.close();
    Ok(report)
}

impl DoctorReport {
    fn ok(&mut self, subject: &str, detail: String) {
        self.findings.push(Finding { level: "ok", subject: subject.to_owned(), detail, help: None });
    }

    fn add(&mut self, level: &'static str, subject: &str, detail: String, help: &str) {
        self.findings.push(Finding { level, subject: subject.to_owned(), detail, help: Some(help.to_owned()) });
    }

    /// Reads every record; goes on behind one that is damaged.
    fn read_partition(&mut self, events: &EventLog, partition: Partition) -> Result<(), HouseError> {
        let subject = partition.to_string();
        let end = events.log().bounds(partition)?.end;
        let (mut next, mut damaged, mut unreadable) = (0, 0_u64, 0_u64);
        while next < end {
            match events.read(partition, next, STEP) {
                Ok(entries) => {
                    for bad in entries.iter().filter_map(|entry| entry.as_ref().err()) {
                        unreadable += 1;
                        let detail = format!("the event at {} cannot be read: {}", bad.position, bad.cause);
                        self.add(
                            "warning",
                            &subject,
                            detail,
                            "it was not written by this program; processors leave it out",
                        );
                    }
                    next += entries.len() as u64;
                }
                Err(LogError::Corrupt { position, cause }) => {
                    damaged += 1;
                    let detail = format!("the record at {position} is damaged: {cause}");
                    self.add("error", &subject, detail, "restore the log from a backup; records around it can be read");
                    next = position.offset + 1;
                }
                Err(other) => return Err(other.into()),
            }
        }
        if damaged == 0 && unreadable == 0 {
            self.ok(&subject, format!("{end} records, every checksum holds"));
        }
        Ok(())
    }
}
