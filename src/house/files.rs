//! Open files: as many as the system lets this process have.
//!
//! The log keeps every segment open (800 of them at 50 GB), and shells commonly start programs with a limit of 1,024 that
//! the program itself may raise. Never: asks for more than the administrator has allowed.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to what the administrator allows.
pub(super) fn allow_many() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => tracing::debug!(?limit, "the limit of open files was raised"),
        Err(error) => tracing::debug!(?limit, %error, "the limit of open files stays as it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        allow_many();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
