//! Encoding: the bytes of a file as UTF-8.
//!
//! Owns: byte order marks, and UTF-16 with and without one, which some tools write.
//! Promises: what is UTF-16 becomes UTF-8 as it is read, with a few kilobytes in hand; anything else passes unchanged,
//! and what is no text in it is told where it stands, by whoever reads it.
//! Never: guesses at single-byte encodings: a wrong guess would put wrong words into the log without anybody noticing.

use std::io::{self, Read};

/// How much UTF-16 is read at once, in bytes.
const BLOCK: usize = 16 * 1024;

/// The file as UTF-8, without its byte order mark.
///
/// # Errors
/// When it cannot be read, or is UTF-32.
pub(super) fn as_utf8(mut source: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    let mut beginning = [0; 4];
    let length = fill(&mut source, &mut beginning)?;
    let (order, skipped) = match beginning {
        [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] if length == 4 => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is UTF-32; convert it to UTF-8"));
        }
        [0xef, 0xbb, 0xbf, _] if length >= 3 => (None, 3),
        [0xff, 0xfe, ..] if length >= 2 => (Some(Order::Little), 2),
        [0xfe, 0xff, ..] if length >= 2 => (Some(Order::Big), 2),
        // What begins as every text of JSON or Markdown does, with a character below 128.
        [1..=0x7f, 0, 1..=0x7f, 0] => (Some(Order::Little), 0),
        [0, 1..=0x7f, 0, 1..=0x7f] => (Some(Order::Big), 0),
        _ => (None, 0),
    };
    let whole = io::Cursor::new(beginning[skipped..length].to_vec()).chain(source);
    Ok(match order {
        None => Box::new(whole),
        Some(order) => Box::new(Utf16 { source: whole, order, block: Vec::new(), text: Vec::new(), given: 0, read: 0 }),
    })
}

fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// Turns UTF-16 into UTF-8.
struct Utf16<R> {
    source: R,
    order: Order,
    /// Bytes that were read and not yet turned: less than four between two blocks.
    block: Vec<u8>,
    /// What was turned, of which so much has been given.
    text: Vec<u8>,
    given: usize,
    read: u64,
}

impl<R: Read> Utf16<R> {
    /// Turns the next block. Afterwards there is text, or the file is at its end.
    fn turn(&mut self) -> io::Result<()> {
        self.text.clear();
        self.given = 0;
        let kept = self.block.len();
        self.block.resize(kept + BLOCK, 0);
        let length = fill(&mut self.source, &mut self.block[kept..])?;
        self.block.truncate(kept + length);
        self.read += length as u64;
        let is_end = length < BLOCK;
        let mut units = self.block.chunks_exact(2).map(|pair| match self.order {
            Order::Little => u16::from_le_bytes([pair[0], pair[1]]),
            Order::Big => u16::from_be_bytes([pair[0], pair[1]]),
        });
        let mut used = self.block.len() / 2 * 2;
        let last = units.clone().next_back();
        if !is_end && last.is_some_and(|unit| (0xd800..0xdc00).contains(&unit)) {
            // Half of a character: the other half is in the next block.
            used -= 2;
        }
        for decoded in char::decode_utf16(units.by_ref().take(used / 2)) {
            let character = decoded.map_err(|_| self.broken("half a character"))?;
            self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        if is_end && used < self.block.len() {
            return Err(self.broken("half a unit at the end"));
        }
        self.block.drain(..used);
        Ok(())
    }

    fn broken(&self, what: &str) -> io::Error {
        let what = format!("up to byte {} the file is not UTF-16 throughout: {what}", self.read);
        io::Error::new(io::ErrorKind::InvalidData, what)
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.text.len() {
            self.turn()?;
        }
        let length = buffer.len().min(self.text.len() - self.given);
        buffer[..length].copy_from_slice(&self.text[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        as_utf8(Box::new(io::Cursor::new(bytes.to_vec())))?.read_to_end(&mut text)?;
        Ok(text)
    }

    fn little(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn utf_16_is_turned_with_and_without_its_mark() {
        // Long enough that a character of two units lies on the border of two blocks.
        let text = format!("[\"{}é\"]", "😀".repeat(BLOCK / 4 + 3));
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [little(&text), [&[0xff, 0xfe], &little(&text)[..]].concat(), [&[0xfe, 0xff], &big[..]].concat()] {
            assert!(read(&bytes).expect("it is UTF-16") == text.as_bytes());
        }
        assert_eq!(read(&[0, b'[', 0, b']']).expect("it is UTF-16"), b"[]");
    }

    #[test]
    fn utf_8_loses_its_mark_and_nothing_else() {
        assert_eq!(read(b"\xef\xbb\xbf[]").expect("it can be read"), b"[]");
        for bytes in [&b""[..], b"[", b"[]", b"{\"a\xe4\"}"] {
            assert_eq!(read(bytes).expect("it can be read"), bytes);
        }
    }

    #[test]
    fn what_is_neither_is_told() {
        let error = read(&[0xff, 0xfe, 0, 0, b'[', 0, 0, 0]).expect_err("it is UTF-32");
        assert!(error.to_string().contains("UTF-32"), "{error}");
        let lone = [&little("[\""), &0xd800_u16.to_le_bytes()[..], &little("x\"]")].concat();
        assert!(read(&lone).expect_err("a half is lone").to_string().contains("half a character"));
        let odd = [&little("[]"), &b" "[..]].concat();
        assert!(read(&odd).expect_err("a byte is left").to_string().contains("half a unit"));
    }
}
