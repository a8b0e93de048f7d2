//! Multi-task training: the loop, evaluation, checkpoints and events.
//!
//! | module | is about |
//! |---|---|
//! | [`config`] | the configuration file, every key checked |
//! | [`setup`] | from a configuration to data sets and a model |
//! | [`trainer`] | the loop; one update is selection, gradients, checks, AdamW |
//! | [`schedule`] | the learning rate |
//! | [`mod@evaluate`], [`mod@predict`] | metrics and answers of a model |
//! | [`summary`] | `summary.json` |
//! | [`event`], [`event_log`], [`tensorboard`] | what is told while training |
//! | [`checkpoint`], [`run_folder`] | what is on disk, and how a kill cannot damage it |
//!
//! A run is a function of its seed, configuration, data and thread count: the same four give the
//! same bytes, also when the process is killed at any moment and the run resumed. Libraries print
//! nothing; everything worth telling is an [`Event`].
//!
//! `cargo run --release --example two_tasks -p camtl-trainer` trains two toy tasks in seconds.

mod answer;
pub mod checkpoint;
pub mod config;
mod device;
mod error;
pub mod evaluate;
pub mod event;
pub mod event_log;
mod forward;
mod label_prior;
mod lock;
mod optimizer;
pub mod predict;
pub mod run_folder;
pub mod schedule;
mod scorer;
pub mod setup;
mod state;
pub mod summary;
pub mod tensorboard;
pub mod trainer;

pub use config::{ConfigError, ConfigProblem, DeviceChoice, Precision, RunConfig};
pub use device::resolve_device;
pub use error::{Offenders, TrainError};
pub use evaluate::{TaskScores, evaluate};
pub use event::Event;
pub use predict::{predict, predict_mixed};
pub use setup::{build_model, load_datasets, planned_steps, set_device_options};
pub use summary::Summary;
pub use trainer::{Outcome, Trainer};
