//! Documents: the files of an export, one after the other, each cut into the pieces that its format reads.
//!
//! Owns: opening and decoding a file, cutting it as its format asks, and telling what could not be cut.
//! Promises: of all documents there is one piece in memory; a document that cannot be read further ends there, and the
//! next one is read.
//! Never: knows what a piece means.

use std::{
    io::{self, Cursor, Read},
    rc::Rc,
};

use super::{
    container::Container,
    elements::{Element, Elements, Stop},
    encoding,
    items::{Items, Place, code},
    message::readable,
    tables::Records,
};

/// The largest conversation, or transcript, in bytes. Reading it takes several times as much memory.
pub(super) const PIECE_LIMIT: usize = 64 * 1024 * 1024;
/// The most messages of one conversation. Millions of empty ones fit into its bytes, and each takes hundreds of bytes.
pub(super) const MESSAGES_LIMIT: usize = 500_000;
/// How much of a document is looked at to see how it is to be cut, in bytes.
const BEGINNING: u64 = 64 * 1024;

/// How a document is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cut {
    /// JSON: the elements of the outermost array, or the fields of the outermost object with these cut further.
    Json(Vec<String>),
    /// JSON values one after the other.
    Values,
    /// A table with commas: its records.
    Table,
    /// Not at all.
    Whole,
}

/// A format's way to turn pieces into messages.
pub(super) trait Reader {
    /// What a piece is called, for what is told about it.
    fn unit(&self) -> &'static str;

    /// How a document is cut. `beginning` is its first bytes.
    fn cut(&self, member: &str, beginning: &[u8]) -> Cut;

    /// A document begins.
    fn begin(&mut self, _member: &str) {}

    /// The next piece of the document. It is whole, and text.
    fn piece(&mut self, place: &Place, piece: Element, items: &mut Items);

    /// The document ends, and is whole: what it is as a whole can be told now. It is never called for one that is cut
    /// off, of which only the pieces that were whole come out.
    fn end(&mut self, _place: &Place, _items: &mut Items) {}
}

/// The documents that are still to be read.
pub(super) struct Documents {
    container: Rc<Container>,
    /// Their numbers in the container, the next one last.
    members: Vec<usize>,
    current: Option<Current>,
    peak: usize,
}

struct Current {
    place: Place,
    pieces: Pieces,
}

enum Pieces {
    Json(Elements),
    Table(Records),
    Whole(Option<Box<dyn Read>>),
}

impl Documents {
    /// These members of an export, in this order.
    pub(super) fn new(container: Rc<Container>, mut members: Vec<usize>) -> Self {
        members.reverse();
        Self { container, members, current: None, peak: 0 }
    }

    /// The most bytes of documents that were in memory at a time.
    #[cfg(test)]
    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    /// Reads one piece more. Answers whether there was one.
    pub(super) fn advance(&mut self, reader: &mut dyn Reader, items: &mut Items) -> bool {
        let Some(mut current) = self.current.take() else {
            let Some(index) = self.members.pop() else { return false };
            self.current = self.open(index, reader, items);
            return true;
        };
        match current.pieces.next() {
            Ok(Some(piece)) => {
                self.peak = self.peak.max(current.pieces.peak());
                current.place.number = piece.number.unwrap_or(1);
                give(&current.place, piece, reader, items);
                self.current = Some(current);
            }
            Ok(None) => reader.end(&current.place, items),
            Err(stop) => tell(&current.place, reader.unit(), stop, items),
        }
        true
    }

    fn open(&self, index: usize, reader: &mut dyn Reader, items: &mut Items) -> Option<Current> {
        let member = self.container.members()[index].name.clone();
        let opened = self.container.read(index).and_then(encoding::as_utf8).and_then(|mut source| {
            let mut beginning = Vec::new();
            source.by_ref().take(BEGINNING).read_to_end(&mut beginning)?;
            Ok((beginning, source))
        });
        let (beginning, source) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                items.give_up(member, unread(&error), error.to_string());
                return None;
            }
        };
        let cut = reader.cut(&member, &beginning);
        let source: Box<dyn Read> = Box::new(Cursor::new(beginning).chain(source));
        let pieces = match cut {
            Cut::Json(into) => Pieces::Json(Elements::new(source, &into, PIECE_LIMIT)),
            Cut::Values => Pieces::Json(Elements::values(source, PIECE_LIMIT)),
            Cut::Table => Pieces::Table(Records::new(source, PIECE_LIMIT)),
            Cut::Whole => Pieces::Whole(Some(source)),
        };
        reader.begin(&member);
        Some(Current { place: Place { member, unit: reader.unit(), number: 1 }, pieces })
    }
}

