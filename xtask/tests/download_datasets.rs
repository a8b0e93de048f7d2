//! Whole data sets: from a mirror, from folders, interrupted, damaged, and over old files.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use support::{Answer, Server, sha256, stderr, tree, xtask, zip_of};
use tempfile::TempDir;
use xtask::datasets::catalogue::{Collection, DataSet, Recipe, Source};
use xtask::datasets::obtain::{self, Form, Options, Origin};
use xtask::error::render;
use xtask::fetch::Fetcher;

const FILES: &[&str] = &["train.tsv", "dev.tsv"];

fn leak<T: ?Sized>(value: Box<T>) -> &'static T {
    Box::leak(value)
}

fn source(name: &str, content: &[u8]) -> Source {
    Source {
        url: leak(format!("https://official.example/{name}").into_boxed_str()),
        bytes: content.len() as u64,
        sha256: leak(sha256(content).into_boxed_str()),
    }
}

fn set(name: &'static str, folder: &'static str, sources: Vec<Source>, recipe: Recipe) -> DataSet {
    DataSet {
        name,
        folder,
        sources: leak(sources.into_boxed_slice()),
        files: FILES,
        recipe,
    }
}

fn collection(sets: Vec<DataSet>) -> Collection {
    Collection {
        name: "toy",
        title: "Toy",
        folder: "toy",
        sets: leak(sets.into_boxed_slice()),
    }
}

fn toy_zip() -> Vec<u8> {
    zip_of(&[
        ("A/train.tsv", b"1\tx\n"),
        ("A/dev.tsv", b"0\ty\n"),
        ("A/extra.txt", b"not wanted"),
    ])
}

fn toy(zip: &[u8]) -> Collection {
    collection(vec![set(
        "A",
        "toy/A",
        vec![source("A.zip", zip)],
        Recipe::Zip("A"),
    )])
}

fn run(collection: &Collection, data: &Path, origin: Origin, unpinned: bool) -> Result<(), String> {
    let options = Options {
        data: data.to_path_buf(),
        form: Form::Official,
        origin,
        unpinned,
        only: Vec::new(),
    };
    let fetcher = Fetcher::from_environment()
        .expect("a client")
        .with_patience(2, Duration::from_millis(1));
    obtain::collection(collection, &options, &fetcher).map_err(|e| render(&e))
}

/// What users see: no working folder.
fn visible(data: &Path) -> Vec<String> {
    tree(data)
        .into_iter()
        .filter(|n| !n.starts_with(".download"))
        .collect()
}

#[test]
fn a_mirror_is_asked_for_the_file_and_the_result_is_placed_and_recorded() {
    let zip = toy_zip();
    let body = zip.clone();
    let server = Server::start(move |asked, _| match asked.path.as_str() {
        "/glue/A.zip" => Answer::ranged(&body, asked, "1"),
        _ => Answer::status(404),
    });
    let dir = TempDir::new().expect("a folder");
    let origin = Origin::parse(Some(&format!("{}/glue/", server.url))).expect("a mirror");
    run(&toy(&zip), dir.path(), origin.clone(), false).expect("obtained");
    assert_eq!(
        visible(dir.path()),
        [
            "toy/",
            "toy/A/",
            "toy/A/dev.tsv",
            "toy/A/train.tsv",
            "toy/download.json"
        ]
    );
    assert_eq!(
        fs::read(dir.path().join("toy/A/train.tsv")).expect("a file"),
        b"1\tx\n"
    );
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("toy/download.json")).expect("a record"))
            .expect("JSON");
    assert_eq!(record["A"]["sources"][0]["sha256"], sha256(&zip));
    assert_eq!(record["A"]["sources"][0]["verified"], true);
    assert_eq!(
        record["A"]["files"]["train.tsv"]["sha256"],
        sha256(b"1\tx\n")
    );
    // Archives and parts are gone, and a second run asks nobody.
    assert_eq!(tree(&dir.path().join(".download")), ["toy.lock", "toy/"]);
    run(&toy(&zip), dir.path(), origin, false).expect("there already");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn hostile_archives_and_wrong_files_leave_no_data_set() {
    let climbing = zip_of(&[
        ("A/train.tsv", b"1\tx\n"),
        ("A/dev.tsv", b"0\ty\n"),
        ("../../../evil", b"evil"),
    ]);
    let lacking = zip_of(&[("A/train.tsv", b"1\tx\n")]);
    for (zip, expected) in [
        (climbing, "climbs out of the archive's folder"),
        (lacking, "has no entry \"A/dev.tsv\""),
        (b"<html>".to_vec(), "not a whole zip archive"),
    ] {
        let body = zip.clone();
        let server = Server::start(move |asked, _| Answer::ranged(&body, asked, "1"));
        let dir = TempDir::new().expect("a folder");
        let data = dir.path().join("deep/data");
        let error =
            run(&toy(&zip), &data, Origin::Mirror(server.url.clone()), false).expect_err("refused");
        assert!(
            error.contains("cannot obtain A") && error.contains(expected),
            "{error}"
        );
        assert_eq!(visible(&data), [""; 0]);
        assert!(!tree(dir.path()).iter().any(|n| n.contains("evil")));
    }
    // Another file than the pinned one: named, refused, and accepted only on request.
    let other = zip_of(&[("A/train.tsv", b"other\n"), ("A/dev.tsv", b"other\n")]);
    let body = other.clone();
    let server = Server::start(move |asked, _| Answer::ranged(&body, asked, "1"));
    let dir = TempDir::new().expect("a folder");
    let error = run(
        &toy(&toy_zip()),
        dir.path(),
        Origin::Mirror(server.url.clone()),
        false,
    )
    .expect_err("other");
    assert!(
        error.contains("A.zip announces") && error.contains("--unpinned"),
        "{error}"
    );
    assert_eq!(visible(dir.path()), [""; 0]);
    run(
        &toy(&toy_zip()),
        dir.path(),
        Origin::Mirror(server.url.clone()),
        true,
    )
    .expect("on request");
    let record = fs::read_to_string(dir.path().join("toy/download.json")).expect("a record");
    assert!(
        record.contains("\"verified\": false") && record.contains(&sha256(&other)),
        "{record}"
    );
}

