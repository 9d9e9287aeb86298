//! Request metrics: how many requests each route has answered, and how long they took.
//!
//! Owns: the series `meshlog_http_requests_total`, `meshlog_http_request_duration_seconds` and `meshlog_http_tails`.
//! Promises: the number of series is bounded by routes, methods and statuses, whatever clients send.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::{Method, StatusCode};

/// Upper bounds of the histogram's buckets, in seconds. Recall answers in milliseconds; a write that waits takes seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// The counts of all requests answered so far.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    routes: Mutex<BTreeMap<(String, &'static str), Series>>,
    tails: AtomicU64,
}

/// The counts of one route and method.
#[derive(Debug, Default)]
struct Series {
    statuses: BTreeMap<u16, u64>,
    /// For each bucket, the requests that took this long or less but longer than the bucket before.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

/// An event stream that is being sent; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct OpenTail(Arc<Metrics>);

impl Drop for OpenTail {
    fn drop(&mut self) {
        self.0.tails.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts one answer. `took` ends with the head of the response.
    pub(super) fn record(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let series = routes.entry((route.to_owned(), known(method))).or_default();
        *series.statuses.entry(status.as_u16()).or_default() += 1;
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            series.buckets[bucket] += 1;
        }
        series.count += 1;
        series.seconds += seconds;
    }

    /// Counts an event stream for as long as the answer lives.
    pub(super) fn open_tail(self: &Arc<Self>) -> OpenTail {
        self.tails.fetch_add(1, Ordering::Relaxed);
        OpenTail(Arc::clone(self))
    }

    /// The series in the Prometheus text format.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes whatever is written");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(text, "# HELP meshlog_http_requests_total HTTP requests answered.")?;
        writeln!(text, "# TYPE meshlog_http_requests_total counter")?;
        for ((route, method), series) in routes.iter() {
            for (status, count) in &series.statuses {
                let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
                writeln!(text, "meshlog_http_requests_total{{{labels}}} {count}")?;
            }
        }
        writeln!(
            text,
            "# HELP meshlog_http_request_duration_seconds Time from a request's head to its answer's head."
        )?;
        writeln!(text, "# TYPE meshlog_http_request_duration_seconds histogram")?;
        for ((route, method), series) in routes.iter() {
            series.write_histogram(text, &format!("method=\"{method}\",route=\"{route}\""))?;
        }
        writeln!(text, "# HELP meshlog_http_tails Event streams being sent.")?;
        writeln!(text, "# TYPE meshlog_http_tails gauge")?;
        writeln!(text, "meshlog_http_tails {}", self.tails.load(Ordering::Relaxed))
    }
}

impl Series {
    fn write_histogram(&self, text: &mut String, labels: &str) -> std::fmt::Result {
        let name = "meshlog_http_request_duration_seconds";
        let mut sum = 0;
        for (bound, count) in BUCKETS.iter().zip(self.buckets) {
            sum += count;
            writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {sum}")?;
        }
        writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count)?;
        writeln!(text, "{name}_sum{{{labels}}} {}", self.seconds)?;
        writeln!(text, "{name}_count{{{labels}}} {}", self.count)
    }
}

/// The method's name, or one name for all that the standard does not know: clients must not be able to add series.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_slow_requests_are_in_the_last() {
        let metrics = Metrics::default();
        for millis in [1, 40, 60_000] {
            metrics.record(&Method::GET, "/v1/topics", StatusCode::OK, Duration::from_millis(millis));
        }
        let text = metrics.render();
        for line in [
            "meshlog_http_requests_total{method=\"GET\",route=\"/v1/topics\",status=\"200\"} 3",
            "meshlog_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/topics\",le=\"0.0005\"} 0",
            "meshlog_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/topics\",le=\"0.001\"} 1",
            "meshlog_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/topics\",le=\"30\"} 2",
            "meshlog_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/topics\",le=\"+Inf\"} 3",
            "meshlog_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/topics\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn methods_that_clients_make_up_share_one_series() {
        let metrics = Metrics::default();
        for name in ["BREW", "WHEN"] {
            let method = Method::from_bytes(name.as_bytes()).expect("letters make a method");
            metrics.record(&method, "unmatched", StatusCode::NOT_FOUND, Duration::ZERO);
        }
        assert!(metrics.render().contains("{method=\"other\",route=\"unmatched\",status=\"404\"} 2"));
    }
}
