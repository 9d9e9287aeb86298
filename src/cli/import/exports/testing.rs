//! What the tests of formats have in common: an export of a few files, read as the import reads it.

use std::{fs, io::Write, path::PathBuf};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{Export, Finding, Format, Item, Opened, Options, Refusal, message::Message, open};

/// What came out of an export.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) messages: Vec<Message>,
    pub(super) rejected: Vec<Finding>,
    pub(super) notes: Vec<String>,
    /// The most bytes of documents that were in memory at a time.
    pub(super) peak: usize,
}

impl Outcome {
    /// Each message as `thread | author | text`.
    pub(super) fn lines(&self) -> Vec<String> {
        self.messages
            .iter()
            .map(|message| format!("{} | {} | {}", message.thread, message.author, message.text))
            .collect()
    }

    /// Each finding as `code: place: detail`.
    pub(super) fn findings(&self) -> Vec<String> {
        self.rejected.iter().map(|finding| format!("{}: {}: {}", finding.code, finding.place, finding.detail)).collect()
    }

    pub(super) fn ids(&self) -> Vec<&str> {
        self.messages.iter().map(|message| message.id.as_str()).collect()
    }
}

/// An export in a directory of the test.
pub(super) struct Given {
    directory: tempfile::TempDir,
    path: PathBuf,
}

impl Given {
    /// One file.
    pub(super) fn file(name: &str, content: impl AsRef<[u8]>) -> Self {
        let directory = directory();
        let path = directory.path().join(name);
        fs::write(&path, content).expect("a file can be written");
        Self { directory, path }
    }

    /// A folder with these files.
    pub(super) fn folder(files: &[(&str, &str)]) -> Self {
        let directory = directory();
        for (name, content) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a directory can be made");
            fs::write(path, content).expect("a file can be written");
        }
        let path = directory.path().to_owned();
        Self { directory, path }
    }

    /// A zip file with these files.
    pub(super) fn zip(files: &[(&str, &str)]) -> Self {
        let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, content) in files {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
            writer.start_file(*name, options).expect("memory takes it");
            writer.write_all(content.as_bytes()).expect("memory takes it");
        }
        Self::file("export.zip", writer.finish().expect("memory takes it").into_inner())
    }

    /// Where it is.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    pub(super) fn open(&self, options: &Options) -> Result<Opened, Refusal> {
        assert!(self.path.starts_with(self.directory.path()));
        open(&self.path, options)
    }

    pub(super) fn read_with(&self, options: &Options) -> Outcome {
        match self.open(options) {
            Ok(Opened::Export(export)) => drain(*export),
            Ok(Opened::Lines) => panic!("it was taken for JSON lines"),
            Err(refusal) => panic!("it was refused: {refusal}"),
        }
    }

    pub(super) fn read(&self) -> Outcome {
        self.read_with(&Options::default())
    }

    pub(super) fn read_as(&self, format: Format) -> Outcome {
        self.read_with(&Options { format: Some(format), ..Options::default() })
    }

    pub(super) fn refused(&self) -> Refusal {
        match self.open(&Options::default()) {
            Ok(Opened::Export(export)) => panic!("it was read: {:?}", drain(*export)),
            Ok(Opened::Lines) => panic!("it was taken for JSON lines"),
            Err(refusal) => refusal,
        }
    }
}

/// Reads an export to its end.
pub(super) fn drain(mut export: Export) -> Outcome {
    let mut outcome = Outcome::default();
    let mut before = 0;
    for item in export.by_ref() {
        match item {
            Item::Message(message) => outcome.messages.push(message),
            Item::Rejected(finding) => outcome.rejected.push(finding),
            Item::Note(note) => outcome.notes.push(note),
        }
    }
    for read in [export.bytes_read(), export.total_bytes()] {
        assert!(before <= read, "progress goes back or beyond its end");
        before = read;
    }
    outcome.peak = export.documents.peak();
    outcome
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory can be made")
}