#[test]
fn an_old_folder_is_replaced_only_by_a_whole_one() {
    let dir = TempDir::new().expect("a folder");
    let old = dir.path().join("toy/A");
    fs::create_dir_all(&old).expect("a folder");
    fs::write(old.join("train.tsv"), "old").expect("a file");
    let zip = toy_zip();
    let body = zip.clone();
    let server = Server::start(move |asked, number| {
        let answer = Answer::ranged(&body, asked, "1");
        if number < 2 { answer.cut_at(0) } else { answer }
    });
    run(
        &toy(&zip),
        dir.path(),
        Origin::Mirror(server.url.clone()),
        false,
    )
    .expect_err("cut off");
    assert_eq!(
        fs::read(old.join("train.tsv")).expect("still there"),
        b"old"
    );
    run(
        &toy(&zip),
        dir.path(),
        Origin::Mirror(server.url.clone()),
        false,
    )
    .expect("obtained");
    assert_eq!(fs::read(old.join("train.tsv")).expect("new"), b"1\tx\n");
    assert_eq!(
        visible(dir.path()),
        [
            "toy/",
            "toy/A/",
            "toy/A/dev.tsv",
            "toy/A/train.tsv",
            "toy/download.json"
        ]
    );
}

#[test]
fn folders_may_hold_archives_or_files() {
    let zip = toy_zip();
    let source = TempDir::new().expect("a folder");
    fs::write(source.path().join("A.zip"), &zip).expect("the archive");
    let dir = TempDir::new().expect("a folder");
    run(
        &toy(&zip),
        dir.path(),
        Origin::Folder(source.path().into()),
        false,
    )
    .expect("from an archive");
    assert!(dir.path().join("toy/A/dev.tsv").is_file());
    assert!(
        source.path().join("A.zip").is_file(),
        "the user's file stays"
    );
    // A damaged archive in the folder.
    fs::write(source.path().join("A.zip"), &zip[..100]).expect("the archive");
    let dir = TempDir::new().expect("a folder");
    let error = run(
        &toy(&zip),
        dir.path(),
        Origin::Folder(source.path().into()),
        false,
    )
    .expect_err("damaged");
    assert!(
        error.contains("A.zip") && error.contains("was expected"),
        "{error}"
    );
    assert_eq!(visible(dir.path()), [""; 0]);
    // Files in the official layout, one of them missing.
    fs::remove_file(source.path().join("A.zip")).expect("removed");
    fs::create_dir(source.path().join("A")).expect("a folder");
    fs::write(source.path().join("A/train.tsv"), "1\tx\n").expect("a file");
    run(
        &toy(&zip),
        dir.path(),
        Origin::Folder(source.path().into()),
        false,
    )
    .expect("from files");
    assert_eq!(
        visible(dir.path()),
        ["toy/", "toy/A/", "toy/A/train.tsv", "toy/download.json"]
    );
    // Nothing at all.
    let empty = TempDir::new().expect("a folder");
    let dir = TempDir::new().expect("a folder");
    let error = run(
        &toy(&zip),
        dir.path(),
        Origin::Folder(empty.path().into()),
        false,
    )
    .expect_err("nothing");
    assert!(
        error.contains("has nothing of A") && error.contains("A.zip") && error.contains("--only"),
        "{error}"
    );
}

