//! Tasks, readers, tokenisation, packed batches, task samplers and metrics for multi-task language models.
//!
//! The crate deals in ids, lengths, labels and scores, never in tensors, and needs no libtorch. The way of the data:
//!
//! 1. A TOML file describes a task: [`TaskSpec`].
//! 2. [`read_split`] turns its TSV, CSV or JSON Lines files into [`Example`]s, and names file, line and column of
//!    whatever is wrong.
//! 3. [`TextTokenizer`] turns texts into token ids; [`load_task`] does both, in parallel and through a memory-mapped
//!    cache, and gives a [`TaskDataset`].
//! 4. A [`Sampler`] picks examples of all tasks for a step: by uncertainty, by size, by schedule.
//! 5. [`PackedBatch`] lays them end to end without padding, sorted by task, with the weight of each loss.
//! 6. [`metrics`] compares predictions with labels.
//!
//! ```
//! use std::collections::BTreeMap;
//! use camtl_data::{BatchItem, LossReduction, PackedBatch, TaskDataset, TaskSpec, TextTokenizer, read_lines};
//!
//! let spec = TaskSpec::from_toml(
//!     r#"
//!     name = "mood"
//!     kind = "classification"
//!     labels = ["gloomy", "cheerful"]
//!     metrics = ["accuracy"]
//!     format = "csv"
//!     fields = { text_a = "text", label = "mood" }
//!     files = { train = "mood.csv" }
//!     "#,
//!     "mood.toml",
//! )?;
//! let rows = "text,mood\nwhat a day,cheerful\n\"rain, again\",gloomy\n";
//! let examples = read_lines(&spec, "train", rows.as_bytes(), "mood.csv")?;
//!
//! let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwhat\na\nday\nrain\n,\nagain\n";
//! let tokenizer = TextTokenizer::from_vocab(vocab, true)?;
//! let splits = BTreeMap::from([("train".to_owned(), examples)]);
//! let dataset = TaskDataset::from_examples(spec, splits, &tokenizer, 32)?;
//!
//! let items: Vec<_> = dataset.splits["train"].iter().map(|example| BatchItem { task: 0, example }).collect();
//! let batch = PackedBatch::pack(&items, LossReduction::default());
//! assert_eq!(batch.input_ids, [2, 5, 6, 7, 3, 2, 8, 9, 10, 3]);
//! assert_eq!(batch.cu_seqlens, [0, 5, 10]);
//! # Ok::<(), camtl_data::DataError>(())
//! ```
//!
//! # Promises
//!
//! - Nothing is printed; what is worth knowing goes through `tracing`.
//! - Results do not depend on the number of threads, and no order comes from a hash map.
//! - A file of the cache is used only if its key, length and checksum are right and its offsets lie within it.
//! - One call is `unsafe`: mapping a cache file into memory.
#![deny(unsafe_code)]

pub mod answers;
pub mod batch;
mod cache;
pub mod check;
mod columns;
mod encode;
pub mod encoded;
pub mod error;
pub mod formats;
pub mod kinds;
mod listed;
pub mod load;
pub mod metrics;
pub mod random;
pub mod reader;
mod sample;
pub mod sampler;
pub mod score;
mod source;
pub mod spec;
pub mod suggest;
pub mod task;
pub mod tokenize;

pub use answers::{Answer, AnswerError, SpanCandidate};
pub use batch::{BatchError, BatchItem, LossReduction, PackedBatch, TaskSegment};
pub use encoded::{EncodedExample, EncodedSplit, SplitSummary, TaskDataset};
pub use error::{DataError, RowError, RowProblem};
pub use load::{LoadOptions, load_task};
pub use metrics::{MetricError, MetricKind, Predictions, References};
pub use random::{Stream, StreamState, derive_seed};
pub use reader::{Details, Example, Label, ReadReport, read_lines, read_split};
pub use sample::HOLDOUT;
pub use sampler::{
    DataUsage, ExampleRef, Sampler, SamplerConfig, SamplerError, Scorer, Selection, TaskInfo,
    build_sampler,
};
pub use task::{
    Column, Fields, FileFormat, MalformedRows, MentionColumns, SplitLayout, SplitSource,
    Submission, SubmissionFormat, TaskError, TaskKind, TaskSpec,
};
pub use tokenize::{Encoded, PairLayout, TextTokenizer, TokenizerError};

/// The code of the README, kept compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
