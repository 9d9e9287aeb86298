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

Ctrl-C ends only the watching; the rebuild itself goes on in the server. One that was paused goes on where it was.
The version that served before is kept until the next rebuild, or until it is dropped.
With --json, each rebuild that has ended is one object on a line.

{EXIT_CODES}"))]
pub(super) struct RebuildArguments {
    /// The projection
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "PROJECTION")]
    projection: Option<String>,

    /// Every projection
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
    // All are begun, so that the server works on as many at a time as it may.
    let begin = |projection| start(context, &client, RebuildRequest { projection, rollback: false });
    let begun = projections.into_iter().map(begin).collect::<Result<Vec<_>, _>>()?;
    let mut outcome = Outcome::Done;
    for rebuild in begun {
        if watch(context, &client, rebuild)? == Outcome::Failed {
            outcome = Outcome::Failed;
        }
    }
    Ok(outcome)
}

fn every_projection(client: &Client) -> Result<Vec<String>, Failure> {
    let view: ProjectionsView = client.get("/v1/projections", &[])?;
    Ok(view.projections.into_iter().map(|projection| projection.name).collect())
}

/// Asks for a rebuild or a rollback.
pub(super) fn start(context: &Context, client: &Client, request: RebuildRequest) -> Result<RebuildView, Failure> {
    let rebuild: RebuildView = client.post("/v1/rebuilds", &request, Duty::Ordinary)?;
    let json = context.output.is_json();
    if !json {
        let RebuildView { id, projection, purpose, .. } = &rebuild;
        failure::note(json, format!("{purpose} {id} of {projection} runs in the server; Ctrl-C leaves it running"));
    }
    Ok(rebuild)
}

/// Watches a rebuild to its end, and shows that.
pub(super) fn watch(context: &mut Context, client: &Client, mut rebuild: RebuildView) -> Result<Outcome, Failure> {
    let json = context.output.is_json();
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
    let RebuildView { id, projection, phase, purpose, done, error, .. } = rebuild;
    if is_done(rebuild) {
        let version = rebuild.version.as_deref().unwrap_or_default();
        context.output.line(match purpose.as_str() {
            "rollback" => format!("{projection}: {version} serves again ({id})"),
            _ => format!("{projection}: rebuilt from {done} events ({id})"),
        })?;
        if let Some(found) = error {
            failure::note(false, format!("note: {projection}: {found}"));
        }
        return Ok(());
    }
    let reason = error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    failure::note(false, format!("error: {projection}: the {purpose} {id} is {phase}{reason}"));
    failure::note(false, "  help: the old version serves on; \"meshlog doctor\" looks for what is wrong");
    Ok(())
}

fn is_done(rebuild: &RebuildView) -> bool {
    rebuild.phase == "done"
}

/// Whether nothing more will happen.
pub(super) fn is_over(rebuild: &RebuildView) -> bool {
    matches!(rebuild.phase.as_str(), "done" | "paused" | "cancelled" | "failed")
}