#[test]
fn gzip_sets_with_equal_file_names_are_kept_apart() {
    use std::io::Write as _;
    let pack = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("packed");
        encoder.finish().expect("packed")
    };
    let (train, dev) = (pack(b"train\n"), pack(b"dev\n"));
    let sources = vec![
        source("v2/train/X.jsonl.gz", &train),
        source("v2/dev/X.jsonl.gz", &dev),
    ];
    let toy = collection(vec![set("X", "toy/X", sources, Recipe::Gzip)]);
    let server = Server::start(move |asked, _| match asked.path.as_str() {
        "/train/X.jsonl.gz" => Answer::ranged(&train, asked, "1"),
        "/dev/X.jsonl.gz" => Answer::ranged(&dev, asked, "1"),
        _ => Answer::status(404),
    });
    let dir = TempDir::new().expect("a folder");
    run(&toy, dir.path(), Origin::Mirror(server.url.clone()), false).expect("obtained");
    assert_eq!(
        fs::read(dir.path().join("toy/X/train.tsv")).expect("a file"),
        b"train\n"
    );
    assert_eq!(
        fs::read(dir.path().join("toy/X/dev.tsv")).expect("a file"),
        b"dev\n"
    );
}

/// The command itself, over a mirror whose files are not the official ones.
#[test]
fn the_command_downloads_glue_from_a_mirror() {
    let row = |label, a, b| format!("{label}\t{a}\t{b}\tone\ttwo\n");
    let head = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n";
    let train = format!("{head}{}{}", row(1, 10, 11), row(0, 20, 21));
    let test = format!("{head}{}", row(1, 30, 31));
    let server = Server::start(move |asked, _| {
        let body = match asked.path.as_str() {
            "/msr_paraphrase_train.txt" => train.clone().into_bytes(),
            "/msr_paraphrase_test.txt" => test.clone().into_bytes(),
            "/mrpc_dev_ids.tsv" => b"20\t21\n".to_vec(),
            "/RTE.zip" => zip_of(&[
                ("RTE/train.tsv", b"t"),
                ("RTE/dev.tsv", b"d"),
                ("RTE/test.tsv", b"x"),
            ]),
            _ => return Answer::status(404),
        };
        Answer::ranged(&body, asked, "1")
    });
    let dir = TempDir::new().expect("a folder");
    let download = |extra: &[&str]| {
        xtask(dir.path())
            .args([
                "download",
                "glue",
                "--dir",
                "mine",
                "--only",
                "mrpc,RTE",
                "--from",
                &server.url,
            ])
            .args(extra)
            .output()
            .expect("started")
    };
    let refused = download(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("msr_paraphrase_train.txt announces"),
        "{}",
        stderr(&refused)
    );
    let output = download(&["--unpinned"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.is_empty(), "progress goes to standard error");
    let glue = dir.path().join("mine/glue");
    assert_eq!(
        fs::read_to_string(glue.join("MRPC/dev.tsv")).expect("dev"),
        format!("{head}{}", row(0, 20, 21))
    );
    assert_eq!(
        fs::read_to_string(glue.join("MRPC/train.tsv")).expect("train"),
        format!("{head}{}", row(1, 10, 11))
    );
    let test = fs::read_to_string(glue.join("MRPC/test.tsv")).expect("test");
    assert_eq!(
        test,
        "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t30\t31\tone\ttwo\n"
    );
    assert_eq!(fs::read(glue.join("RTE/dev.tsv")).expect("dev"), b"d");
}

#[test]
fn options_that_do_not_go_together_are_told() {
    let dir = TempDir::new().expect("a folder");
    let refused = |arguments: &[&str], words: &str| {
        let output = xtask(dir.path())
            .arg("download")
            .args(arguments)
            .output()
            .expect("started");
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    };
    refused(&["superglue", "--source", "hub"], "only glue is");
    refused(&["glue", "--source", "pypi"], "no such source `pypi`");
    refused(&["glue", "--revision", "main"], "--revision belongs to");
    refused(
        &["glue", "--source", "hub", "--unpinned"],
        "--unpinned does not go with",
    );
}
