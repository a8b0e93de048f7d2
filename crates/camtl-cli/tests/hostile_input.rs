//! Damaged and hostile files, through the command line: a message that names the place, the right exit
//! code, and nothing lost or half-made.

mod support;

use support::Dir;

#[test]
fn damaged_training_data_is_named_with_file_and_line() {
    let dir = Dir::with_project();
    let good = dir.read("data/mood/train.tsv");
    let with = |line: &[u8]| {
        let mut bytes = good.as_bytes().to_vec();
        bytes.extend_from_slice(line);
        bytes
    };
    for (bytes, texts) in [
        (
            with(b"warm river\n"),
            &[
                "data/mood/train.tsv:162",
                "1 tab-separated column(s), expected 2",
            ][..],
        ),
        (
            with(b"warm\triver\tpos\n"),
            &["data/mood/train.tsv:162", "3 tab-separated"],
        ),
        (
            with(b"warm river\tgood\n"),
            &["data/mood/train.tsv:162", "unknown label `good`", "pos"],
        ),
        (
            with(b"warm \xff river\tpos\n"),
            &["data/mood/train.tsv:162", "UTF-8"],
        ),
        (
            b"text\tlabel\n".to_vec(),
            &["data/mood/train.tsv", "no rows"],
        ),
        (b"".to_vec(), &["data/mood/train.tsv"]),
        (
            b"txt\tlabel\nwarm\tpos\n".to_vec(),
            &["data/mood/train.tsv:1", "no column `text`"],
        ),
    ] {
        dir.write("data/mood/train.tsv", bytes);
        dir.run(["train", "run.toml", "--run", "r"])
            .fails_with(1, texts);
        assert!(!dir.path("r").exists(), "no run folder is left");
    }
    // A quote is a character like any other.
    dir.write("data/mood/train.tsv", with(b"\"warm river\tpos\n"));
    dir.run([
        "train",
        "run.toml",
        "--run",
        "r",
        "--set",
        "train.max_steps=1",
    ])
    .success();
    std::fs::remove_file(dir.path("data/mood/train.tsv")).unwrap();
    dir.run(["train", "run.toml", "--run", "s"])
        .fails_with(1, &["data/mood/train.tsv"]);
}

#[test]
fn lying_weight_files_are_refused_before_anything_is_made() {
    let dir = Dir::with_project();
    let good = dir.bytes("encoder/model.safetensors");
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let mut huge = good.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut shapes = good.clone();
    let text = String::from_utf8(good[8..8 + header].to_vec()).unwrap();
    // The same bytes under another shape.
    let lie = text.replacen("[32,32]", "[64,16]", 1);
    assert_ne!(lie, text, "the fixture has a 32 x 32 matrix");
    shapes[8..8 + header].copy_from_slice(lie.as_bytes());
    let cases: [(Vec<u8>, &str); 5] = [
        (good[..good.len() - 100].to_vec(), "model.safetensors"),
        (huge, "header"),
        (shapes, "[64, 16]"),
        (b"PK\x03\x04not a weight file".to_vec(), "model.safetensors"),
        (Vec::new(), "model.safetensors"),
    ];
    for (bytes, text) in cases {
        dir.write("encoder/model.safetensors", bytes);
        dir.run(["train", "run.toml", "--run", "r"])
            .fails_with(1, &["encoder", text]);
        assert!(!dir.path("r").exists(), "no run folder is left");
    }
    std::fs::remove_file(dir.path("encoder/model.safetensors")).unwrap();
    // Pickled weights are never read.
    dir.write("encoder/pytorch_model.bin", good);
    dir.run(["train", "run.toml", "--run", "r"])
        .fails_with(1, &["encoder", "safetensors"]);
}

#[test]
fn a_damaged_run_folder_is_named_and_older_checkpoints_serve() {
    let dir = Dir::with_project();
    dir.train(&[
        "--set",
        "train.max_steps=12",
        "--set",
        "checkpoint.keep_last=3",
    ]);
    let weights = dir.bytes("runs/first/model.safetensors");
    dir.write(
        "runs/first/model.safetensors",
        &weights[..weights.len() / 2],
    );
    dir.run(["eval", "runs/first"]).fails_with(
        1,
        &["cannot load the weights in runs/first", "model.safetensors"],
    );
    dir.write("runs/first/model.safetensors", &weights);
    let manifest = dir.read("runs/first/camtl.json");
    dir.write(
        "runs/first/camtl.json",
        manifest.replace("\"mood\"", "\"other\""),
    );
    let renamed = dir.run(["eval", "runs/first"]);
    assert_eq!(renamed.code, Some(1), "{renamed}");
    dir.write("runs/first/camtl.json", "[]");
    dir.run(["eval", "runs/first"])
        .fails_with(1, &["camtl.json"]);
    dir.write("runs/first/camtl.json", manifest);
    std::fs::remove_file(dir.path("runs/first/model.safetensors")).unwrap();
    dir.run(["eval", "runs/first"]).fails_with(
        2,
        &[
            "not finished",
            "camtl train --resume --run runs/first",
            "checkpoints/step-12",
        ],
    );

    // The newest checkpoint is damaged: the one before it continues, with a warning, to the same end.
    let path = "runs/first/checkpoints/step-12/optimizer.safetensors";
    let mut bytes = dir.bytes(path);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    dir.write(path, bytes);
    let resumed = dir
        .run(["train", "--resume", "--run", "runs/first"])
        .success();
    assert!(
        resumed
            .stderr
            .contains("warning: passed over the damaged checkpoint"),
        "{resumed}"
    );
    assert!(
        resumed.stderr.contains("continuing after step 8 of 12"),
        "{resumed}"
    );
    assert!(weights == dir.bytes("runs/first/model.safetensors"));
    // Nothing intact is left.
    for step in dir.names("runs/first/checkpoints") {
        dir.write(
            &format!("runs/first/checkpoints/{step}/manifest.json"),
            "{}",
        );
    }
    dir.run(["train", "--resume", "--run", "runs/first"])
        .fails_with(1, &["no checkpoint", "is intact"]);
}

#[test]
fn task_names_cannot_climb_out_of_the_run_folder() {
    let dir = Dir::with_project();
    let task = dir
        .read("tasks/mood.toml")
        .replace("name = \"mood\"", "name = \"../../mood\"");
    dir.write("tasks/mood.toml", task);
    dir.run(["train", "run.toml", "--run", "r"])
        .fails_with(2, &["tasks/mood.toml", "../../mood"]);
    let submission = dir
        .read("tasks/mood.toml")
        .replace("../../mood", "mood")
        .replace("Mood.tsv", "../Mood.tsv");
    dir.write("tasks/mood.toml", submission);
    dir.run(["train", "run.toml", "--run", "r"])
        .fails_with(2, &["tasks/mood.toml", "../Mood.tsv"]);
}
