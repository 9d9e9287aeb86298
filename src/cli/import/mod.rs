//! Import: a file of messages, sent to the log.
//!
//! Promises: the file is never held whole; lines go to the log in the order of the file; a bad line is told with its
//! number in the file and stops nothing; importing again, also after an interruption, adds nothing twice.

mod batch;
mod identity;
mod indexed;
mod lines;
mod preparation;
mod rejection;
mod report;
mod sender;
mod summary;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    time::Instant,
};

use batch::Batch;
use lines::Lines;
use preparation::{Preparation, Prepared};
use report::{Report, ReportPlace};
use sender::Sender;
pub(super) use summary::Summary;

use super::{
    Client, Context, EXIT_CODES, Failure, Outcome,
    progress::{Progress, Unit},
};

/// The name for standard input.
const STANDARD_INPUT: &str = "-";
/// The mark at the beginning of some UTF-8 files; it belongs to no line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How much of the file is read at once, in bytes.
const READ_BUFFER: usize = 256 * 1024;

/// The arguments of `meshlog import`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog import examples/conversations.jsonl --wait
  zcat archive.jsonl.gz | meshlog import - --report rejected.jsonl

Each line is one message:
  {{\"id\": \"D1:3\", \"space\": \"ada\", \"thread\": \"conv-1\", \"author\": \"Ada\", \"role\": \"user\",
   \"sent_at\": \"2025-05-08T13:56:00Z\", \"text\": \"...\"}}
thread, author and text are required. The space is \"main\" and the role \"user\" where none is
given, and the time is that of the import. A line without an id gets one made from its content, so
that importing again adds nothing.

{EXIT_CODES}"))]
pub(super) struct ImportArguments {
    /// The file of JSON lines, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Wait until everything is found by recall
    #[arg(long)]
    wait: bool,

    /// Where rejected lines are written [default: DATA/reports/import-NAME-TIME.jsonl]; only if there are any
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// The data directory, only to place the report in it
    #[arg(long, env = "MESHLOG_DATA", default_value = "./meshlog-data", value_name = "DIRECTORY")]
    data: PathBuf,
}

/// Imports a file, and shows how it went.
pub(super) fn run(context: &mut Context, arguments: ImportArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let json = context.output.is_json();
    let ImportArguments { file, wait, report, data } = arguments;
    let place = report.map_or_else(|| ReportPlace::below(&data, &file), ReportPlace::At);
    let summary = import(&client, json, &file, place, wait)?;
    if json {
        context.output.document(&summary)?;
    } else {
        context.output.line(&summary)?;
    }
    Ok(if summary.rejected == 0 { Outcome::Done } else { Outcome::Found })
}

/// Imports a file for a command that needs its messages: waits until recall finds them.
pub(super) fn import_and_wait(client: &Client, json: bool, file: &Path, data: &Path) -> Result<Summary, Failure> {
    import(client, json, file, ReportPlace::below(data, file), true)
}

fn import(client: &Client, json: bool, file: &Path, place: ReportPlace, wait: bool) -> Result<Summary, Failure> {
    let Source { mut reader, size } = Source::open(file)?;
    refuse_array(file, &mut reader)?;
    // A server that is not there is told at once; only one that goes away later is waited for.
    client.status_and_text("/livez")?;
    let started = Instant::now();
    let progress = Progress::new(json, size, Unit::Bytes);
    let mut run = Run {
        preparation: Preparation::default(),
        sender: Sender::new(client),
        report: Report::new(place, json),
        summary: Summary::default(),
        progress,
    };
    let outcome = run.send_all(file, reader);
    let Run { sender, report, mut summary, progress, .. } = run;
    drop(progress);
    // Also of an import that broke off: what it rejected is worth reading.
    summary.report = report.finish()?;
    outcome?;
    if wait {
        indexed::wait(client, json, &sender.into_last_lines())?;
        summary.indexed = true;
    }
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

/// One import under way.
struct Run<'a> {
    preparation: Preparation,
    sender: Sender<'a>,
    report: Report,
    summary: Summary,
    progress: Progress,
}

impl Run<'_> {
    fn send_all(&mut self, file: &Path, source: impl BufRead) -> Result<(), Failure> {
        let mut lines = Lines::new(source);
        let mut batch = Batch::default();
        while let Some(line) = lines.next().map_err(|error| Failure::file("read", file, &error))? {
            self.summary.lines = line.number;
            match self.preparation.prepare(&line) {
                Prepared::Blank => {}
                Prepared::Rejected(rejection) => self.summary.rejected += self.report.add(rejection, &self.progress),
                Prepared::Message(message) => {
                    if !batch.has_room_for(&message) {
                        self.send(&mut batch)?;
                    }
                    batch.add(line.number, message);
                }
            }
            self.show(lines.bytes_read());
        }
        self.send(&mut batch)
    }

    fn send(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        let sent = self.sender.send(batch).map_err(|failure| self.interrupted(batch.first_line(), failure))?;
        self.summary.accepted += sent.accepted;
        self.summary.duplicates += sent.duplicates;
        for rejection in sent.rejections {
            self.summary.rejected += self.report.add(rejection, &self.progress);
        }
        batch.clear();
        Ok(())
    }

    fn show(&self, bytes: u64) {
        let Summary { accepted, duplicates, rejected, .. } = self.summary;
        self.progress.show(bytes, format!("accepted {accepted}, duplicates {duplicates}, rejected {rejected}"));
    }

    /// The import ends before the end of the file. Says how far it came and that going on is safe.
    fn interrupted(&self, line: u64, failure: Failure) -> Failure {
        let Summary { accepted, duplicates, rejected, .. } = self.summary;
        let what = format!(
            "{failure}; the import stopped before line {line} (accepted {accepted}, duplicates {duplicates}, rejected \
             {rejected})"
        );
        let help = "run the same command again: it goes on, and what is in the log already is not added twice";
        match failure {
            Failure::Refused(problem) if problem.status != 503 => {
                Failure::local(what, format!("{}; then {help}", problem.help))
            }
            Failure::Unreachable { .. } | Failure::Refused(_) => Failure::GivenUp { what, help: help.to_owned() },
            _ => Failure::local(what, help),
        }
    }
}

/// What is imported.
struct Source {
    reader: BufReader<Box<dyn Read>>,
    /// Its size in bytes, where that is known.
    size: Option<u64>,
}

impl Source {
    fn open(file: &Path) -> Result<Self, Failure> {
        if file == Path::new(STANDARD_INPUT) {
            return Ok(Self { reader: BufReader::with_capacity(READ_BUFFER, Box::new(io::stdin())), size: None });
        }
        let opened = File::open(file).map_err(|error| Failure::file("open", file, &error))?;
        let metadata = opened.metadata().map_err(|error| Failure::file("look at", file, &error))?;
        if metadata.is_dir() {
            let what = format!("{} is a directory", file.display());
            return Err(Failure::local(what, "name a file of JSON lines in it"));
        }
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self { reader: BufReader::with_capacity(READ_BUFFER, Box::new(opened)), size })
    }
}

