//! What a piece of work cost: time, processor, memory and disk.
//!
//! Never: measures another process.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// What it cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    /// Of all threads together.
    pub(crate) cpu_seconds: f64,
    /// Resident at the most, beyond what was before.
    pub(crate) peak_bytes: u64,
    pub(crate) disk_bytes: u64,
}

impl Measured {
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.seconds.max(1e-9)
    }
}

/// A measurement under way.
pub(crate) struct Meter {
    began: Instant,
    cpu: Duration,
    resident: u64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        // The peak begins anew.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { began: Instant::now(), cpu: cpu_time(), resident: memory("VmRSS:") }
    }

    pub(crate) fn stop(self, events: u64, disk_bytes: u64) -> Measured {
        Measured {
            events,
            seconds: self.began.elapsed().as_secs_f64(),
            cpu_seconds: (cpu_time() - self.cpu).as_secs_f64(),
            peak_bytes: memory("VmHWM:").saturating_sub(self.resident),
            disk_bytes,
        }
    }
}

/// What this process has used of the processors so far.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which stands in brackets: fields 12 and 13 are user and system time, in hundredths of a second.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    found.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// The bytes of all files below a directory.
pub(crate) fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
