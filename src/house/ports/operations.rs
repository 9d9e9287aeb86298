//! Showing and steering processors and projections.

use std::sync::Arc;

use meshlog_connectors::{
    api::{
        ProcessorsView, ProjectionView, ProjectionsView, Readiness, RebuildRequest, RebuildView, TopicsView,
        Verification, VerifyReport, VersionView,
    },
    ports::{Answer, Digests, Operations},
    problem::Problem,
};
use meshlog_pipeline::Condition;
use meshlog_processors::knowledge::model::ModelExtractor;
use meshlog_replay::{RebuildStatus, Verdict, VersionStatus, ViewStatus};

use super::{
    blocking, metrics, problems, reading,
    status::{checkpoint, processors, seconds, topics},
};
use crate::house::{engine::Engine, rooms::Rooms};

/// From which age of the oldest event that a projection has yet to apply its node is not ready.
const LONGEST_LAG_MICROS: i64 = 30_000_000;

pub(super) struct OperationsPort(Arc<Rooms>);

impl OperationsPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self(rooms)
    }
}

impl Operations for OperationsPort {
    fn topics(&self) -> Answer<'_, TopicsView> {
        Box::pin(blocking(&self.0, topics))
    }

    fn processors(&self) -> Answer<'_, ProcessorsView> {
        Box::pin(blocking(&self.0, processors))
    }

    fn projections(&self, digests: Digests) -> Answer<'_, ProjectionsView> {
        Box::pin(blocking(&self.0, move |rooms| projections(rooms, digests)))
    }

    fn start_rebuild(&self, request: RebuildRequest) -> Answer<'_, RebuildView> {
        Box::pin(blocking(&self.0, move |rooms| {
            let (views, RebuildRequest { projection, rollback }) = (&reading(rooms)?.views, request);
            let started = if rollback { views.start_rollback(&projection) } else { views.start_rebuild(&projection) };
            started.map(rebuild_view).map_err(problems::from_replay)
        }))
    }

    fn rebuilds(&self) -> Answer<'_, Vec<RebuildView>> {
        Box::pin(async move { Ok(reading(&self.0)?.views.rebuilds().into_iter().map(rebuild_view).collect()) })
    }

    fn rebuild(&self, id: String) -> Answer<'_, Option<RebuildView>> {
        Box::pin(async move {
            let found = reading(&self.0)?.views.rebuilds().into_iter().find(|rebuild| rebuild.id == id);
            Ok(found.map(rebuild_view))
        })
    }

    fn cancel_rebuild(&self, id: String) -> Answer<'_, Option<RebuildView>> {
        Box::pin(async move { Ok(reading(&self.0)?.views.cancel_rebuild(&id).map(rebuild_view)) })
    }

    fn pause_rebuild(&self, id: String) -> Answer<'_, Option<RebuildView>> {
        Box::pin(async move { Ok(reading(&self.0)?.views.pause_rebuild(&id).map(rebuild_view)) })
    }

    fn drop_version(&self, projection: String, version: String) -> Answer<'_, ()> {
        Box::pin(blocking(&self.0, move |rooms| {
            reading(rooms)?.views.drop_version(&projection, &version).map_err(problems::from_replay)
        }))
    }

    fn verify(&self, projection: Option<String>) -> Answer<'_, VerifyReport> {
        Box::pin(blocking(&self.0, move |rooms| {
            let names = match projection {
                Some(name) => vec![name],
                None => {
                    let statuses = reading(rooms)?.views.statuses().map_err(problems::from_replay)?;
                    statuses.into_iter().map(|status| status.name.to_owned()).collect()
                }
            };
            let views = &reading(rooms)?.views;
            let verify = |name: String| views.verify(&name, &|| false).map_err(problems::from_replay);
            let results = names.into_iter().map(|name| verify(name).map(verification)).collect::<Result<_, _>>()?;
            Ok(VerifyReport { results })
        }))
    }

    fn ready(&self) -> Answer<'_, Readiness> {
        Box::pin(blocking(&self.0, |rooms| {
            let mut reasons: Vec<String> = Vec::new();
            reasons.extend(rooms.events.log().stopped().map(|reason| format!("the log has stopped: {reason}")));
            reasons.extend(rooms.events.log().full().map(|reason| format!("the disk is full: {reason}")));
            reasons.extend(rooms.events.log().trouble());
            if !reasons.is_empty() {
                // What follows would ask a log that does not answer.
                return Ok(Readiness { ready: false, reasons });
            }
            reasons.extend(lagging(rooms)?);
            // A node answers as well while the model that reads messages cannot be asked, or its budget is used up.
            let counts = |name: &str| !name.starts_with(ModelExtractor::PREFIX);
            let failing = processors(rooms)?.processors.into_iter();
            let failing = failing.filter(|processor| processor.state == "retrying" && counts(&processor.name));
            reasons.extend(failing.map(|processor| {
                format!("{} is failing: {}", processor.name, processor.last_error.unwrap_or_default())
            }));
            Ok(Readiness { ready: reasons.is_empty(), reasons })
        }))
    }

    fn metrics(&self) -> Answer<'_, String> {
        Box::pin(blocking(&self.0, |rooms| Ok(metrics::render(rooms, &topics(rooms)?, &processors(rooms)?))))
    }
}

