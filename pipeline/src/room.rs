//! Room: the bound, by count and by bytes, on what waits in a queue.
//!
//! Owns: the permits. A permit is held from before the queue until the work is done, so the bound covers both.
//! Never: a queue. It is the same bound for any.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// The most items.
    pub items: u32,
    /// The most bytes. A single item larger than this is let in alone.
    pub bytes: u32,
}

/// A bound by count and by bytes.
#[derive(Debug)]
pub struct Room {
    items: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    capacity: Capacity,
}

/// A place for one item; given back on drop.
#[derive(Debug)]
pub struct Permit {
    _item: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Room {
    /// Empty, with this capacity.
    pub fn new(capacity: Capacity) -> Self {
        Self {
            items: Arc::new(Semaphore::new(capacity.items as usize)),
            bytes: Arc::new(Semaphore::new(capacity.bytes as usize)),
            capacity,
        }
    }

    /// Waits for room for an item of `size` bytes. First come, first served. `None` once the room is closed.
    pub async fn enter(&self, size: usize) -> Option<Permit> {
        let size = u32::try_from(size).unwrap_or(u32::MAX).min(self.capacity.bytes);
        self.enter_bounded(size).await.ok()
    }

    /// Takes room for an item of `size` bytes if there is some now.
    pub fn try_enter(&self, size: usize) -> Option<Permit> {
        let size = u32::try_from(size).unwrap_or(u32::MAX).min(self.capacity.bytes);
        let item = self.items.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(size).ok()?;
        Some(Permit { _item: item, _bytes: bytes })
    }

    async fn enter_bounded(&self, size: u32) -> Result<Permit, AcquireError> {
        let item = self.items.clone().acquire_owned().await?;
        let bytes = self.bytes.clone().acquire_many_owned(size).await?;
        Ok(Permit { _item: item, _bytes: bytes })
    }

    /// Lets nobody in any more; those who wait are turned away.
    pub fn close(&self) {
        self.items.close();
        self.bytes.close();
    }

    /// How many bytes are taken now.
    pub fn bytes_taken(&self) -> usize {
        (self.capacity.bytes as usize).saturating_sub(self.bytes.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn bytes_and_items_both_bound() {
        let room = Room::new(Capacity { items: 2, bytes: 10 });
        let first = room.enter(6).now_or_never().flatten().unwrap();
        assert!(room.enter(5).now_or_never().is_none(), "11 bytes do not fit into 10");
        let second = room.enter(4).now_or_never().flatten().unwrap();
        drop(first);
        let third = room.enter(1).now_or_never().flatten().unwrap();
        assert!(room.enter(1).now_or_never().is_none(), "a third item does not fit");
        drop((second, third));
        assert_eq!(room.bytes_taken(), 0);
    }

    #[test]
    fn an_item_larger_than_the_room_is_let_in_alone() {
        let room = Room::new(Capacity { items: 2, bytes: 10 });
        let large = room.enter(1_000).now_or_never().flatten().unwrap();
        assert!(room.enter(1).now_or_never().is_none());
        drop(large);
        assert!(room.enter(1).now_or_never().flatten().is_some());
    }

    #[test]
    fn a_closed_room_turns_everybody_away() {
        let room = Room::new(Capacity { items: 1, bytes: 10 });
        room.close();
        assert!(room.enter(1).now_or_never().unwrap().is_none());
    }
}
