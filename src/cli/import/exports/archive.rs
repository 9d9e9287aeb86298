//! Archive: a zip file as it was downloaded, read member by member without unpacking it.
//!
//! Promises: what a zip file may cost is known from its directory before anything is read: the number of members, what
//! they hold uncompressed, and how strongly they are compressed. A member that holds more than the directory says ends
//! there with an error, and its checksum is checked at its end. Memory for a member is that of the decompressor.
//! Never: opens a zip file within the zip file, or writes anything.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::{
    Refusal,
    container::{MEMBERS_LIMIT, Member},
    message::readable,
};

/// The largest directory of a zip file, in bytes: it is held in memory while the export is read.
const DIRECTORY_LIMIT: u64 = 64 * 1024 * 1024;
/// The most that members with text may hold together, in bytes.
const TOTAL_LIMIT: u64 = 64 * 1024 * 1024 * 1024;
/// How many bytes one compressed byte may stand for. Exports stay below 40; deflate itself ends at 1,032.
const RATIO_LIMIT: u64 = 250;
/// Below this size a member's ratio does not matter, in bytes.
const RATIO_FROM: u64 = 16 * 1024 * 1024;
/// What an export's conversations are written in; nothing else of an archive is ever opened.
const TEXTS: [&str; 6] = ["json", "jsonl", "csv", "md", "markdown", "txt"];
/// How much of the file is read at once, in bytes.
const READ_BUFFER: usize = 64 * 1024;
/// The record at the end of every zip file, without its comment, in bytes.
const END_LENGTH: u64 = 22;
const END_MARK: &[u8] = b"PK\x05\x06";
/// What stands before it in an archive with more than 65,535 members or 4 GiB.
const LARGE_LOCATOR_LENGTH: u64 = 20;
const LARGE_LOCATOR_MARK: &[u8] = b"PK\x06\x07";

/// An open zip file.
pub(super) struct Archive {
    path: PathBuf,
    zip: RefCell<ZipArchive<BufReader<File>>>,
    /// For each member its number in the zip file's own directory.
    numbers: Vec<usize>,
}

impl Archive {
    /// Opens a zip file, and answers its members in the order of their paths.
    ///
    /// # Errors
    /// When it is no zip file, is cut off, or would cost more than an export can.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Member>), Refusal> {
        let mut file = File::open(path).map_err(|error| Refusal::unreadable(path, &error))?;
        let directory = directory_length(&mut file).map_err(|error| Refusal::unreadable(path, &error))?;
        let Some(directory) = directory else { return Err(cut_off(path)) };
        if directory > DIRECTORY_LIMIT {
            let what = format!("the list of files in {} takes {}", path.display(), readable(directory));
            return Err(bomb(what, format!("{} at most", readable(DIRECTORY_LIMIT))));
        }
        let length = file.metadata().map_err(|error| Refusal::unreadable(path, &error))?.len();
        let mut zip = ZipArchive::new(BufReader::with_capacity(READ_BUFFER, file)).map_err(|error| {
            let what = format!("{} is not a whole zip file: {error}", path.display());
            Refusal::new(what, "download it again, or unpack it and name the folder")
        })?;
        let mut listed = list(&mut zip, path, length)?;
        listed.sort_by(|one, other| one.1.name.cmp(&other.1.name));
        let (numbers, members) = listed.into_iter().unzip();
        Ok((Self { path: path.to_owned(), zip: RefCell::new(zip), numbers }, members))
    }

    /// Opens a member.
    ///
    /// # Errors
    /// When it is encrypted or compressed in a way that is not read.
    pub(super) fn read(&self, index: usize) -> io::Result<Box<dyn Read>> {
        let mut zip = self.zip.borrow_mut();
        let member = zip.by_index_raw(self.numbers[index]).map_err(io::Error::other)?;
        if member.encrypted() {
            return Err(io::Error::other("it is encrypted; unpack the zip file and name the folder"));
        }
        let start = member.data_start().ok_or_else(|| io::Error::other("its place in the zip file is not known"))?;
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        let packed = BufReader::with_capacity(READ_BUFFER, file.take(member.compressed_size()));
        let source: Box<dyn Read> = match member.compression() {
            CompressionMethod::Stored => Box::new(packed),
            CompressionMethod::Deflated => Box::new(DeflateDecoder::new(packed)),
            other => {
                let what = format!(
                    "it is compressed with {other}, which is not read; unpack the zip file and name the folder"
                );
                return Err(io::Error::other(what));
            }
        };
        let checksum = crc32fast::Hasher::new();
        Ok(Box::new(Checked { source, left: member.size(), checksum, expected: member.crc32() }))
    }
}

