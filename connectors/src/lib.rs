//! The edges: gateways in, providers out.
//!
//! A gateway takes requests from outside, checks them and passes them on through the [`ports`]. It knows the log, the
//! stores and the processors only by these traits; the binary puts them in. What travels over the wire is in [`api`],
//! what can go wrong in [`problem`].

pub mod api;
pub mod calls;
pub mod checks;
pub mod context;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod ports;
pub mod problem;
pub mod providers;
