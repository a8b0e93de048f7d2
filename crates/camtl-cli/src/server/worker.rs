//! The thread that owns the model: takes batches from the queue, answers them, sends answers back.

use std::time::Duration;

use super::metrics::Metrics;
use super::queue::{Job, Queue};
use crate::engine::{Answers, Engine};
use crate::failure::Failure;

/// How batches are made up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batching {
    /// Most requests in one batch.
    pub(crate) most: usize,
    /// Longest wait of a request for others.
    pub(crate) patience: Duration,
}

/// Answers until the queue is closed and empty.
pub(crate) fn work(engine: &Engine, queue: &Queue, metrics: &Metrics, batching: Batching) {
    while let Some(mut jobs) = queue.next_batch(batching.most, batching.patience) {
        // Nobody waits for these any more.
        jobs.retain(|job| !job.reply.is_closed());
        if jobs.is_empty() {
            continue;
        }
        let all = jobs.iter().flat_map(|job| job.requests.iter().cloned());
        match answer(engine, metrics, all.collect()) {
            Ok(answers) => {
                let mut predictions = answers.predictions.into_iter();
                for Job { requests, reply } in jobs {
                    // A connection that has gone since is nobody's loss.
                    let _ = reply.send(Ok(predictions.by_ref().take(requests.len()).collect()));
                }
            }
            // What one job did wrong is not the others' fault.
            Err(_) if jobs.len() > 1 => {
                jobs.into_iter().for_each(|job| alone(engine, metrics, job))
            }
            Err(failure) => jobs.into_iter().for_each(|job| refuse(job, &failure)),
        }
    }
}

fn alone(engine: &Engine, metrics: &Metrics, job: Job) {
    match answer(engine, metrics, job.requests.clone()) {
        Ok(answers) => {
            let _ = job.reply.send(Ok(answers.predictions));
        }
        Err(failure) => refuse(job, &failure),
    }
}

fn answer(
    engine: &Engine,
    metrics: &Metrics,
    requests: Vec<crate::request::Request>,
) -> Result<Answers, Failure> {
    let tasks: Vec<usize> = requests.iter().map(|request| request.task).collect();
    let answers = engine.answer(requests)?;
    metrics.batch(&tasks, answers.tokens);
    Ok(answers)
}

fn refuse(job: Job, failure: &Failure) {
    let reason = failure.render();
    tracing::error!(reason, "requests could not be answered");
    let _ = job.reply.send(Err(reason));
}
