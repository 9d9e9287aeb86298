//! What each token writes.

use super::{Kind, Token};

/// The mark that stands for a space in sentencepiece vocabularies.
pub(super) const SPACE: char = '\u{2581}';

/// The bytes of all tokens, end to end.
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Where each token's bytes end; they begin where the last one's end.
    ends: Vec<usize>,
}

impl Pieces {
    /// Of a vocabulary that writes a space as `▁` and a byte as `<0x0A>`.
    pub(super) fn of_sentences(tokens: &[Token]) -> Self {
        Self::new(tokens, |token, bytes| match (token.kind, byte(&token.text)) {
            (Kind::Byte, Some(byte)) => bytes.push(byte),
            _ => bytes.extend_from_slice(token.text.replace(SPACE, " ").as_bytes()),
        })
    }

    /// Of a vocabulary that writes each byte as a printable character.
    pub(super) fn of_bytes(tokens: &[Token]) -> Self {
        let table = byte_characters();
        let byte_of = |character: char| table.iter().position(|known| *known == character);
        Self::new(tokens, |token, bytes| {
            for character in token.text.chars() {
                match byte_of(character).and_then(|byte| u8::try_from(byte).ok()) {
                    Some(byte) => bytes.push(byte),
                    None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        })
    }

    fn new(tokens: &[Token], write: impl Fn(&Token, &mut Vec<u8>)) -> Self {
        let mut pieces = Self { bytes: Vec::new(), ends: Vec::with_capacity(tokens.len()) };
        for token in tokens {
            match token.kind {
                Kind::Control => {}
                Kind::Whole => pieces.bytes.extend_from_slice(token.text.as_bytes()),
                Kind::Normal | Kind::Byte | Kind::Unused => write(token, &mut pieces.bytes),
            }
            pieces.ends.push(pieces.bytes.len());
        }
        pieces
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token, none for one that is not there.
    pub(super) fn get(&self, token: u32) -> &[u8] {
        let token = token as usize;
        let start = token.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(token).map_or(&[], |end| &self.bytes[start..*end])
    }
}

/// The byte that a token such as `<0x0A>` stands for.
pub(super) fn byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// The character for each byte in byte-level vocabularies: itself when it is printable in Latin-1, otherwise the next
/// free one from U+0100 on.
fn byte_characters() -> [char; 256] {
    let mut free = 0x100;
    std::array::from_fn(|byte| {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if printable { byte as u32 } else { free };
        free += u32::from(!printable);
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    })
}
