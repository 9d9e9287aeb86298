//! Elements: a JSON document cut into its members as it is read, without parsing them.
//!
//! Owns: finding where an element of the outermost array, or a field of the outermost object, begins and ends. Fields
//! that are named beforehand are arrays too and are cut into their elements.
//! Promises: of the document there is only one element in memory, and of an element that is larger than the limit only
//! its beginning; an element that is no JSON does not hide those after it, as far as brackets and quotes allow.
//! Never: looks into an element; whoever reads it judges it.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
};

/// How much is kept of an element that is too large, in bytes: enough to recognize it by.
const KEPT: usize = 8 * 1024;
/// How deeply an element may be nested. The parser's own limit is 128; beyond this it is no export at all.
const DEPTH_LIMIT: usize = 4096;
/// The longest name of a field, in bytes.
const KEY_LIMIT: usize = 1024;
/// How much of the file is read at once, in bytes.
const READ_BUFFER: usize = 64 * 1024;

/// One member of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// The field of the outermost object it stands in or is; `None` where the document is an array.
    pub(super) key: Option<String>,
    /// Its number in its array, from 1; `None` for a field.
    pub(super) number: Option<u64>,
    /// Where it begins in the decoded document, in bytes.
    pub(super) start: u64,
    /// Its bytes; of one that is too large the first ones.
    pub(super) bytes: Vec<u8>,
    /// Its length, where it is too large.
    pub(super) too_large: Option<u64>,
}

/// Why a document cannot be cut further.
#[derive(Debug)]
pub(super) enum Stop {
    /// It ended before its last bracket was closed.
    CutOff {
        /// Its length.
        position: u64,
        /// The number of the element that was cut off, if one was.
        number: Option<u64>,
    },
    /// This does not belong where it stands.
    Unexpected { byte: u8, position: u64 },
    /// Brackets within brackets, without end.
    TooDeep { position: u64 },
    /// It cannot be read.
    Unreadable { error: io::Error, position: u64 },
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutOff { position, .. } => write!(formatter, "it is cut off at byte {position}"),
            Self::Unexpected { byte, position } => {
                let character = char::from(*byte).escape_default();
                write!(formatter, "\"{character}\" at byte {position} does not belong there")
            }
            Self::TooDeep { position } => write!(formatter, "at byte {position} brackets are nested without end"),
            Self::Unreadable { error, position } => {
                write!(formatter, "it cannot be read after byte {position}: {error}")
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Start,
    Array(Option<String>),
    Object,
    /// Behind the document; behind an object others may follow, as in a file of JSON lines.
    After {
        is_object: bool,
    },
    /// Values one after the other, as in a file of JSON lines.
    Values,
    Done,
}

/// Cuts one document.
pub(super) struct Elements {
    source: BufReader<Box<dyn Read>>,
    /// The fields that are cut into their elements.
    into: Vec<String>,
    limit: usize,
    state: State,
    position: u64,
    number: u64,
    peak: usize,
}

impl Elements {
    /// The members of a document; `limit` is the largest element in bytes.
    pub(super) fn new(source: Box<dyn Read>, into: &[String], limit: usize) -> Self {
        Self {
            source: BufReader::with_capacity(READ_BUFFER, source),
            into: into.to_vec(),
            limit,
            state: State::Start,
            position: 0,
            number: 0,
            peak: 0,
        }
    }

    /// The values of a document that has several, one after the other.
    pub(super) fn values(source: Box<dyn Read>, limit: usize) -> Self {
        Self { state: State::Values, ..Self::new(source, &[], limit) }
    }

    /// The most bytes of a document that were in memory at a time.
    pub(super) fn peak(&self) -> usize {
        self.peak + READ_BUFFER
    }

    /// The next member; `None` at the end of the document.
    ///
    /// # Errors
    /// When nothing more can be cut. What was cut before stands.
    pub(super) fn next(&mut self) -> Result<Option<Element>, Stop> {
        let result = self.advance();
        if result.is_err() {
            self.state = State::Done;
        }
        result
    }

    fn advance(&mut self) -> Result<Option<Element>, Stop> {
        loop {
            let byte = self.skip_to_value()?;
            match (self.state.clone(), byte) {
                (State::Done, _) | (State::Start | State::After { .. } | State::Values, None) => {
                    self.state = State::Done;
                    return Ok(None);
                }
                (State::Array(_) | State::Object, None) => {
                    return Err(Stop::CutOff { position: self.position, number: None });
                }
                (State::Start, Some(b'[')) => self.enter(State::Array(None)),
                (State::Start, Some(b'{')) => self.enter(State::Object),
                (State::Array(None), Some(b']')) => self.enter(State::After { is_object: false }),
                (State::Object, Some(b'}')) => self.enter(State::After { is_object: true }),
                (State::Array(Some(_)), Some(b']')) => self.enter(State::Object),
                // A closing brace closes also an array that somebody forgot to close.
                (State::Array(Some(_)), Some(b'}')) => self.enter(State::After { is_object: true }),
                (State::After { is_object: true }, Some(b'{')) => {
                    // The object before was the first value.
                    self.number = 1;
                    self.state = State::Values;
                }
                (State::Array(key), Some(byte)) if byte != b'}' => {
                    self.number += 1;
                    return self.element(key, Some(self.number)).map(Some);
                }
                (State::Values, Some(byte)) if !matches!(byte, b']' | b'}') => {
                    self.number += 1;
                    return self.element(None, Some(self.number)).map(Some);
                }
                (State::Object, Some(b'"')) => {
                    let key = self.key()?;
                    if self.into.contains(&key) && self.peek()? == Some(b'[') {
                        self.number = 0;
                        self.enter(State::Array(Some(key)));
                        continue;
                    }
                    return self.element(Some(key), None).map(Some);
                }
                (_, Some(byte)) => return Err(Stop::Unexpected { byte, position: self.position }),
            }
        }
    }

