//! A model's files from the Hugging Face hub, a mirror of it, or a folder.
//!
//! The hub's list of files ([`crate::hub`]) says which weights there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use super::Options;
use crate::datasets::record::{Entry, SourceEntry};
use crate::datasets::{folder, obtain::Origin};
use crate::disk::{self, writing};
use crate::error::failure;
use crate::fetch::{Fetcher, Request};
use crate::hub::{Hub, Kind, Repository};
use crate::workspace::{human_bytes, shown};

/// Files that are taken if the model has them.
const OPTIONAL: [&str; 6] = [
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The shards of a model too large for one file.
#[derive(Debug, Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// Fetches the model's files into `staged`, keeping what an earlier try left there.
pub(super) fn fill(options: &Options, staged: &Path, fetcher: &Fetcher) -> anyhow::Result<Entry> {
    match Origin::parse(options.from.as_deref())? {
        Origin::Folder(from) => from_folder(&options.id, &from, staged),
        Origin::Mirror(base) => from_mirror(&options.id, &base, staged, fetcher),
        Origin::Official => from_hub(options, staged, fetcher),
    }
}

fn from_hub(options: &Options, staged: &Path, fetcher: &Fetcher) -> anyhow::Result<Entry> {
    let id = &options.id;
    let hub = Repository::list(
        &Hub::from_environment(),
        Kind::Model,
        id,
        &options.revision,
        fetcher,
    )?;
    let names = hub.names();
    let mut wanted: Vec<String> = vec![required(id, &names, "config.json")?];
    wanted.extend(
        OPTIONAL
            .iter()
            .filter(|f| names.contains(**f))
            .map(|f| (*f).to_owned()),
    );
    if !wanted
        .iter()
        .any(|f| f.starts_with("vocab.") || f == "tokenizer.json")
    {
        return Err(no_vocabulary(id));
    }
    let mut entry = Entry::default();
    if names.contains(SINGLE) {
        wanted.push(SINGLE.to_owned());
    } else if names.contains(INDEX) {
        hub.fetch(INDEX, &staged.join(INDEX), fetcher, &mut entry)?;
        wanted.extend(shards(&staged.join(INDEX))?);
    } else {
        return Err(no_safetensors(id, &names));
    }
    let total = hub.bytes_of(&wanted);
    disk::require_free(staged, total, id)?;
    eprintln!(
        "{id}: downloading {} from {}",
        human_bytes(total),
        hub.place()
    );
    for name in &wanted {
        hub.fetch(name, &staged.join(name), fetcher, &mut entry)?;
    }
    Ok(entry)
}

/// `BASE/config.json`, ...: any server that has the files under their names.
fn from_mirror(id: &str, base: &str, staged: &Path, fetcher: &Fetcher) -> anyhow::Result<Entry> {
    let mut entry = Entry::default();
    // True if the mirror has the file.
    let mut get = |name: &str| {
        let request = Request {
            url: format!("{base}/{name}"),
            destination: staged.join(name),
            ..Request::default()
        };
        let fetched = fetcher.fetch_if_there(&request)?;
        let there = fetched.is_some();
        entry.sources.extend(fetched.map(|fetched| SourceEntry {
            from: request.url,
            sha256: fetched.sha256,
            bytes: fetched.bytes,
            verified: false,
        }));
        anyhow::Ok(there)
    };
    eprintln!(
        "{id}: downloading from {base}; its files cannot be verified, so their SHA-256 are noted"
    );
    let mut names = BTreeSet::new();
    for name in ["config.json"].iter().chain(&OPTIONAL) {
        if get(name)? {
            names.insert(*name);
        }
    }
    required(base, &names, "config.json")?;
    if get(SINGLE)? {
        names.insert(SINGLE);
    } else if get(INDEX)? {
        names.insert(INDEX);
        for shard in shards(&staged.join(INDEX))? {
            anyhow::ensure!(
                get(&shard)?,
                "{base} has the index of the weights, but not {shard}"
            );
        }
    } else {
        return Err(no_safetensors(base, &names));
    }
    if !super::is_complete(staged) {
        return Err(no_vocabulary(base));
    }
    Ok(entry)
}

fn from_folder(id: &str, from: &Path, staged: &Path) -> anyhow::Result<Entry> {
    let names: Vec<String> = fs::read_dir(from)
        .with_context(|| format!("cannot list {}", shown(from)))?
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut wanted = vec![required(id, &names, "config.json")?];
    wanted.extend(
        OPTIONAL
            .iter()
            .filter(|f| names.contains(**f))
            .map(|f| (*f).to_owned()),
    );
    if names.contains(SINGLE) {
        wanted.push(SINGLE.to_owned());
    } else if names.contains(INDEX) {
        wanted.push(INDEX.to_owned());
        wanted.extend(shards(&from.join(INDEX))?);
    } else {
        return Err(no_safetensors(id, &names));
    }
    disk::remove_if_there(staged)?;
    writing(fs::create_dir_all(staged), staged)?;
    for name in &wanted {
        folder::copy(&from.join(name), &staged.join(name))?;
    }
    if !super::is_complete(staged) {
        return Err(no_vocabulary(id));
    }
    let mut entry = Entry::default();
    let list: Vec<&str> = wanted.iter().map(String::as_str).collect();
    entry.hash_files(staged, &list)?;
    entry.sources = entry
        .files
        .iter()
        .map(|(name, file)| SourceEntry {
            from: from.join(name).display().to_string(),
            sha256: file.sha256.clone(),
            bytes: file.bytes,
            verified: false,
        })
        .collect();
    Ok(entry)
}

/// The shard files an index names; each must be a plain file name.
fn shards(index: &Path) -> anyhow::Result<Vec<String>> {
    let text =
        fs::read_to_string(index).with_context(|| format!("cannot read {}", shown(index)))?;
    let index: Index = serde_json::from_str(&text)
        .with_context(|| format!("{} is no index of safetensors shards", shown(index)))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    for name in &names {
        let plain = PathBuf::from(name)
            .file_name()
            .is_some_and(|f| f.to_str() == Some(name.as_str()));
        if !plain || !name.ends_with(".safetensors") {
            return Err(failure(
                format!(
                    "the index of safetensors shards names {name:?}, which is no safetensors file beside it"
                ),
                "nothing was placed; get the model from another source (--from)",
            ));
        }
    }
    Ok(names.into_iter().collect())
}

fn required(id: &str, names: &BTreeSet<&str>, file: &str) -> anyhow::Result<String> {
    if names.contains(file) {
        return Ok(file.to_owned());
    }
    Err(failure(
        format!("{id} has no {file}; its files are {}", some_of(names)),
        "camtl needs a folder that Hugging Face transformers can load: name another model",
    ))
}

fn no_vocabulary(id: &str) -> anyhow::Error {
    failure(
        format!("{id} has neither tokenizer.json nor vocab.txt"),
        "without its vocabulary text cannot be encoded: name another model or source",
    )
}

fn no_safetensors(id: &str, names: &BTreeSet<&str>) -> anyhow::Error {
    failure(
        format!(
            "{id} has no safetensors weights; its files are {}",
            some_of(names)
        ),
        "pickled weights (.bin) are never read because reading them runs code: try --revision refs/pr/1, \
         where the hub's converter often leaves safetensors, or convert the model once with transformers' \
         save_pretrained(safe_serialization=True) and give that folder with --from",
    )
}

fn some_of(names: &BTreeSet<&str>) -> String {
    let shown: Vec<&str> = names.iter().take(12).copied().collect();
    let more = names.len().saturating_sub(shown.len());
    if more > 0 {
        format!("{} and {more} more", shown.join(", "))
    } else {
        shown.join(", ")
    }
}
