//! The weight files of a Hugging Face folder: one, or shards with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::WeightError;
use super::file::WeightFile;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Opens all weight files of `dir`.
pub(crate) fn open_folder(dir: &Path) -> Result<Vec<WeightFile>, WeightError> {
    let single = dir.join(SINGLE);
    if single.exists() {
        return Ok(vec![WeightFile::open(&single)?]);
    }
    let index_path = dir.join(INDEX);
    if index_path.exists() {
        return open_shards(dir, &index_path);
    }
    let fail = |problem: String| WeightError::NoWeights {
        dir: dir.to_path_buf(),
        problem,
    };
    if !dir.is_dir() {
        return Err(fail(
            "no such folder; give the folder of an encoder with config.json and \
             model.safetensors, or fetch one with `cargo xtask download model ID`"
                .into(),
        ));
    }
    let pickled = ["pytorch_model.bin", "pytorch_model.bin.index.json"]
        .iter()
        .any(|name| dir.join(name).exists());
    Err(fail(if pickled {
        format!(
            "only pickled weights (pytorch_model.bin) are here, which can run code and are never \
             loaded; save the model as {SINGLE} (transformers: save_pretrained) first"
        )
    } else {
        format!("neither {SINGLE} nor {INDEX} is here; the download may be incomplete")
    }))
}

fn open_shards(dir: &Path, index_path: &Path) -> Result<Vec<WeightFile>, WeightError> {
    let fail = |problem: String| WeightError::Format {
        path: index_path.to_path_buf(),
        problem,
    };
    let text = std::fs::read_to_string(index_path)
        .map_err(|source| WeightError::io("read the shard index", index_path, source))?;
    let index: Index = serde_json::from_str(&text)
        .map_err(|error| fail(format!("it is no shard index: {error}")))?;
    let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
    if names.is_empty() {
        return Err(fail("its weight_map is empty".into()));
    }
    let mut files = Vec::new();
    for name in names {
        // A shard lies in the folder itself; a name with a path in it could point anywhere.
        let plain = !name.is_empty() && !name.contains(['/', '\\']) && name != ".." && name != ".";
        if !plain {
            return Err(fail(format!(
                "the shard name {name:?} is not a plain file name"
            )));
        }
        files.push(WeightFile::open(&dir.join(name))?);
    }
    let mut holders: BTreeMap<&str, &Path> = BTreeMap::new();
    for file in &files {
        let shard = file
            .path()
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        for (name, _) in file.tensors() {
            if let Some(other) = holders.insert(name, file.path()) {
                return Err(fail(format!(
                    "tensor `{name}` is in two shards, {} and {}",
                    other.display(),
                    file.path().display()
                )));
            }
            match index.weight_map.get(name) {
                Some(listed) if listed == shard => {}
                Some(listed) => {
                    return Err(fail(format!(
                        "tensor `{name}` is listed in {listed}, but lies in {shard}"
                    )));
                }
                None => {
                    return Err(fail(format!("tensor `{name}` of {shard} is not listed")));
                }
            }
        }
    }
    if let Some((name, shard)) = index
        .weight_map
        .iter()
        .find(|(name, _)| !holders.contains_key(name.as_str()))
    {
        return Err(fail(format!(
            "tensor `{name}` is listed in {shard}, but is not there"
        )));
    }
    Ok(files)
}
