//! Where an encoded split came from: what its examples are compared with, and the way from tokens back to text.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::DataError;
use crate::reader::{Example, parse_split, read_bytes};
use crate::task::{SplitLayout, TaskSpec};
use crate::tokenize::{TextTokenizer, TokenizerError, Window};

/// The rows behind a split, and how they were encoded.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) rows: Rows,
    pub(crate) tokenizer: TextTokenizer,
    pub(crate) max_length: usize,
    pub(crate) doc_stride: Option<usize>,
}

/// Rows in memory, or in a file that is read again when they are first needed.
#[derive(Debug)]
pub(crate) enum Rows {
    Held(Arc<Vec<Example>>),
    File {
        file: Box<SourceFile>,
        read: OnceLock<Arc<Vec<Example>>>,
    },
}

/// A split's file as it was when it was encoded.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) spec: TaskSpec,
    pub(crate) layout: SplitLayout,
    pub(crate) path: PathBuf,
    pub(crate) split: String,
    pub(crate) limit: Option<usize>,
    pub(crate) sha256: [u8; 32],
}

impl Source {
    /// The rows, by falling back on the file.
    pub(crate) fn rows(&self) -> Result<Arc<Vec<Example>>, DataError> {
        match &self.rows {
            Rows::Held(rows) => Ok(rows.clone()),
            Rows::File { file, read } => {
                if let Some(rows) = read.get() {
                    return Ok(rows.clone());
                }
                let rows = Arc::new(file.read()?);
                Ok(read.get_or_init(|| rows).clone())
            }
        }
    }

    /// The windows of questions, in parallel, in order.
    pub(crate) fn windows(&self, rows: &[&Example]) -> Result<Vec<Vec<Window>>, TokenizerError> {
        let all: Vec<Result<Vec<Window>, TokenizerError>> = rows
            .par_iter()
            .map(|row| {
                self.tokenizer.windows(
                    &row.text_a,
                    row.text_b.as_deref().unwrap_or_default(),
                    &[],
                    self.max_length,
                    self.doc_stride,
                )
            })
            .collect();
        all.into_iter().collect()
    }
}

impl SourceFile {
    fn read(&self) -> Result<Vec<Example>, DataError> {
        let bytes = read_bytes(&self.path)?;
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != self.sha256 {
            return Err(DataError::Changed {
                path: self.path.clone(),
            });
        }
        let origin = self.path.display().to_string();
        let (mut rows, _) = parse_split(&self.spec, &self.layout, &bytes, &origin, &self.split)?;
        if let Some(limit) = self.limit {
            rows.truncate(limit);
        }
        Ok(rows)
    }
}

/// The bytes of a text that tokens `start..=end` of a window stand for; `None` for tokens outside of the context.
pub(crate) fn place_of(window: &Window, start: usize, end: usize) -> Option<Range<usize>> {
    let piece = |token: usize| window.places.get(token.checked_sub(window.first)?);
    let (from, to) = (piece(start)?, piece(end)?);
    (from.start <= to.end).then_some(from.start..to.end)
}
