//! Packed bytes: what is long and repeats itself, as a streamed answer does, made small while it comes.
//!
//! Packed bytes are LZ4 frames, one behind another, each of at most 32 KiB of what was packed; `lz4 -d` reads them as
//! well. Each frame is made as soon as there is enough for it, so that a long answer is held small while it comes, and no
//! more than the last frame is left to do at its end: a thousand streams that end together do not stop each other.
//!
//! Owns: this form, and when bytes are left as they are.
//! Never: says where the bytes came from or what they mean; and never unpacks more than it was told to.

use std::io::{self, Read, Write};

use bytes::Bytes;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::{CallSettled, MAX_BODY_BYTES};

/// The name of the form in events; an empty name stands for bytes as they are.
const LZ4: &str = "lz4";
/// What a frame holds, unpacked.
const FRAME_BYTES: usize = 32 * 1024;
/// Bytes fewer than this are left as they are.
const LEAST_BYTES: usize = 4 * 1024;
/// The end of a frame: a block of no bytes.
const END_MARK: [u8; 4] = [0; 4];

/// Takes bytes as they come.
#[derive(Debug, Default)]
pub struct Packer {
    /// Finished frames.
    packed: Vec<u8>,
    /// What is in none yet; never a frame's worth.
    rest: Vec<u8>,
    length: u64,
}

/// Bytes as an event holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// In which form: empty (as they are) or `lz4`.
    pub encoding: &'static str,
    /// The bytes in that form.
    pub bytes: Bytes,
}

/// Bytes that cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// In a form that this program does not know.
    #[error("the bytes are packed as {0:?}; a newer meshlog may read them")]
    Unknown(String),
    /// Not what the form asks for.
    #[error("the packed bytes are damaged: {0}")]
    Damaged(#[from] io::Error),
    /// More than there may be.
    #[error("there are more than {0} bytes in the packed ones")]
    TooLong(usize),
}

impl Packer {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        while self.rest.len() + bytes.len() >= FRAME_BYTES {
            let (now, later) = bytes.split_at(FRAME_BYTES - self.rest.len());
            self.rest.extend_from_slice(now);
            self.pack_rest();
            bytes = later;
        }
        self.rest.extend_from_slice(bytes);
    }

    /// How many bytes were taken.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The first bytes that were taken, at most so many.
    pub fn first(&self, most: usize) -> Vec<u8> {
        // What was packed here can be unpacked.
        let mut first = unpack_frames(&self.packed, most).unwrap_or_default();
        first.extend_from_slice(&self.rest);
        first.truncate(most);
        first
    }

    /// Forgets what was taken.
    pub fn clear(&mut self) {
        self.packed.clear();
        self.rest.clear();
        self.length = 0;
    }

    /// All that was taken; nothing is left.
    pub fn finish(&mut self) -> Packed {
        if self.packed.is_empty() && self.rest.len() < LEAST_BYTES {
            self.length = 0;
            return Packed { encoding: "", bytes: std::mem::take(&mut self.rest).into() };
        }
        if !self.rest.is_empty() {
            self.pack_rest();
        }
        self.length = 0;
        Packed { encoding: LZ4, bytes: std::mem::take(&mut self.packed).into() }
    }

    fn pack_rest(&mut self) {
        let form = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
        let mut frame = FrameEncoder::with_frame_info(form, &mut self.packed);
        // Into memory; so neither fails.
        let written = frame.write_all(&self.rest).and_then(|()| frame.finish().map_err(io::Error::from));
        debug_assert!(written.is_ok());
        self.rest.clear();
    }
}

/// What was packed into `bytes`, if that is at most `most` bytes.
fn unpack(encoding: &str, bytes: &Bytes, most: usize) -> Result<Bytes, UnpackError> {
    match encoding {
        "" => Ok(bytes.clone()),
        LZ4 => {
            let unpacked = unpack_frames(bytes, most)?;
            if unpacked.len() > most { Err(UnpackError::TooLong(most)) } else { Ok(unpacked.into()) }
        }
        other => Err(UnpackError::Unknown(other.to_owned())),
    }
}

