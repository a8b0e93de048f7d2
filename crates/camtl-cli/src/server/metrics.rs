//! What the server counts, and the text in which Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of the batch-size histogram, in requests.
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// Upper bounds of the time histogram, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The counters.
#[derive(Debug)]
pub(crate) struct Metrics(Mutex<Counters>);

#[derive(Debug)]
struct Counters {
    /// HTTP requests by path and status.
    http: BTreeMap<(&'static str, u16), u64>,
    seconds: Histogram<14>,
    batches: Histogram<10>,
    /// Requests answered, by task.
    answered: Vec<u64>,
    tokens: u64,
}

#[derive(Debug)]
struct Histogram<const N: usize> {
    bounds: [f64; N],
    counts: [u64; N],
    total: u64,
    sum: f64,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [f64; N]) -> Self {
        Self {
            bounds,
            counts: [0; N],
            total: 0,
            sum: 0.0,
        }
    }

    fn observe(&mut self, value: f64) {
        for (bound, count) in self.bounds.iter().zip(&mut self.counts) {
            *count += u64::from(value <= *bound);
        }
        self.total += 1;
        self.sum += value;
    }

    fn write(&self, name: &str, help: &str, text: &mut String) {
        head(name, help, "histogram", text);
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {}", self.total);
        let _ = writeln!(text, "{name}_sum {}", self.sum);
        let _ = writeln!(text, "{name}_count {}", self.total);
    }
}

fn head(name: &str, help: &str, kind: &str, text: &mut String) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

impl Metrics {
    /// Counters of a server with so many tasks, all zero.
    pub(crate) fn new(tasks: usize) -> Self {
        Self(Mutex::new(Counters {
            http: BTreeMap::new(),
            seconds: Histogram::new(SECONDS),
            batches: Histogram::new(SIZES),
            answered: vec![0; tasks],
            tokens: 0,
        }))
    }

    /// An HTTP request was answered with `status`.
    pub(crate) fn http(&self, path: &'static str, status: u16) {
        *self.lock().http.entry((path, status)).or_insert(0) += 1;
    }

    /// A call of /predict took so long, whatever came out.
    pub(crate) fn took(&self, elapsed: Duration) {
        self.lock().seconds.observe(elapsed.as_secs_f64());
    }

    /// The model answered requests of these tasks together.
    pub(crate) fn batch(&self, tasks: &[usize], tokens: usize) {
        let mut counters = self.lock();
        counters.batches.observe(tasks.len() as f64);
        counters.tokens += tokens as u64;
        for &task in tasks {
            if let Some(count) = counters.answered.get_mut(task) {
                *count += 1;
            }
        }
    }

    /// Requests answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.lock().answered.iter().sum()
    }

    /// Everything in Prometheus' text form. `tasks` are the tasks' names, `depth` the requests that
    /// wait.
    pub(crate) fn render(&self, tasks: &[&str], depth: usize) -> String {
        let counters = self.lock();
        let mut text = String::new();
        let name = "camtl_http_requests_total";
        head(
            name,
            "HTTP requests by path and status.",
            "counter",
            &mut text,
        );
        for ((path, status), count) in &counters.http {
            let _ = writeln!(
                text,
                "{name}{{path=\"{path}\",status=\"{status}\"}} {count}"
            );
        }
        counters.seconds.write(
            "camtl_predict_seconds",
            "Time from the arrival of a call of /predict to its answer.",
            &mut text,
        );
        let name = "camtl_queue_depth";
        head(
            name,
            "Requests that wait for the model.",
            "gauge",
            &mut text,
        );
        let _ = writeln!(text, "{name} {depth}");
        counters.batches.write(
            "camtl_batch_size",
            "Requests that the model answered together.",
            &mut text,
        );
        let name = "camtl_answers_total";
        head(name, "Requests answered, by task.", "counter", &mut text);
        for (task, count) in tasks.iter().zip(&counters.answered) {
            let _ = writeln!(text, "{name}{{task=\"{}\"}} {count}", escaped(task));
        }
        let name = "camtl_tokens_total";
        head(name, "Tokens that the model read.", "counter", &mut text);
        let _ = writeln!(text, "{name} {}", counters.tokens);
        text
    }

    /// Counters stay sound whoever panicked while counting.
    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A label's value as Prometheus wants it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_prometheus_own() {
        let metrics = Metrics::new(2);
        metrics.http("/predict", 200);
        metrics.http("/predict", 200);
        metrics.http("/predict", 503);
        metrics.took(Duration::from_millis(3));
        metrics.batch(&[0, 1, 1], 40);
        let text = metrics.render(&["a", "b\"c"], 7);
        for line in [
            "# TYPE camtl_http_requests_total counter",
            "camtl_http_requests_total{path=\"/predict\",status=\"200\"} 2",
            "camtl_http_requests_total{path=\"/predict\",status=\"503\"} 1",
            "camtl_predict_seconds_bucket{le=\"0.0025\"} 0",
            "camtl_predict_seconds_bucket{le=\"0.005\"} 1",
            "camtl_predict_seconds_bucket{le=\"+Inf\"} 1",
            "camtl_predict_seconds_count 1",
            "camtl_queue_depth 7",
            "camtl_batch_size_bucket{le=\"2\"} 0",
            "camtl_batch_size_bucket{le=\"4\"} 1",
            "camtl_batch_size_sum 3",
            "camtl_answers_total{task=\"a\"} 1",
            "camtl_answers_total{task=\"b\\\"c\"} 2",
            "camtl_tokens_total 40",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
