//! How the log and the processors fare, as the gateway shows it.

use meshlog_connectors::api::{
    CheckpointView, LogView, PartitionProgress, PartitionView, ProcessorView, ProcessorsView, RetentionView, Timestamp,
    TopicView, TopicsView,
};
use meshlog_connectors::problem::Problem;
use meshlog_pipeline::{Health, PartitionHealth, Progress, STALL_AFTER, Status, TopicKeeping, now_micros};
use meshlog_schemas::{Checkpoints, Partition, Topic};

use super::problems;
use crate::house::{engine::Engine, rooms::Rooms, stages::elsewhere};

pub(super) fn topics(rooms: &Rooms) -> Result<TopicsView, Problem> {
    let topic = |topic: Topic| -> Result<TopicView, Problem> {
        let partitions = rooms.events.partitions(topic).into_iter().map(|partition| {
            let bounds = rooms.events.log().bounds(partition).map_err(problems::from_log)?;
            Ok(PartitionView { partition: partition.id, start: bounds.start, end: bounds.end })
        });
        let partitions = partitions.collect::<Result<_, Problem>>()?;
        let retention = retention(rooms.engine.keeping(topic));
        Ok(TopicView { name: topic.name().to_owned(), partitions, retention })
    };
    let topics = Topic::ALL.into_iter().map(topic).collect::<Result<_, _>>()?;
    Ok(TopicsView { topics, durability: Some(rooms.engine.durability()), log: Some(log(rooms)) })
}

fn retention(keeping: TopicKeeping) -> RetentionView {
    RetentionView {
        max_age_seconds: keeping.retention.max_age.map(|age| age.as_secs()),
        max_bytes: keeping.retention.max_bytes,
        held_by: keeping.held_by,
        bytes: keeping.bytes,
    }
}

fn log(rooms: &Rooms) -> LogView {
    let log = rooms.events.log();
    let (stopped, full, trouble) = (log.stopped(), log.full(), log.trouble());
    let state = match (&stopped, &full, &trouble) {
        (Some(_), _, _) => "stopped",
        (None, Some(_), _) => "full",
        (None, None, Some(_)) => "waiting",
        (None, None, None) => "writing",
    };
    LogView { state: state.to_owned(), reason: stopped.or(full).or(trouble) }
}

pub(super) fn processors(rooms: &Rooms) -> Result<ProcessorsView, Problem> {
    let stages = rooms.stages.views(&rooms.events);
    let mut processors = Vec::new();
    for stage in &stages {
        processors.push(processor(rooms, &stage.name, "stage", &stage.partitions, &stage.progress)?);
    }
    if let Engine::Kafka(log) = &rooms.engine {
        for (name, checkpoints) in elsewhere(log, &stages) {
            processors.push(processor_elsewhere(rooms, name, &checkpoints)?);
        }
    }
    if let Some(reading) = &rooms.reading {
        for (name, inputs, progress) in reading.views.inputs() {
            let partitions: Vec<_> = inputs.iter().flat_map(|topic| reading.events.partitions(*topic)).collect();
            processors.push(processor(rooms, name, "projection", &partitions, progress)?);
        }
    }
    Ok(ProcessorsView { processors })
}

/// A stage that other processes have: what the log says of it.
fn processor_elsewhere(rooms: &Rooms, name: String, checkpoints: &Checkpoints) -> Result<ProcessorView, Problem> {
    let progress = Progress::default();
    let partitions: Vec<_> = checkpoints.iter().map(|(partition, _)| partition).collect();
    let view = processor(rooms, &name, "stage", &partitions, &progress.at(checkpoints))?;
    // Whether it stands still only those who have it know.
    let mut partitions = view.partitions;
    partitions.iter_mut().for_each(|partition| partition.stalled = false);
    Ok(ProcessorView { state: "elsewhere".to_owned(), partitions, ..view })
}

fn processor(
    rooms: &Rooms,
    name: &str,
    kind: &str,
    partitions: &[Partition],
    progress: &Progress,
) -> Result<ProcessorView, Problem> {
    let now = now_micros();
    let health: Health = progress.health(&rooms.events, partitions, now, STALL_AFTER).map_err(problems::from_log)?;
    let status: Status = progress.status();
    let mut inputs: Vec<Topic> = partitions.iter().map(|partition| partition.topic).collect();
    inputs.dedup();
    Ok(ProcessorView {
        name: name.to_owned(),
        kind: kind.to_owned(),
        state: status.condition.name().to_owned(),
        inputs: inputs.into_iter().map(|topic| topic.name().to_owned()).collect(),
        checkpoint: checkpoint(&status.checkpoints),
        lag_events: health.lag_events(),
        lag_seconds: seconds(health.lag_micros()),
        last_error: status.last_error,
        processed: status.processed,
        skipped: status.skipped,
        missed_events: status.missed,
        rate: health.rate,
        eta_seconds: match health.lag_events() {
            0 => Some(0.0),
            lag => (health.rate > 0.0).then(|| lag as f64 / health.rate),
        },
        parked: status.parked,
        oldest_parked_seconds: status.oldest_parked_at.map_or(0.0, |at| seconds(now.saturating_sub(at))),
        retrying: status.retrying,
        restarts: status.restarts,
        in_flight_events: status.held.now.events as u64,
        in_flight_bytes: status.held.now.bytes as u64,
        in_flight_bytes_limit: status.held.most.bytes as u64,
        last_error_at: status.last_error_at.map(Timestamp::from_micros),
        partitions: health.partitions.iter().map(partition).collect(),
    })
}

fn partition(health: &PartitionHealth) -> PartitionProgress {
    PartitionProgress {
        topic: health.partition.topic.name().to_owned(),
        partition: health.partition.id,
        next: health.checkpoint,
        end: health.end,
        lag_events: health.lag_events,
        lag_seconds: seconds(health.lag_micros),
        stalled: health.is_stalled,
    }
}

pub(super) fn checkpoint(checkpoints: &Checkpoints) -> Vec<CheckpointView> {
    let view = |(partition, next): (meshlog_schemas::Partition, u64)| CheckpointView {
        topic: partition.topic.name().to_owned(),
        partition: partition.id,
        next,
    };
    checkpoints.iter().map(view).collect()
}

/// Microseconds as seconds.
pub(super) fn seconds(micros: i64) -> f64 {
    // A clock that was set back makes no event younger than now.
    micros.max(0) as f64 / 1e6
}
