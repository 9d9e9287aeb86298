//! The scan: events of calls that stand on the log already, one partition from front to back.
//!
//! Never: waits for what is appended meanwhile.

use meshlog_pipeline::{EventLog, LogError, ReadLimit, StoredEvent};
use meshlog_schemas::{Offset, Partition};

const LIMIT: ReadLimit = ReadLimit { records: 512, bytes: 16 * 1024 * 1024 };

/// Shows the events of a partition from `from` on and before `end`. Those that cannot be read are left out.
pub(super) fn scan(
    events: &EventLog,
    partition: Partition,
    from: Offset,
    end: Offset,
    mut show: impl FnMut(StoredEvent),
) -> Result<(), LogError> {
    let mut next = from;
    while next < end {
        let entries = events.read(partition, next, LIMIT)?;
        if entries.is_empty() {
            break;
        }
        next += entries.len() as u64;
        entries.into_iter().flatten().for_each(&mut show);
    }
    Ok(())
}