impl Pieces {
    fn next(&mut self) -> Result<Option<Element>, Stop> {
        match self {
            Self::Json(elements) => elements.next(),
            Self::Table(records) => records.next(),
            Self::Whole(source) => source.take().map(whole).transpose(),
        }
    }

    fn peak(&self) -> usize {
        match self {
            Self::Json(elements) => elements.peak(),
            Self::Table(_) | Self::Whole(_) => PIECE_LIMIT,
        }
    }
}

fn whole(source: Box<dyn Read>) -> Result<Element, Stop> {
    let mut bytes = Vec::new();
    let read = source.take(PIECE_LIMIT as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Stop::Unreadable { error, position: bytes.len() as u64 })?;
    let too_large = (bytes.len() > PIECE_LIMIT).then_some(bytes.len() as u64);
    Ok(Element { key: None, number: None, start: 0, bytes, too_large })
}

/// Gives a piece to its reader, if it is one that can be read.
fn give(place: &Place, piece: Element, reader: &mut dyn Reader, items: &mut Items) {
    if let Some(length) = piece.too_large {
        let (length, limit) = (readable(length), readable(PIECE_LIMIT as u64));
        let detail = format!("it is {length} long; what is longer than {limit} is not read");
        items.reject(place, code::TOO_LARGE, detail, None, &piece.bytes);
    } else if let Err(error) = std::str::from_utf8(&piece.bytes) {
        let byte = piece.start + error.valid_up_to() as u64;
        let detail = format!("byte {byte} of the file does not belong to UTF-8 text; convert the file to UTF-8");
        items.reject(place, code::NOT_UTF8, detail, None, &piece.bytes);
    } else {
        reader.piece(place, piece, items);
    }
}

/// Whether a conversation has more messages than are read; that is told, and it is to be passed over.
pub(super) fn is_too_long(place: &Place, count: usize, id: Option<&str>, items: &mut Items) -> bool {
    if count > MESSAGES_LIMIT {
        let detail = format!("it has {count} messages; what has more than {MESSAGES_LIMIT} is not read");
        items.reject(place, code::TOO_LARGE, detail, id, &[]);
    }
    count > MESSAGES_LIMIT
}

/// Tells why a document is not read further.
fn tell(place: &Place, unit: &str, stop: Stop, items: &mut Items) {
    let code = match &stop {
        Stop::CutOff { .. } => code::CUT_OFF,
        Stop::Unexpected { .. } | Stop::TooDeep { .. } => code::BAD_JSON,
        Stop::Unreadable { error, .. } => unread(error),
    };
    let detail = match stop {
        Stop::CutOff { number: Some(number), .. } => format!("{stop}, in {unit} {number}, which is not imported"),
        Stop::CutOff { .. } => stop.to_string(),
        stop => format!("{stop}; what follows is not read"),
    };
    items.give_up(place.member.clone(), code, detail);
}

/// The name of the problem of a file that cannot be read.
fn unread(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::UnexpectedEof { code::CUT_OFF } else { code::UNREADABLE }
}

/// The fields of a document that is one conversation itself, put together again.
#[derive(Debug, Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    is_too_large: bool,
}

impl Fields {
    /// One field more.
    pub(super) fn add(&mut self, piece: &Element) {
        let Some(key) = &piece.key else { return };
        self.is_too_large |= self.bytes.len() + piece.bytes.len() > PIECE_LIMIT;
        if self.is_too_large {
            self.bytes = Vec::new();
            return;
        }
        self.bytes.push(if self.bytes.is_empty() { b'{' } else { b',' });
        self.bytes.extend_from_slice(serde_json::Value::from(key.as_str()).to_string().as_bytes());
        self.bytes.push(b':');
        self.bytes.extend_from_slice(&piece.bytes);
    }

    /// The document, if it had this field; too large a one is told.
    pub(super) fn take(&mut self, field: &str, place: &Place, items: &mut Items) -> Option<Vec<u8>> {
        let Self { mut bytes, is_too_large } = std::mem::take(self);
        if is_too_large {
            let detail = format!("the conversation is longer than {}, which is not read", readable(PIECE_LIMIT as u64));
            items.reject(place, code::TOO_LARGE, detail, None, &[]);
            return None;
        }
        let name = format!("\"{field}\":");
        if !bytes.windows(name.len()).any(|window| window == name.as_bytes()) {
            return None;
        }
        bytes.push(b'}');
        Some(bytes)
    }
}
