//! Metrics of everything behind the gateway, in the Prometheus text format.
//!
//! Owns: the names; each ends in its unit. Values are read when asked for, so an idle server does no work for them.

use std::fmt::Write;

use meshlog_connectors::{
    api::{ProcessorView, ProcessorsView, TopicsView},
    calls::ProviderState,
};

use meshlog_replay::RebuildStatus;

use crate::house::{engine::Engine, rooms::Rooms};

pub(super) fn render(rooms: &Rooms, topics: &TopicsView, processors: &ProcessorsView) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, f64)>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let ends = topics.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let labels = format!("{{topic=\"{}\",partition=\"{}\"}}", topic.name, partition.partition);
            (labels, partition.end as f64)
        })
    });
    family("meshlog_log_end_offset", "gauge", "The high watermark of a partition.", ends.collect());
    let labelled = |value: fn(&ProcessorView) -> f64| {
        let sample = |processor| (labels(processor), value(processor));
        processors.processors.iter().map(sample).collect::<Vec<_>>()
    };
    let lag = "Events that a processor has yet to read.";
    family("meshlog_processor_lag_events", "gauge", lag, labelled(|processor| processor.lag_events as f64));
    let age = "The age of the oldest event that a processor has yet to read.";
    family("meshlog_processor_lag_seconds", "gauge", age, labelled(|processor| processor.lag_seconds));
    let count = "Events that a processor has processed since it was started.";
    family("meshlog_processor_events_total", "counter", count, labelled(|processor| processor.processed as f64));
    let skipped = "Events that a processor has gone on without since it was started.";
    family("meshlog_processor_skipped_total", "counter", skipped, labelled(|processor| processor.skipped as f64));
    let missed = "Events that retention took away before a processor had read them, since it was started.";
    family("meshlog_processor_missed_total", "counter", missed, labelled(|processor| processor.missed_events as f64));
    let up = "Whether a processor runs without a failure.";
    let is_up =
        |processor: &ProcessorView| f64::from(u8::from(processor.state != "retrying" && processor.state != "stopped"));
    family("meshlog_processor_up", "gauge", up, labelled(is_up));
    let rate = "Events a second over the last ten seconds.";
    family("meshlog_processor_events_per_second", "gauge", rate, labelled(|processor| processor.rate));
    let parked = "Dead letters that nobody has redriven or discarded yet, with those that wait behind them.";
    family("meshlog_processor_parked_events", "gauge", parked, labelled(|processor| processor.parked as f64));
    let age = "The age of the oldest of them.";
    family(
        "meshlog_processor_oldest_parked_seconds",
        "gauge",
        age,
        labelled(|processor| processor.oldest_parked_seconds),
    );
    let retrying = "Events that failed and are tried again.";
    family("meshlog_processor_retrying_events", "gauge", retrying, labelled(|processor| processor.retrying as f64));
    let restarts = "How often the worker broke off and was started again.";
    family("meshlog_processor_restarts_total", "counter", restarts, labelled(|processor| processor.restarts as f64));
    let held = "What the events that were read and are not settled take in memory.";
    family("meshlog_processor_in_flight_bytes", "gauge", held, labelled(|processor| processor.in_flight_bytes as f64));
    let stalled = "Partitions with unread events where the processor does not get on.";
    let count =
        |processor: &ProcessorView| processor.partitions.iter().filter(|partition| partition.stalled).count() as f64;
    family("meshlog_processor_stalled_partitions", "gauge", stalled, labelled(count));
    if let Some(reading) = &rooms.reading {
        let rebuilds = reading.views.rebuilds();
        let under_way = || rebuilds.iter().filter(|rebuild| !rebuild.phase.is_over());
        let of = |value: fn(&RebuildStatus) -> f64| {
            let sample = |rebuild: &RebuildStatus| {
                let (projection, purpose) = (&rebuild.projection, rebuild.purpose.name());
                (format!("{{projection=\"{projection}\",purpose=\"{purpose}\"}}"), value(rebuild))
            };
            under_way().map(sample).collect::<Vec<_>>()
        };
        let done = "Events that a rebuild under way has applied to the new version.";
        family("meshlog_rebuild_applied_events", "gauge", done, of(|rebuild| rebuild.done as f64));
        let total = "Events that it has to apply in all, as far as is known.";
        family("meshlog_rebuild_total_events", "gauge", total, of(|rebuild| rebuild.total as f64));
        let rate = "Events that it applied a second over the last ten seconds.";
        family("meshlog_rebuild_events_per_second", "gauge", rate, of(|rebuild| rebuild.rate));
        let left = "Seconds that are left at this rate; absent where there is none.";
        let known = of(|rebuild| rebuild.eta_seconds.unwrap_or(f64::NAN));
        let known = known.into_iter().filter(|(_, seconds)| !seconds.is_nan());
        family("meshlog_rebuild_seconds_left", "gauge", left, known.collect());
    }
    let state = |wanted: &str| {
        let is_so = topics.log.as_ref().is_some_and(|log| log.state == wanted);
        (format!("{{state=\"{wanted}\"}}"), f64::from(u8::from(is_so)))
    };
    let states = ["writing", "waiting", "full", "stopped"].map(state).to_vec();
    family("meshlog_log_state", "gauge", "1 for the state that the log is in.", states);
    let bytes =
        topics.topics.iter().map(|topic| (format!("{{topic=\"{}\"}}", topic.name), topic.retention.bytes as f64));
    family("meshlog_topic_bytes", "gauge", "What the records of a topic take on disk.", bytes.collect());
    if let Some(calls) = &rooms.calls {
        let under_way = vec![(String::new(), calls.dispatcher.under_way() as f64)];
        family("meshlog_calls_under_way", "gauge", "Calls of models that this node carries out.", under_way);
        let ended = calls.dispatcher.ended();
        let ended = ended.map(|(outcome, count)| (format!("{{outcome=\"{}\"}}", outcome.name()), count as f64));
        let help = "Calls of models that ended, since this node was started.";
        family("meshlog_calls_total", "counter", help, ended.collect());
        let providers = calls.dispatcher.providers();
        let labelled = |value: fn(&ProviderState) -> f64| {
            let sample = |state: &ProviderState| (format!("{{provider=\"{}\"}}", state.name), value(state));
            providers.iter().map(sample).collect::<Vec<_>>()
        };
        let waiting = "Calls of models that wait for a provider.";
        family("meshlog_provider_waiting_calls", "gauge", waiting, labelled(|state| state.waiting as f64));
        let up = "Whether a provider is asked, and not left alone after failures.";
        family("meshlog_provider_up", "gauge", up, labelled(|state| f64::from(u8::from(state.circuit == "closed"))));
    }
    if let Engine::Embedded(log) = &rooms.engine {
        let commits = vec![(String::new(), log.commits() as f64)];
        family("meshlog_log_commits_total", "counter", "Groups of appends committed, each with one fsync.", commits);
        let disk = vec![(String::new(), log.disk_bytes() as f64)];
        family("meshlog_log_disk_bytes", "gauge", "What the log takes on disk.", disk);
    }
    if let Some(bytes) = resident_bytes() {
        let samples = vec![(String::new(), bytes as f64)];
        family("meshlog_process_resident_bytes", "gauge", "The memory that the process has in use.", samples);
    }
    text
}

fn labels(processor: &ProcessorView) -> String {
    format!("{{processor=\"{}\",kind=\"{}\"}}", processor.name.replace(['"', '\\'], "_"), processor.kind)
}

/// The resident set, where the system tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
