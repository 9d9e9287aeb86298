//! Any bytes are packed headers or none, any headers an envelope or an error, and what is an envelope is the same one again
//! after it was written.

use bytes::Bytes;
use meshlog_schemas::{Envelope, Headers};

/// The times that RFC 3339 can write: the years 1 to 9999. Others are held at the bounds.
const TIMES: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

pub(crate) fn check(bytes: &[u8]) {
    let Some(headers) = Headers::from_packed(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(headers.iter().collect::<Headers>(), headers);
    let Ok(mut envelope) = Envelope::from_headers(&headers) else { return };
    envelope.time = envelope.time.clamp(TIMES.0, TIMES.1);
    assert_eq!(Envelope::from_headers(&envelope.to_headers()), Ok(envelope));
}
