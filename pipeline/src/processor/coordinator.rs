//! The coordinator: carries out what the schedule of a stage decides.
//!
//! Owns: reading, appending and waiting, on one thread; the events that are held, by position.
//! Never: decides; and never goes on after the log failed. It answers the failure and is made anew from what is
//! durable.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
use pollster::block_on;

use super::{
    Progress, Stage, Stop,
    lanes::{Answer, Desk, Job, message},
    letters,
    schedule::{Arrival, Commit, Content, End, Failure, NoteError, Offered, Schedule, Settings, Verdict, Work},
};
use crate::{
    background::{BEAT, step_back},
    clock::now_micros,
    events::{Entry, EventLog, NewEvent, PublishError, StoredEvent, UnreadableCause},
    feed::{BATCH_LIMIT, Feed, Gap, weight},
    log::{AppendError, LogError},
    record::{Bounds, ProcessorProgress, ReadLimit},
};

/// Why the coordinator must begin again from what is durable.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interruption {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("the log does not take a dead letter: {0}")]
    Refused(String),
    #[error("the stage's worker broke off: {0}; this is a bug")]
    Broken(String),
}

/// How long it may take until it is written down what was passed over. An append for it costs others a place in the queue, so
/// it waits for one that there is anyway.
const PASSED_UNNOTED: Duration = Duration::from_secs(5);

/// What a coordinator works with.
pub(super) struct Surroundings<'a> {
    /// The name under which progress is kept.
    pub(super) name: &'a str,
    /// The partitions of the input that are processed here.
    pub(super) partitions: &'a [Partition],
    pub(super) events: &'a EventLog,
    pub(super) stage: &'a dyn Stage,
    pub(super) settings: Settings,
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a Stop,
    pub(super) desk: &'a Desk,
}

/// What one step came to.
struct Step {
    has_moved: bool,
    has_committed: bool,
    /// Whether events were passed over, and there is nothing else to do.
    has_only_passed: bool,
    /// Why some of the input could not be read, if nothing else could be either.
    unread: Option<LogError>,
}

/// One life of a stage's worker.
pub(super) struct Coordinator<'a> {
    around: Surroundings<'a>,
    schedule: Schedule,
    tables: &'a mut Feed,
    letters: Feed,
    /// What the schedule holds, unless it is at work.
    entries: HashMap<Position, Entry>,
    /// What was derived and is not committed.
    outputs: HashMap<Position, Vec<NewEvent>>,
    has_new_letters: bool,
    began: Instant,
    /// Since when something is passed over that is not written down.
    passed_since: Option<Duration>,
}

impl<'a> Coordinator<'a> {
    pub(super) fn new(around: Surroundings<'a>, schedule: Schedule, tables: &'a mut Feed) -> Self {
        let letters = Feed::new(around.events.clone(), &[Topic::DeadLetters], Checkpoints::default());
        let (entries, outputs) = (HashMap::new(), HashMap::new());
        let began = Instant::now();
        Self { around, schedule, tables, letters, entries, outputs, has_new_letters: true, began, passed_since: None }
    }

    /// Works until the stage is asked to stop; `on_commit` is told of every step that became durable.
    pub(super) fn run(mut self, mut on_commit: impl FnMut()) -> Result<(), Interruption> {
        self.around.events.log().synchronize(Topic::DeadLetters)?;
        self.follow_letters()?;
        while !self.around.stop.is_asked() {
            let steps_back = self.around.stage.steps_back() && self.around.events.log().is_pressed();
            let Step { has_moved, has_committed, has_only_passed, unread } = step_back(steps_back, || self.step())?;
            if has_committed {
                on_commit();
            }
            if has_only_passed {
                self.around.stop.sleep(BEAT);
            }
            if !has_moved {
                // One damaged record does not keep the events of other partitions from flowing.
                self.sleep(unread)?;
            }
        }
        self.end()
    }

