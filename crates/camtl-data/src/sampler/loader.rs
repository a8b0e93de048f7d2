//! Batches of one data set without replacement, reshuffled whenever it is exhausted.

use serde::{Deserialize, Serialize};

use super::SamplerError;
use crate::random::{Stream, StreamState};

/// Hands out `0..size` in shuffled order in batches of at most `batch_size`. The last batch of a pass may be shorter
/// (the released code's loaders do not drop it); the next request starts a new pass in a new order.
#[derive(Clone, Debug)]
pub(super) struct Loader {
    /// What errors call it.
    name: String,
    size: u32,
    batch_size: usize,
    stream: Stream,
    /// Where the stream stood before it shuffled `order`. Every shuffle starts from the identity, so this and the
    /// position are the whole state: a checkpoint needs no list of a million indices.
    shuffled_from: StreamState,
    order: Vec<u32>,
    position: usize,
}

/// See [`Loader`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoaderState {
    shuffled_from: StreamState,
    position: usize,
}

impl Loader {
    pub(super) fn new(name: String, size: u32, batch_size: usize, stream: Stream) -> Self {
        let mut loader = Self {
            name,
            size,
            batch_size,
            shuffled_from: stream.state(),
            stream,
            order: Vec::new(),
            position: 0,
        };
        loader.shuffle();
        loader
    }

    fn shuffle(&mut self) {
        self.shuffled_from = self.stream.state();
        self.order.clear();
        self.order.extend(0..self.size);
        self.stream.shuffle(&mut self.order);
        self.position = 0;
    }

    /// The next batch, never empty.
    pub(super) fn next_batch(&mut self) -> &[u32] {
        if self.position >= self.order.len() {
            self.shuffle();
        }
        let start = self.position;
        self.position = (start + self.batch_size).min(self.order.len());
        &self.order[start..self.position]
    }

    pub(super) fn state(&self) -> LoaderState {
        LoaderState {
            shuffled_from: self.shuffled_from.clone(),
            position: self.position,
        }
    }

    /// A loader like this one at `state`.
    pub(super) fn at(&self, state: &LoaderState) -> Result<Self, SamplerError> {
        let what = &self.name;
        if state.position > self.size as usize {
            return Err(SamplerError::State {
                reason: format!(
                    "{what} is at position {} of {} examples; the state is damaged, resume from an earlier checkpoint",
                    state.position, self.size
                ),
            });
        }
        if state.shuffled_from.key != self.shuffled_from.key {
            return Err(SamplerError::State {
                reason: format!(
                    "{what} was shuffled with another seed; resume with the seed that the run was started with"
                ),
            });
        }
        let stream =
            Stream::from_state(&state.shuffled_from).map_err(|error| SamplerError::State {
                reason: format!("{what}: {error}"),
            })?;
        let mut loader = Self::new(what.clone(), self.size, self.batch_size, stream);
        loader.position = state.position;
        Ok(loader)
    }
}