/// The files of the directory, each with its number there, and none that costs too much.
fn list(zip: &mut ZipArchive<BufReader<File>>, path: &Path, length: u64) -> Result<Vec<(usize, Member)>, Refusal> {
    if zip.len() > MEMBERS_LIMIT {
        let what = format!("{} holds {} files", path.display(), zip.len());
        return Err(bomb(what, format!("{MEMBERS_LIMIT} at most")));
    }
    let mut listed = Vec::new();
    let (mut packed, mut unpacked) = (0_u64, 0_u64);
    for number in 0..zip.len() {
        let entry = zip.by_index_raw(number).map_err(|error| {
            let what = format!("{}: file {} of the zip file cannot be found: {error}", path.display(), number + 1);
            Refusal::new(what, "download it again, or unpack it and name the folder")
        })?;
        packed = packed.saturating_add(entry.compressed_size());
        if entry.is_dir() {
            continue;
        }
        // Some tools on Windows write `\` between the segments of a path.
        let name = entry.name().map(|name| name.replace('\\', "/")).unwrap_or_else(|_| format!("file {}", number + 1));
        let member = Member { name, size: entry.size() };
        if TEXTS.contains(&member.extension().as_str()) {
            unpacked = unpacked.saturating_add(member.size);
            check_ratio(path, &member, entry.compressed_size())?;
        }
        listed.push((number, member));
    }
    if unpacked > TOTAL_LIMIT {
        let what = format!("{} holds {} of text uncompressed", path.display(), readable(unpacked));
        return Err(bomb(what, format!("{} at most", readable(TOTAL_LIMIT))));
    }
    if packed > length {
        let what = format!("the files in {} are together longer than it: they lie over each other", path.display());
        return Err(bomb(what, "as no tool that exports conversations writes them".to_owned()));
    }
    Ok(listed)
}

fn check_ratio(path: &Path, member: &Member, packed: u64) -> Result<(), Refusal> {
    if member.size < RATIO_FROM || member.size / packed.max(1) <= RATIO_LIMIT {
        return Ok(());
    }
    let what = format!("{}: {} holds {} in {}", path.display(), member.name, readable(member.size), readable(packed));
    Err(bomb(what, format!("{RATIO_LIMIT} bytes for one at most")))
}

fn bomb(what: String, limit: String) -> Refusal {
    let what = format!("{what}, which no export of conversations does ({limit})");
    Refusal::new(what, "if it is one all the same, unpack it and name the folder")
}

fn cut_off(path: &Path) -> Refusal {
    let what = format!("{} is cut off: the list of its files, which ends every zip file, is missing", path.display());
    Refusal::new(what, "download it again")
}

/// How long the directory says that it is; `None` where a zip file has no end. Asked before the directory is read into
/// memory.
fn directory_length(file: &mut File) -> io::Result<Option<u64>> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_length = length.min(END_LENGTH + LARGE_LOCATOR_LENGTH + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(length - tail_length))?;
    let mut tail = Vec::new();
    file.take(tail_length).read_to_end(&mut tail)?;
    let Some(end) = tail.windows(END_MARK.len()).rposition(|window| window == END_MARK) else { return Ok(None) };
    let Some(short) = number(&tail, end + 12, 4) else { return Ok(None) };
    let locator =
        end.checked_sub(LARGE_LOCATOR_LENGTH as usize).filter(|start| tail[*start..].starts_with(LARGE_LOCATOR_MARK));
    if short != u64::from(u32::MAX) {
        // The directory reaches up to the end. If it does not, this is the end of a zip file within one that is cut off.
        let place = number(&tail, end + 16, 4).unwrap_or_default();
        let is_own = locator.is_some() || place + short >= length - tail_length + end as u64;
        return Ok(is_own.then_some(short));
    }
    // The length stands in a record of its own, and where that is, in the locator.
    let Some(place) = locator.and_then(|start| number(&tail, start + 8, 8)) else { return Ok(None) };
    let mut record = Vec::new();
    file.seek(SeekFrom::Start(place.min(length)))?;
    file.take(56).read_to_end(&mut record)?;
    Ok(number(&record, 40, 8))
}

/// A little-endian number in bytes.
fn number(bytes: &[u8], start: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(start..start.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A member that holds what the directory says, or ends with an error.
struct Checked {
    source: Box<dyn Read>,
    left: u64,
    checksum: crc32fast::Hasher,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let length = self.source.read(buffer)?;
        if length as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds more than the zip file's directory says"));
        }
        self.left -= length as u64;
        self.checksum.update(&buffer[..length]);
        if length > 0 {
            return Ok(length);
        }
        if self.left > 0 {
            let what = format!("{} are missing at its end", readable(self.left));
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        if self.checksum.clone().finalize() != self.expected {
            let what = "its checksum is not that of the zip file's directory: some of it is damaged";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests;
