//! The doctor: what is wrong with the data directory of a server that does not run.
//!
//! Owns: reading every record of the log and saying what it found.
//! Never: changes a record or a view. The inspection of the files changes nothing at all; only when it finds nothing wrong
//! is the log opened, to see whether every event can be read.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Bounds, ClearSealer, EmbeddedLog, EmbeddedOptions, EventLog, Log as _, LogError, ReadLimit};
use meshlog_processors::embedding::SentenceModel;
use meshlog_schemas::{Partition, Topic};

use super::{HouseError, Model};

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
pub(crate) fn doctor(data: &Path, model: &Model) -> Result<DoctorReport, HouseError> {
    let mut report = DoctorReport::default();
    if !data.join("log").is_dir() {
        report.add("error", "log", format!("{} holds no log", data.display()), "name the data directory with --data");
        return Ok(report);
    }
    if report.inspect(&data.join("log"))? {
        // To open a damaged log would be to begin to repair it.
        return Ok(report);
    }
    let log = Arc::new(EmbeddedLog::open(&data.join("log"), EmbeddedOptions::default())?);
    let events = EventLog::new(log.clone(), Arc::new(ClearSealer));
    for topic in Topic::ALL {
        for partition in events.partitions(topic) {
            report.read_partition(&events, partition)?;
        }
    }
    for projection in ["threads", "text", "vectors", "calls"] {
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
    match SentenceModel::open(&model.directory, model.numerics) {
        Ok(opened) => report.ok("model", format!("{}, {}", opened.model_id(), model.numerics)),
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

    /// Reads every byte of the log's files, and says whether something is wrong.
    fn inspect(&mut self, log: &Path) -> Result<bool, HouseError> {
        let inspection = EmbeddedLog::inspect(log)?;
        for finding in &inspection.findings {
            self.add("error", &format!("log/{}", finding.file), finding.problem.clone(), &finding.remedy);
        }
        if inspection.findings.is_empty() {
            let groups = inspection.journal_groups;
            self.ok(
                "log",
                format!(
                    "every file is whole; {groups} groups of the journal are still to be brought to their segments"
                ),
            );
            return Ok(false);
        }
        for partition in inspection.partitions.iter().filter(|partition| partition.end > partition.start) {
            let (start, end, intact) = (partition.start, partition.end, partition.intact);
            let detail =
                format!("{intact} of {} records can be recovered (offsets {start} to {end}, exclusive)", end - start);
            self.findings.push(Finding {
                level: if partition.damaged.is_empty() { "ok" } else { "warning" },
                subject: partition.partition.to_string(),
                detail,
                help: None,
            });
        }
        Ok(true)
    }

    /// Reads every record; goes on behind one that is damaged.
    fn read_partition(&mut self, events: &EventLog, partition: Partition) -> Result<(), HouseError> {
        let subject = partition.to_string();
        let Bounds { start, end } = events.log().bounds(partition)?;
        let (mut next, mut damaged, mut unreadable) = (start, 0_u64, 0_u64);
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
            self.ok(&subject, format!("{} records, every checksum holds", end - start));
        }
        Ok(())
    }
}
