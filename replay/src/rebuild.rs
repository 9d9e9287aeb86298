//! Rebuilds: a new view filled from the start of the log, and what is known of its progress.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use meshlog_pipeline::{Bounds, EventLog, Gap, Projection, ReadAhead, apply_batch};
use meshlog_schemas::{Checkpoints, Topic};

use crate::ReplayError;

/// Where a rebuild stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The new view reads the log; the old one serves.
    CatchingUp,
    /// The views are compared and exchanged.
    Switching,
    /// The new view serves.
    Done,
    /// It was cancelled; the old view serves.
    Cancelled,
    /// It failed; the old view serves.
    Failed,
}

impl Phase {
    /// The word shown to people.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::CatchingUp => "catching_up",
            Phase::Switching => "switching",
            Phase::Done => "done",
            Phase::Cancelled => "cancelled",
            Phase::Failed => "failed",
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_over(self) -> bool {
        matches!(self, Phase::Done | Phase::Cancelled | Phase::Failed)
    }
}

/// What is known of a rebuild at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RebuildStatus {
    /// Its id.
    pub id: String,
    /// The projection.
    pub projection: String,
    /// Where it stands.
    pub phase: Phase,
    /// Events applied to the new view.
    pub done: u64,
    /// Events on the log when last looked.
    pub total: u64,
    /// Events applied a second, on average.
    pub rate: f64,
    /// Seconds until it has caught up at this rate, if there is one.
    pub eta_seconds: Option<f64>,
    /// The offsets that the log began with where that was not 0: retention has taken away what stood before, and the new
    /// view does not hold it.
    pub built_from: Checkpoints,
    /// Why it failed, or what it found: the old view differed from the new one.
    pub note: Option<String>,
}

/// A rebuild under way, shared with those who watch or cancel it.
pub(crate) struct Rebuild {
    status: Mutex<RebuildStatus>,
    started: Instant,
    cancelled: AtomicBool,
}

impl Rebuild {
    pub(crate) fn new(id: String, projection: String) -> Self {
        let status = RebuildStatus {
            id,
            projection,
            phase: Phase::CatchingUp,
            done: 0,
            total: 0,
            rate: 0.0,
            eta_seconds: None,
            built_from: Checkpoints::default(),
            note: None,
        };
        Self { status: Mutex::new(status), started: Instant::now(), cancelled: AtomicBool::new(false) }
    }

    pub(crate) fn status(&self) -> RebuildStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut RebuildStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Counts a batch in; an error once the rebuild was cancelled.
    pub(crate) fn counted(&self, applied: u64, gaps: &[Gap], total: u64) -> Result<(), ReplayError> {
        let seconds = self.started.elapsed().as_secs_f64();
        self.update(|status| {
            status.done += applied;
            status.total = total;
            note_gaps(&mut status.built_from, gaps);
            status.rate = status.done as f64 / seconds.max(1e-6);
            let left = total.saturating_sub(status.done) as f64;
            status.eta_seconds = (status.rate > 0.0).then(|| left / status.rate);
        });
        if self.cancelled.load(Ordering::Relaxed) { Err(ReplayError::Cancelled) } else { Ok(()) }
    }
}

/// Applies what lies between the projection's checkpoints and `until` (without it: the end), batch by batch.
/// `counted` is told after every batch how many events it had and what was gone before them; its error ends the work.
pub(crate) fn catch_up(
    events: &EventLog,
    projection: &Arc<dyn Projection>,
    until: Option<&Checkpoints>,
    mut counted: impl FnMut(u64, &[Gap]) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    let mut feed = ReadAhead::new(events.clone(), projection.inputs(), projection.checkpoints()?, until.cloned());
    loop {
        let batch = feed.read()?;
        if batch.is_empty() {
            return Ok(());
        }
        let (size, gaps) = (batch.entries.len() as u64, batch.gaps.clone());
        apply_batch(&**projection, batch)?;
        counted(size, &gaps)?;
    }
}

/// The ends of all partitions of the topics.
pub(crate) fn ends(events: &EventLog, topics: &[Topic]) -> Result<Checkpoints, ReplayError> {
    bounds(events, topics, |bounds| bounds.end)
}

/// How many events the topics hold.
pub(crate) fn count(events: &EventLog, topics: &[Topic]) -> Result<u64, ReplayError> {
    Ok(bounds(events, topics, |bounds| bounds.end - bounds.start)?.iter().map(|(_, count)| count).sum())
}

fn bounds(events: &EventLog, topics: &[Topic], which: fn(Bounds) -> u64) -> Result<Checkpoints, ReplayError> {
    let partitions = topics.iter().flat_map(|topic| events.partitions(*topic));
    partitions.map(|partition| Ok((partition, which(events.log().bounds(partition)?)))).collect()
}

/// Adds the offsets behind the gaps to where a view was built from.
pub(crate) fn note_gaps(built_from: &mut Checkpoints, gaps: &[Gap]) {
    gaps.iter().for_each(|gap| built_from.advance(gap.partition, gap.last + 1));
}

/// Where a view was built from, in words; `None` if from the start.
pub(crate) fn built_from_in_words(built_from: &Checkpoints) -> Option<String> {
    let starts: Vec<_> = built_from.iter().map(|(partition, start)| format!("{partition} offset {start}")).collect();
    (!starts.is_empty()).then(|| format!("the log begins at {}: the view holds nothing from before", starts.join(", ")))
}