/// Refuses what is one JSON array, as the exports of chat products are; and passes over a byte order mark.
fn refuse_array(file: &Path, source: &mut impl BufRead) -> Result<(), Failure> {
    let beginning = source.fill_buf().map_err(|error| Failure::file("read", file, &error))?;
    let marked = beginning.starts_with(BYTE_ORDER_MARK);
    let content = if marked { &beginning[BYTE_ORDER_MARK.len()..] } else { beginning };
    if content.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let what = format!(
            "{} is a JSON array, as ChatGPT and Claude export conversations; this is not read yet",
            file.display()
        );
        let help = "turn it into JSON lines, one message a line; \"meshlog import --help\" shows the form";
        return Err(Failure::local(what, help));
    }
    if marked {
        source.consume(BYTE_ORDER_MARK.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let mut source = &b"\xef\xbb\xbf{}"[..];
        refuse_array(Path::new("x"), &mut source).expect("it is no array");
        assert_eq!(source, b"{}");
    }

    #[test]
    fn an_array_is_refused_whatever_stands_before_it() {
        for text in ["[", "\n  [{}]", "\u{feff}[]"] {
            let mut source = text.as_bytes();
            let failure = refuse_array(Path::new("conversations.json"), &mut source).expect_err(text);
            assert!(failure.to_string().contains("not read yet"), "{failure}");
        }
    }
}
