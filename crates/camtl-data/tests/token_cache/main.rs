//! The token cache: what it gives back, when it is made anew, and that nothing damaged or foreign is ever trusted.

mod recorded_events;

use std::fs;
use std::path::{Path, PathBuf};

use camtl_data::{
    DataError, EncodedSplit, Label, LoadOptions, TaskDataset, TaskSpec, TextTokenizer, load_task,
};
use recorded_events::warnings_of;

const VOCAB: &str = include_str!("../fixtures/tokenize/vocab.txt");

fn spec() -> TaskSpec {
    TaskSpec::from_toml(
        r#"
        name = "pairs"
        kind = "classification"
        labels = ["no", "yes"]
        metrics = ["accuracy"]
        format = "tsv"
        fields = { text_a = "a", text_b = "b", label = "label" }

        [files]
        train = "train.tsv"
        dev = "dev.tsv"
        test = { path = "test.tsv", labelled = false }
        "#,
        "pairs.toml",
    )
    .unwrap()
}

fn scores() -> TaskSpec {
    TaskSpec::from_toml(
        r#"
        name = "scores"
        kind = "regression"
        range = [-1.0, 1.0]
        metrics = ["pearson"]
        format = "tsv"
        header = false
        fields = { text_a = 0, label = 1 }
        files = { train = "scores.tsv" }
        "#,
        "scores.toml",
    )
    .unwrap()
}

/// A folder with data and a cache beside it.
struct Place {
    dir: tempfile::TempDir,
    tokenizer: TextTokenizer,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rows = |n: usize| -> String {
            (0..n)
                .map(|i| {
                    let label = ["no", "yes"][i % 2];
                    format!("{}\ta boat {i}\t{label}\n", "rain ".repeat(i % 9 + 1))
                })
                .collect()
        };
        fs::write(
            dir.path().join("train.tsv"),
            format!("a\tb\tlabel\n{}", rows(40)),
        )
        .unwrap();
        fs::write(
            dir.path().join("dev.tsv"),
            format!("a\tb\tlabel\n{}", rows(7)),
        )
        .unwrap();
        fs::write(dir.path().join("test.tsv"), "a\tb\nthe rain\tfalls\n").unwrap();
        fs::write(dir.path().join("scores.tsv"), "rain\t-0.25\nboat\t1\n").unwrap();
        Self {
            dir,
            tokenizer: TextTokenizer::from_vocab(VOCAB, true).unwrap(),
        }
    }

    fn cache_dir(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn options(&self) -> LoadOptions {
        LoadOptions {
            cache_dir: Some(self.cache_dir()),
            ..LoadOptions::new(self.dir.path(), 16)
        }
    }

    fn load(&self, options: &LoadOptions) -> (TaskDataset, Vec<String>) {
        warnings_of(|| load_task(&spec(), &self.tokenizer, options).unwrap())
    }

    /// The dataset as it is without any cache.
    fn fresh(&self) -> TaskDataset {
        load_task(
            &spec(),
            &self.tokenizer,
            &LoadOptions::new(self.dir.path(), 16),
        )
        .unwrap()
    }

    fn cache_file(&self, split: &str) -> PathBuf {
        let mut files = self.cache_files();
        files.retain(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&format!("pairs.{split}."))
        });
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    fn cache_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.cache_dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }
}

fn all_mapped(dataset: &TaskDataset) -> bool {
    dataset.splits.values().all(EncodedSplit::is_mapped)
}

#[test]
fn cached_tokens_are_those_of_a_fresh_encoding() {
    let place = Place::new();
    let fresh = place.fresh();
    assert!(!all_mapped(&fresh));
    let (first, warnings) = place.load(&place.options());
    assert!(warnings.is_empty(), "{warnings:?}");
    let (second, _) = place.load(&place.options());
    assert_eq!(fresh, first);
    assert_eq!(fresh, second);
    assert!(all_mapped(&first) && all_mapped(&second));
    assert_eq!(
        place.cache_files().len(),
        3,
        "one file per split and nothing left over"
    );

    let train = second.split("train").unwrap();
    assert_eq!((train.len(), train.is_empty()), (40, false));
    assert_eq!(train.get(3).label, Some(Label::Class(1)));
    assert_eq!(
        train.iter().map(|example| example.len()).sum::<usize>(),
        train.num_tokens()
    );
    assert_eq!(second.split("test").unwrap().get(0).label, None);
    assert_eq!(second.summary()["train"], fresh.summary()["train"]);
}

