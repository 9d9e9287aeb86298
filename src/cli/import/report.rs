//! Report: where rejected lines are kept, and how they are told.
//!
//! Promises: there is a report only if there is something to report; a report that cannot be written stops no import.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use time::{OffsetDateTime, macros::format_description};

use super::{Failure, Progress, STANDARD_INPUT, rejection::Rejection};
use crate::cli::output::{one_line, shortened};

/// How many rejected lines are told one by one.
const TOLD: u64 = 5;
/// How much of a detail is told, in characters.
const DETAIL_TOLD: usize = 300;

/// Where a report is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReportPlace {
    /// Exactly here.
    At(PathBuf),
    /// In this directory, under a name with this in it and the time.
    In(PathBuf, String),
}

impl ReportPlace {
    /// The usual place for the report about a file.
    pub(super) fn below(data: &Path, file: &Path) -> Self {
        let stem = match file.file_stem() {
            Some(stem) if file != Path::new(STANDARD_INPUT) => stem.to_string_lossy().into_owned(),
            _ => "stdin".to_owned(),
        };
        Self::In(data.join("reports"), stem)
    }

    fn path(&self, now: OffsetDateTime) -> PathBuf {
        match self {
            ReportPlace::At(path) => path.clone(),
            ReportPlace::In(directory, stem) => {
                let form = format_description!("[year][month][day]T[hour][minute][second]Z");
                let time = now.format(&form).expect("every time has these parts");
                directory.join(format!("import-{stem}-{time}.jsonl"))
            }
        }
    }
}

/// The report of one import.
pub(super) struct Report {
    place: ReportPlace,
    /// What is counted: lines, or the messages of an export.
    unit: &'static str,
    json: bool,
    /// How many rejections there are.
    count: u64,
    file: Destination,
}

enum Destination {
    /// Nothing has been rejected yet.
    Unopened,
    Open(PathBuf, BufWriter<File>),
    /// It could not be written; that has been told.
    Given,
}

impl Report {
    /// A report without content, which is no file yet.
    pub(super) fn new(place: ReportPlace, unit: &'static str, json: bool) -> Self {
        Self { place, unit, json, count: 0, file: Destination::Unopened }
    }

    /// Keeps a rejection and tells it, if it is one of the first. Answers how many lines it stands for: one.
    pub(super) fn add(&mut self, rejection: Rejection, progress: &Progress) -> u64 {
        self.count += 1;
        if self.count <= TOLD && !self.json {
            progress.note(&told(&rejection, self.unit));
        }
        if let Err((path, error)) = self.keep(&rejection) {
            progress.note(&format!("warning: what is rejected is not kept: cannot write {}: {error}", path.display()));
            self.file = Destination::Given;
        }
        1
    }

    /// Ends the report, and answers where it is, if there is one.
    pub(super) fn finish(self) -> Result<Option<PathBuf>, Failure> {
        let path = match self.file {
            Destination::Open(path, mut file) => {
                file.flush().map_err(|error| Failure::file("write", &path, &error))?;
                Some(path)
            }
            Destination::Unopened | Destination::Given => None,
        };
        if self.count > TOLD && !self.json {
            let see = path.as_deref().map(|path| format!(", see {}", path.display())).unwrap_or_default();
            eprintln!("… and {} more{see}", self.count - TOLD);
        }
        Ok(path)
    }

    fn keep(&mut self, rejection: &Rejection) -> Result<(), (PathBuf, io::Error)> {
        if matches!(self.file, Destination::Unopened) {
            let path = self.place.path(OffsetDateTime::now_utc());
            let file = create(&path).map_err(|error| (path.clone(), error))?;
            self.file = Destination::Open(path, BufWriter::new(file));
        }
        let Destination::Open(path, file) = &mut self.file else { return Ok(()) };
        let line = serde_json::to_string(rejection).expect("a rejection is JSON");
        writeln!(file, "{line}").map_err(|error| (path.clone(), error))
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    File::create(path)
}

fn told(rejection: &Rejection, unit: &str) -> String {
    let place = rejection.place.clone().unwrap_or_else(|| format!("{unit} {}", rejection.line));
    let source_id = rejection.source_id.as_deref().map(|id| format!(" (id {id})")).unwrap_or_default();
    let detail = shortened(&rejection.detail, DETAIL_TOLD);
    one_line(&format!("{place}{source_id}: {detail} ({})", rejection.code))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::cli::progress::Unit;

    fn rejection(line: u64) -> Rejection {
        Rejection::new(line, "bad_json", "expected value", b"oops")
    }

    #[test]
    fn the_usual_place_names_the_file_and_the_time() {
        let now = datetime!(2025-03-04 05:06:07 UTC);
        let place = ReportPlace::below(Path::new("data"), Path::new("some/chats.jsonl"));
        assert_eq!(place.path(now), Path::new("data/reports/import-chats-20250304T050607Z.jsonl"));
        let place = ReportPlace::below(Path::new("data"), Path::new("-"));
        assert_eq!(place.path(now), Path::new("data/reports/import-stdin-20250304T050607Z.jsonl"));
    }

    #[test]
    fn what_is_rejected_is_told_with_its_place() {
        let mut told_of = rejection(7);
        assert_eq!(told(&told_of, "line"), "line 7: expected value (bad_json)");
        told_of.source_id = Some("x".to_owned());
        assert_eq!(told(&told_of, "message"), "message 7 (id x): expected value (bad_json)");
        told_of.place = Some("a.json, conversation 2".to_owned());
        assert_eq!(told(&told_of, "message"), "a.json, conversation 2 (id x): expected value (bad_json)");
    }

    #[test]
    fn there_is_a_report_only_if_there_is_something_to_report() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let place = directory.path().join("new/report.jsonl");
        let report = Report::new(ReportPlace::At(place.clone()), "line", true);
        assert_eq!(report.finish().expect("nothing is to be written"), None);
        assert!(!place.exists());

        let mut report = Report::new(ReportPlace::At(place.clone()), "line", true);
        let progress = Progress::new(true, None, Unit::Bytes);
        for line in [3, 8] {
            report.add(rejection(line), &progress);
        }
        assert_eq!(report.finish().expect("it can be written"), Some(place.clone()));
        let text = fs::read_to_string(place).expect("it can be read");
        let kept: Vec<Rejection> =
            text.lines().map(|line| serde_json::from_str(line).expect("a line is a rejection")).collect();
        assert_eq!(kept, [rejection(3), rejection(8)]);
    }

    #[test]
    fn a_report_that_cannot_be_written_stops_nothing() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let blocked = directory.path().join("file");
        fs::write(&blocked, "").expect("a file can be written");
        let mut report = Report::new(ReportPlace::At(blocked.join("report.jsonl")), "line", true);
        let progress = Progress::new(true, None, Unit::Bytes);
        assert_eq!(report.add(rejection(1), &progress) + report.add(rejection(2), &progress), 2);
        assert_eq!(report.finish().expect("the import goes on"), None);
    }
}
