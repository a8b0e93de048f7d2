//! Where an encoded split came from: what its examples are compared with, and the way from tokens back to text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::DataError;
use crate::kinds::span::{WindowPlaces, windows};
use crate::reader::{Example, parse_split, read_bytes};
use crate::task::{SplitLayout, TaskSpec};
use crate::tokenize::{TextTokenizer, TokenizerError};

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
    Held {
        rows: Arc<Vec<Example>>,
        /// Where the windows of questions stand, by the number of the row: found when the rows were encoded.
        places: BTreeMap<usize, WindowPlaces>,
    },
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
            Rows::Held { rows, .. } => Ok(rows.clone()),
            Rows::File { file, read } => {
                if let Some(rows) = read.get() {
                    return Ok(rows.clone());
                }
                let rows = Arc::new(file.read()?);
                Ok(read.get_or_init(|| rows).clone())
            }
        }
    }

    /// Where the windows of questions stand in their contexts, in order; `asked` are rows with their numbers. What was
    /// not kept is found again by making the windows once more, in parallel.
    pub(crate) fn window_places(
        &self,
        asked: &[(usize, &Example)],
    ) -> Result<Vec<Cow<'_, WindowPlaces>>, TokenizerError> {
        let all: Vec<Result<Cow<'_, WindowPlaces>, TokenizerError>> = asked
            .par_iter()
            .map(|(number, row)| {
                if let Some(places) = self.kept_places(*number) {
                    return Ok(Cow::Borrowed(places));
                }
                let (_, places) = windows(
                    &self.tokenizer,
                    &row.text_a,
                    row.text_b.as_deref().unwrap_or_default(),
                    &[],
                    self.max_length,
                    self.doc_stride,
                )?;
                Ok(Cow::Owned(places))
            })
            .collect();
        all.into_iter().collect()
    }

    fn kept_places(&self, row: usize) -> Option<&WindowPlaces> {
        match &self.rows {
            Rows::Held { places, .. } => places.get(&row),
            Rows::File { .. } => None,
        }
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