fn projections(rooms: &Rooms, digests: Digests) -> Result<ProjectionsView, Problem> {
    let views = &reading(rooms)?.views;
    let statuses = views.statuses().map_err(problems::from_replay)?;
    let projection = |view: ViewStatus| -> Result<ProjectionView, Problem> {
        let digest = match digests {
            Digests::Omitted => None,
            Digests::Computed => Some(views.digest(view.name).map_err(problems::from_replay)?.to_string()),
        };
        Ok(ProjectionView {
            name: view.name.to_owned(),
            state: state(&view).to_owned(),
            version: view.version,
            outdated: view.is_outdated,
            versions: view.versions.into_iter().map(version_view).collect(),
            lag_events: view.lag_events,
            lag_seconds: seconds(view.lag_micros),
            digest,
        })
    };
    Ok(ProjectionsView { projections: statuses.into_iter().map(projection).collect::<Result<_, _>>()? })
}

/// The projections that are so far behind that another query node had better be asked. On one machine there is no other.
fn lagging(rooms: &Rooms) -> Result<Vec<String>, Problem> {
    let (Engine::Kafka(_), Some(reading)) = (&rooms.engine, &rooms.reading) else { return Ok(Vec::new()) };
    let statuses = reading.views.statuses().map_err(problems::from_replay)?;
    let late = statuses.into_iter().filter(|view| view.lag_micros > LONGEST_LAG_MICROS);
    let reason = |view: ViewStatus| {
        format!("{} is {} events behind, the oldest {:.0} s old", view.name, view.lag_events, seconds(view.lag_micros))
    };
    Ok(late.map(reason).collect())
}

/// The word for how a view fares, as a reader of its answers sees it.
fn state(view: &ViewStatus) -> &'static str {
    match view.status.condition {
        Condition::Running if view.is_rebuilding => "rebuilding",
        Condition::Running if view.lag_events > 0 => "catching_up",
        Condition::Running => "live",
        Condition::Retrying => "retrying",
        Condition::Stopped => "stopped",
    }
}

fn version_view(version: VersionStatus) -> VersionView {
    VersionView { name: version.name, state: version.state.name().to_owned(), bytes: version.bytes }
}

pub(super) fn rebuild_view(status: RebuildStatus) -> RebuildView {
    RebuildView {
        id: status.id,
        projection: status.projection,
        purpose: status.purpose.name().to_owned(),
        phase: status.phase.name().to_owned(),
        version: status.version,
        resumed_from: status.resumed_from,
        seconds: status.seconds,
        equal: status.is_equal,
        done: status.done,
        total: status.total,
        rate: status.rate,
        eta_seconds: status.eta_seconds,
        built_from: checkpoint(&status.built_from),
        error: status.note,
    }
}

pub(in crate::house) fn verification(verdict: Verdict) -> Verification {
    Verification {
        equal: verdict.is_equal(),
        built_from: checkpoint(&verdict.built_from),
        projection: verdict.projection,
        live: verdict.live.to_string(),
        rebuilt: verdict.rebuilt.to_string(),
    }
}
