//! The HTTP server: connections in front, one worker with the model behind, a bounded queue between.
//!
//! | path | answers |
//! |---|---|
//! | `POST /predict` | one request or an array of them, of any tasks |
//! | `GET /tasks` | names, kinds, labels and scores of the tasks |
//! | `GET /health` | whether the server takes requests |
//! | `GET /metrics` | counters in Prometheus' text form |
//!
//! Requests of all connections meet in the queue and are answered in packed batches that mix tasks.
//! Whatever a client sends, it gets a status and a reason; the limits are in [`Limits`].

mod body;
mod metrics;
mod problem;
mod queue;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use camtl_data::task::TaskSpec;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use crate::answer;
use crate::engine::Engine;
use crate::failure::{Failure, OrFail};
use crate::request::Request;
use metrics::Metrics;
use problem::{Problem, json_response, response};
use queue::{Job, Queue};
pub(crate) use worker::Batching;

/// Pause after a connection could not be taken: too many open files, say, which takes a while to pass.
const PAUSE: Duration = Duration::from_millis(50);

/// What a client may ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of a body; larger ones are answered 413.
    pub(crate) body_bytes: usize,
    /// Requests in one body; more are answered 413.
    pub(crate) items: usize,
    /// Requests that may wait; beyond it the answer is 503.
    pub(crate) queue: usize,
    /// Time for a head to arrive (the connection is closed), for a body (408), and for its answer (504).
    pub(crate) timeout: Duration,
}

/// What the connections share.
struct Shared {
    specs: Vec<TaskSpec>,
    /// The answer of `/tasks`.
    tasks: Value,
    limits: Limits,
    queue: Queue,
    metrics: Metrics,
    started: Instant,
    stopping: AtomicBool,
}

/// How a server ended.
#[derive(Debug)]
pub(crate) struct Served {
    /// Requests answered.
    pub(crate) answers: u64,
}

/// Serves on `listener` until `stop` is notified, and then finishes what it has begun.
///
/// # Errors
/// There is no runtime for the connections, or the worker ended on its own.
pub(crate) fn serve(
    engine: Engine,
    scores: &dyn Fn(&str) -> Value,
    listener: std::net::TcpListener,
    limits: Limits,
    batching: Batching,
    stop: Arc<Notify>,
) -> Result<Served, Failure> {
    let specs = engine.run().specs.clone();
    let shared = Arc::new(Shared {
        tasks: specs.iter().map(|spec| task(spec, scores)).collect(),
        limits,
        queue: Queue::new(limits.queue),
        metrics: Metrics::new(specs.len()),
        started: Instant::now(),
        stopping: AtomicBool::new(false),
        specs,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_work(|| "cannot start the connections' runtime".to_owned())?;
    let ended = Arc::new(Notify::new());
    let worker = {
        let (shared, ended) = (Arc::clone(&shared), Arc::clone(&ended));
        std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(move || {
                // Told on every way out of the thread.
                let _end = End(&shared.queue, &ended);
                worker::work(&engine, &shared.queue, &shared.metrics, batching);
            })
            .or_work(|| "cannot start the model's thread".to_owned())?
    };
    let served = runtime.block_on(connections(Arc::clone(&shared), listener, stop, ended));
    shared.queue.close();
    let finished = worker.join().is_ok();
    served?;
    if !finished {
        return Err(Failure::work(anyhow!("the model's thread broke down")));
    }
    Ok(Served {
        answers: shared.metrics.answered(),
    })
}

/// Closes the queue and says so when the worker's thread ends.
struct End<'a>(&'a Queue, &'a Notify);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.close();
        self.1.notify_one();
    }
}

/// Takes connections until `stop`, or until the worker has `ended`, and then lets those that are
/// open finish.
async fn connections(
    shared: Arc<Shared>,
    listener: std::net::TcpListener,
    stop: Arc<Notify>,
    ended: Arc<Notify>,
) -> Result<(), Failure> {
    let context = || "cannot take connections".to_owned();
    listener.set_nonblocking(true).or_work(context)?;
    let listener = tokio::net::TcpListener::from_std(listener).or_work(context)?;
    let timeout = shared.limits.timeout;
    let router = router(Arc::clone(&shared));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.notified() => break,
            () = ended.notified() => return Err(Failure::work(anyhow!("the model's thread ended"))),
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection could not be taken: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Answers are small and whole; waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
    shared.stopping.store(true, Ordering::Relaxed);
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => Ok(()),
        // Whoever has not got an answer by then is too slow to be waited for.
        () = tokio::time::sleep(timeout * 2) => Ok(()),
        () = ended.notified() => Err(Failure::work(anyhow!("the model's thread ended"))),
    }
}

