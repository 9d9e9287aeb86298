//! Work on the data directory of a server that does not run.

use std::{path::Path, time::Duration};

use meshlog_connectors::api::Verification;
use meshlog_pipeline::EmbeddedOptions;
use meshlog_replay::{Phase, ReplayError, Views};

use super::{
    HouseError,
    plan::{EngineOptions, Model, Plan, StageKind},
    ports::verification,
    rooms::Rooms,
};

pub(crate) use super::doctor::{DoctorReport, doctor};

/// Rebuilds one projection, or all, and switches to the new views.
///
/// # Errors
/// The directory is in use or cannot be opened, or a rebuild failed.
pub(crate) fn rebuild(data: &Path, projection: Option<&str>, model: Model) -> Result<(), HouseError> {
    let rooms = open(data, model)?;
    let views = views(&rooms)?;
    for name in names(&rooms, projection)? {
        let id = views.start_rebuild(&name)?.id;
        let ended = loop {
            let status = views.rebuilds().into_iter().find(|rebuild| rebuild.id == id);
            match status {
                Some(status) if status.phase.is_over() => break status,
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        if ended.phase != Phase::Done {
            let cause = std::io::Error::other(ended.note.unwrap_or_default());
            let path = data.join("projections").join(name);
            return Err(ReplayError::Directory { path, action: "rebuilt", cause }.into());
        }
    }
    rooms.close();
    Ok(())
}

/// Compares one projection, or all, with what the log says.
///
/// # Errors
/// The directory is in use or cannot be opened, or a store cannot be read.
pub(crate) fn verify(data: &Path, projection: Option<&str>, model: Model) -> Result<Vec<Verification>, HouseError> {
    let rooms = open(data, model)?;
    let views = views(&rooms)?;
    let names = names(&rooms, projection)?;
    let verdicts: Result<Vec<_>, _> = names.iter().map(|name| views.verify(name, &|| false)).collect();
    rooms.close();
    Ok(verdicts?.into_iter().map(verification).collect())
}

fn open(data: &Path, model: Model) -> Result<Rooms, HouseError> {
    let engine = EngineOptions::Embedded(EmbeddedOptions::default());
    let everything = Plan::everything(engine, data.to_owned(), model);
    // Nobody outside is asked anything.
    let stages = [StageKind::Route, StageKind::Embed, StageKind::Extract, StageKind::Resolve].into();
    Rooms::open(&Plan { stages, takes_messages: false, ..everything }, None)
}

fn views(rooms: &Rooms) -> Result<&Views, HouseError> {
    let reading = rooms.reading.as_ref();
    reading.map(|reading| &reading.views).ok_or_else(|| HouseError::System(std::io::Error::other("there are no views")))
}

fn names(rooms: &Rooms, projection: Option<&str>) -> Result<Vec<String>, HouseError> {
    match projection {
        Some(name) => Ok(vec![name.to_owned()]),
        None => Ok(views(rooms)?.statuses()?.into_iter().map(|status| status.name.to_owned()).collect()),
    }
}
