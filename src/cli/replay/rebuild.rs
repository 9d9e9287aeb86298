//! Rebuild: starting rebuilds and watching them to their end.

use std::{path::PathBuf, thread, time::Duration};

use meshlog_connectors::api::{ProjectionsView, RebuildRequest, RebuildView};
use serde_json::json;

use crate::{
    cli::{
        Client, Context, EXIT_CODES, Failure, Outcome,
        client::Duty,
        failure,
        model::ModelArguments,
        patience::Patience,
        percent::encoded,
        progress::{Progress, Unit},
        up,
    },
    house,
};

/// How often a rebuild is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The arguments of `meshlog replay rebuild`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog replay rebuild vectors
  meshlog replay rebuild --all
  meshlog replay rebuild --all --data ./meshlog-data     (while no server runs)

Ctrl-C ends only the watching; the rebuild itself goes on in the server.
With --json, each rebuild that has ended is one object on a line.

{EXIT_CODES}"))]
pub(super) struct RebuildArguments {
    /// The projection
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "PROJECTION")]
    projection: Option<String>,

    /// Every projection, one after the other
    #[arg(long)]
    all: bool,

    /// Work on this data directory while no server runs on it
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,
}

/// Rebuilds one projection or all.
pub(super) fn run(context: &mut Context, arguments: RebuildArguments) -> Result<Outcome, Failure> {
    if let Some(data) = arguments.data {
        up::log_to_standard_error();
        let model = arguments.model.choice(&data);
        house::offline::rebuild(&data, arguments.projection.as_deref(), model)?;
        let what = arguments.projection.as_deref().unwrap_or("every projection");
        if context.output.is_json() {
            context.output.document(&json!({"projection": arguments.projection, "phase": "done"}))?;
        } else {
            context.output.line(format!("{what} has been rebuilt in {}", data.display()))?;
        }
        return Ok(Outcome::Done);
    }
    let client = context.client()?;
    let projections = match arguments.projection {
        Some(projection) => vec![projection],
        None => every_projection(&client)?,
    };
    let mut outcome = Outcome::Done;
    for projection in projections {
        if watch(context, &client, projection)? == Outcome::Failed {
            outcome = Outcome::Failed;
        }
    }
    Ok(outcome)
}

fn every_projection(client: &Client) -> Result<Vec<String>, Failure> {
    let view: ProjectionsView = client.get("/v1/projections", &[])?;
    Ok(view.projections.into_iter().map(|projection| projection.name).collect())
}

fn watch(context: &mut Context, client: &Client, projection: String) -> Result<Outcome, Failure> {
    let json = context.output.is_json();
    let mut rebuild: RebuildView = client.post("/v1/rebuilds", &RebuildRequest { projection }, Duty::Ordinary)?;
    if !json {
        failure::note(
            json,
            format!("rebuild {} of {} runs in the server; Ctrl-C leaves it running", rebuild.id, rebuild.projection),
        );
    }
    let path = format!("/v1/rebuilds/{}", encoded(&rebuild.id));
    let progress = Progress::new(json, Some(rebuild.total), Unit::Count("events"));
    let mut patience = Patience::default();
    while !is_over(&rebuild) {
        thread::sleep(LOOK);
        match client.get(&path, &[]) {
            Ok(view) => {
                rebuild = view;
                patience.reset();
            }
            Err(failure) => patience.wait(failure)?,
        }
        progress.set_total(rebuild.total);
        progress.show(rebuild.done, message(&rebuild));
    }
    drop(progress);
    show(context, &rebuild)?;
    Ok(if is_done(&rebuild) { Outcome::Done } else { Outcome::Failed })
}

fn message(rebuild: &RebuildView) -> String {
    let left = rebuild.eta_seconds.map(|seconds| format!(", {seconds:.0} s left")).unwrap_or_default();
    format!("{} {}: {:.0} events/s{left}", rebuild.projection, rebuild.phase, rebuild.rate)
}

fn show(context: &mut Context, rebuild: &RebuildView) -> Result<(), Failure> {
    if context.output.is_json() {
        return context.output.document(rebuild);
    }
    let RebuildView { id, projection, phase, done, error, .. } = rebuild;
    if is_done(rebuild) {
        context.output.line(format!("{projection}: rebuilt from {done} events ({id})"))?;
        if let Some(found) = error {
            failure::note(false, format!("note: {projection}: {found}"));
        }
        return Ok(());
    }
    let reason = error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    failure::note(false, format!("error: {projection}: the rebuild {id} is {phase}{reason}"));
    failure::note(false, "  help: the old version serves on; \"meshlog doctor\" looks for what is wrong");
    Ok(())
}

fn is_done(rebuild: &RebuildView) -> bool {
    matches!(rebuild.phase.as_str(), "done" | "switched")
}

fn is_over(rebuild: &RebuildView) -> bool {
    is_done(rebuild) || matches!(rebuild.phase.as_str(), "cancelled" | "failed")
}