/// What the server answers where.
fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/predict", post(predict))
        .route("/tasks", get(tasks))
        .route("/health", get(health))
        .route("/metrics", get(metrics_text))
        .method_not_allowed_fallback(other_method)
        .fallback(nowhere)
        .layer(from_fn_with_state(Arc::clone(&shared), counted))
        .with_state(shared)
}

/// Counts a request by path and status.
async fn counted(State(shared): State<Arc<Shared>>, request: HttpRequest, next: Next) -> Response {
    // Paths that are not there are as many as clients can think of.
    let path = ["/predict", "/tasks", "/health", "/metrics"]
        .into_iter()
        .find(|path| *path == request.uri().path())
        .unwrap_or("other");
    let response = next.run(request).await;
    shared.metrics.http(path, response.status().as_u16());
    response
}

async fn other_method(uri: Uri) -> Problem {
    let allowed = if uri.path() == "/predict" {
        "POST"
    } else {
        "GET"
    };
    Problem::method(uri.path(), allowed)
}

async fn nowhere() -> Problem {
    let reason = "there is POST /predict, GET /tasks, GET /health and GET /metrics";
    Problem::new(StatusCode::NOT_FOUND, reason)
}

async fn tasks(State(shared): State<Arc<Shared>>) -> Response {
    json_response(StatusCode::OK, &shared.tasks)
}

async fn predict(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let started = Instant::now();
    let response = match answers(&shared, body).await {
        Ok(value) => json_response(StatusCode::OK, &value),
        Err(problem) => problem.into_response(),
    };
    shared.metrics.took(started.elapsed());
    response
}

/// The answers to the requests in `body`: an object for one, an array for an array.
async fn answers(shared: &Shared, body: Body) -> Result<Value, Problem> {
    let limits = &shared.limits;
    let bytes = tokio::time::timeout(limits.timeout, body::read(body, limits.body_bytes))
        .await
        .map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not arrive within {:?}", limits.timeout),
            )
        })??;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            format!("the body is not JSON: {error}"),
        )
    })?;
    drop(bytes);
    let (requests, is_array) = requests(shared, &value)?;
    if requests.is_empty() {
        return Ok(json!([]));
    }
    let tasks: Vec<usize> = requests.iter().map(|request| request.task).collect();
    let (reply, receiver) = oneshot::channel();
    shared.queue.push(Job { requests, reply })?;
    let reply = tokio::time::timeout(limits.timeout, receiver)
        .await
        .map_err(|_| {
            Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                format!("no answer within {:?}", limits.timeout),
            )
        })?;
    let predictions = match reply {
        Ok(Ok(predictions)) => predictions,
        Ok(Err(reason)) => {
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, reason));
        }
        Err(_) => {
            let reason = "the model's thread ended";
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, reason));
        }
    };
    let mut objects = tasks.iter().zip(&predictions).map(|(&task, prediction)| {
        Value::Object(answer::json_with_task(&shared.specs[task], prediction))
    });
    Ok(match is_array {
        true => objects.collect(),
        false => objects.next().unwrap_or(Value::Null),
    })
}

/// The requests of a body, and whether they came as an array.
fn requests(shared: &Shared, value: &Value) -> Result<(Vec<Request>, bool), Problem> {
    let Some(items) = value.as_array() else {
        return Ok((vec![Request::read(value, &shared.specs)?], false));
    };
    let most = shared.limits.items;
    if items.len() > most {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body holds {} requests, at most {most} are taken at a time",
                items.len()
            ),
        ));
    }
    let read = items.iter().enumerate().map(|(at, item)| {
        Request::read(item, &shared.specs)
            .map_err(|error| Problem::from(error).at(&format!("request {at} of the array: ")))
    });
    Ok((read.collect::<Result<_, _>>()?, true))
}

/// What `/tasks` says about a task.
fn task(spec: &TaskSpec, scores: &dyn Fn(&str) -> Value) -> Value {
    json!({
        "task": spec.name,
        "title": spec.title,
        "kind": spec.kind.name(),
        "labels": spec.kind.labels(),
        "pair": spec.is_pair(),
        "metrics": scores(&spec.name),
    })
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let (status, word) = match shared.stopping.load(Ordering::Relaxed) {
        false => (StatusCode::OK, "ok"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let value = json!({
        "status": word,
        "tasks": shared.specs.len(),
        "waiting": shared.queue.depth(),
        "uptime_s": shared.started.elapsed().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    json_response(status, &value)
}

async fn metrics_text(State(shared): State<Arc<Shared>>) -> Response {
    let names: Vec<&str> = shared.specs.iter().map(|spec| spec.name.as_str()).collect();
    let text = shared.metrics.render(&names, shared.queue.depth());
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    response(StatusCode::OK, kind, text)
}
