//! Any headers are an envelope or an error, and what is an envelope is the same one again after it was written.

use meshlog_schemas::{Envelope, Header};

/// The times that RFC 3339 can write: the years 1 to 9999. Others are held at the bounds.
const TIMES: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

pub(crate) fn check(bytes: &[u8]) {
    let Ok(mut envelope) = Envelope::from_headers(&headers(bytes)) else { return };
    envelope.time = envelope.time.clamp(TIMES.0, TIMES.1);
    assert_eq!(Envelope::from_headers(&envelope.to_headers()), Ok(envelope));
}

/// The input's own form: names and values in turn, each after a byte with its length.
fn headers(mut bytes: &[u8]) -> Vec<Header> {
    let mut headers = Vec::new();
    while let (Some(name), Some(value)) = (part(&mut bytes), part(&mut bytes)) {
        headers.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    }
    headers
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first()?;
    let (part, rest) = rest.split_at_checked(usize::from(*length))?;
    *bytes = rest;
    Some(part)
}
