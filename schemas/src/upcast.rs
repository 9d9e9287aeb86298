//! Upcasters: events written with an older schema, brought up to today's types.
//!
//! Owns: the shapes that event types once had, and what a field that came later says of an event without it.
//! Promises: plain functions. The same bytes give the same event today as in any later version, and what is made up for
//! a new field is the default that the new schema states, so that other readers of Avro see the same.
//! Never: looks at other events, a clock or a setting.

use crate::{EventFailed, binary::records};

records! {
    /// `EventFailed` before it said when the processor gave up, and before an event could wait behind a failed one.
    pub(crate) struct EventFailedV1 {
        processor: String,
        topic: String,
        partition: i32,
        offset: i64,
        key: String,
        event_id: String,
        event_type: String,
        class: String,
        error: String,
        attempts: i32,
    }
}

pub(crate) fn event_failed_v1(old: EventFailedV1) -> EventFailed {
    EventFailed {
        processor: old.processor,
        topic: old.topic,
        partition: old.partition,
        offset: old.offset,
        key: old.key,
        event_id: old.event_id,
        event_type: old.event_type,
        class: old.class,
        error: old.error,
        attempts: old.attempts,
        failed_at: 0,
        head_offset: -1,
    }
}
