//! Memory: in pages of the ordinary size.
//!
//! The allocator asks for huge pages, and a heap that many threads share holds on to a whole one for the sake of a single
//! block: 1,002 MB in place of 744 MB two minutes into an import. Nothing was measured to be slower without them.
//! Never: limits how much is used.

/// Keeps huge pages away from the heap. Where the system does not know them, there is nothing to do.
pub(super) fn use_ordinary_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the heap may come to lie in huge pages");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_huge_pages_are_made_from_then_on() {
        use_ordinary_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap_or(true));
    }
}
