//! Configurations: what is wrong is said with its line, all at once, before anything is made.

mod support;

use serde_json::Value;
use support::Dir;

#[test]
fn unknown_keys_give_their_line_and_the_nearest_known_one() {
    let dir = Dir::with_project();
    let text = dir
        .read("run.toml")
        .replace("learning_rate", "learnin_rate")
        .replace("every_steps = 4", "every_steps = \"x\"");
    let line = |word: &str| {
        1 + text
            .lines()
            .position(|line| line.starts_with(word))
            .expect("the word")
    };
    dir.write("bad.toml", &text);
    dir.run(["train", "bad.toml", "--run", "bad"]).fails_with(
        2,
        &[
            "bad.toml: 2 problems",
            &format!(
                "bad.toml:{}: train.learnin_rate: unknown key; did you mean `learning_rate`?",
                line("learnin_rate")
            ),
            &format!("bad.toml:{}: checkpoint.every_steps", line("every_steps")),
        ],
    );
    assert!(!dir.path("bad").exists(), "nothing is made");
    dir.run([
        "train",
        "run.toml",
        "--run",
        "bad",
        "--set",
        "train.max_step=3",
    ])
    .fails_with(2, &["--set train.max_step=3", "did you mean `max_steps`?"]);
    dir.run([
        "train",
        "run.toml",
        "--run",
        "bad",
        "--set",
        "train.max_steps",
    ])
    .fails_with(2, &["there is no `=`"]);
    dir.run([
        "train",
        "run.toml",
        "--run",
        "bad",
        "--set",
        "train.batch_size=0",
    ])
    .fails_with(2, &["train.batch_size: is 0; expected at least 1"]);
    assert!(!dir.path("bad").exists(), "nothing is made");
}

