//! Background work: what gives way to the requests that somebody waits for.
//!
//! Stages, views and rebuilds catch up later; a client that sends or asks waits now. On a busy machine the operating system
//! gives a background thread about a tenth of the processor time of any other, and on an idle one all that it wants.
//!
//! Never: raises a priority, which would need a right that the process need not have.

/// Makes the calling thread one of the background, and with it all threads that it starts from now on.
///
/// Where priorities are not kept for each thread (anywhere but on Linux) nothing is done.
pub fn work_in_background() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread of the background keeps its priority");
    }
}

/// The niceness of the background. Each step takes a fifth of a thread's weight (sched(7)): ten leave it about a tenth, which
/// keeps views moving while an import has the machine.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

#[cfg(all(test, target_os = "linux"))]
mod tests {
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
}
