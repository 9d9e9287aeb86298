//! Import: a file of messages, or the export of another chat product, sent to the log.
//!
//! Promises: the file is never held whole; messages go to the log in the order of the file; a bad line or conversation
//! is told with its place and stops nothing; importing again, also after an interruption, adds nothing twice; what is
//! broken from the start is refused before anything is sent.

mod batch;
mod exports;
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
use exports::{Export, Format, Item, Opened, Options};
use lines::{LINE_LIMIT, Lines};
use meshlog_connectors::problem::Code;
use preparation::{Preparation, Prepared};
use rejection::Rejection;
use report::{Report, ReportPlace};
use sender::Sender;
pub(super) use summary::Summary;

use super::{
    Client, Context, EXIT_CODES, Failure, Outcome,
    output::one_line,
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
  meshlog import chatgpt-export.zip --space ada --author Ada
  meshlog import slack-export/ --format slack
  meshlog import log.json --format json --map text=body.plain --map role=kind
  zcat archive.jsonl.gz | meshlog import - --report rejected.jsonl

An export is read as it was downloaded, as a zip file, or unpacked as a folder: of ChatGPT, Claude,
Slack, DiscordChatExporter or Discord, transcripts in Markdown, and messages in plain JSON. Its
format is recognized by what it holds. docs/import.md says what becomes of what.

In a file of JSON lines each line is one message:
  {{\"id\": \"D1:3\", \"space\": \"ada\", \"thread\": \"conv-1\", \"author\": \"Ada\", \"role\": \"user\",
   \"sent_at\": \"2025-05-08T13:56:00Z\", \"text\": \"...\"}}
thread, author and text are required. The space is \"main\" and the role \"user\" where none is
given, and the time is that of the import. A line without an id gets one made from its content, so
that importing again adds nothing.

{EXIT_CODES}"))]
pub(super) struct ImportArguments {
    /// The export, or the file of JSON lines: a file, a zip file or a folder; - for JSON lines on standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// What it is: jsonl, chatgpt, claude, slack, discord, markdown or json [default: what is recognized]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// The space that an export fills [default: main]; JSON lines name their own
    #[arg(long, value_name = "SPACE")]
    space: Option<String>,

    /// The name of the person whose export it is, where the export does not say it [default: user]
    #[arg(long, value_name = "NAME")]
    author: Option<String>,

    /// Where plain JSON has a field: messages, conversation, thread, id, role, author, sent_at or text; may be repeated
    #[arg(long, value_name = "FIELD=PATH")]
    map: Vec<exports::Pair>,

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
    let ImportArguments { file, format, space, author, map, wait, report, data } = arguments;
    let is_asked = space.is_some() || author.is_some() || !map.is_empty();
    let options =
        Options { format, space: space.unwrap_or_else(Options::space), author, mapping: map.into_iter().collect() };
    let input = Input::open(&file, &options)?;
    if is_asked && matches!(input, Input::Lines(_)) {
        let what =
            format!("{} is a file of JSON lines, and --space, --author and --map are for exports", file.display());
        return Err(Failure::local(what, "leave them out, or name the format of the export with --format"));
    }
    let place = report.map_or_else(|| ReportPlace::below(&data, &file), ReportPlace::At);
    let summary = import(&client, json, &file, input, place, wait)?;
    if json {
        context.output.document(&summary)?;
    } else {
        context.output.line(&summary)?;
    }
    Ok(if summary.rejected == 0 { Outcome::Done } else { Outcome::Found })
}

/// Imports a file for a command that needs its messages: waits until recall finds them.
pub(super) fn import_and_wait(client: &Client, json: bool, file: &Path, data: &Path) -> Result<Summary, Failure> {
    let input = Input::open(file, &Options::default())?;
    import(client, json, file, input, ReportPlace::below(data, file), true)
}

fn import(
    client: &Client,
    json: bool,
    file: &Path,
    input: Input,
    place: ReportPlace,
    wait: bool,
) -> Result<Summary, Failure> {
    // A server that is not there is told at once; only one that goes away later is waited for.
    client.status_and_text("/livez")?;
    let started = Instant::now();
    let (format, size) = (input.format(), input.size());
    let mut run = Run {
        preparation: Preparation::default(),
        sender: Sender::new(client),
        report: Report::new(place, format.unit(), json),
        summary: Summary { format: format.name(), ..Summary::default() },
        progress: Progress::new(json, size, Unit::Bytes),
        unit: format.unit(),
        json,
    };
    let outcome = match input {
        Input::Lines(source) => run.send_lines(file, source.reader),
        Input::Export(export) => run.send_export(*export),
    };
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

/// What is imported, opened and recognized.
enum Input {
    /// JSON lines, one message a line.
    Lines(Source),
    /// The export of another product.
    Export(Box<Export>),
}

impl Input {
    fn open(file: &Path, options: &Options) -> Result<Self, Failure> {
        if file == Path::new(STANDARD_INPUT) {
            if let Some(format) = options.format.filter(|format| *format != Format::Lines) {
                let what = format!("standard input is read once, and an export of the format {format} more than once");
                return Err(Failure::local(what, "write it into a file, and name that"));
            }
            return Self::lines(file);
        }
        match exports::open(file, options).map_err(|refusal| Failure::local(refusal.what, refusal.help))? {
            Opened::Lines => Self::lines(file),
            Opened::Export(export) => Ok(Self::Export(export)),
        }
    }

    fn lines(file: &Path) -> Result<Self, Failure> {
        let mut source = Source::open(file)?;
        refuse_array(file, &mut source.reader)?;
        Ok(Self::Lines(source))
    }

    fn format(&self) -> Format {
        match self {
            Self::Lines(_) => Format::Lines,
            Self::Export(export) => export.format(),
        }
    }

    /// Its size in bytes, where that is known.
    fn size(&self) -> Option<u64> {
        match self {
            Self::Lines(source) => source.size,
            Self::Export(export) => Some(export.total_bytes()),
        }
    }
}

/// One import under way.
struct Run<'a> {
    preparation: Preparation,
    sender: Sender<'a>,
    report: Report,
    summary: Summary,
    progress: Progress,
    /// What is counted: lines, or the messages of an export.
    unit: &'static str,
    json: bool,
}

impl Run<'_> {
    fn send_lines(&mut self, file: &Path, source: impl BufRead) -> Result<(), Failure> {
        let mut lines = Lines::new(source);
        let mut batch = Batch::default();
        while let Some(line) = lines.next().map_err(|error| Failure::file("read", file, &error))? {
            self.summary.lines = line.number;
            match self.preparation.prepare(&line) {
                Prepared::Blank => {}
                Prepared::Rejected(rejection) => self.summary.rejected += self.report.add(rejection, &self.progress),
                Prepared::Message(message) => self.add(&mut batch, line.number, message)?,
            }
            self.show(lines.bytes_read());
        }
        self.send(&mut batch)
    }

    fn send_export(&mut self, mut export: Export) -> Result<(), Failure> {
        let mut batch = Batch::default();
        while let Some(item) = export.next() {
            match item {
                Item::Message(message) => {
                    self.summary.lines += 1;
                    let line = serde_json::to_vec(&message).expect("a message is JSON");
                    if line.len() > LINE_LIMIT {
                        let detail = format!("as a line it is longer than {LINE_LIMIT} bytes");
                        let rejection = Rejection::new(self.summary.lines, Code::LineTooLong.name(), detail, &line);
                        self.summary.rejected += self.report.add(rejection.of(message.id), &self.progress);
                        continue;
                    }
                    self.add(&mut batch, self.summary.lines, line)?;
                }
                Item::Rejected(finding) => {
                    self.summary.lines += 1;
                    let rejection = Rejection::found(self.summary.lines, finding);
                    self.summary.rejected += self.report.add(rejection, &self.progress);
                }
                Item::Note(note) => {
                    if !self.json {
                        self.progress.note(&one_line(&format!("note: {note}")));
                    }
                    self.summary.notes.push(note);
                }
            }
            self.show(export.bytes_read());
        }
        self.send(&mut batch)
    }

    /// Adds a message to the batch, and sends the batch before if that is full.
    fn add(&mut self, batch: &mut Batch, number: u64, message: Vec<u8>) -> Result<(), Failure> {
        if !batch.has_room_for(&message) {
            self.send(batch)?;
        }
        batch.add(number, message);
        Ok(())
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
    fn interrupted(&self, number: u64, failure: Failure) -> Failure {
        let Summary { accepted, duplicates, rejected, .. } = self.summary;
        let what = format!(
            "{failure}; the import stopped before {} {number} (accepted {accepted}, duplicates {duplicates}, rejected \
             {rejected})",
            self.unit
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

/// A file of lines.
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

/// Refuses what is one JSON array, as the exports of chat products are, where it is read as lines: from standard input,
/// or because that was asked for. Passes over a byte order mark.
fn refuse_array(file: &Path, source: &mut impl BufRead) -> Result<(), Failure> {
    let beginning = source.fill_buf().map_err(|error| Failure::file("read", file, &error))?;
    let marked = beginning.starts_with(BYTE_ORDER_MARK);
    let content = if marked { &beginning[BYTE_ORDER_MARK.len()..] } else { beginning };
    if content.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let what = format!(
            "{} is a JSON array, as ChatGPT and Claude export conversations, and not a file of JSON lines",
            file.display()
        );
        let help = "name the export's own file, zip file or folder, without --format jsonl";
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
            assert!(failure.to_string().contains("not a file of JSON lines"), "{failure}");
        }
    }
}