#[test]
fn scores_survive_bit_for_bit() {
    let place = Place::new();
    for _ in 0..2 {
        let dataset = load_task(&scores(), &place.tokenizer, &place.options()).unwrap();
        let labels = dataset.split("train").unwrap().labels().to_vec();
        assert_eq!(labels, [Some(Label::Score(-0.25)), Some(Label::Score(1.0))]);
    }
}

#[test]
fn a_second_load_does_not_write() {
    let place = Place::new();
    place.load(&place.options());
    let stamp = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = place.cache_files().iter().map(|path| stamp(path)).collect();
    place.load(&place.options());
    let after: Vec<_> = place.cache_files().iter().map(|path| stamp(path)).collect();
    assert_eq!(before, after);
}

#[test]
fn whatever_decides_the_tokens_is_in_the_key() {
    let place = Place::new();
    let train = LoadOptions {
        splits: vec!["train".into()],
        ..place.options()
    };
    let mut seen = 0;
    let mut expect_new =
        |what: &str, spec: &TaskSpec, tokenizer: &TextTokenizer, options: &LoadOptions| {
            let (dataset, warnings) = warnings_of(|| load_task(spec, tokenizer, options).unwrap());
            let uncached = LoadOptions {
                cache_dir: None,
                ..options.clone()
            };
            assert_eq!(
                dataset,
                load_task(spec, tokenizer, &uncached).unwrap(),
                "{what}"
            );
            assert!(warnings.is_empty(), "{what}: {warnings:?}");
            seen += 1;
            assert_eq!(
                place.cache_files().len(),
                seen,
                "{what} must have a file of its own"
            );
        };
    expect_new("the first", &spec(), &place.tokenizer, &train);
    expect_new(
        "another length",
        &spec(),
        &place.tokenizer,
        &LoadOptions {
            max_length: 12,
            ..train.clone()
        },
    );
    expect_new(
        "a limit",
        &spec(),
        &place.tokenizer,
        &LoadOptions {
            limit: Some(5),
            ..train.clone()
        },
    );
    let cased = TextTokenizer::from_vocab(VOCAB, false).unwrap();
    expect_new("another tokenizer", &spec(), &cased, &train);
    let mut swapped = spec();
    swapped.fields.text_b = Some(swapped.fields.text_a.clone());
    expect_new("other columns", &swapped, &place.tokenizer, &train);
    let mut relabelled = spec();
    relabelled.kind = camtl_data::TaskKind::Classification(camtl_data::kinds::Classification {
        labels: vec!["yes".into(), "no".into()],
    });
    expect_new("other labels", &relabelled, &place.tokenizer, &train);
    let data = place.dir.path().join("train.tsv");
    fs::write(
        &data,
        fs::read_to_string(&data).unwrap().replace("boat", "ship"),
    )
    .unwrap();
    expect_new("other data", &spec(), &place.tokenizer, &train);
}

#[test]
fn every_flipped_byte_is_noticed() {
    let place = Place::new();
    let options = LoadOptions {
        splits: vec!["dev".into()],
        ..place.options()
    };
    let fresh = place.fresh().splits["dev"].clone();
    place.load(&options);
    let path = place.cache_file("dev");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        let (dataset, warnings) = place.load(&options);
        assert_eq!(dataset.splits["dev"], fresh, "byte {at}");
        assert_eq!(warnings.len(), 1, "byte {at}: {warnings:?}");
        assert!(
            warnings[0].contains("rebuilt") && warnings[0].contains("pairs.dev."),
            "{warnings:?}"
        );
        assert_eq!(
            fs::read(&path).unwrap(),
            good,
            "byte {at} is mended on disk"
        );
    }
}

#[test]
fn truncated_lengthened_and_empty_files_are_rebuilt() {
    let place = Place::new();
    let options = LoadOptions {
        splits: vec!["dev".into()],
        ..place.options()
    };
    let fresh = place.fresh().splits["dev"].clone();
    place.load(&options);
    let path = place.cache_file("dev");
    let good = fs::read(&path).unwrap();
    let longer = [good.as_slice(), &[0; 8]].concat();
    let lengths = [
        0,
        1,
        7,
        8,
        47,
        48,
        80,
        127,
        151,
        152,
        153,
        good.len() / 2,
        good.len() - 8,
        good.len() - 1,
    ];
    let damaged = lengths
        .iter()
        .map(|length| good[..*length].to_vec())
        .chain([longer]);
    for bad in damaged {
        fs::write(&path, &bad).unwrap();
        let (dataset, warnings) = place.load(&options);
        assert_eq!(dataset.splits["dev"], fresh, "{} bytes", bad.len());
        assert_eq!(warnings.len(), 1, "{} bytes", bad.len());
    }
}

