//! Any bytes are an event or an error, and what is an event is one again after it was written.

use meshlog_schemas::{decode, encode};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(event) = decode(bytes) else { return };
    let written = encode(&event).expect("what was read is no larger than what may be written");
    assert_eq!(decode(&written), Ok(event));
}
