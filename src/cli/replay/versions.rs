//! Versions: which there are of each projection, going back to the one before, dropping them, and steering rebuilds.

use meshlog_connectors::api::{ProjectionsView, RebuildRequest, RebuildView, RebuildsView, VersionView};
use serde_json::json;

use super::rebuild::{is_over, start, watch};
use crate::cli::{Client, Context, EXIT_CODES, Failure, Outcome, percent::encoded, table::Table};

/// The arguments of `meshlog replay rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Example:
  meshlog replay rollback text

The version that served before is brought to the end of the log and switched in; the one that serves now is kept, so that a second
rollback goes forth again. A version of an older program is not upgraded by itself after that: \"meshlog replay rebuild\" does.

{EXIT_CODES}"))]
pub(super) struct RollbackArguments {
    /// The projection
    #[arg(value_name = "PROJECTION")]
    projection: String,
}

/// The arguments of `meshlog replay drop`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog replay drop text
  meshlog replay drop text c3-s01234567.2

{EXIT_CODES}"))]
pub(super) struct DropArguments {
    /// The projection
    #[arg(value_name = "PROJECTION")]
    projection: String,

    /// The version; every one that does not serve without it
    #[arg(value_name = "VERSION")]
    version: Option<String>,
}

/// The arguments of `meshlog replay pause` and `cancel`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog replay pause text       (\"meshlog replay rebuild text\" goes on with it)
  meshlog replay cancel text      (what was built is removed)

{EXIT_CODES}"))]
pub(super) struct SteerArguments {
    /// The projection
    #[arg(value_name = "PROJECTION")]
    projection: String,
}

/// The arguments of `meshlog replay versions`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Example:
  meshlog replay versions

A version serves, is kept from before the last rebuild, or is being built.

{EXIT_CODES}"))]
pub(super) struct VersionsArguments {}

/// Goes back to the version before.
pub(super) fn rollback(context: &mut Context, arguments: RollbackArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let request = RebuildRequest { projection: arguments.projection, rollback: true };
    let rebuild = start(context, &client, request)?;
    watch(context, &client, rebuild)
}

/// Removes versions that do not serve.
pub(super) fn drop(context: &mut Context, arguments: DropArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let DropArguments { projection, version } = arguments;
    let versions = match version {
        Some(version) => vec![version],
        None => {
            let resting = |version: &VersionView| matches!(version.state.as_str(), "kept" | "paused");
            versions(&client, &projection)?.into_iter().filter(resting).map(|version| version.name).collect()
        }
    };
    for version in &versions {
        let path = format!("/v1/projections/{}/versions/{}", encoded(&projection), encoded(version));
        client.remove(&path)?;
    }
    if context.output.is_json() {
        context.output.document(&json!({"projection": projection, "dropped": versions}))?;
    } else if versions.is_empty() {
        context.output.line(format!("{projection}: no version is there but the one that serves"))?;
    } else {
        context.output.line(format!("{projection}: dropped {}", versions.join(", ")))?;
    }
    Ok(Outcome::Done)
}

/// Pauses the rebuild of a projection.
pub(super) fn pause(context: &mut Context, arguments: SteerArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let id = under_way(&client, &arguments.projection)?;
    let rebuild: RebuildView = client.post_bare(&format!("/v1/rebuilds/{}/pause", encoded(&id)))?;
    told(context, &rebuild, "pauses")
}

/// Cancels the rebuild of a projection.
pub(super) fn cancel(context: &mut Context, arguments: SteerArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let id = under_way(&client, &arguments.projection)?;
    let rebuild: RebuildView = client.delete(&format!("/v1/rebuilds/{}", encoded(&id)))?;
    told(context, &rebuild, "is cancelled")
}

fn told(context: &mut Context, rebuild: &RebuildView, what: &str) -> Result<Outcome, Failure> {
    if context.output.is_json() {
        context.output.document(rebuild)?;
    } else {
        let RebuildView { projection, purpose, id, .. } = rebuild;
        context.output.line(format!("{projection}: the {purpose} {id} {what}"))?;
    }
    Ok(Outcome::Done)
}

/// The rebuild of a projection that has not ended.
fn under_way(client: &Client, projection: &str) -> Result<String, Failure> {
    let view: RebuildsView = client.get("/v1/rebuilds", &[])?;
    let found = view.rebuilds.into_iter().find(|rebuild| rebuild.projection == projection && !is_over(rebuild));
    found.map(|rebuild| rebuild.id).ok_or_else(|| {
        Failure::local(
            format!("no rebuild of {projection} is under way"),
            "\"meshlog replay versions\" shows what there is, \"meshlog replay rebuild\" starts one",
        )
    })
}

fn versions(client: &Client, projection: &str) -> Result<Vec<VersionView>, Failure> {
    let view: ProjectionsView = client.get("/v1/projections", &[])?;
    let names: Vec<_> = view.projections.iter().map(|view| view.name.clone()).collect();
    let found = view.projections.into_iter().find(|view| view.name == projection);
    found.map(|view| view.versions).ok_or_else(|| {
        Failure::local(
            format!("there is no projection \"{projection}\""),
            format!("projections are {}", names.join(", ")),
        )
    })
}

/// Shows the versions of every projection.
pub(super) fn list(context: &mut Context) -> Result<Outcome, Failure> {
    let view: ProjectionsView = context.client()?.get("/v1/projections", &[])?;
    if context.output.is_json() {
        context.output.document(&view)?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(["projection", "version", "state", "MB"]);
    for projection in &view.projections {
        for version in &projection.versions {
            let is_outdated = projection.outdated && version.state == "serving";
            let state = if is_outdated { "serving (outdated)" } else { &version.state };
            let megabytes = format!("{:.1}", version.bytes as f64 / 1e6);
            table.row([projection.name.clone(), version.name.clone(), state.to_owned(), megabytes]);
        }
    }
    table.write(&mut context.output)?;
    Ok(Outcome::Done)
}
