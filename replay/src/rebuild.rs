//! Rebuilds: a new view filled from the start of the log, and what is known of its progress.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use meshlog_pipeline::{Bounds, EventLog, Gap, Projection, Rate, ReadAhead, apply_batch, now_micros};
use meshlog_schemas::{Checkpoints, Topic};

use crate::ReplayError;

/// What a rebuild is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody asked for the view to be made anew.
    Rebuild,
    /// The program makes another version of the view than the one that serves.
    Upgrade,
    /// Somebody asked for the view that served before, which is brought up to date.
    Rollback,
}

impl Purpose {
    /// The word shown to people.
    pub const fn name(self) -> &'static str {
        match self {
            Purpose::Rebuild => "rebuild",
            Purpose::Upgrade => "upgrade",
            Purpose::Rollback => "rollback",
        }
    }
}

/// Where a rebuild stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Others are at work, and it waits for its turn.
    Waiting,
    /// The new view reads the log; the old one serves.
    CatchingUp,
    /// Both are compared at the same checkpoints; the old one serves.
    Verifying,
    /// The views are exchanged.
    Switching,
    /// The new view serves.
    Done,
    /// The old view serves; the new one is there to be gone on with.
    Paused,
    /// It was cancelled; the old view serves.
    Cancelled,
    /// It failed; the old view serves.
    Failed,
}

impl Phase {
    /// The word shown to people.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::CatchingUp => "catching_up",
            Phase::Verifying => "verifying",
            Phase::Switching => "switching",
            Phase::Done => "done",
            Phase::Paused => "paused",
            Phase::Cancelled => "cancelled",
            Phase::Failed => "failed",
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_over(self) -> bool {
        matches!(self, Phase::Done | Phase::Paused | Phase::Cancelled | Phase::Failed)
    }
}

/// What is known of a rebuild at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RebuildStatus {
    /// Its id.
    pub id: String,
    /// The projection.
    pub projection: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Where it stands.
    pub phase: Phase,
    /// The view that it fills, once it has begun.
    pub version: Option<String>,
    /// Events applied to the new view.
    pub done: u64,
    /// How many of them had been applied before: by what was paused or cut off, or by a view that served before.
    pub resumed_from: u64,
    /// Events on the log when last looked.
    pub total: u64,
    /// Events applied a second, over the last ten; once it has ended, on average.
    pub rate: f64,
    /// Seconds until it has caught up at this rate, if there is one.
    pub eta_seconds: Option<f64>,
    /// How long it has been at work, in seconds.
    pub seconds: f64,
    /// The offsets that the log began with where that was not 0: retention has taken away what stood before, and the new
    /// view does not hold it.
    pub built_from: Checkpoints,
    /// Whether the new view was found equal to the one that it replaced; `None` where they were not compared.
    pub is_equal: Option<bool>,
    /// Why it failed, or what it found: the old view differed from the new one.
    pub note: Option<String>,
}

/// What somebody asked of a rebuild.
const GO_ON: u8 = 0;
const PAUSE: u8 = 1;
const CANCEL: u8 = 2;

/// A rebuild under way, shared with those who watch or cancel it.
pub(crate) struct Rebuild {
    status: Mutex<Known>,
    asked: AtomicU8,
}

struct Known {
    status: RebuildStatus,
    /// When it got its turn.
    began: Option<Instant>,
    rate: Rate,
}

impl Rebuild {
    pub(crate) fn new(id: String, projection: String, purpose: Purpose) -> Self {
        let status = RebuildStatus {
            id,
            projection,
            purpose,
            phase: Phase::Waiting,
            version: None,
            done: 0,
            resumed_from: 0,
            total: 0,
            rate: 0.0,
            eta_seconds: None,
            seconds: 0.0,
            built_from: Checkpoints::default(),
            is_equal: None,
            note: None,
        };
        let known = Known { status, began: None, rate: Rate::default() };
        Self { status: Mutex::new(known), asked: AtomicU8::new(GO_ON) }
    }

    pub(crate) fn status(&self) -> RebuildStatus {
        let known = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let mut status = known.status.clone();
        if let Some(began) = known.began.filter(|_| !status.phase.is_over()) {
            status.seconds = began.elapsed().as_secs_f64();
            status.rate = known.rate.per_second(now_micros());
            let left = status.total.saturating_sub(status.done) as f64;
            status.eta_seconds = (status.rate > 0.0).then(|| left / status.rate);
        }
        status
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut RebuildStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner).status);
    }

    /// It has its turn.
    pub(crate) fn begin(&self) {
        let mut known = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        known.began = Some(Instant::now());
        known.status.phase = Phase::CatchingUp;
    }

    /// It has ended so.
    pub(crate) fn end(&self, phase: Phase) {
        let mut known = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = known.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        let status = &mut known.status;
        status.phase = phase;
        status.seconds = seconds;
        status.rate = if seconds > 0.0 { (status.done - status.resumed_from) as f64 / seconds } else { 0.0 };
        status.eta_seconds = None;
    }

    /// Asks it to end without the new view. What was asked first and more counts.
    pub(crate) fn cancel(&self) {
        self.asked.fetch_max(CANCEL, Ordering::Relaxed);
    }

    /// Asks it to end so that it can be gone on with.
    pub(crate) fn pause(&self) {
        self.asked.fetch_max(PAUSE, Ordering::Relaxed);
    }

    /// An error once it was asked to end.
    pub(crate) fn go_on(&self) -> Result<(), ReplayError> {
        match self.asked.load(Ordering::Relaxed) {
            GO_ON => Ok(()),
            PAUSE => Err(ReplayError::Paused),
            _ => Err(ReplayError::Cancelled),
        }
    }

    /// Counts a batch in; an error once it was asked to end.
    pub(crate) fn counted(&self, applied: u64, gaps: &[Gap], total: u64) -> Result<(), ReplayError> {
        let mut known = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        known.rate.count(now_micros(), applied);
        known.status.done += applied;
        known.status.total = total;
        note_gaps(&mut known.status.built_from, gaps);
        drop(known);
        self.go_on()
    }
}

/// Applies what lies between the projection's checkpoints and `until` (without it: the end), batch by batch.
/// What was read and is not applied yet takes about `memory` bytes. `counted` is told after every batch how many events it had and what
/// was gone before them; its error ends the work.
pub(crate) fn catch_up(
    events: &EventLog,
    projection: &Arc<dyn Projection>,
    until: Option<&Checkpoints>,
    memory: usize,
    mut counted: impl FnMut(u64, &[Gap]) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    let mut feed = ReadAhead::new(events.clone(), projection.inputs(), projection.checkpoints()?, until.cloned())
        .with_memory(memory);
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

/// How many of the topics' events lie before these offsets.
pub(crate) fn count_before(events: &EventLog, topics: &[Topic], at: &Checkpoints) -> Result<u64, ReplayError> {
    let partitions = topics.iter().flat_map(|topic| events.partitions(*topic));
    partitions
        .map(|partition| {
            let bounds = events.log().bounds(partition)?;
            Ok(at.next(partition).min(bounds.end).saturating_sub(bounds.start))
        })
        .sum()
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
