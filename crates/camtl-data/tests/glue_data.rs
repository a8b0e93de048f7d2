//! The shipped task files over real GLUE data.
//!
//! Runs when `CAMTL_DATA_DIR` names a folder with `MANIFEST.json` (rows per file) and `glue/`; says so when it does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use camtl_data::reader::read_split_with_report;
use camtl_data::{LoadOptions, TaskSpec, TextTokenizer, load_task};
use serde::Deserialize;

#[derive(Deserialize)]
struct Entry {
    rows: u64,
}

fn data_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("CAMTL_DATA_DIR").map(PathBuf::from);
    if dir.is_none() {
        eprintln!("CAMTL_DATA_DIR is not set: the shipped task files are not tried on real data");
    }
    dir
}

fn shipped() -> Vec<TaskSpec> {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tasks");
    [
        "cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli", "ax",
    ]
    .iter()
    .map(|task| TaskSpec::from_file(configs.join(format!("{task}.toml"))).unwrap())
    .collect()
}

#[test]
fn every_file_of_glue_has_the_rows_of_the_manifest() {
    let Some(dir) = data_dir() else { return };
    let text = std::fs::read_to_string(dir.join("MANIFEST.json")).unwrap();
    let manifest: BTreeMap<String, Entry> = serde_json::from_str(&text).unwrap();
    let mut open: Vec<&String> = manifest
        .keys()
        .filter(|path| path.starts_with("glue/"))
        .collect();
    assert!(!open.is_empty(), "the manifest names no file of glue/");
    for spec in shipped() {
        for (split, source) in &spec.files {
            let name = format!("glue/{}", source.path.display());
            let Some(entry) = manifest.get(&name) else {
                eprintln!("{name} is not in the manifest");
                continue;
            };
            let (examples, report) =
                read_split_with_report(&spec, &dir.join("glue"), split).unwrap();
            assert_eq!(examples.len() as u64, entry.rows, "{name}");
            assert_eq!(
                (report.rows, report.skipped_rows),
                (entry.rows, 0),
                "{name}"
            );
            let labelled = examples
                .iter()
                .filter(|example| example.label.is_some())
                .count();
            assert_eq!(
                labelled,
                if source.labelled { examples.len() } else { 0 },
                "{name}"
            );
            assert!(
                examples
                    .iter()
                    .all(|example| example.text_b.is_some() == spec.is_pair())
            );
            open.retain(|path| **path != name);
        }
    }
    assert!(open.is_empty(), "no task file reads {open:?}");
}

#[test]
fn every_task_of_glue_is_encoded_cached_and_summed_up() {
    let Some(dir) = data_dir() else { return };
    let alphabet: String = ('a'..='z').map(|c| format!("{c}\n##{c}\n")).collect();
    let vocab = format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{alphabet}");
    let tokenizer = TextTokenizer::from_vocab(&vocab, true).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        cache_dir: Some(cache.path().to_owned()),
        limit: Some(2000),
        ..LoadOptions::new(dir.join("glue"), 128)
    };
    for spec in shipped() {
        let fresh = load_task(&spec, &tokenizer, &options).unwrap();
        assert_eq!(
            load_task(&spec, &tokenizer, &options).unwrap(),
            fresh,
            "{}",
            spec.name
        );
        for (split, summary) in fresh.summary() {
            assert!(
                summary.max_length <= 128 && summary.examples > 0,
                "{} {split}",
                spec.name
            );
            if spec.files[&split].labelled && !spec.kind.is_regression() {
                assert_eq!(
                    summary.label_counts.len(),
                    spec.kind.num_outputs(),
                    "{} {split}",
                    spec.name
                );
            }
        }
    }
}
