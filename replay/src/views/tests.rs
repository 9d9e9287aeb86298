use std::{fs, path::PathBuf, sync::Weak, time::Duration};

use meshlog_schemas::Checkpoints;

use meshlog_pipeline::{ClearSealer, MemoryLog, NewEvent, Projection, ProjectionError, StoredEvent, default_layout};
use meshlog_schemas::{Event, EventId, Partition, SubscriptionRemoved, Trust};
use pollster::block_on;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::{Opened, Opening, rebuild::ends};

/// Keeps the ids of events in a file, whole at every apply. A file named `broken` beside it makes applying fail.
struct Ids {
    path: PathBuf,
    kept: Mutex<(Vec<EventId>, Checkpoints)>,
}

impl Ids {
    fn open(path: &Path) -> Result<Self, ProjectionError> {
        fs::create_dir_all(path).map_err(|error| ProjectionError(error.to_string()))?;
        let mut kept = (Vec::new(), Checkpoints::default());
        if let Ok(text) = fs::read_to_string(path.join("ids")) {
            let (ids, checkpoints) = text.split_once('#').ok_or_else(|| ProjectionError("damaged".into()))?;
            kept.0 = ids.lines().map(|id| id.parse().unwrap()).collect();
            kept.1 = Checkpoints::from_text(checkpoints).unwrap();
        }
        Ok(Self { path: path.to_owned(), kept: Mutex::new(kept) })
    }
}

impl Projection for Ids {
    fn inputs(&self) -> &[Topic] {
        &[Topic::Registry]
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(self.kept.lock().unwrap().1.clone())
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        if self.path.parent().unwrap().join("broken").exists() {
            return Err(ProjectionError("the disk is full".into()));
        }
        let mut kept = self.kept.lock().unwrap();
        kept.0.extend(events.iter().map(|event| event.envelope.id));
        kept.1 = checkpoints.clone();
        let ids: String = kept.0.iter().map(|id| format!("{id}\n")).collect();
        fs::write(self.path.join("ids"), format!("{ids}#{}", checkpoints.to_text())).unwrap();
        Ok(())
    }

    fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
        fixed();
        let mut digest = Digest::default();
        self.kept.lock().unwrap().0.iter().for_each(|id| digest.add(&[id.0.as_bytes()]));
        Ok(digest)
    }
}

/// A data directory with one projection, `ids`; `serving` is what queries would use.
struct House {
    root: TempDir,
    events: EventLog,
    serving: Arc<Mutex<Weak<Ids>>>,
}

impl House {
    fn new() -> Self {
        let events = EventLog::new(Arc::new(MemoryLog::new(default_layout())), Arc::new(ClearSealer));
        Self { root: tempdir().unwrap(), events, serving: Arc::default() }
    }

    fn views(&self, version: &str) -> Views {
        self.try_views(version).unwrap()
    }

    /// Views of the version `d1` can be opened by the program that makes these alone.
    fn try_views(&self, version: &str) -> Result<Views, ReplayError> {
        let (serving, made) = (self.serving.clone(), version.to_owned());
        let open = Box::new(move |Opening { path, version, .. }: Opening<'_>| {
            if version == "d1" && made != "d1" {
                return Err(ProjectionError("its layout is an older one".into()));
            }
            let ids = Arc::new(Ids::open(path)?);
            let (weak, serving) = (Arc::downgrade(&ids), serving.clone());
            let used = weak.clone();
            Ok(Opened {
                projection: ids,
                publish: Box::new(move || *serving.lock().unwrap() = weak),
                is_in_use: Box::new(move || used.strong_count() > 0),
            })
        });
        let spec = ViewSpec { name: "ids", version: version.into(), open };
        Views::open(self.root.path(), self.events.clone(), vec![spec], ReplaySettings::default())
    }

    fn append(&self, count: u64) {
        for _ in 0..count {
            let event = Event::SubscriptionRemoved(SubscriptionRemoved { subscription_id: EventId::fresh() });
            let event = NewEvent::first(EventId::fresh(), "/test", Trust::System, event);
            block_on(self.events.append(vec![event], None)).unwrap();
        }
    }

    fn settled(&self, views: &Views) -> Digest {
        let end = ends(&self.events, &[Topic::Registry]).unwrap();
        block_on(views.progress("ids").unwrap().reaches(&end));
        views.digest("ids").unwrap()
    }

    fn directories(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path().join("ids")).unwrap().map(|entry| entry.unwrap());
        let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let mut names: Vec<_> = directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if holds(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{what} does not come to hold");
    }
}

