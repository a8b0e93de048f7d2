//! The shipped task files over real data.
//!
//! Runs when `CAMTL_DATA_DIR` names a folder with `MANIFEST.json` (rows per file) and the collections `glue/`,
//! `superglue/`, `mrqa/`, `ner/` and `nli/`; says so when it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use camtl_data::check::{CheckOptions, check_task};
use camtl_data::reader::read_split_with_report;
use camtl_data::{Example, FileFormat, LoadOptions, TaskKind, TaskSpec, TextTokenizer, load_task};
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
    let mut paths: Vec<PathBuf> = std::fs::read_dir(configs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| TaskSpec::from_file(path).unwrap())
        .collect()
}

#[test]
fn every_file_has_the_rows_of_the_manifest() {
    let Some(dir) = data_dir() else { return };
    let text = std::fs::read_to_string(dir.join("MANIFEST.json")).unwrap();
    let manifest: BTreeMap<String, Entry> = serde_json::from_str(&text).unwrap();
    let mut open: Vec<&String> = manifest.keys().collect();
    for spec in shipped() {
        for (split, source) in &spec.files {
            let folder = spec.folder.as_ref().unwrap();
            let name = folder.join(&source.path).display().to_string();
            let Some(entry) = manifest.get(&name) else {
                eprintln!("{name} is not in the manifest");
                continue;
            };
            let (examples, report) = read_split_with_report(&spec, &dir, split).unwrap();
            assert_eq!(
                (report.skipped_rows, report.skipped_labels),
                (0, 0),
                "{name}"
            );
            assert_eq!(report.rows, examples.len() as u64, "{name}");
            assert_eq!(rows(&spec, &examples), entry.rows, "{name}");
            assert!(
                examples.iter().all(|example| {
                    example.label.is_some() == source.labelled
                        && example.text_b.is_some() == spec.is_pair()
                }),
                "{name}"
            );
            open.retain(|path| **path != name);
        }
    }
    assert!(open.is_empty(), "no task file reads {open:?}");
}

/// Rows as the manifest counts them: passages in `MultiRC` and `ReCoRD`.
fn rows(spec: &TaskSpec, examples: &[Example]) -> u64 {
    if !matches!(spec.format, FileFormat::MultiRc | FileFormat::Record) {
        return examples.len() as u64;
    }
    let keys: BTreeSet<&str> = examples
        .iter()
        .map(|example| example.key.as_deref().unwrap())
        .collect();
    assert_eq!(keys.len(), examples.len(), "keys are distinct");
    // Answer options of the official files.
    assert!(
        spec.format == FileFormat::Record || matches!(examples.len(), 27_243 | 4_848),
        "{}",
        examples.len()
    );
    let passages: BTreeSet<&str> = keys
        .iter()
        .map(|key| key.split_once('-').unwrap().0)
        .collect();
    passages.len() as u64
}

#[test]
fn every_task_is_encoded_cached_and_summed_up() {
    let Some(dir) = data_dir() else { return };
    let alphabet: String = ('a'..='z').map(|c| format!("{c}\n##{c}\n")).collect();
    let vocab = format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{alphabet}");
    let tokenizer = TextTokenizer::from_vocab(&vocab, true).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        cache_dir: Some(cache.path().to_owned()),
        limit: Some(2000),
        ..LoadOptions::new(&dir, 128)
    };
    for spec in shipped() {
        if !(spec.files.keys()).any(|split| {
            spec.split_path(&dir, split)
                .is_some_and(|path| path.is_file())
        }) {
            eprintln!("{}: no file is there", spec.name);
            continue;
        }
        let found = check_task(&spec, None, &CheckOptions::new(&dir)).unwrap();
        assert!(found.is_sound(), "{}: {:?}", spec.name, found.problems);
        let fresh = load_task(&spec, &tokenizer, &options).unwrap();
        assert_eq!(
            load_task(&spec, &tokenizer, &options).unwrap(),
            fresh,
            "{}",
            spec.name
        );
        for (split, summary) in fresh.summary() {
            assert!(
                summary.max_length <= 128 * spec.kind.sequences_per_example() as u64
                    && summary.examples > 0,
                "{} {split}",
                spec.name
            );
            let classes = match spec.kind {
                TaskKind::Regression(_) | TaskKind::Tagging(_) | TaskKind::Span(_) => 0,
                _ => spec.kind.num_alternatives(),
            };
            if spec.files[&split].labelled {
                assert_eq!(summary.label_counts.len(), classes, "{} {split}", spec.name);
            }
        }
    }
}