#[test]
fn absurd_counts_with_a_sound_checksum_are_refused() {
    use sha2::{Digest, Sha256};
    let place = Place::new();
    let options = LoadOptions {
        splits: vec!["dev".into()],
        ..place.options()
    };
    let fresh = place.fresh().splits["dev"].clone();
    place.load(&options);
    let path = place.cache_file("dev");
    let good = fs::read(&path).unwrap();
    let forge = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let digest = Sha256::new()
            .chain_update(&bytes[..48])
            .chain_update(&bytes[80..])
            .finalize();
        bytes[48..80].copy_from_slice(&digest);
        fs::write(&path, bytes).unwrap();
        let (dataset, warnings) = place.load(&options);
        assert_eq!(dataset.splits["dev"], fresh);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        warnings.into_iter().next().unwrap()
    };
    let put = |bytes: &mut Vec<u8>, at: usize, word: u64| {
        bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
    };
    for count in [u64::MAX, u64::MAX / 8, 1 << 40, 8, 0] {
        for at in [80, 88, 96, 104, 112] {
            // These are the true ones.
            if count == 0 && at > 88 {
                continue;
            }
            let warning = forge(&|bytes| put(bytes, at, count));
            assert!(
                ["expected", "cannot be", "not of this task"]
                    .iter()
                    .any(|word| warning.contains(word)),
                "{warning}"
            );
        }
    }
    for (index, offset) in [(0, 1), (1, u64::MAX), (2, 1 << 33), (7, 0), (7, u64::MAX)] {
        let warning = forge(&|bytes| put(bytes, 152 + 8 * index, offset));
        assert!(warning.contains("offsets do not cover"), "{warning}");
    }
    let examples = fresh.len();
    let kinds = 152 + 8 * (examples + 1) + 8 * examples;
    let warning = forge(&|bytes| bytes[kinds] = 9);
    assert!(warning.contains("not of this task"), "{warning}");
    let warning = forge(&|bytes| bytes[kinds + examples.next_multiple_of(8)] = 200);
    assert!(
        warning.contains("not of this task"),
        "class 200 of 2: {warning}"
    );
    let warning = forge(&|bytes| bytes[8] ^= 0xff);
    assert!(warning.contains("format version"), "{warning}");
}

#[test]
fn swapped_and_foreign_files_are_not_trusted() {
    let place = Place::new();
    let fresh = place.fresh();
    place.load(&place.options());
    let (train, dev) = (place.cache_file("train"), place.cache_file("dev"));
    let (of_train, of_dev) = (fs::read(&train).unwrap(), fs::read(&dev).unwrap());
    fs::write(&train, of_dev).unwrap();
    fs::write(&dev, of_train).unwrap();
    let (dataset, warnings) = place.load(&place.options());
    assert_eq!(dataset, fresh);
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("made for other data"), "{warnings:?}");

    fs::write(&dev, "PK\u{3}\u{4} something else altogether".repeat(20)).unwrap();
    let (dataset, warnings) = place.load(&place.options());
    assert_eq!(dataset, fresh);
    assert!(warnings[0].contains("wrong magic"), "{warnings:?}");
}

#[test]
fn a_mapped_split_outlives_the_replacement_of_its_file() {
    let place = Place::new();
    let (dataset, _) = place.load(&place.options());
    let fresh = place.fresh();
    for path in place.cache_files() {
        fs::remove_file(path).unwrap();
    }
    place.load(&place.options());
    assert_eq!(dataset, fresh);
}

