//! Upcasters: events written with an older schema, brought up to today's types.
//!
//! Owns: the shapes that event types once had, and what a field that came later says of an event without it.
//! Promises: plain functions. The same bytes give the same event today as in any later version, and what is made up for
//! a new field is the default that the new schema states, so that other readers of Avro see the same.
//! Never: looks at other events, a clock or a setting.

use bytes::Bytes;

use crate::{CallSettled, EventFailed, EventId, binary::records};

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

    /// `CallSettled` before an answer could be packed.
    pub(crate) struct CallSettledV1 {
        call_id: EventId,
        space: String,
        thread: Option<String>,
        key_label: String,
        kind: String,
        asked_model: String,
        outcome: String,
        error_class: String,
        error_message: String,
        status: i32,
        attempts: i32,
        provider: String,
        model: String,
        answered_model: String,
        finish_reason: String,
        requested_at: i64,
        first_output_micros: i64,
        total_micros: i64,
        usage_source: String,
        usage: String,
        input_tokens: i64,
        cache_write_tokens: i64,
        cache_read_tokens: i64,
        output_tokens: i64,
        reasoning_tokens: i64,
        cost_nanos: i64,
        price_table: String,
        request_id: Option<String>,
        headers: String,
        wire: String,
        response_type: String,
        response: Bytes,
        response_bytes: i64,
        timings: Bytes,
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

pub(crate) fn call_settled_v1(old: CallSettledV1) -> Box<CallSettled> {
    Box::new(CallSettled {
        call_id: old.call_id,
        space: old.space,
        thread: old.thread,
        key_label: old.key_label,
        kind: old.kind,
        asked_model: old.asked_model,
        outcome: old.outcome,
        error_class: old.error_class,
        error_message: old.error_message,
        status: old.status,
        attempts: old.attempts,
        provider: old.provider,
        model: old.model,
        answered_model: old.answered_model,
        finish_reason: old.finish_reason,
        requested_at: old.requested_at,
        first_output_micros: old.first_output_micros,
        total_micros: old.total_micros,
        usage_source: old.usage_source,
        usage: old.usage,
        input_tokens: old.input_tokens,
        cache_write_tokens: old.cache_write_tokens,
        cache_read_tokens: old.cache_read_tokens,
        output_tokens: old.output_tokens,
        reasoning_tokens: old.reasoning_tokens,
        cost_nanos: old.cost_nanos,
        price_table: old.price_table,
        request_id: old.request_id,
        headers: old.headers,
        wire: old.wire,
        response_type: old.response_type,
        response: old.response,
        response_bytes: old.response_bytes,
        timings: old.timings,
        response_encoding: String::new(),
    })
}
