//! The queue between connections and the model: bounded, and emptied in batches that mix tasks.
//!
//! Connections push jobs and never wait; when the queue is full they are told so. One worker takes
//! what is there, waiting a moment for company if there is little.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::prediction::Prediction;
use crate::request::Request;

/// What a connection gets back: its answers, or why there are none.
pub(crate) type Reply = Result<Vec<Prediction>, String>;

/// The requests of one HTTP request.
#[derive(Debug)]
pub(crate) struct Job {
    /// At least one.
    pub(crate) requests: Vec<Request>,
    /// Where the answers go; closed when the connection has given up.
    pub(crate) reply: oneshot::Sender<Reply>,
}

/// Why a job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no room for so many requests.
    Full,
    /// The server is stopping.
    Closed,
}

/// A queue of jobs that holds a bounded number of requests.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<(Instant, Job)>,
    /// Requests of all jobs.
    waiting: usize,
    closed: bool,
}

impl Queue {
    /// An empty queue for at most `capacity` requests.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity,
        }
    }

    /// Takes a job in.
    ///
    /// # Errors
    /// There is no room, or the queue is closed.
    pub(crate) fn push(&self, job: Job) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.waiting + job.requests.len() > self.capacity {
            return Err(Refused::Full);
        }
        state.waiting += job.requests.len();
        state.jobs.push_back((Instant::now(), job));
        self.changed.notify_one();
        Ok(())
    }

    /// The next jobs, in the order of their arrival and together of at most `most` requests (a larger
    /// job comes alone). Waits for the first job, and after its arrival at most `patience` for others.
    /// `None` when the queue is closed and empty.
    pub(crate) fn next_batch(&self, most: usize, patience: Duration) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            let Some((arrived, _)) = state.jobs.front() else {
                if state.closed {
                    return None;
                }
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = patience.saturating_sub(arrived.elapsed());
            if state.waiting >= most || state.closed || left.is_zero() {
                break;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let mut batch: Vec<Job> = Vec::new();
        let mut taken = 0;
        while let Some((_, job)) = state.jobs.front() {
            if !batch.is_empty() && taken + job.requests.len() > most {
                break;
            }
            if let Some((_, job)) = state.jobs.pop_front() {
                taken += job.requests.len();
                batch.push(job);
            }
        }
        state.waiting -= taken;
        Some(batch)
    }

    /// Requests that wait.
    pub(crate) fn depth(&self) -> usize {
        self.lock().waiting
    }

    /// Takes no more jobs; those that wait are still handed out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whoever panicked while holding the lock left whole jobs behind, so it can be taken over.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use camtl_data::reader::Example;

    use super::*;

    fn job(requests: usize) -> (Job, oneshot::Receiver<Reply>) {
        let request = Request {
            task: 0,
            example: Example {
                id: 0,
                text_a: String::new(),
                text_b: None,
                ..Example::default()
            },
        };
        let (reply, receiver) = oneshot::channel();
        let requests = vec![request; requests];
        (Job { requests, reply }, receiver)
    }

    fn sizes(jobs: Option<Vec<Job>>) -> Option<Vec<usize>> {
        Some(jobs?.iter().map(|job| job.requests.len()).collect())
    }

    #[test]
    fn the_bound_counts_requests_and_batches_keep_the_order() {
        let queue = Queue::new(10);
        for requests in [3, 4, 2] {
            assert_eq!(queue.push(job(requests).0), Ok(()));
        }
        assert_eq!(queue.push(job(2).0), Err(Refused::Full));
        assert_eq!(queue.push(job(1).0), Ok(()));
        assert_eq!(queue.depth(), 10);
        let now = Duration::ZERO;
        assert_eq!(sizes(queue.next_batch(8, now)), Some(vec![3, 4]));
        assert_eq!(queue.push(job(5).0), Ok(()));
        assert_eq!(sizes(queue.next_batch(4, now)), Some(vec![2, 1]));
        assert_eq!(sizes(queue.next_batch(4, now)), Some(vec![5]), "alone");
        assert_eq!(queue.depth(), 0);
    }

    #[test]
    fn a_closed_queue_hands_out_what_waits_and_takes_nothing() {
        let queue = Queue::new(10);
        assert_eq!(queue.push(job(2).0), Ok(()));
        queue.close();
        assert_eq!(queue.push(job(1).0), Err(Refused::Closed));
        let long = Duration::from_secs(600);
        assert_eq!(
            sizes(queue.next_batch(8, long)),
            Some(vec![2]),
            "no waiting"
        );
        assert!(queue.next_batch(8, long).is_none());
    }

    #[test]
    fn little_waits_for_company_until_patience_ends() {
        let queue = Queue::new(10);
        assert_eq!(queue.push(job(1).0), Ok(()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                assert_eq!(queue.push(job(1).0), Ok(()));
            });
            // The second job fills the batch long before patience ends.
            let batch = queue.next_batch(2, Duration::from_secs(600));
            assert_eq!(sizes(batch), Some(vec![1, 1]));
        });
        assert_eq!(queue.push(job(1).0), Ok(()));
        let batch = queue.next_batch(2, Duration::from_millis(5));
        assert_eq!(sizes(batch), Some(vec![1]));
    }
}
