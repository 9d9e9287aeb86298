//! The scan: events of calls that stand on the log already, one partition from front to back.
//!
//! Never: waits for what is appended meanwhile.

use meshlog_pipeline::{EventLog, LogError, ReadLimit, StoredEvent};
use meshlog_schemas::{Headers, Offset, Partition};

const LIMIT: ReadLimit = ReadLimit { records: 512, bytes: 16 * 1024 * 1024 };

/// Shows the events of a partition from `from` on and before `end`. Those that cannot be read are left out.
pub(super) fn scan(
    events: &EventLog,
    partition: Partition,
    from: Offset,
    end: Offset,
    show: impl FnMut(StoredEvent),
) -> Result<(), LogError> {
    scan_wanted(events, partition, (from, end), |_| true, show)
}

/// As [`scan`], of what is wanted by its headers; nothing else is opened.
pub(super) fn scan_wanted(
    events: &EventLog,
    partition: Partition,
    (from, end): (Offset, Offset),
    wants: impl Fn(&Headers) -> bool,
    mut show: impl FnMut(StoredEvent),
) -> Result<(), LogError> {
    let mut next = from;
    while next < end {
        let records = events.log().read(partition, next, LIMIT)?;
        if records.is_empty() {
            break;
        }
        next += records.len() as u64;
        let wanted = records.into_iter().filter(|record| wants(&record.headers));
        wanted.filter_map(|record| events.entry(record).ok()).for_each(&mut show);
    }
    Ok(())
}
