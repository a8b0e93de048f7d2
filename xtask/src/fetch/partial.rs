//! The unfinished half of a download: `NAME.part` and what is known of it.
//!
//! `NAME.part.json` remembers which address and which version (ETag) the bytes came from, so that a
//! later run continues the same file and never glues two together.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk;

/// What is known of a partial file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The address it is downloaded from.
    pub(super) url: String,
    /// The server's strong ETag, where it gave one.
    pub(super) etag: Option<String>,
    /// The SHA-256 the whole file must have, where it is known.
    pub(super) sha256: Option<String>,
}

/// The two files of one unfinished download.
#[derive(Debug, Clone)]
pub(super) struct Partial {
    /// The bytes so far.
    pub(super) path: PathBuf,
    note: PathBuf,
}

impl Partial {
    pub(super) fn beside(destination: &Path) -> Self {
        let mut name = destination.file_name().unwrap_or_default().to_os_string();
        name.push(".part");
        let path = destination.with_file_name(&name);
        name.push(".json");
        Self {
            path,
            note: destination.with_file_name(name),
        }
    }

    /// Bytes that may be continued for this request, and the ETag they belong to.
    ///
    /// Without an ETag or a known hash nothing proves that the rest would belong to the same file.
    pub(super) fn resumable(&self, url: &str, sha256: Option<&str>) -> (u64, Option<String>) {
        let length = fs::metadata(&self.path).map_or(0, |m| m.len());
        let origin = fs::read(&self.note)
            .ok()
            .and_then(|b| serde_json::from_slice::<Origin>(&b).ok());
        match origin {
            Some(origin)
                if length > 0
                    && origin.url == url
                    && origin.sha256.as_deref() == sha256
                    && (origin.etag.is_some() || sha256.is_some()) =>
            {
                (length, origin.etag)
            }
            _ => (0, None),
        }
    }

    pub(super) fn remember(&self, origin: &Origin) -> anyhow::Result<()> {
        disk::write_atomically(&self.note, &serde_json::to_vec(origin)?)
    }

    pub(super) fn discard(&self) -> anyhow::Result<()> {
        disk::remove_if_there(&self.path)?;
        self.forget()
    }

    pub(super) fn forget(&self) -> anyhow::Result<()> {
        disk::remove_if_there(&self.note)
    }
}
