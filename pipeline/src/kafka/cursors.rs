//! Cursors: reading what is in memory no more.
//!
//! Each is a consumer at one place of one partition. A reader that goes on where it stopped finds its cursor there, with what
//! it has fetched ahead.
//!
//! Owns: the cursors, a bounded number of them.
//! Never: decides what may be read.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use meshlog_schemas::{Offset, Partition};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{KafkaOptions, LONGEST_FETCH, follower, storage, watch::watermarks, wire::Wire};
use crate::{
    lock::lock,
    log::LogError,
    record::{ReadLimit, Record},
};

/// The most cursors that wait to be read on from.
const MOST: usize = 16;
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Cursors {
    wire: Arc<Wire>,
    config: ClientConfig,
    /// The one used last at the end.
    idle: Mutex<Vec<Cursor>>,
}

struct Cursor {
    consumer: BaseConsumer,
    partition: Partition,
    next: Offset,
    /// When the last record was appended.
    appended_at: i64,
}

impl Cursors {
    pub(super) fn new(options: &KafkaOptions, wire: Arc<Wire>) -> Self {
        let mut config = follower::consumer(options);
        // What is not there any more is said, not passed over.
        config.set("auto.offset.reset", "error");
        Self { wire, config, idle: Mutex::default() }
    }

    /// Reads from `from` up to `end`, which is known to be on the log, within `limit`.
    ///
    /// # Errors
    /// The brokers do not send it, or have it no more ([`LogError::OutOfRange`]).
    pub(super) fn read(
        &self,
        topic: &str,
        partition: Partition,
        from: Offset,
        end: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        let mut cursor = self.at(topic, partition, from)?;
        let records = cursor.read(topic, &self.wire, end, limit)?;
        let mut idle = lock(&self.idle);
        idle.push(cursor);
        if idle.len() > MOST {
            let oldest = idle.remove(0);
            drop(idle);
            // Closing a consumer takes its time.
            drop(oldest);
        }
        Ok(records)
    }

    fn at(&self, topic: &str, partition: Partition, from: Offset) -> Result<Cursor, LogError> {
        let mut idle = lock(&self.idle);
        if let Some(found) = idle.iter().position(|cursor| cursor.partition == partition && cursor.next == from) {
            return Ok(idle.remove(found));
        }
        drop(idle);
        let consumer: BaseConsumer = self.config.create().map_err(|error| storage("make a Kafka consumer", &error))?;
        let mut place = TopicPartitionList::new();
        let added = place.add_partition_offset(topic, partition.id as i32, rdkafka::Offset::Offset(from as i64));
        let assigned = added.and_then(|()| consumer.assign(&place));
        assigned.map_err(|error| storage("read a topic", &error))?;
        Ok(Cursor { consumer, partition, next: from, appended_at: 0 })
    }
}

impl Cursor {
    fn read(&mut self, topic: &str, wire: &Wire, end: Offset, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let deadline = Instant::now() + LONGEST_FETCH;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while self.next < end && records.len() < limit.records && (bytes == 0 || bytes < limit.bytes) {
            match self.consumer.poll(PAUSE) {
                Some(Ok(message)) => {
                    let (record, _) = wire.record(&message, self.partition, self.appended_at);
                    self.next = record.position.offset + 1;
                    self.appended_at = record.appended_at;
                    bytes += record.size();
                    records.push(record);
                }
                Some(Err(error)) if is_out_of_range(&error) => {
                    let (start, end) = watermarks(&self.consumer, topic, self.partition.id)?;
                    return Err(LogError::OutOfRange { partition: self.partition, from: self.next, start, end });
                }
                Some(Err(error)) => tracing::debug!(%error, partition = %self.partition, "a cursor waits"),
                None => {}
            }
            if Instant::now() > deadline {
                let cause = format!("offset {} of {} did not come", self.next, self.partition);
                return Err(LogError::Storage { action: "fetch from Kafka", cause });
            }
        }
        Ok(records)
    }
}

fn is_out_of_range(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}
