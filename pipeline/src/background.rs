//! Background work: what gives way to the requests that somebody waits for.
//!
//! Stages, views and rebuilds catch up later; a client that sends or asks waits now. A background thread has a lower priority:
//! on a busy machine about a tenth of the processor time of any other thread, on an idle one all that it wants. While many
//! producers wait on the log at once, that is still too much: a core on which background work runs looks taken, and
//! requests queue on the others. Then the work goes to threads whose core counts as idle, and that run on what is left over.
//! Not always: where other programs have the machine, what is left over may be nothing. And of few threads, because what is
//! left over is not quite nothing: each thread that is ready now and then has a core for a tick of the kernel, a few
//! milliseconds, while a request waits; a dozen of them made the slowest hundredth of requests half as slow again.
//!
//! Never: raises a priority, which would need a right that the process need not have.

use std::{io, sync::OnceLock, time::Duration};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// The least time between the beginnings of two short steps of a thread of the background. A step costs waking up, reading and
/// a commit, whatever is in it: while events come singly and fast, one step for a few dozen is cheaper than a few dozen steps,
/// and leaves the machine to those who wait.
pub(crate) const BEAT: Duration = Duration::from_millis(2);

/// Makes the calling thread one of the background, and with it all threads that it starts from now on.
///
/// Where priorities are not kept for each thread (anywhere but on Linux) nothing is done.
pub fn work_in_background() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread of the background keeps its priority");
    }
}

/// Does `work` on a thread of the background, so that the threads which a library starts in it are of the background too.
///
/// # Errors
/// No thread can be had; nothing was done.
pub fn start_in_background<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let thread = || {
        work_in_background();
        work()
    };
    std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, thread)?.join() {
        Ok(done) => Ok(done),
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Does a piece of work, on what is left over if the log `is_pressed`. It should be short: a piece that was begun on what is
/// left over is ended there, and others wait for their turn meanwhile. So it must not wait for anything but the machine's own
/// disks: neither for another piece of work, nor for a network. Work that is parallel by rayon is so in either place.
pub(crate) fn step_back<T: Send>(is_pressed: bool, work: impl FnOnce() -> T + Send) -> T {
    match leftovers().filter(|_| is_pressed) {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// The niceness of the background. Each step takes a fifth of a thread's weight (sched(7)): ten leave it about a tenth, which
/// keeps views moving while an import has the machine.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The threads that run on what is left over; `None` where there is no such thing.
fn leftovers() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let start = || {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let pool = ThreadPoolBuilder::new()
            .num_threads((cores / 2).max(1))
            .thread_name(|index| format!("leftover-{index}"))
            .start_handler(|_| take_leftovers());
        pool.build().inspect_err(|error| tracing::debug!(%error, "nothing steps back under pressure")).ok()
    };
    cfg!(target_os = "linux").then(|| POOL.get_or_init(start).as_ref())?
}

/// Sets the scheduling policy `SCHED_IDLE` for the calling thread (sched(7)).
fn take_leftovers() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
            thread_native_id,
        };
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        // The niceness, which is set last, means nothing under this policy, so that a failure to set it means nothing either.
        let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy};

    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn only_the_thread_itself_and_those_it_starts_work_in_the_background() {
        let before = niceness();
        let background = std::thread::spawn(|| {
            work_in_background();
            (niceness(), std::thread::spawn(niceness).join().unwrap())
        });
        let expected = NICE.max(before);
        assert_eq!(background.join().unwrap(), (expected, expected));
        assert_eq!(niceness(), before);
    }

    #[test]
    fn work_steps_back_only_under_pressure() {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let policy = || thread_schedule_policy().unwrap();
        std::thread::spawn(move || {
            work_in_background();
            assert_ne!(step_back(false, policy), idle);
            assert_eq!(step_back(true, policy), idle);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_panic_comes_back_to_who_asked() {
        let panic = std::panic::catch_unwind(|| step_back(true, || panic!("spilled")));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"spilled"));
    }
}