    /// Everything that can be done now. Waits for the log at the most, never for a lane.
    fn step(&mut self) -> Result<Step, Interruption> {
        let mut has_moved = self.collect();
        let read = self.read();
        has_moved |= *read.as_ref().unwrap_or(&false);
        // After the input was read, so that a table entry acknowledged before an input is seen before it.
        if *read.as_ref().unwrap_or(&true) {
            let log = self.around.events.log();
            self.around.stage.tables().iter().try_for_each(|topic| log.synchronize(*topic))?;
        }
        self.catch_up_tables()?;
        self.follow_letters()?;
        has_moved |= self.give()?;
        if self.passed_since.is_some_and(|since| self.now() >= since + PASSED_UNNOTED) {
            self.schedule.note_passed();
        }
        let has_committed = self.commit()?;
        self.report();
        let has_only_passed = has_moved
            && !has_committed
            && self.passed_since.is_some()
            && self.entries.is_empty()
            && self.schedule.is_quiet();
        Ok(Step { has_moved: has_moved | has_committed, has_committed, has_only_passed, unread: read.err() })
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes in what lanes answered.
    fn collect(&mut self) -> bool {
        let answers = self.around.desk.answers();
        let has_moved = !answers.is_empty();
        for Answer { job: Job { work, events }, result } in answers {
            let result = match result {
                Ok(outputs) => {
                    let positions = events.iter().map(|event| event.position);
                    self.outputs.extend(positions.zip(outputs));
                    Ok(())
                }
                Err(failure) => {
                    self.note_failure(&events, &failure);
                    Err(failure)
                }
            };
            self.entries.extend(events.into_iter().map(|event| (event.position, Ok(event))));
            self.schedule.finish(work, result, self.now());
        }
        has_moved
    }

    fn note_failure(&self, events: &[StoredEvent], failure: &Failure) {
        let (stage, error) = (self.around.stage.name(), &failure.error);
        match events {
            _ if failure.verdict == Verdict::Later => {
                tracing::debug!(stage, events = events.len(), %error, "events are left for later");
                self.around.progress.noted(error.clone(), None);
            }
            [event] => {
                tracing::warn!(stage, position = %event.position, %error, "an event failed");
                self.around.progress.noted(format!("{}: {error}", event.position), Some(event.position));
            }
            _ => tracing::debug!(stage, events = events.len(), %error, "events failed together and are tried singly"),
        }
    }

    /// Reads what the schedule has room for.
    fn read(&mut self) -> Result<bool, LogError> {
        let mut has_moved = false;
        let mut failure = None;
        for (partition, from, limit) in self.schedule.wanted() {
            match self.read_partition(partition, from, limit) {
                Ok(moved) => has_moved |= moved,
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        match failure.filter(|_| !has_moved) {
            Some(failure) => Err(failure),
            None => Ok(has_moved),
        }
    }

    fn read_partition(&mut self, partition: Partition, from: u64, limit: ReadLimit) -> Result<bool, LogError> {
        let events = self.around.events;
        let Bounds { start, end } = events.log().bounds(partition)?;
        if from < start {
            self.schedule.miss(partition, start);
            let gap = Gap { partition, first: from, last: start - 1 };
            self.around.progress.missed(self.around.stage.name(), &[gap]);
            return Ok(true);
        }
        if end <= from {
            return Ok(false);
        }
        let mut has_passed = false;
        for record in events.log().read(partition, from, limit)? {
            let position = record.position;
            if !self.around.stage.wants(&record.headers) {
                if self.schedule.pass(position) == Offered::Full {
                    break;
                }
                has_passed = true;
                continue;
            }
            let entry = events.entry(record);
            match self.schedule.offer(self.arrival(&entry)) {
                Offered::Held => drop(self.entries.insert(position, entry)),
                Offered::Passed => {}
                Offered::Full => break,
            }
        }
        if has_passed {
            self.passed_since.get_or_insert(self.began.elapsed());
            self.around.progress.advanced(&self.schedule.reached(), 0, 0);
        }
        Ok(true)
    }

    fn arrival(&self, entry: &Entry) -> Arrival {
        let bytes = weight(entry);
        match entry {
            Ok(event) => Arrival {
                position: event.position,
                key: event.key.as_str().into(),
                priority: self.around.stage.priority(event),
                bytes,
                content: Content::Readable,
            },
            Err(unreadable) => Arrival {
                position: unreadable.position,
                key: unreadable.key.as_str().into(),
                priority: super::Priority::Normal,
                bytes,
                content: match &unreadable.cause {
                    UnreadableCause::Erased => Content::Erased,
                    cause => Content::Unreadable(cause.to_string()),
                },
            },
        }
    }

    fn catch_up_tables(&mut self) -> Result<(), LogError> {
        let stage = self.around.stage;
        loop {
            let batch = self.tables.next(BATCH_LIMIT, None)?;
            if batch.is_empty() {
                return Ok(());
            }
            self.around.progress.missed(stage.name(), &batch.gaps);
            for event in batch.entries.iter().flatten() {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| stage.observe(event))) {
                    let error = format!("{}: the stage panicked: {}", event.position, message(&*panic));
                    self.around.progress.noted(error, Some(event.position));
                }
            }
        }
    }

    /// Shows the schedule what the dead-letters topic says of this stage, its own letters too.
    fn follow_letters(&mut self) -> Result<(), LogError> {
        loop {
            let batch = self.letters.next(BATCH_LIMIT, None)?;
            if batch.is_empty() {
                return Ok(());
            }
            for event in batch.entries.iter().flatten() {
                if let Some((processor, change)) = letters::change(event)
                    && processor == self.around.stage.name()
                    && self.around.partitions.contains(&change.position.partition)
                {
                    self.schedule.observe(&change);
                    self.has_new_letters = true;
                }
            }
        }
    }

    /// Gives lanes what may begin.
    fn give(&mut self) -> Result<bool, Interruption> {
        let mut has_moved = false;
        while let Some(work) = self.schedule.next_work(self.now()) {
            has_moved = true;
            match work.tasks.as_slice() {
                [task] if task.is_parked => self.give_parked(task.position, work),
                tasks => {
                    let take = |position: Position| self.entries.remove(&position).and_then(Entry::ok);
                    let events: Option<Vec<_>> = tasks.iter().map(|task| task.position).map(take).collect();
                    let missing = || Interruption::Broken("an event to process is not held".to_owned());
                    let events = events.ok_or_else(missing)?;
                    self.around.desk.give(Job { work, events });
                }
            }
        }
        Ok(has_moved)
    }

    /// Reads a dead letter's event again and gives it to a lane, if there is something to process.
    fn give_parked(&mut self, position: Position, work: Work) {
        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        let read = self.around.events.read(position.partition, position.offset, limit);
        let answer = match read.map(|mut entries| entries.pop()) {
            Ok(Some(Ok(event))) => return self.around.desk.give(Job { work, events: vec![event] }),
            Ok(Some(Err(unreadable))) => {
                let error = unreadable.cause.to_string();
                let is_erased = unreadable.cause == UnreadableCause::Erased;
                self.entries.insert(position, Err(unreadable));
                if is_erased { Ok(()) } else { Err(Failure { error, verdict: Verdict::Never }) }
            }
            Ok(None) | Err(LogError::OutOfRange { .. }) => {
                Err(Failure { error: "the log does not hold it any more".to_owned(), verdict: Verdict::Never })
            }
            Err(error) => Err(Failure { error: error.to_string(), verdict: Verdict::Again }),
        };
        self.schedule.finish(work, answer, self.now());
    }

    /// Appends what has come to an end, if anything has.
    fn commit(&mut self) -> Result<bool, Interruption> {
        let Some(commit) = self.schedule.commit() else { return Ok(false) };
        let progress = ProcessorProgress {
            processor: self.around.name.to_owned(),
            checkpoints: commit.checkpoints.clone(),
            note: Some(commit.note.clone()),
        };
        match block_on(self.around.events.append(self.new_events(&commit), Some(progress))) {
            Ok(_) => {
                self.schedule.committed();
                self.passed_since = None;
                let (processed, skipped) = self.settle(&commit);
                // First the figures, then the checkpoint that people wait for.
                self.follow_letters()?;
                self.report();
                self.around.progress.advanced(&self.schedule.reached(), processed, skipped);
            }
            Err(error) => {
                let failure = refusal(&error).ok_or(error)?;
                let refused = self.schedule.refused(failure, self.now());
                refused.map_err(|failure| Interruption::Refused(failure.error))?;
            }
        }
        Ok(true)
    }

    fn new_events(&self, commit: &Commit) -> Vec<NewEvent> {
        let now = now_micros();
        let mut new = Vec::new();
        for outcome in &commit.outcomes {
            if matches!(outcome.end, End::Done | End::Redriven { .. }) {
                // A copy, since the log may refuse the batch.
                new.extend(self.outputs.get(&outcome.position).into_iter().flatten().cloned());
            }
            let entry = self.entries.get(&outcome.position);
            new.extend(letters::letter(self.around.stage.name(), outcome, entry, now));
        }
        new
    }

    /// Lets go of what is committed; answers how many events were processed, and how many were gone on without.
    fn settle(&mut self, commit: &Commit) -> (u64, u64) {
        let (mut processed, mut skipped) = (0, 0);
        for outcome in &commit.outcomes {
            self.entries.remove(&outcome.position);
            self.outputs.remove(&outcome.position);
            match &outcome.end {
                End::Done | End::Redriven { .. } => processed += 1,
                End::Skipped => skipped += 1,
                End::Parked(letter) | End::FailedAgain(letter) => {
                    skipped += u64::from(matches!(outcome.end, End::Parked(_)));
                    if letter.head.is_none() {
                        let error = format!("{}: {}", outcome.position, letter.error);
                        self.around.progress.noted(error, Some(outcome.position));
                    }
                }
            }
        }
        (processed, skipped)
    }

    fn report(&mut self) {
        let schedule = &self.schedule;
        let settings = &self.around.settings;
        let (held, at_work, most) = (schedule.held(), schedule.at_work(), settings.most_at_work());
        // Every queue is looked at, so not more often than letters come.
        let oldest = std::mem::take(&mut self.has_new_letters).then(|| schedule.parking().oldest());
        self.around.progress.tell(|status| {
            status.retrying = schedule.retrying() as u64;
            status.parked = schedule.parking().count() as u64;
            status.oldest_parked_at = oldest.unwrap_or(status.oldest_parked_at);
            status.held.set(held, settings.window);
            status.at_work.set(at_work, most);
        });
    }

    fn sleep(&self, failure: Option<LogError>) -> Result<(), Interruption> {
        let is_broken = match failure {
            Some(failure) if self.schedule.is_quiet() => return Err(failure.into()),
            failure => failure.is_some(),
        };
        let events = self.around.events;
        let signals = [
            events.log().appended(self.around.stage.input()),
            events.log().appended(Topic::DeadLetters),
            self.around.desk.answered(),
        ];
        let to_note = self.passed_since.map(|since| since + PASSED_UNNOTED);
        let wake_at = self.schedule.wake_at().into_iter().chain(to_note).min();
        let left = wake_at.map(|at| at.saturating_sub(self.now()));
        self.around.stop.sleep_while_idle(&signals, left, || {
            let is_unread = |partition, from| events.log().bounds(partition).is_ok_and(|bounds| bounds.end > from);
            let has_input = self.schedule.wanted().into_iter().any(|(partition, from, _)| is_unread(partition, from));
            let mut letters = events.partitions(Topic::DeadLetters).into_iter();
            let has_letters = letters.any(|partition| is_unread(partition, self.letters.checkpoints().next(partition)));
            // A partition that cannot be read is left alone for as long as lanes are at work.
            (is_broken || !has_input) && !has_letters && !self.around.desk.has_answers()
        });
        Ok(())
    }

    /// Finishes what is at work and says that the end was in order.
    fn end(mut self) -> Result<(), Interruption> {
        self.schedule.drain();
        while !self.schedule.is_quiet() {
            self.around.desk.wait_for_answers();
            self.collect();
        }
        self.schedule.end();
        self.schedule.note_passed();
        while self.commit()? {}
        self.report();
        Ok(())
    }
}

/// Why the log takes these events never, or not now, while it would take others. `None`: it takes nothing.
fn refusal(error: &PublishError) -> Option<Failure> {
    let verdict = match error {
        PublishError::Encode(_) | PublishError::Append(AppendError::TooLarge { .. }) => Verdict::Never,
        PublishError::Seal(_) => Verdict::Again,
        PublishError::Append(_) => return None,
    };
    Some(Failure { error: error.to_string(), verdict })
}
