//! Summarising: a model sums up threads, where one is configured.
//!
//! Owns: the thread that has it done, stretch by stretch, on every node that keeps views, and puts the summaries on the log.
//! Promises: nobody is asked before the view has read all that the log had when it was looked, so what stands on the log
//! already is not asked for again, however the view was made.
//! Never: decides what is due, or what is told (see `meshlog_processors::summaries::writing`).

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use meshlog_pipeline::{EventLog, NewEvent, now_micros, work_in_background};
use meshlog_processors::{
    asking::Answerer,
    summaries::{
        SummaryStore,
        writing::{Sums, Writer},
    },
};
use meshlog_schemas::{Checkpoints, Event, Topic, Trust};
use pollster::block_on;

use super::serving::Serving;

/// The source of the events.
const SOURCE: &str = "/meshlog/summaries";
/// How often it is looked whether something is due.
const EVERY: Duration = Duration::from_secs(2);
/// How long it is left alone after a failure, or when there is no budget.
const REST: Duration = Duration::from_secs(30);
/// How long a view that is behind is waited for before it is looked again, and how often.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What a summary is made of, and where it stands.
const TOPICS: [Topic; 3] = [Topic::Messages, Topic::Memory, Topic::Knowledge];

/// Has threads summed up, until it is dropped.
pub(super) struct Summariser {
    /// Dropped, it wakes and ends the thread.
    _stop: mpsc::Sender<()>,
}

impl Summariser {
    /// Starts to sum up the threads of what `events` has, which is the share of the views. Without a thread to be had there are
    /// only summaries in the words that were said.
    pub(super) fn start(events: EventLog, serving: Arc<Serving>, (sums, model): (Sums, Arc<dyn Answerer>)) -> Self {
        let (stop, stopped) = mpsc::channel();
        let summarising = thread::Builder::new().name("summarise".to_owned()).spawn(move || {
            work_in_background();
            let mut writer = Writer::new(sums, model);
            let (mut pause, mut told) = (EVERY, None);
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                let trouble;
                (pause, trouble) = match step(&events, &serving, &mut writer, &stopped) {
                    Ok(true) => (Duration::ZERO, None),
                    Ok(false) => (EVERY, None),
                    Err(trouble) => (REST, Some(trouble)),
                };
                // What has been told once would be told for a day, where it is a budget that is used up.
                if trouble.is_some() && trouble != told {
                    tracing::warn!(
                        reason = trouble.as_deref(),
                        "threads are not summed up for the moment; it is tried again"
                    );
                }
                told = trouble.or(told).filter(|_| pause != Duration::ZERO);
            }
        });
        if let Err(error) = summarising {
            tracing::warn!(%error, "no model sums up threads here: summaries are of what was said");
        }
        Self { _stop: stop }
    }
}

/// Sums up one stretch; whether there was one, or why it was not done.
fn step(
    events: &EventLog,
    serving: &Serving,
    writer: &mut Writer,
    stopped: &mpsc::Receiver<()>,
) -> Result<bool, String> {
    // A log that has trouble would hold the thread, and with it the end of the process.
    if let Some(trouble) = events.log().trouble() {
        return Err(trouble);
    }
    let Some(store) = serving.summaries() else { return Ok(false) };
    let ends = ends(events).map_err(|error| error.to_string())?;
    let now = now_micros();
    if !reaches(&store, &ends, stopped).map_err(|error| error.to_string())? {
        return Ok(false);
    }
    let Some((id, summarised)) = writer.write(&store, now).map_err(|error| error.to_string())? else {
        return Ok(false);
    };
    // Another node may have written the same of the same; then the first counts.
    let event = NewEvent::first(id, SOURCE, Trust::System, Event::ThreadSummarised(summarised));
    block_on(events.append(vec![event], None)).map_err(|error| error.to_string())?;
    Ok(true)
}

/// How far the log is.
fn ends(events: &EventLog) -> Result<Checkpoints, meshlog_pipeline::LogError> {
    let mut ends = Checkpoints::default();
    for topic in TOPICS {
        events.log().synchronize(topic)?;
        for partition in events.partitions(topic) {
            ends.advance(partition, events.log().bounds(partition)?.end);
        }
    }
    Ok(ends)
}

/// Waits a while until the view has read as far; whether it has.
fn reaches(
    store: &SummaryStore,
    ends: &Checkpoints,
    stopped: &mpsc::Receiver<()>,
) -> Result<bool, meshlog_processors::StoreError> {
    let mut waited = Duration::ZERO;
    while !store.checkpoints()?.covers(ends) {
        let is_over = waited >= LONGEST_WAIT;
        if is_over || stopped.recv_timeout(LOOK_EVERY) != Err(mpsc::RecvTimeoutError::Timeout) {
            return Ok(false);
        }
        waited += LOOK_EVERY;
    }
    Ok(true)
}
