//! The seal: the one seam between codec and log that every body passes through.
//!
//! Owns: the contract of a sealer, and the one that leaves bodies clear.
//! Never: touches headers or positions; they stay clear, so routing, ordering and replay need no key.

use bytes::Bytes;
use meshlog_schemas::Envelope;

/// The record header that names the key a body is sealed with. A clear body has none.
pub const SEAL_HEADER: &str = "ce_seal";

/// A body as it goes to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The bytes to store.
    pub body: Vec<u8>,
    /// Which key opens it; written in [`SEAL_HEADER`]. `None`: the body is clear.
    pub key: Option<String>,
}

/// A body as it comes from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The body as it was encoded.
    Body(Bytes),
    /// Its key was destroyed: the body is gone for good, which is no fault.
    Erased,
}

/// A body could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body could not be {action}: {cause}")]
pub struct SealError {
    /// `sealed` or `opened`.
    pub action: &'static str,
    /// Why.
    pub cause: String,
}

/// Seals bodies on their way to the log and opens them on their way back.
///
/// Contract: what `seal` made, `open` gives back, unless the key was destroyed in between. The envelope, whose `space`
/// chooses the key, is the same in both calls. Both are plain functions of their arguments and the keys: no event is
/// sealed differently because of another.
pub trait Sealer: Send + Sync {
    /// Makes the body ready for the log.
    ///
    /// # Errors
    /// There is no key for the space, or it cannot be used; nothing is appended then.
    fn seal(&self, envelope: &Envelope, body: Vec<u8>) -> Result<Sealed, SealError>;

    /// Gives the body back. `key` is what [`SEAL_HEADER`] says.
    ///
    /// # Errors
    /// The body is not what was sealed, or its key is not to be had now.
    fn open(&self, envelope: &Envelope, key: Option<&str>, body: Bytes) -> Result<Opened, SealError>;
}

/// Leaves every body clear.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClearSealer;

impl Sealer for ClearSealer {
    fn seal(&self, _envelope: &Envelope, body: Vec<u8>) -> Result<Sealed, SealError> {
        Ok(Sealed { body, key: None })
    }

    fn open(&self, _envelope: &Envelope, key: Option<&str>, body: Bytes) -> Result<Opened, SealError> {
        match key {
            None => Ok(Opened::Body(body)),
            Some(key) => Err(SealError {
                action: "opened",
                cause: format!("it is sealed with the key {key}, and no keys are set up"),
            }),
        }
    }
}
