//! Stages, and projections with their stores.
