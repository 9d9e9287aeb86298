//! Merging: sorted lists of the names of one node as one list.

use std::iter::Peekable;

use crate::StoreError;

/// Items of several sorted lists in order, what several have once.
pub(super) struct Merge<I: Iterator> {
    lists: Vec<Peekable<I>>,
}

impl<I: Iterator> Merge<I> {
    pub(super) fn new(lists: impl IntoIterator<Item = I>) -> Self {
        Self { lists: lists.into_iter().map(Iterator::peekable).collect() }
    }
}

impl<T: Ord, I: Iterator<Item = Result<T, StoreError>>> Iterator for Merge<I> {
    type Item = Result<T, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<(usize, &T)> = None;
        let mut failed = None;
        for (number, list) in self.lists.iter_mut().enumerate() {
            match list.peek() {
                Some(Ok(item)) if least.is_none_or(|(_, other)| item < other) => least = Some((number, item)),
                Some(Err(_)) => failed = Some(number),
                _ => {}
            }
        }
        let number = failed.or(least.map(|(number, _)| number))?;
        let next = self.lists[number].next()?;
        if let Ok(item) = &next {
            for list in &mut self.lists {
                list.next_if(|other| other.as_ref().is_ok_and(|other| other == item));
            }
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_merged_in_order_and_without_repetition() {
        let list = |items: &[i32]| items.iter().copied().map(Ok).collect::<Vec<_>>().into_iter();
        let merged = Merge::new([list(&[1, 4, 6]), list(&[]), list(&[1, 2, 6, 7])]);
        let items: Vec<i32> = merged.map(|item: Result<i32, StoreError>| item.unwrap()).collect();
        assert_eq!(items, [1, 2, 4, 6, 7]);
    }
}