/// What frames hold, up to the frame with which it is more than `most` bytes.
fn unpack_frames(mut frames: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    while !frames.is_empty() && unpacked.len() <= most {
        let frame = frames;
        let left = (most - unpacked.len()) as u64 + 1;
        FrameDecoder::new(&mut frames).take(left).read_to_end(&mut unpacked)?;
        // The decoder takes a frame that was cut off between two blocks for a whole one.
        if unpacked.len() <= most && !frame[..frame.len() - frames.len()].ends_with(&END_MARK) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(unpacked)
}

impl CallSettled {
    /// The answer's body as it came, as far as it was kept.
    ///
    /// # Errors
    /// It was packed in another form, or its bytes are not what was packed.
    pub fn answer(&self) -> Result<Bytes, UnpackError> {
        unpack(&self.response_encoding, &self.response, MAX_BODY_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(pieces: &[Vec<u8>]) -> Packed {
        let mut packer = Packer::default();
        pieces.iter().for_each(|piece| packer.push(piece));
        packer.finish()
    }

    fn unpacked(packed: &Packed) -> Result<Bytes, UnpackError> {
        unpack(packed.encoding, &packed.bytes, MAX_BODY_BYTES)
    }

    fn stream(pieces: usize) -> Vec<Vec<u8>> {
        let piece = |number| {
            format!("data: {{\"id\":\"call-1\",\"choices\":[{{\"delta\":{{\"content\":\"w{number}\"}}}}]}}\n\n")
        };
        (0..pieces).map(|number| piece(number).into_bytes()).collect()
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(
            pieces in proptest::collection::vec((any::<u8>(), 0..9_000_usize), 0..40),
            most in 0..100_000_usize,
        ) {
            let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|(byte, length)| vec![byte; length]).collect();
            let whole = pieces.concat();
            let mut packer = Packer::default();
            pieces.iter().for_each(|piece| packer.push(piece));
            prop_assert_eq!(packer.length(), whole.len() as u64);
            prop_assert_eq!(packer.first(most), &whole[..most.min(whole.len())]);
            let packed = packer.finish();
            prop_assert_eq!(unpacked(&packed).unwrap(), whole);
            // It can be used again.
            prop_assert_eq!(packer.length(), 0);
            packer.push(b"again");
            prop_assert_eq!(&packer.finish().bytes[..], b"again");
        }

        #[test]
        fn bytes_that_cannot_be_packed_come_back_too(bytes in proptest::collection::vec(any::<u8>(), 0..80_000)) {
            prop_assert_eq!(unpacked(&packed(std::slice::from_ref(&bytes))).unwrap(), bytes);
        }

        #[test]
        fn bytes_from_anywhere_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut: prop::sample::Index,
            bit: prop::sample::Index,
        ) {
            let _ = unpack(LZ4, &bytes.into(), 1_000);
            let mut damaged = packed(&stream(200)).bytes.to_vec();
            let bit = bit.index(damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = unpack(LZ4, &Bytes::from(damaged.clone()), MAX_BODY_BYTES);
            damaged.truncate(cut.index(damaged.len()));
            let _ = unpack(LZ4, &damaged.into(), MAX_BODY_BYTES);
        }

        #[test]
        fn a_cut_is_found(cut in 1..2_000_usize) {
            let whole = packed(&stream(200)).bytes;
            prop_assert!(cut >= whole.len() || unpack(LZ4, &whole.slice(..cut), MAX_BODY_BYTES).is_err());
        }
    }

    #[test]
    fn a_stream_is_a_tenth_of_what_it_was() {
        let pieces = stream(1_000);
        let packed = packed(&pieces);
        assert_eq!(packed.encoding, "lz4");
        assert!(packed.bytes.len() * 8 < pieces.concat().len(), "{}", packed.bytes.len());
    }

    #[test]
    fn little_is_left_as_it_is() {
        let packed = packed(&[b"{}".to_vec()]);
        assert_eq!((packed.encoding, &packed.bytes[..]), ("", &b"{}"[..]));
    }

    #[test]
    fn no_more_is_unpacked_than_there_may_be() {
        let packed = packed(&[vec![0; 1_000_000]]);
        assert!(matches!(unpack(LZ4, &packed.bytes, 999_999), Err(UnpackError::TooLong(999_999))));
        assert_eq!(unpack(LZ4, &packed.bytes, 1_000_000).unwrap().len(), 1_000_000);
    }

    #[test]
    fn a_form_of_a_later_version_is_named() {
        let error = unpack("zstd", &Bytes::new(), 10).unwrap_err();
        assert_eq!(error.to_string(), "the bytes are packed as \"zstd\"; a newer meshlog may read them");
    }
}