#[test]
fn files_that_are_missing_or_no_toml_are_named() {
    let dir = Dir::with_project();
    dir.run(["train", "nothing.toml"])
        .fails_with(2, &["nothing.toml", "cannot be read"]);
    dir.write("broken.toml", "[data\ndir = 1\n");
    dir.run(["train", "broken.toml"])
        .fails_with(2, &["broken.toml:1", "not TOML"]);
    dir.run([
        "train",
        "run.toml",
        "--run",
        "r",
        "--set",
        "data.tasks=[\"mod\"]",
    ])
    .fails_with(2, &["tasks/mod.toml"]);
    dir.run([
        "train",
        "run.toml",
        "--run",
        "r",
        "--set",
        "model.encoder=nowhere",
    ])
    .fails_with(2, &["nowhere", "cargo xtask download model nowhere"]);
    assert!(!dir.path("r").exists(), "nothing is made");
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_no_substitute() {
    let dir = Dir::with_project();
    let ran = dir.run([
        "train",
        "run.toml",
        "--run",
        "r",
        "--set",
        "train.device=cuda",
        "--set",
        "train.max_steps=1",
    ]);
    if ran.code != Some(0) {
        ran.fails_with(2, &["train.device = \"cuda\"", "cargo xtask doctor"]);
        assert!(!dir.path("r").exists());
    }
    dir.run([
        "train",
        "run.toml",
        "--run",
        "r",
        "--set",
        "train.device=tpu",
    ])
    .fails_with(2, &["train.device", "cuda"]);
}

#[test]
fn a_length_that_does_not_divide_the_hidden_size_names_those_that_do() {
    let dir = Dir::with_project();
    let ran = dir.run([
        "train",
        "run.toml",
        "--run",
        "r",
        "--set",
        "data.max_length=12",
    ]);
    ran.fails_with(1, &["max_length", "12", "8, 16"]);
    assert!(!dir.path("r").exists(), "nothing is made");
}

#[test]
fn progress_is_plain_lines_on_standard_error_and_can_be_silenced() {
    let dir = Dir::with_project();
    let loud = dir
        .run([
            "train",
            "run.toml",
            "--run",
            "loud",
            "--set",
            "train.max_steps=10",
        ])
        .success();
    for text in [
        "training examples: mood 160",
        "10 steps (1 of them warm-up)",
        "step 5/10  loss",
        "saved checkpoints/step-10",
    ] {
        assert!(loud.stderr.contains(text), "{text} is missing\n{loud}");
    }
    assert!(
        !loud.stderr.contains('\r') && !loud.stderr.contains('\u{1b}'),
        "no bars outside a terminal\n{loud}"
    );
    assert!(loud.stdout.starts_with("loud: 10 steps\n\n"), "{loud}");
    let quiet = dir
        .run([
            "train",
            "run.toml",
            "--run",
            "quiet",
            "--quiet",
            "--set",
            "train.max_steps=10",
        ])
        .success();
    assert_eq!(quiet.stderr, "");
    let log = dir.read("quiet/camtl.log");
    assert!(
        log.contains("training begins") && log.contains("training is over"),
        "{log}"
    );
    // The resolved configuration is complete and gives the same run again.
    let again = dir
        .run(["train", "quiet/config.toml", "--run", "again", "--quiet"])
        .success();
    assert_eq!(again.stdout.replacen("again", "quiet", 1), quiet.stdout);
    assert!(dir.bytes("again/model.safetensors") == dir.bytes("quiet/model.safetensors"));
}

#[test]
fn params_counts_the_papers_models_without_weights() {
    let dir = Dir::with_project();
    let mut names = Vec::new();
    for task in 0..8 {
        let kind = match task {
            0 => {
                "kind = \"classification\"\nlabels = [\"a\", \"b\", \"c\"]\nmetrics = [\"accuracy\"]"
            }
            1 => "kind = \"regression\"\nrange = [0, 5]\nmetrics = [\"pearson\"]",
            _ => "kind = \"classification\"\nlabels = [\"a\", \"b\"]\nmetrics = [\"accuracy\"]",
        };
        let text = format!(
            "name = \"t{task}\"\n{kind}\nformat = \"tsv\"\nfields = {{ text_a = 0, label = 1 }}\n[files]\ntrain = \"t.tsv\"\n"
        );
        dir.write(&format!("tasks/t{task}.toml"), text);
        names.push(format!("\"t{task}\""));
    }
    dir.write(
        "glue.toml",
        format!(
            "[data]\ndir = \"glue\"\ntasks = [{}]\n[model]\nencoder = \"bert-base-cased\"\npreset = \"released\"\nfreeze = \"0-4\"\n",
            names.join(", ")
        ),
    );
    // docs/method.md: BERT-base, T = 8, layers 0-4 frozen.
    let report: Value =
        serde_json::from_str(&dir.run(["params", "glue.toml", "--json"]).success().stdout).unwrap();
    for (figure, expected) in [
        ("total", 128_063_264),
        ("trained", 69_789_508),
        ("backbone", 108_310_272),
        ("marginal_per_task", 2_306),
    ] {
        assert_eq!(report[figure], expected, "{figure}");
    }
    for (module, expected) in [
        ("embeddings", 22_665_216),
        ("pooler", 590_592),
        ("alignment", 1_181_184),
        ("task-transformation", 590_592),
        ("attention", 439_824),
        ("layer-norm", 14_174_208),
        ("bottleneck", 3_348_736),
        ("task-embeddings", 6_144),
        ("heads", 12_304),
    ] {
        assert_eq!(report["modules"][module]["total"], expected, "{module}");
    }
    let large = [
        "--set",
        "model.encoder=google-bert/bert-large-cased",
        "--set",
        "model.variant=large",
        "--set",
        "model.freeze=0-11",
    ];
    let arguments = ["params", "glue.toml", "--json"];
    let report: Value =
        serde_json::from_str(&dir.run(arguments.iter().chain(&large)).success().stdout).unwrap();
    assert_eq!(
        (report["total"].as_u64(), report["trained"].as_u64()),
        (Some(480_334_600), Some(298_566_024))
    );

    let table = dir.run(["params", "glue.toml"]).success();
    for text in [
        "bert-base-cased, 8 tasks",
        "128,063,264",
        "69,789,508",
        "1.182",
        "2,306",
    ] {
        assert!(table.stdout.contains(text), "{text} is missing\n{table}");
    }
    dir.run([
        "params",
        "glue.toml",
        "--set",
        "model.encoder=bert-base-case",
    ])
    .fails_with(2, &["bert-base-case", "did you mean `bert-base-cased`?"]);
    // A folder's own config.json is read.
    let own = dir.run(["params", "run.toml"]).success();
    assert!(own.stdout.contains("encoder, 3 tasks"), "{own}");
}
