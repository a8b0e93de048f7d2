//! A task's splits from its files, through the token cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::cache::{TokenCache, cache_key};
use crate::encoded::{EncodedSplit, TaskDataset};
use crate::error::DataError;
use crate::reader::{parse_split, read_bytes};
use crate::source::{Rows, Source, SourceFile};
use crate::task::{SplitLayout, TaskSpec};
use crate::tokenize::TextTokenizer;

/// What [`load_task`] reads, and where it keeps the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Folder that the paths of the task file are relative to.
    pub data_dir: PathBuf,
    /// Folder of the token cache; `None` encodes anew each time and keeps tokens in memory.
    pub cache_dir: Option<PathBuf>,
    /// Longest sequence in tokens, special tokens included; longer ones are truncated longest-first.
    pub max_length: usize,
    /// The splits to load, each of which must exist. Empty: every split of the task file whose file is there.
    pub splits: Vec<String>,
    /// At most this many examples of the split `train` (the first ones); other splits are always whole.
    pub limit: Option<usize>,
}

impl LoadOptions {
    /// Every split below `data_dir`, whole, without a cache.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, max_length: usize) -> Self {
        Self {
            data_dir: data_dir.into(),
            cache_dir: None,
            max_length,
            splits: Vec::new(),
            limit: None,
        }
    }
}

/// Reads and encodes a task's splits, or takes them from the cache.
///
/// With a cache folder, tokens are memory-mapped from a file whose key holds the hashes of the data file and the
/// tokenizer, the maximum length, the layout of the rows and the version of the format. A cache file that is
/// damaged, truncated or was made for something else is rebuilt with a `tracing` warning.
///
/// # Errors
/// A split that the task does not have or whose file is absent, anything wrong in a file (with line and column), a
/// tokenizer that fails, a cache folder that cannot be written.
pub fn load_task(
    spec: &TaskSpec,
    tokenizer: &TextTokenizer,
    options: &LoadOptions,
) -> Result<TaskDataset, DataError> {
    let mut splits = BTreeMap::new();
    for split in wanted_splits(spec, options)? {
        let encoded = load_split(spec, tokenizer, options, split)?;
        splits.insert(split.to_owned(), encoded);
    }
    Ok(TaskDataset {
        spec: spec.clone(),
        splits,
    })
}

fn wanted_splits<'a>(
    spec: &'a TaskSpec,
    options: &'a LoadOptions,
) -> Result<Vec<&'a str>, DataError> {
    if !options.splits.is_empty() {
        for split in &options.splits {
            if !spec.files.contains_key(split) {
                return Err(DataError::unknown_split(spec, split));
            }
        }
        return Ok(options.splits.iter().map(String::as_str).collect());
    }
    let there: Vec<&str> = spec
        .files
        .keys()
        .map(String::as_str)
        .filter(|split| {
            spec.split_path(&options.data_dir, split)
                .is_some_and(|path| path.is_file())
        })
        .collect();
    if there.is_empty() {
        return Err(DataError::NoFiles {
            task: spec.name.clone(),
            data_dir: options.data_dir.clone(),
            looked_for: spec
                .files
                .values()
                .map(|source| source.path.display().to_string())
                .collect(),
        });
    }
    Ok(there)
}

fn load_split(
    spec: &TaskSpec,
    tokenizer: &TextTokenizer,
    options: &LoadOptions,
    split: &str,
) -> Result<EncodedSplit, DataError> {
    let (Some(path), Some(layout)) = (
        spec.split_path(&options.data_dir, split),
        spec.layout(split),
    ) else {
        return Err(DataError::unknown_split(spec, split));
    };
    let limit = options.limit.filter(|_| split == "train");
    let bytes = read_bytes(&path)?;
    let mut encoded = encoded_or_cached(
        spec, tokenizer, options, split, &path, &layout, limit, &bytes,
    )?;
    encoded.source = Some(Arc::new(Source {
        tokenizer: tokenizer.clone(),
        max_length: options.max_length,
        doc_stride: layout.doc_stride,
        rows: Rows::File {
            file: Box::new(SourceFile {
                spec: spec.clone(),
                layout,
                path,
                split: split.to_owned(),
                limit,
                sha256: Sha256::digest(&bytes).into(),
            }),
            read: OnceLock::new(),
        },
    }));
    Ok(encoded)
}

#[allow(clippy::too_many_arguments)]
fn encoded_or_cached(
    spec: &TaskSpec,
    tokenizer: &TextTokenizer,
    options: &LoadOptions,
    split: &str,
    path: &Path,
    layout: &SplitLayout,
    limit: Option<usize>,
    bytes: &[u8],
) -> Result<EncodedSplit, DataError> {
    let encode = || -> Result<EncodedSplit, DataError> {
        let origin = path.display().to_string();
        let (mut examples, report) = parse_split(spec, layout, bytes, &origin, split)?;
        if let Some(limit) = limit {
            examples.truncate(limit);
        }
        Ok(tokenizer.encode_with_report(
            &examples,
            options.max_length,
            layout.doc_stride,
            &report,
        )?)
    };
    let Some(cache_dir) = &options.cache_dir else {
        return encode();
    };
    let key = cache_key(
        spec,
        layout,
        bytes,
        tokenizer.fingerprint(),
        options.max_length,
        limit,
    );
    let cache = TokenCache::new(cache_dir, &spec.name, split, key, spec.kind.clone());
    match cache.open() {
        Ok(Some(encoded)) => {
            tracing::debug!(task = %spec.name, split, path = %cache.path().display(), "tokens taken from the cache");
            return Ok(encoded);
        }
        Ok(None) => {}
        Err(reason) => tracing::warn!(
            task = %spec.name, split, path = %cache.path().display(), %reason,
            "token cache cannot be used and is rebuilt"
        ),
    }
    let encoded = encode()?;
    cache.store(&encoded)?;
    cache.open().ok().flatten().map_or_else(
        || {
            Err(DataError::Cache {
                path: cache.path().to_owned(),
                reason: "what was just written does not read back".to_owned(),
            })
        },
        Ok,
    )
}