#[test]
fn listed_splits_must_be_there_and_others_are_optional() {
    let place = Place::new();
    fs::remove_file(place.dir.path().join("test.tsv")).unwrap();
    let (dataset, _) = place.load(&place.options());
    assert_eq!(dataset.splits.keys().collect::<Vec<_>>(), ["dev", "train"]);

    let load = |splits: &[&str]| {
        let splits = splits.iter().map(|split| (*split).to_owned()).collect();
        load_task(
            &spec(),
            &place.tokenizer,
            &LoadOptions {
                splits,
                ..place.options()
            },
        )
    };
    assert_eq!(load(&["dev"]).unwrap().splits.len(), 1);
    let message = load(&["train", "test"]).unwrap_err().to_string();
    assert!(
        message.contains("test.tsv") && message.contains("check the data folder"),
        "{message}"
    );
    let message = load(&["train", "dve"]).unwrap_err().to_string();
    assert!(message.contains("did you mean `dev`"), "{message}");

    let nowhere = LoadOptions::new(place.dir.path().join("nowhere"), 16);
    let error = load_task(&spec(), &place.tokenizer, &nowhere).unwrap_err();
    assert!(matches!(error, DataError::NoFiles { .. }));
    assert!(
        error
            .to_string()
            .contains("`dev.tsv`, `test.tsv` or `train.tsv`"),
        "{error}"
    );
}

#[test]
fn the_limit_cuts_only_the_train_split() {
    let place = Place::new();
    for _ in 0..2 {
        let (dataset, _) = place.load(&LoadOptions {
            limit: Some(3),
            ..place.options()
        });
        let lengths: Vec<usize> = dataset.splits.values().map(EncodedSplit::len).collect();
        assert_eq!(lengths, [7, 1, 3], "dev, test, train");
    }
}

#[test]
fn a_cache_folder_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    fs::write(place.cache_dir(), "a file where the folder should be").unwrap();
    let error = load_task(&spec(), &place.tokenizer, &place.options()).unwrap_err();
    assert!(matches!(error, DataError::Io { .. }));
    assert!(
        error
            .to_string()
            .starts_with("cannot create the token cache folder"),
        "{error}"
    );
    assert_eq!(
        fs::read(place.cache_dir()).unwrap(),
        b"a file where the folder should be"
    );
}

#[test]
fn problems_in_the_data_leave_no_cache_behind() {
    let place = Place::new();
    fs::write(
        place.dir.path().join("dev.tsv"),
        "a\tb\tlabel\nrain\tboat\tmaybe\n",
    )
    .unwrap();
    let options = LoadOptions {
        splits: vec!["dev".into()],
        ..place.options()
    };
    let message = load_task(&spec(), &place.tokenizer, &options)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("dev.tsv:2: column `label` (position 2): unknown label `maybe`"),
        "{message}"
    );
    assert!(!place.cache_dir().exists() || place.cache_files().is_empty());
}

#[test]
fn skipped_rows_and_truncation_are_reported_with_and_without_cache() {
    let place = Place::new();
    let mut spec = spec();
    spec.malformed_rows = camtl_data::MalformedRows::Skip;
    let text = format!(
        "a\tb\tlabel\nbroken\n{}\tboat\tyes\n\tboat\tno\n",
        "rain ".repeat(50)
    );
    fs::write(place.dir.path().join("dev.tsv"), text).unwrap();
    for (cache_dir, reads_the_file) in [
        (None, true),
        (Some(place.cache_dir()), true),
        (Some(place.cache_dir()), false),
    ] {
        let options = LoadOptions {
            splits: vec!["dev".into()],
            cache_dir,
            ..LoadOptions::new(place.dir.path(), 16)
        };
        let (dataset, warnings) =
            warnings_of(|| load_task(&spec, &place.tokenizer, &options).unwrap());
        let summary = dataset.summary().remove("dev").unwrap();
        assert_eq!(
            (summary.examples, summary.skipped_rows, summary.empty_texts),
            (2, 1, 1)
        );
        assert_eq!((summary.truncated, summary.max_length), (1, 16));
        assert_eq!(summary.label_counts.values().sum::<u64>(), 2);
        if reads_the_file {
            assert!(
                warnings
                    .iter()
                    .any(|warning| warning.contains("malformed rows left out")),
                "{warnings:?}"
            );
        }
    }
}

#[test]
fn loading_the_same_task_at_once_leaves_one_sound_file() {
    let place = Place::new();
    let fresh = place.fresh();
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| load_task(&spec(), &place.tokenizer, &place.options()).unwrap())
            })
            .collect();
        for load in loads {
            assert_eq!(load.join().unwrap(), fresh);
        }
    });
    assert_eq!(place.cache_files().len(), 3);
}
