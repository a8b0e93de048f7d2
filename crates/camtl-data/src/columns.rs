//! The long columns of a split, in memory or mapped from a file of the cache.

use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;
use zerocopy::FromBytes;

/// The long columns, end to end: ids and segments of all tokens of a split, and what its kind adds.
#[derive(Clone, Debug)]
pub(crate) enum Tokens {
    Owned {
        input_ids: Arc<Vec<u32>>,
        token_type_ids: Arc<Vec<u8>>,
        extra: Arc<Vec<i32>>,
    },
    Mapped(Arc<MappedTokens>),
}

impl Tokens {
    pub(crate) fn input_ids(&self) -> &[u32] {
        match self {
            Self::Owned { input_ids, .. } => input_ids,
            Self::Mapped(tokens) => tokens.input_ids(),
        }
    }

    pub(crate) fn token_type_ids(&self) -> &[u8] {
        match self {
            Self::Owned { token_type_ids, .. } => token_type_ids,
            Self::Mapped(tokens) => tokens.token_type_ids(),
        }
    }

    pub(crate) fn extra(&self) -> &[i32] {
        match self {
            Self::Owned { extra, .. } => extra,
            Self::Mapped(tokens) => tokens.extra(),
        }
    }
}

/// The long columns of a mapped cache file.
#[derive(Debug)]
pub(crate) struct MappedTokens {
    pub(crate) map: Mmap,
    pub(crate) input_ids: Range<usize>,
    pub(crate) token_type_ids: Range<usize>,
    pub(crate) extra: Range<usize>,
}

impl MappedTokens {
    pub(crate) fn input_ids(&self) -> &[u32] {
        // Checked when the file was opened.
        column(&self.map, &self.input_ids).unwrap_or_default()
    }

    pub(crate) fn token_type_ids(&self) -> &[u8] {
        self.map
            .get(self.token_type_ids.clone())
            .unwrap_or_default()
    }

    pub(crate) fn extra(&self) -> &[i32] {
        column(&self.map, &self.extra).unwrap_or_default()
    }
}

pub(crate) fn column<'a, T>(bytes: &'a [u8], range: &Range<usize>) -> Result<&'a [T], String>
where
    T: FromBytes + zerocopy::Immutable,
{
    let bytes = bytes
        .get(range.clone())
        .ok_or("a column lies beyond the end of the file")?;
    <[T]>::ref_from_bytes(bytes).map_err(|_| "a column is not aligned".to_owned())
}
