//! Errors of the rooms as problems of the gateway.

use meshlog_connectors::problem::{Code, Problem};
use meshlog_pipeline::{AppendError, LogError, PublishError};
use meshlog_processors::{StoreError, recall::RecallError};
use meshlog_replay::ReplayError;

/// When a client may find a stopped log started again, in seconds.
const RESTART_SECONDS: u32 = 5;

pub(in crate::house) fn from_publish(error: PublishError) -> Problem {
    match error {
        PublishError::Append(AppendError::Stopped { reason }) => Problem::new(
            Code::LogStopped,
            format!("the log takes no more events: {reason}"),
            "what was acknowledged is safe; send this again once meshlog has been started anew",
        )
        .retry_after(RESTART_SECONDS),
        PublishError::Append(AppendError::Full { reason }) => Problem::new(
            Code::StorageFull,
            format!("there is no space for more events: {reason}"),
            "make space on the disk of the data directory and send this again; meshlog need not be started anew",
        )
        .retry_after(RESTART_SECONDS),
        other => Problem::internal(other.to_string()),
    }
}

pub(super) fn from_log(error: LogError) -> Problem {
    match error {
        LogError::OutOfRange { partition, from, start, end } => Problem::new(
            Code::OffsetOutOfRange,
            format!("{partition} holds offsets {start} to {end} (exclusive); {from} was asked for"),
            "ask for an offset in that range",
        ),
        other => Problem::internal(other.to_string()),
    }
}

pub(super) fn from_store(error: StoreError) -> Problem {
    tracing::error!(%error, "a store failed");
    let detail = format!("the {} store failed to {}", error.store, error.action);
    let help = format!("the log is whole: rebuild the view with \"meshlog replay rebuild {}\"", error.store);
    Problem::new(Code::Internal, detail, help)
}

pub(super) fn from_recall(error: RecallError) -> Problem {
    match error {
        RecallError::Store(error) => from_store(error),
        RecallError::Model(error) => Problem::internal(error.to_string()),
    }
}

pub(super) fn from_replay(error: ReplayError) -> Problem {
    let detail = error.to_string();
    match error {
        ReplayError::Unknown { .. } => {
            Problem::new(Code::UnknownProjection, detail, "GET /v1/projections lists the projections")
        }
        ReplayError::Busy(_) => {
            Problem::new(Code::RebuildRunning, detail, "GET /v1/rebuilds shows it; DELETE /v1/rebuilds/{id} cancels it")
        }
        ReplayError::NothingKept(_) | ReplayError::NotDropped { .. } => {
            Problem::new(Code::UnknownVersion, detail, "GET /v1/projections lists the versions of each")
        }
        ReplayError::Cancelled | ReplayError::Paused => {
            Problem::new(Code::Stopping, detail, "try again once meshlog has been started anew")
        }
        ReplayError::Log(error) => from_log(error),
        ReplayError::InUse(_) | ReplayError::Directory { .. } | ReplayError::Projection(_) | ReplayError::Broken(_) => {
            Problem::internal(detail)
        }
    }
}
