//! Lanes: the threads that call a stage.
//!
//! Owns: the queue of jobs, the answers, and that a panic in a handler stays in its lane.
//! Never: decides anything. What is done when, and what becomes of a failure, is the schedule's.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use event_listener::Listener as _;
use meshlog_schemas::Envelope;

use super::{
    Derived, Stage, StageError,
    schedule::{Failure, Verdict, Work},
};
use crate::{
    background::step_back,
    events::{NewEvent, StoredEvent},
    log::Log,
    signal::Signal,
};

/// Work with its events.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) events: Vec<StoredEvent>,
}

/// What became of a job: what each event derived, or why none was processed.
pub(super) struct Answer {
    pub(super) job: Job,
    pub(super) result: Result<Vec<Vec<NewEvent>>, Failure>,
}

/// What lies between the coordinator and its lanes.
#[derive(Default)]
pub(super) struct Desk {
    jobs: Mutex<(VecDeque<Job>, bool)>,
    bell: Condvar,
    answers: Mutex<Vec<Answer>>,
    answered: Signal,
}

impl Desk {
    pub(super) fn give(&self, job: Job) {
        self.jobs().0.push_back(job);
        self.bell.notify_one();
    }

    /// No more jobs come; lanes end with what they have.
    pub(super) fn close(&self) {
        self.jobs().1 = true;
        self.bell.notify_all();
    }

    pub(super) fn answers(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn has_answers(&self) -> bool {
        !self.answers.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Rung after every answer.
    pub(super) fn answered(&self) -> &Signal {
        &self.answered
    }

    /// Waits until there are answers.
    pub(super) fn wait_for_answers(&self) {
        let answered = self.answered.listen();
        if !self.has_answers() {
            answered.wait();
        }
    }

    /// Works until the desk is closed.
    pub(super) fn run(&self, stage: &dyn Stage, log: &dyn Log) {
        while let Some(job) = self.take() {
            let result = step_back(stage.steps_back() && log.is_pressed(), || process(stage, &job.events));
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(Answer { job, result });
            self.answered.ring();
        }
    }

    fn take(&self) -> Option<Job> {
        let mut jobs = self.jobs();
        loop {
            if jobs.1 {
                return None;
            }
            if let Some(job) = jobs.0.pop_front() {
                return Some(job);
            }
            jobs = self.bell.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn jobs(&self) -> MutexGuard<'_, (VecDeque<Job>, bool)> {
        // Nothing panics while the queue is locked.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the desk at the end of a scope, also of one that panics.
pub(super) struct Closing<'a>(pub(super) &'a Desk);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn process(stage: &dyn Stage, events: &[StoredEvent]) -> Result<Vec<Vec<NewEvent>>, Failure> {
    let derived = match catch_unwind(AssertUnwindSafe(|| stage.process(events))) {
        Ok(Ok(derived)) => derived,
        Ok(Err(error)) => {
            let verdict = match error {
                StageError::Retriable(_) => Verdict::Again,
                StageError::Later(_) => Verdict::Later,
                StageError::Permanent(_) => Verdict::Never,
            };
            return Err(Failure { error: error.to_string(), verdict });
        }
        Err(panic) => {
            let error = format!("the stage panicked: {}", message(&*panic));
            return Err(Failure { error, verdict: Verdict::Again });
        }
    };
    let mut outputs: Vec<Vec<NewEvent>> = events.iter().map(|_| Vec::new()).collect();
    for Derived { cause, index, event } in derived {
        let Some(output) = outputs.get_mut(cause) else {
            let error = format!("the stage names event {cause} of {} as a cause; this is a bug", events.len());
            return Err(Failure { error, verdict: Verdict::Never });
        };
        let envelope: &Envelope = &events[cause].envelope;
        output.push(NewEvent::derived(envelope, stage.name(), &index, event));
    }
    Ok(outputs)
}

/// What a panic says.
pub(super) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it does not say why")
}
