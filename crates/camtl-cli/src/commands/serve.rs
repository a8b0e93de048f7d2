//! `camtl serve`: the tasks of a trained run over HTTP.

use std::net::{TcpListener, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::cli::ServeArgs;
use crate::engine::Engine;
use crate::failure::{Failure, INTERRUPTED, OrFail, Outcome, SUCCESS};
use crate::output;
use crate::server::{self, Batching, Limits};
use crate::trained::{self, TrainedRun};

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> Outcome {
    let limits = limits(args)?;
    let run = TrainedRun::open(&args.run, &args.weights)?;
    let names: Vec<String> = run.specs.iter().map(|spec| spec.name.clone()).collect();
    let summary = trained::read_summary(&args.run);
    let scores = |task: &str| match summary.as_ref().and_then(|s| s.tasks.get(task)) {
        Some(metrics) => json!(metrics),
        None => Value::Null,
    };
    let listener = listen(args)?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            "{address} can be reached from other machines, and there is no authentication; put a \
             proxy that has it in front"
        );
    }
    let stop = stop_on_signals()?;
    output::result(&format!("serving {} on http://{address}", names.join(", ")))?;
    let batching = Batching {
        most: args.max_batch,
        patience: Duration::from_millis(args.max_wait_ms),
    };
    let engine = Engine::new(run);
    let served = server::serve(engine, &scores, listener, limits, batching, stop)?;
    output::note(&format!("stopped after {} answers", served.answers));
    Ok(SUCCESS)
}

/// The limits, if they fit together.
fn limits(args: &ServeArgs) -> Result<Limits, Failure> {
    for (option, value) in [
        ("--max-body", args.max_body),
        ("--max-items", args.max_items),
        ("--max-batch", args.max_batch),
        ("--queue", args.queue),
    ] {
        if value == 0 {
            return Err(Failure::usage(anyhow!(
                "{option} is 0; nothing could be answered"
            )));
        }
    }
    if args.queue < args.max_items {
        return Err(Failure::usage(anyhow!(
            "--queue {} is smaller than --max-items {}: the largest allowed body could never be taken",
            args.queue,
            args.max_items
        ))
        .hint("raise --queue or lower --max-items"));
    }
    if !(args.timeout > 0.0 && args.timeout <= 86_400.0) {
        return Err(Failure::usage(anyhow!(
            "--timeout is {}; expected seconds, more than 0 and at most 86400",
            args.timeout
        )));
    }
    Ok(Limits {
        body_bytes: args.max_body,
        items: args.max_items,
        queue: args.queue,
        timeout: Duration::from_secs_f64(args.timeout),
    })
}

fn listen(args: &ServeArgs) -> Result<TcpListener, Failure> {
    let addresses: Vec<_> = (args.host.as_str(), args.port)
        .to_socket_addrs()
        .or_usage(|| format!("--host {} is no address of this machine", args.host))?
        .collect();
    TcpListener::bind(addresses.as_slice())
        .or_usage(|| format!("cannot listen on {} port {}", args.host, args.port))
        .map_err(|failure| failure.hint("choose another --port; 0 takes any free one"))
}

/// Notified by the first Ctrl-C, SIGTERM or SIGHUP; the second ends the process at once.
fn stop_on_signals() -> Result<Arc<Notify>, Failure> {
    let stop = Arc::new(Notify::new());
    let notified = Arc::clone(&stop);
    let presses = AtomicUsize::new(0);
    ctrlc::set_handler(move || {
        if presses.fetch_add(1, Ordering::SeqCst) == 0 {
            output::note("stopping after what is queued; press Ctrl-C again to stop at once");
            notified.notify_one();
        } else {
            camtl_ops::exit_at_once(i32::from(INTERRUPTED));
        }
    })
    .or_work(|| "cannot install the handler for Ctrl-C".to_owned())?;
    Ok(stop)
}
