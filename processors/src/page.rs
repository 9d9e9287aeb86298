//! Pages: pieces of the lists that stores keep.

/// A piece of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next piece begins, or `None` at the end. Good for the same list alone.
    pub next: Option<Vec<u8>>,
}

/// From which end a list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The oldest first.
    #[default]
    OldestFirst,
    /// The newest first.
    NewestFirst,
}

/// How much a piece of a list may hold; at least one item is returned if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// The most items.
    pub items: usize,
    /// Stop once the texts have this many bytes together.
    pub bytes: usize,
}

impl PageLimit {
    /// Whether so many items with so many bytes leave no room for another one.
    pub(crate) fn is_reached(self, items: usize, bytes: usize) -> bool {
        items > 0 && (items >= self.items || bytes >= self.bytes)
    }
}
