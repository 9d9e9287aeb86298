//! The house: log, stages, views and gateway of one process, put together.
//!
//! Owns: the order in which the parts are started and stopped, and the ports through which the gateway reaches them.
//! Never: any logic of a part. What stands here only connects.

mod calls;
mod doctor;
mod engine;
mod error;
mod event_view;
mod files;
mod keeping;
mod memory;
mod migrate;
pub(crate) mod offline;
mod plan;
mod ports;
mod rooms;
mod run;
mod serving;
mod stages;
mod summarising;
mod sweeping;

pub(crate) use calls::CallOptions;
pub(crate) use error::HouseError;
pub(crate) use migrate::{LogPlace, Migrated, migrate, verify as verify_migration};
pub(crate) use plan::{EngineOptions, Model, Plan, StageKind};
pub(crate) use run::run;