    fn enter(&mut self, state: State) {
        self.consume(1);
        self.state = state;
    }

    /// Passes over blanks and, between members, commas. Answers the byte that follows.
    fn skip_to_value(&mut self) -> Result<Option<u8>, Stop> {
        let skips_commas = matches!(self.state, State::Array(_) | State::Object);
        while let Some(byte) = self.peek()? {
            let is_skipped = byte.is_ascii_whitespace() || (skips_commas && byte == b',');
            if !is_skipped {
                return Ok(Some(byte));
            }
            self.consume(1);
        }
        Ok(None)
    }

    /// The name of a field; afterwards its value is next.
    fn key(&mut self) -> Result<String, Stop> {
        let (bytes, _) = self.value(KEY_LIMIT)?;
        let key = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned());
        self.skip_blanks()?;
        match self.peek()? {
            Some(b':') => self.consume(1),
            Some(byte) => return Err(Stop::Unexpected { byte, position: self.position }),
            None => return Err(Stop::CutOff { position: self.position, number: None }),
        }
        self.skip_blanks()?;
        Ok(key)
    }

    fn skip_blanks(&mut self) -> Result<(), Stop> {
        while self.peek()?.is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.consume(1);
        }
        Ok(())
    }

    fn element(&mut self, key: Option<String>, number: Option<u64>) -> Result<Element, Stop> {
        let start = self.position;
        let (bytes, length) = self.value(self.limit).map_err(|stop| match stop {
            Stop::CutOff { position, .. } => Stop::CutOff { position, number },
            other => other,
        })?;
        let too_large = (length > self.limit as u64).then_some(length);
        Ok(Element { key, number, start, bytes, too_large })
    }

    /// Reads one value to its end, and keeps it up to the limit. Answers its length too.
    fn value(&mut self, limit: usize) -> Result<(Vec<u8>, u64), Stop> {
        let mut scan = Scan::default();
        let mut kept = Vec::new();
        let mut length: u64 = 0;
        loop {
            let position = self.position;
            let buffer = fill(&mut self.source, position)?;
            if buffer.is_empty() {
                // A number at the end of the file has no other end.
                if scan.is_scalar && length > 0 && self.state == State::Values {
                    return Ok((kept, length));
                }
                return Err(Stop::CutOff { position, number: None });
            }
            let (used, is_end) =
                scan.run(buffer).map_err(|offset| Stop::TooDeep { position: position + offset as u64 })?;
            if kept.len() + used <= limit && length == kept.len() as u64 {
                kept.extend_from_slice(&buffer[..used]);
            } else if length == kept.len() as u64 {
                kept.truncate(KEPT);
                kept.shrink_to_fit();
            }
            length += used as u64;
            self.peak = self.peak.max(kept.len());
            self.consume(used);
            if is_end {
                return Ok((kept, length));
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Stop> {
        let position = self.position;
        Ok(fill(&mut self.source, position)?.first().copied())
    }

    fn consume(&mut self, length: usize) {
        self.source.consume(length);
        self.position += length as u64;
    }
}

fn fill(source: &mut BufReader<Box<dyn Read>>, position: u64) -> Result<&[u8], Stop> {
    loop {
        match source.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Stop::Unreadable { error, position }),
        }
    }
    Ok(source.buffer())
}

/// The search for the end of one value, over as many blocks as it needs.
#[derive(Debug, Default)]
struct Scan {
    /// The brackets that are open.
    open: Vec<u8>,
    is_string: bool,
    is_escaped: bool,
    /// A number, `true`, `false` or `null`: it ends where something else begins.
    is_scalar: bool,
    has_begun: bool,
}

impl Scan {
    /// Goes through a block. Answers how much of it belongs to the value, and whether the value ends there.
    ///
    /// # Errors
    /// The place at which brackets are nested too deeply.
    fn run(&mut self, block: &[u8]) -> Result<(usize, bool), usize> {
        for (place, byte) in block.iter().copied().enumerate() {
            let began = std::mem::replace(&mut self.has_begun, true);
            if self.is_string {
                // No string of JSON holds a bare newline, so one that was never closed ends with its line.
                if self.is_escaped {
                    self.is_escaped = false;
                } else if byte == b'\\' {
                    self.is_escaped = true;
                } else if byte == b'"' || byte == b'\n' {
                    self.is_string = false;
                    if self.open.is_empty() {
                        return Ok((place + 1, true));
                    }
                }
                continue;
            }
            if self.is_scalar {
                if byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}' | b'[' | b'{' | b'"') {
                    return Ok((place, true));
                }
                continue;
            }
            match byte {
                b'"' => self.is_string = true,
                b'[' | b'{' if self.open.len() == DEPTH_LIMIT => return Err(place),
                b'[' | b'{' => self.open.push(byte),
                b']' | b'}' => {
                    let opening = if byte == b']' { b'[' } else { b'{' };
                    let Some(matching) = self.open.iter().rposition(|open| *open == opening) else {
                        // It closes what is around this value, which was never closed itself.
                        return Ok((place, true));
                    };
                    self.open.truncate(matching);
                    if self.open.is_empty() {
                        return Ok((place + 1, true));
                    }
                }
                _ if !began => self.is_scalar = true,
                _ => {}
            }
        }
        Ok((block.len(), false))
    }
}

#[cfg(test)]
mod tests;
