//! Tables: a file of records with commas between their fields, as RFC 4180 describes them.
//!
//! Promises: of a table there is one record in memory, and of one that is larger than the limit not more than that; a
//! quote that is never closed takes what follows with it, and is told.

use std::io::{self, BufRead, BufReader, Read};

use super::elements::{Element, Stop};

/// How much is kept of a record that is too large, in bytes.
const KEPT: usize = 8 * 1024;
/// How much of the file is read at once, in bytes.
const READ_BUFFER: usize = 64 * 1024;

/// Cuts a table into its records, the first line with the names of its columns included.
pub(super) struct Records {
    source: BufReader<Box<dyn Read>>,
    limit: usize,
    position: u64,
    number: u64,
}

impl Records {
    /// The records of a table; `limit` is the largest one in bytes.
    pub(super) fn new(source: Box<dyn Read>, limit: usize) -> Self {
        Self { source: BufReader::with_capacity(READ_BUFFER, source), limit, position: 0, number: 0 }
    }

    /// The next record with the newline that ends it; `None` at the end of the table.
    ///
    /// # Errors
    /// When it cannot be read, or ends within quotes.
    pub(super) fn next(&mut self) -> Result<Option<Element>, Stop> {
        let start = self.position;
        let mut bytes = Vec::new();
        let mut is_quoted = false;
        loop {
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stop::Unreadable { error, position: self.position }),
            };
            if buffer.is_empty() && is_quoted {
                return Err(Stop::CutOff { position: self.position, number: Some(self.number + 1) });
            }
            if buffer.is_empty() && self.position == start {
                return Ok(None);
            }
            let end = buffer.iter().position(|byte| {
                // A doubled quote within quotes closes and opens them, which comes to the same.
                is_quoted ^= *byte == b'"';
                *byte == b'\n' && !is_quoted
            });
            let used = end.map_or(buffer.len(), |end| end + 1);
            let is_end = end.is_some() || buffer.is_empty();
            let kept = if bytes.len() + used > self.limit { KEPT.saturating_sub(bytes.len()).min(used) } else { used };
            bytes.extend_from_slice(&buffer[..kept]);
            self.source.consume(used);
            self.position += used as u64;
            if is_end {
                self.number += 1;
                let length = self.position - start;
                let too_large = (length > self.limit as u64).then_some(length);
                return Ok(Some(Element { key: None, number: Some(self.number), start, bytes, too_large }));
            }
        }
    }
}

/// The fields of a record.
pub(super) fn fields(record: &str) -> Vec<String> {
    let record = record.strip_suffix('\n').unwrap_or(record);
    let record = record.strip_suffix('\r').unwrap_or(record);
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = record.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(field) = fields.last_mut() else { break };
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(table: &[u8], limit: usize) -> (Vec<Vec<String>>, Option<Stop>) {
        let mut records = Records::new(Box::new(io::Cursor::new(table.to_vec())), limit);
        let mut found = Vec::new();
        loop {
            match records.next() {
                Ok(Some(record)) => found.push(fields(&String::from_utf8_lossy(&record.bytes))),
                Ok(None) => return (found, None),
                Err(stop) => return (found, Some(stop)),
            }
        }
    }

    #[test]
    fn quotes_hold_commas_quotes_and_newlines() {
        let (found, stop) = records(b"ID,Contents\r\n1,\"a, \"\"b\"\"\nc\"\r\n2,\n3,last", 1000);
        assert!(stop.is_none());
        assert_eq!(found, [vec!["ID", "Contents"], vec!["1", "a, \"b\"\nc"], vec!["2", ""], vec!["3", "last"]]);
    }

    #[test]
    fn a_table_that_ends_within_quotes_is_cut_off() {
        let (found, stop) = records(b"a\n\"b", 1000);
        assert_eq!(found.len(), 1);
        assert!(matches!(stop, Some(Stop::CutOff { position: 4, number: Some(2) })), "{stop:?}");
    }

    #[test]
    fn a_record_that_is_too_large_is_named_and_the_next_one_is_whole() {
        let mut records = Records::new(Box::new(io::Cursor::new([&b"x".repeat(50)[..], b"\nnext\n"].concat())), 10);
        let large = records.next().expect("it can be read").expect("there is one");
        assert_eq!(large.too_large, Some(51));
        let next = records.next().expect("it can be read").expect("there is one");
        assert_eq!((next.bytes.as_slice(), next.too_large), (&b"next\n"[..], None));
    }
}