fn ended(views: &Views, id: &str) -> RebuildStatus {
    for _ in 0..500 {
        let status = views.rebuilds().into_iter().find(|status| status.id == id).unwrap();
        if status.phase.is_over() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the rebuild does not end");
}

#[test]
fn a_rebuild_switches_to_an_equal_view_and_goes_on() {
    let house = House::new();
    house.append(20);
    let views = house.views("c1");
    let before = house.settled(&views);
    let status = views.start_rebuild("ids").unwrap();
    let status = ended(&views, &status.id);
    assert_eq!((status.phase, status.done, status.total, status.note), (Phase::Done, 20, 20, None));
    assert_eq!((status.is_equal, status.version.as_deref()), (Some(true), Some("c1.2")));
    assert_eq!(house.settled(&views), before);
    assert_eq!(house.serving.lock().unwrap().upgrade().unwrap().path.file_name().unwrap(), "c1.2");
    house.append(1);
    assert_ne!(house.settled(&views), before, "the new view is kept up to date");
    assert_eq!(house.directories(), ["c1.1", "c1.2"], "the old view is kept");
    ended(&views, &views.start_rebuild("ids").unwrap().id);
    house.eventually("the oldest view is removed", |house| house.directories() == ["c1.2", "c1.3"]);
}

#[test]
fn a_cancelled_rebuild_leaves_the_old_view() {
    let house = House::new();
    house.append(5);
    let views = house.views("c1");
    let before = house.settled(&views);
    // Held here, the live view cannot be switched, so the rebuild is still under way when it is cancelled.
    let live = views.shared.views[0].live();
    let id = views.start_rebuild("ids").unwrap().id;
    assert!(matches!(views.start_rebuild("ids"), Err(ReplayError::Busy(_))));
    assert!(matches!(views.verify("ids", &|| false), Err(ReplayError::Busy(_))));
    views.cancel_rebuild(&id).unwrap();
    drop(live);
    assert_eq!(ended(&views, &id).phase, Phase::Cancelled);
    assert_eq!(house.settled(&views), before);
    assert_eq!(house.directories(), ["c1.1"]);
    assert!(views.cancel_rebuild("no such id").is_none());
}

#[test]
fn a_rebuild_that_fails_says_why_and_leaves_the_old_view() {
    let house = House::new();
    house.append(5);
    let views = house.views("c1");
    let before = house.settled(&views);
    fs::write(house.root.path().join("ids/broken"), "").unwrap();
    let id = views.start_rebuild("ids").unwrap().id;
    let status = ended(&views, &id);
    assert_eq!((status.phase, status.note.as_deref()), (Phase::Failed, Some("the disk is full")));
    assert_eq!(house.settled(&views), before);
}

#[test]
fn a_rebuild_mends_a_view_that_differs_and_says_so() {
    let house = House::new();
    house.append(5);
    let views = house.views("c1");
    let right = house.settled(&views);
    house.serving.lock().unwrap().upgrade().unwrap().kept.lock().unwrap().0.pop();
    let verdict = views.verify("ids", &|| false).unwrap();
    assert!(!verdict.is_equal() && verdict.rebuilt == right);
    let id = views.start_rebuild("ids").unwrap().id;
    assert!(ended(&views, &id).note.unwrap().contains("differed"));
    let verdict = views.verify("ids", &|| false).unwrap();
    assert!(verdict.is_equal() && verdict.live == right);
}

#[test]
fn verification_compares_at_the_same_checkpoints_while_events_come_in() {
    let house = Arc::new(House::new());
    house.append(50);
    let views = house.views("c1");
    let producer = {
        let house = house.clone();
        std::thread::spawn(move || house.append(300))
    };
    for _ in 0..20 {
        assert!(views.verify("ids", &|| false).unwrap().is_equal());
    }
    producer.join().unwrap();
    assert!(views.verify("ids", &|| false).unwrap().is_equal());
    assert!(matches!(views.verify("ids", &|| true), Err(ReplayError::Cancelled)));
    assert_eq!(house.directories(), ["c1.1"], "no scratch is left");
}

#[test]
fn views_survive_restarts_and_are_built_anew_when_they_cannot_be_opened() {
    let house = House::new();
    house.append(5);
    let digest = house.settled(&house.views("d1"));
    assert_eq!(house.settled(&house.views("d1")), digest);
    assert_eq!(house.directories(), ["d1.1"], "a restart goes on with the same view");
    assert_eq!(house.settled(&house.views("d2")), digest);
    assert_eq!(house.directories(), ["d2.2"], "a view that this program cannot open is built anew");
    fs::write(house.root.path().join("ids/d2.2/ids"), "damage").unwrap();
    assert_eq!(house.settled(&house.views("d2")), digest);
    assert_eq!(house.directories(), ["d2.3"], "a damaged view is built anew");
    fs::remove_dir_all(house.root.path().join("ids")).unwrap();
    assert_eq!(house.settled(&house.views("d2")), digest, "a removed directory is built anew");
}

/// The only rebuild since the start.
fn taken_up(views: &Views) -> RebuildStatus {
    let rebuilds = views.rebuilds();
    assert_eq!(rebuilds.len(), 1, "{rebuilds:?}");
    ended(views, &rebuilds[0].id)
}

#[test]
fn an_older_version_serves_until_the_one_of_this_program_is_built_beside_it() {
    let house = House::new();
    house.append(5);
    let digest = house.settled(&house.views("c1"));
    let views = house.views("c2");
    assert_eq!(views.digest("ids").unwrap(), digest, "it answers from the first moment");
    let status = taken_up(&views);
    assert_eq!((status.phase, status.purpose, status.is_equal), (Phase::Done, Purpose::Upgrade, None));
    assert_eq!(house.serving.lock().unwrap().upgrade().unwrap().path.file_name().unwrap(), "c2.2");
    assert!(!views.statuses().unwrap()[0].is_outdated);
    assert_eq!(house.settled(&views), digest);
    drop(views);
    assert!(house.views("c2").rebuilds().is_empty(), "it is upgraded once");
}

#[test]
fn what_was_gone_back_to_serves_until_somebody_asks_for_a_rebuild() {
    let house = House::new();
    house.append(5);
    house.settled(&house.views("c1"));
    let views = house.views("c2");
    taken_up(&views);
    house.append(3);
    let digest = house.settled(&views);
    let back = ended(&views, &views.start_rollback("ids").unwrap().id);
    assert_eq!((back.phase, back.purpose, back.resumed_from, back.done), (Phase::Done, Purpose::Rollback, 5, 8));
    assert_eq!(house.settled(&views), digest, "it was brought up to date");
    assert_eq!(views.statuses().unwrap()[0].version, "c1.1");
    drop(views);
    let views = house.views("c2");
    assert!(views.rebuilds().is_empty(), "it is not upgraded by itself");
    assert!(views.statuses().unwrap()[0].is_outdated);
    // And forth again.
    ended(&views, &views.start_rollback("ids").unwrap().id);
    assert_eq!(views.statuses().unwrap()[0].version, "c2.2");
    assert_eq!(house.settled(&views), digest);
}

#[test]
fn versions_are_dropped_when_they_do_not_serve() {
    let house = House::new();
    house.append(5);
    let views = house.views("c1");
    assert!(matches!(views.start_rollback("ids"), Err(ReplayError::NothingKept(_))));
    ended(&views, &views.start_rebuild("ids").unwrap().id);
    for version in ["c1.2", "c1.7"] {
        assert!(matches!(views.drop_version("ids", version), Err(ReplayError::NotDropped { .. })));
    }
    let states = |views: &Views| -> Vec<_> {
        let versions = views.statuses().unwrap().remove(0).versions;
        versions.into_iter().map(|version| (version.name, version.state.name())).collect()
    };
    assert_eq!(states(&views), [("c1.2".to_owned(), "serving"), ("c1.1".to_owned(), "kept")]);
    views.drop_version("ids", "c1.1").unwrap();
    assert_eq!(states(&views), [("c1.2".to_owned(), "serving")]);
    assert_eq!(house.directories(), ["c1.2"]);
}

/// Starts a rebuild and lets it come as far as the switch, which `live` holds back.
fn begun(views: &Views) -> String {
    let id = views.start_rebuild("ids").unwrap().id;
    for _ in 0..500 {
        let status = views.rebuilds().into_iter().find(|status| status.id == id).unwrap();
        if status.phase == Phase::Verifying {
            return id;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not begin");
}

#[test]
fn a_rebuild_that_was_paused_or_cut_off_goes_on_where_it_was() {
    let house = House::new();
    house.append(20);
    let views = house.views("c1");
    let digest = house.settled(&views);
    let live = views.shared.views[0].live();
    let id = begun(&views);
    views.pause_rebuild(&id).unwrap();
    drop(live);
    assert_eq!(ended(&views, &id).phase, Phase::Paused);
    assert_eq!(views.statuses().unwrap()[0].versions[1].state, VersionState::Paused);
    drop(views);
    let views = house.views("c1");
    assert!(views.rebuilds().is_empty(), "what was paused waits for somebody");
    house.append(2);
    let status = ended(&views, &views.start_rebuild("ids").unwrap().id);
    assert_eq!((status.phase, status.resumed_from, status.done, status.total), (Phase::Done, 20, 22, 22));
    assert_eq!(status.version.as_deref(), Some("c1.2"));

    // The end of the process cuts off the next.
    let live = views.shared.views[0].live();
    begun(&views);
    std::thread::scope(|scope| {
        scope.spawn(|| views.stop());
        std::thread::sleep(Duration::from_millis(50));
        drop(live);
    });
    drop(views);
    let views = house.views("c1");
    let status = taken_up(&views);
    assert_eq!((status.phase, status.resumed_from, status.is_equal), (Phase::Done, 22, Some(true)));
    assert_ne!(house.settled(&views), digest, "two more are there");
    assert_eq!(house.directories(), ["c1.2", "c1.3"]);
}

#[test]
fn another_process_is_refused() {
    let house = House::new();
    let views = house.views("c1");
    assert!(matches!(house.try_views("c1"), Err(ReplayError::InUse(_))));
    drop(views);
    house.views("c1");
}

#[test]
fn an_unknown_projection_is_refused_with_those_there_are() {
    let house = House::new();
    let error = house.views("c1").start_rebuild("grph").unwrap_err();
    assert_eq!(error.to_string(), "there is no projection \"grph\"; projections are ids");
}

/// What happens after `log/` was restored from a backup: the views hold events that the log does not.
#[test]
fn a_view_that_is_ahead_of_the_log_is_built_anew() {
    let mut house = House::new();
    house.append(5);
    house.settled(&house.views("c1"));
    house.events = House::new().events;
    house.append(3);
    let views = house.views("c1");
    house.settled(&views);
    assert!(views.verify("ids", &|| false).unwrap().is_equal());
    house.append(4);
    house.settled(&views);
    assert!(views.verify("ids", &|| false).unwrap().is_equal(), "no later event is passed over");
}

#[test]
fn a_rebuild_from_a_log_that_retention_has_shortened_says_from_where_it_was_built() {
    let log = Arc::new(MemoryLog::new(default_layout()));
    let house = House { events: EventLog::new(log.clone(), Arc::new(ClearSealer)), ..House::new() };
    house.append(8);
    let views = house.views("c1");
    house.settled(&views);
    let partition = Partition { topic: Topic::Registry, id: 0 };
    log.forget_before(partition, 5);
    let starts = Checkpoints::from_iter([(partition, 5)]);
    let verdict = views.verify("ids", &|| false).unwrap();
    assert!(!verdict.is_equal() && verdict.built_from == starts, "the view holds more than the log");
    let id = views.start_rebuild("ids").unwrap().id;
    let status = ended(&views, &id);
    assert_eq!((status.phase, status.done, status.total, status.built_from), (Phase::Done, 3, 3, starts));
    let note = status.note.unwrap();
    assert!(note.contains("registry/0 offset 5") && note.contains("differed"), "{note}");
    assert!(views.verify("ids", &|| false).unwrap().is_equal());
}
