//! Cursors: where the next piece of a list begins.
//!
//! Owns: their form: a mark of the list, and the place of the piece's first item.
//! Promises: a cursor of another list is no cursor; such a list begins at its beginning.

use uuid::Uuid;

use super::id::list_id;

/// The list that a cursor is of: what was asked, without limit and cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListMark(Uuid);

impl ListMark {
    pub(super) fn new(list: &str, parts: &[&[u8]]) -> Self {
        Self(list_id(list, parts))
    }

    pub(super) fn is_of(self, cursor: &[u8]) -> bool {
        cursor.starts_with(self.0.as_bytes())
    }

    pub(super) fn cursor(self, place: &[u8]) -> Vec<u8> {
        [self.0.as_bytes(), place].concat()
    }

    /// The place in a cursor of this list.
    pub(super) fn place<const LENGTH: usize>(self, cursor: Option<&[u8]>) -> Option<[u8; LENGTH]> {
        cursor?.strip_prefix(self.0.as_bytes())?.try_into().ok()
    }
}

/// A part of a mark that may be absent.
pub(super) fn optional(part: Option<&[u8]>) -> Vec<u8> {
    part.map_or_else(Vec::new, |part| [&[1], part].concat())
}
