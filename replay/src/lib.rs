//! Rebuild, switch and verify projections from the log.
