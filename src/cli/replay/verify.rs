//! Verify: comparing what projections hold with what the log says.

use std::path::PathBuf;

use meshlog_connectors::api::{CheckpointView, Verification, VerifyReport, VerifyRequest};

use crate::{
    cli::{
        Context, EXIT_CODES, Failure, Outcome,
        client::Duty,
        model::ModelArguments,
        progress::{Progress, Unit},
        up,
    },
    house,
};

/// The arguments of `meshlog replay verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog replay verify
  meshlog replay verify threads --data ./meshlog-data     (while no server runs)

A projection is made anew beside the one that serves, and both are hashed. Equal digests mean equal contents.

{EXIT_CODES}"))]
pub(super) struct VerifyArguments {
    /// The projection; every one without it
    #[arg(value_name = "PROJECTION")]
    projection: Option<String>,

    /// Work on this data directory while no server runs on it
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,
}

/// Verifies one projection or all.
pub(super) fn run(context: &mut Context, arguments: VerifyArguments) -> Result<Outcome, Failure> {
    let report = match arguments.data {
        Some(data) => {
            up::log_to_standard_error();
            let model = arguments.model.choice(&data);
            VerifyReport { results: house::offline::verify(&data, arguments.projection.as_deref(), model)? }
        }
        None => asked(context, arguments.projection)?,
    };
    show(context, &report)?;
    let equal = report.results.iter().all(|result| result.equal);
    Ok(if equal { Outcome::Done } else { Outcome::Found })
}

fn asked(context: &Context, projection: Option<String>) -> Result<VerifyReport, Failure> {
    let progress = Progress::new(context.output.is_json(), None, Unit::Count("done"));
    progress.show(0, "the server reads the log".to_owned());
    context.client()?.post("/v1/verifications", &VerifyRequest { projection }, Duty::Long)
}

fn show(context: &mut Context, report: &VerifyReport) -> Result<(), Failure> {
    if context.output.is_json() {
        return context.output.document(report);
    }
    for Verification { projection, live, rebuilt, equal, built_from } in &report.results {
        if *equal {
            context.output.line(format!("{projection}: equal  {live}"))?;
            continue;
        }
        context.output.line(format!("{projection}: DIFFERENT"))?;
        context.output.line(format!("  live     {live}"))?;
        context.output.line(format!("  rebuilt  {rebuilt}"))?;
        for CheckpointView { topic, partition, next } in built_from {
            context.output.line(format!(
                "  note: the log begins at {topic}/{partition} offset {next}: retention took what was before"
            ))?;
        }
        context.output.line(format!("  help: \"meshlog replay rebuild {projection}\" puts right what serves"))?;
    }
    Ok(())
}
