//! Names: who and what the ids in a workspace stand for.

use std::{collections::HashMap, io::Read};

use serde_json::Value;

use crate::cli::import::exports::{
    container::Container,
    elements::Elements,
    encoding,
    items::{Items, Place, cause, code},
};

/// The files that have the people of a workspace; the second one of an organization with several workspaces.
const PEOPLE: [&str; 2] = ["users.json", "org_users.json"];
/// The files that have its channels.
const CHANNELS: [&str; 4] = ["channels.json", "groups.json", "dms.json", "mpims.json"];
/// All of them.
pub(in crate::cli::import::exports) const FILES: [&str; 6] =
    ["users.json", "org_users.json", "channels.json", "groups.json", "dms.json", "mpims.json"];
/// The most people, and the most channels, whose names are held. Of others the ids stand in the messages.
const NAMES_LIMIT: usize = 1_000_000;
/// The largest entry, in bytes.
const ENTRY_LIMIT: usize = 16 * 1024 * 1024;

/// Names by id, and the ids of channels by the names of their folders.
#[derive(Debug, Default)]
pub(super) struct Names {
    people: HashMap<String, String>,
    channels: HashMap<String, String>,
    folders: HashMap<String, String>,
}

impl Names {
    /// Reads the files that have them. One that cannot be read is told; then ids stand where names would.
    pub(super) fn read(container: &Container, items: &mut Items) -> Self {
        let mut names = Self::default();
        for (index, member) in container.members().iter().enumerate() {
            let name = member.file_name();
            let is_people = PEOPLE.contains(&name);
            if !is_people && !CHANNELS.contains(&name) {
                continue;
            }
            let place = Place { member: member.name.clone(), unit: "entry", number: 1 };
            match container.look(index).and_then(encoding::as_utf8) {
                Ok(source) => names.add(source, is_people, place, items),
                Err(error) => items.give_up(member.name.clone(), code::UNREADABLE, error.to_string()),
            }
        }
        names
    }

    /// The name of a person.
    pub(super) fn person(&self, id: &str) -> Option<&str> {
        self.people.get(id).map(String::as_str)
    }

    /// The name of a channel by its id.
    pub(super) fn channel_name(&self, id: &str) -> Option<&str> {
        self.channels.get(id).map(String::as_str)
    }

    /// The id of the channel with this folder.
    pub(super) fn channel(&self, folder: &str) -> Option<&str> {
        self.folders.get(folder).map(String::as_str)
    }

    fn add(&mut self, source: Box<dyn Read>, is_people: bool, mut place: Place, items: &mut Items) {
        let mut entries = Elements::new(source, &[], ENTRY_LIMIT);
        loop {
            let entry = match entries.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => return,
                Err(stop) => {
                    let detail = format!("ids stand for the names that follow: {stop}");
                    return items.reject(&place, code::BAD_JSON, detail, None, &[]);
                }
            };
            place.number = entry.number.unwrap_or(1);
            match serde_json::from_slice::<Value>(&entry.bytes) {
                Ok(entry) if is_people => self.add_person(&entry),
                Ok(entry) => self.add_channel(&entry),
                Err(error) => items.reject(&place, code::BAD_JSON, cause(&error), None, &entry.bytes),
            }
        }
    }

    fn add_person(&mut self, entry: &Value) {
        let name = of_person(&entry["profile"]).or_else(|| of_person(entry));
        if let (Some(id), Some(name), true) = (entry["id"].as_str(), name, self.people.len() < NAMES_LIMIT) {
            self.people.insert(id.to_owned(), name);
        }
    }

    fn add_channel(&mut self, entry: &Value) {
        let Some(id) = entry["id"].as_str() else { return };
        // A direct message has no name, and its folder that of its id.
        if let (Some(name), true) = (entry["name"].as_str(), self.channels.len() < NAMES_LIMIT) {
            self.channels.insert(id.to_owned(), name.to_owned());
            self.folders.insert(name.to_owned(), id.to_owned());
        }
    }
}

/// The name of a person by their profile: the one they chose, else the real one, else that of the account.
pub(super) fn of_person(profile: &Value) -> Option<String> {
    let names = ["display_name", "real_name", "name"].iter().filter_map(|field| profile[*field].as_str());
    names.into_iter().find(|name| !name.trim().is_empty()).map(str::to_owned)
}
