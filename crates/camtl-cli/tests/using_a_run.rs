//! What can be done with a trained run: eval, predict, submit, report.

mod support;

use serde_json::Value;
use support::Dir;
use support::fixture::{mood, order, overlap};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The first column of a tsv answer, without its header.
fn labels(text: &str) -> Vec<String> {
    text.lines()
        .skip(1)
        .map(|line| line.split('\t').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn predict_gives_on_a_thousand_lines_the_labels_that_eval_counts() {
    let dir = Dir::with_project();
    dir.write_tasks(160, 1000);
    dir.train(&[
        "--set",
        "train.max_steps=40",
        "--set",
        "train.learning_rate=3e-3",
        "--set",
        "eval.at_end=false",
    ]);
    let report = json(
        &dir.run(["eval", "runs/first", "--task", "mood", "--json"])
            .success()
            .stdout,
    );
    let rows = mood(1000, 2);
    let input: String = rows.iter().map(|(text, _)| format!("{text}\n")).collect();

    let answer = dir
        .run_with_input(
            ["predict", "runs/first", "--task", "mood"],
            input.as_bytes(),
        )
        .success();
    assert_eq!(answer.stderr, "", "no stray output");
    assert_eq!(answer.stdout.lines().next(), Some("label\tp(neg)\tp(pos)"));
    let predicted = labels(&answer.stdout);
    assert_eq!(predicted.len(), 1000);
    let right = predicted
        .iter()
        .zip(&rows)
        .filter(|(label, row)| *label == row.1)
        .count();
    assert_eq!(
        right as f64 / 1000.0,
        report["tasks"]["mood"]["accuracy"].as_f64().unwrap()
    );
    assert!(right > 0, "some labels are right");
    for line in answer.stdout.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let (neg, pos): (f64, f64) = (cells[1].parse().unwrap(), cells[2].parse().unwrap());
        assert!((neg + pos - 1.0).abs() < 2e-6, "{line}");
        assert_eq!(cells[0], if pos > neg { "pos" } else { "neg" }, "{line}");
    }

    // Order follows the input.
    let reversed: String = rows
        .iter()
        .rev()
        .map(|(text, _)| format!("{text}\n"))
        .collect();
    let mut backwards = labels(
        &dir.run_with_input(
            ["predict", "runs/first", "--task", "mood"],
            reversed.as_bytes(),
        )
        .success()
        .stdout,
    );
    backwards.reverse();
    assert_eq!(backwards, predicted);

    // JSON lines in and out, through files.
    let lines: String = rows
        .iter()
        .map(|(text, _)| serde_json::json!({"text": text}).to_string() + "\n")
        .collect();
    dir.write("in.jsonl", lines);
    let ran = dir
        .run([
            "predict",
            "runs/first",
            "--task",
            "mood",
            "--input",
            "in.jsonl",
            "--output",
            "out.jsonl",
            "--format",
            "jsonl",
        ])
        .success();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let answers = dir.read("out.jsonl");
    let names: Vec<String> = answers
        .lines()
        .map(|line| json(line)["label"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, predicted);
    assert!(json(answers.lines().next().unwrap())["probabilities"]["neg"].is_number());

    // The same bytes every time.
    let again = dir
        .run_with_input(
            ["predict", "runs/first", "--task", "mood"],
            input.as_bytes(),
        )
        .success();
    assert_eq!(again.stdout, answer.stdout);
}

#[test]
fn eval_counts_what_the_run_held_out() {
    let dir = Dir::with_project();
    dir.train(&[
        "--set",
        "train.max_steps=4",
        "--set",
        "data.holdout_fraction=0.25",
        "--set",
        "eval.splits=[\"holdout\"]",
    ]);
    let summary = json(&dir.read("runs/first/summary.json"));
    assert_eq!(summary["data"]["per_task"]["mood"]["size"], 120);
    let eval = ["eval", "runs/first", "--json", "--split"];
    let report = json(&dir.run(eval.iter().chain(&["holdout"])).success().stdout);
    assert_eq!(report["examples"]["mood"], 40);
    assert_eq!(report["tasks"], summary["tasks"]);
    assert_eq!(report["average"], summary["average"]);
    // The development sets are as they were.
    let report = json(&dir.run(eval.iter().chain(&["dev"])).success().stdout);
    assert_eq!(report["examples"]["mood"], 90);
}

#[test]
fn predict_takes_pairs_and_scores_and_names_bad_lines() {
    let dir = Dir::with_project();
    dir.train(&["--set", "train.max_steps=4"]);
    let predict = |task: &str, input: &str, extra: &[&str]| {
        let arguments = ["predict", "runs/first", "--task", task];
        dir.run_with_input(arguments.iter().chain(extra), input.as_bytes())
    };
    let answer = predict(
        "order",
        "river road\tstone\nbread\tcold night\n",
        &["--no-header"],
    )
    .success();
    assert_eq!(answer.stdout.lines().count(), 2);
    let score = predict(
        "overlap",
        "{\"two\": \"river\", \"one\": \"river stone\"}\n",
        &[],
    )
    .success();
    assert_eq!(score.stdout.lines().next(), Some("score"));
    assert!(
        score.stdout.lines().nth(1).unwrap().parse::<f32>().is_ok(),
        "{score}"
    );
    assert_eq!(predict("mood", "", &["--no-header"]).success().stdout, "");
    // Far longer than the model reads, an unknown script, and no line break at the end.
    let long = format!("{}\n漢字 ☂", "warm ".repeat(20_000));
    assert_eq!(
        predict("mood", &long, &["--no-header"])
            .success()
            .stdout
            .lines()
            .count(),
        2
    );

    // A bad line: those before it are answered, nothing after it, exit code 1.
    let bad = predict("order", "a\tb\nriver\nc\td\n", &["--no-header"]);
    assert_eq!(bad.code, Some(1), "{bad}");
    assert_eq!(bad.stdout.lines().count(), 1, "{bad}");
    assert!(
        bad.stderr
            .contains("standard input:2: 1 tab-separated field, expected 2 (first, second)"),
        "{bad}"
    );
    assert!(bad.stderr.contains("hint:"), "{bad}");
    // With --output nothing is left half-written.
    dir.write("in.tsv", "a\tb\nriver\n");
    dir.write("out.tsv", "earlier\n");
    dir.run([
        "predict",
        "runs/first",
        "--task",
        "order",
        "--input",
        "in.tsv",
        "--output",
        "out.tsv",
    ])
    .fails_with(1, &["in.tsv:2:"]);
    assert_eq!(dir.read("out.tsv"), "earlier\n");
    let mut names = dir.names(".");
    names.retain(|name| name.starts_with(".tmp"));
    assert_eq!(names, [] as [&str; 0]);
    #[cfg(unix)]
    outputs_stay_what_they_are(&dir);

    predict("mod", "x\n", &[]).fails_with(
        2,
        &[
            "no task `mod`; it has mood, order, overlap",
            "did you mean mood?",
        ],
    );
    dir.run([
        "predict",
        "runs/first",
        "--task",
        "mood",
        "--input",
        "nothing.tsv",
    ])
    .fails_with(2, &["cannot open the input nothing.tsv"]);
}

/// A device is written through, a link followed, the rights of a file that is there kept.
#[cfg(unix)]
fn outputs_stay_what_they_are(dir: &Dir) {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    let predict = |output: &str| {
        dir.run([
            "predict",
            "runs/first",
            "--task",
            "mood",
            "--input",
            "one.txt",
            "--output",
            output,
        ])
    };
    dir.write("one.txt", "river\n");
    dir.write("secret.tsv", "earlier\n");
    let secret = dir.path("secret.tsv");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink("secret.tsv", dir.path("link.tsv")).unwrap();
    predict("link.tsv").success();
    assert!(
        std::fs::symlink_metadata(dir.path("link.tsv"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(dir.read("secret.tsv").lines().count(), 2);
    let rights = std::fs::metadata(&secret).unwrap().permissions().mode();
    assert_eq!(rights & 0o777, 0o600);

    symlink("/dev/null", dir.path("null")).unwrap();
    predict("null").success();
    let null = std::fs::metadata("/dev/null").unwrap();
    assert!(null.file_type().is_char_device());

    predict("none/out.tsv").fails_with(2, &["cannot write none/out.tsv"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_and_a_reader_that_leaves_are_told_apart() {
    let dir = Dir::with_project();
    dir.train(&["--set", "train.max_steps=2"]);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let mut command = dir.command(["eval", "runs/first"]);
    let output = command.stdout(full).output().expect("run camtl");
    let ran = support::Ran::of(output, "eval > /dev/full".to_owned());
    ran.fails_with(1, &["No space left"]);
    // `camtl eval run | head -0`: the reader has gone before the first byte.
    let mut command = dir.command(["eval", "runs/first"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).output().expect("run camtl");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn eval_prints_every_metric_average_and_sigma() {
    let dir = Dir::with_project();
    let trained = dir.train(&["--set", "train.max_steps=10"]);
    let table = dir.run(["eval", "runs/first"]).success();
    for row in [
        "mood     accuracy",
        "mood     mcc",
        "order    accuracy ",
        "order    accuracy_mismatched",
        "overlap  pearson",
        "overlap  spearman",
        "average",
        "task σ",
    ] {
        assert!(
            table.stdout.lines().any(|line| line.starts_with(row)),
            "{row} is missing\n{table}"
        );
    }
    // What training printed at its end is what eval finds.
    assert!(
        trained.stdout.ends_with(&table.stdout),
        "{trained}\n{table}"
    );

    let report = json(&dir.run(["eval", "runs/first", "--json"]).success().stdout);
    let summary = json(&dir.read("runs/first/summary.json"));
    assert_eq!(report["tasks"], summary["tasks"]);
    assert_eq!(report["average"], summary["average"]);
    assert_eq!(report["task_sigma"], summary["task_sigma"]);
    assert_eq!(report["examples"]["order"], 45 + 30);
    let tasks = &report["tasks"];
    let figure = |task: &str, metric: &str| tasks[task][metric].as_f64().unwrap();
    let mean =
        (figure("mood", "accuracy") + figure("order", "accuracy") + figure("overlap", "pearson"))
            / 3.0;
    assert!((report["average"].as_f64().unwrap() - mean).abs() < 1e-12);

    let one = json(
        &dir.run(["eval", "runs/first", "--task", "order", "--json"])
            .success()
            .stdout,
    );
    assert_eq!(one["tasks"].as_object().unwrap().len(), 1);
    let checkpoint = dir
        .run([
            "eval",
            "runs/first",
            "--checkpoint",
            "checkpoints/step-10",
            "--json",
        ])
        .success();
    assert_eq!(json(&checkpoint.stdout)["tasks"], report["tasks"]);
    dir.run(["eval", "runs/first", "--checkpoint", "checkpoints/step-3"])
        .fails_with(2, &["step-3", "hint:"]);
    dir.run(["eval", "runs/first", "--split", "nowhere"])
        .fails_with(2, &["no task", "nowhere"]);
    dir.run(["eval", "runs/first", "--split", "test"])
        .fails_with(1, &["mood", "has no label"]);
    // A run that was trained on a GPU can be used where there is none, if that is what is asked for.
    let config = dir.path("runs/first/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let on_gpu = text.replace("device = \"cpu\"", "device = \"cuda\"");
    assert_ne!(text, on_gpu);
    std::fs::write(&config, on_gpu).unwrap();
    if camtl_ops::open_cuda(0).is_err() {
        dir.run(["eval", "runs/first"])
            .fails_with(2, &["cuda", "--device cpu"]);
    }
    let here = dir
        .run(["eval", "runs/first", "--device", "cpu", "--json"])
        .success();
    assert_eq!(json(&here.stdout)["tasks"], report["tasks"]);
    std::fs::write(&config, text).unwrap();
    // A run goes on working when its encoder is gone.
    std::fs::remove_dir_all(dir.path("encoder")).unwrap();
    assert_eq!(
        dir.run(["eval", "runs/first"]).success().stdout,
        table.stdout
    );
    // Its data folder can be elsewhere.
    std::fs::rename(dir.path("data"), dir.path("moved")).unwrap();
    dir.run(["eval", "runs/first"])
        .fails_with(1, &["data/mood/dev.tsv", "--data-dir"]);
    assert_eq!(
        dir.run(["eval", "runs/first", "--data-dir", "moved"])
            .success()
            .stdout,
        table.stdout
    );
}

#[test]
fn submissions_have_the_form_the_server_takes() {
    let dir = Dir::with_project();
    dir.train(&["--set", "train.max_steps=10"]);
    let ran = dir.run(["submit", "runs/first", "--out", "out"]).success();
    assert_eq!(dir.names("out"), ["Mood.tsv", "Order.tsv", "Overlap.tsv"]);
    assert!(ran.stdout.contains("out/Mood.tsv"), "{ran}");
    let check = |file: &str, rows: usize, good: &dyn Fn(&str) -> bool| {
        let text = dir.read(&format!("out/{file}"));
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("index\tprediction"));
        let mut count = 0;
        for (row, line) in lines.enumerate() {
            let (index, prediction) = line.split_once('\t').expect("two columns");
            assert_eq!(index, row.to_string());
            assert!(good(prediction), "{file}: {line}");
            count += 1;
        }
        assert_eq!(count, rows, "{file}");
    };
    check("Mood.tsv", mood(30, 3).len(), &|label| {
        ["0", "1"].contains(&label)
    });
    check("Order.tsv", order(30, 7).len(), &|label| {
        ["same", "praise", "blame"].contains(&label)
    });
    check("Overlap.tsv", overlap(30, 10).len(), &|score| {
        let value: f64 = score.parse().expect("a number");
        (0.0..=5.0).contains(&value) && score.len() == 5 && &score[1..2] == "."
    });

    // The labels are predict's.
    let texts: String = mood(30, 3)
        .into_iter()
        .map(|(text, _)| text + "\n")
        .collect();
    let predicted = labels(
        &dir.run_with_input(
            ["predict", "runs/first", "--task", "mood"],
            texts.as_bytes(),
        )
        .success()
        .stdout,
    );
    let submitted: Vec<String> = dir
        .read("out/Mood.tsv")
        .lines()
        .skip(1)
        .map(|line| if line.ends_with("\t1") { "pos" } else { "neg" }.to_owned())
        .collect();
    assert_eq!(submitted, predicted);

    // Again: replaced. With something of the user's in it: refused.
    dir.run(["submit", "runs/first", "--out", "out"]).success();
    dir.write("out/notes.txt", "mine");
    dir.run(["submit", "runs/first", "--out", "out"])
        .fails_with(2, &["notes.txt", "hint:"]);
    assert_eq!(dir.names("out").len(), 4);
    // One test file is missing: no file at all.
    std::fs::remove_file(dir.path("data/overlap/test.jsonl")).unwrap();
    dir.run(["submit", "runs/first", "--out", "other"])
        .fails_with(1, &["data/overlap/test.jsonl"]);
    assert!(!dir.path("other").exists());
    dir.run(["submit", "runs/first", "--out", "one", "--task", "mood"])
        .success();
    assert_eq!(dir.names("one"), ["Mood.tsv"]);
}

#[test]
fn report_shows_runs_side_by_side() {
    let dir = Dir::with_project();
    dir.train(&["--set", "train.max_steps=10", "--set", "eval.every_steps=5"]);
    dir.run([
        "train",
        "run.toml",
        "--run",
        "runs/second",
        "--set",
        "train.max_steps=6",
        "--set",
        "sampler.kind=uniform",
    ])
    .success();
    let report = dir.run(["report", "runs/first", "runs/second"]).success();
    let header = report.stdout.lines().next().unwrap();
    assert!(
        header.contains("first") && header.contains("second"),
        "{report}"
    );
    for row in [
        "state ",
        "mood accuracy",
        "average ",
        "task σ",
        "mt-uncertainty",
        "uniform",
        "distinct data",
        "average at step",
    ] {
        assert!(report.stdout.contains(row), "{row} is missing\n{report}");
    }
    let value = json(&dir.run(["report", "runs/first", "--json"]).success().stdout);
    assert_eq!(
        value[0]["summary"],
        json(&dir.read("runs/first/summary.json"))
    );
    let steps: Vec<u64> = value[0]["evaluations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [5, 10]);
    // A run that has not finished.
    std::fs::remove_file(dir.path("runs/first/summary.json")).unwrap();
    let report = dir.run(["report", "runs/first"]).success();
    assert!(report.stdout.contains("at step 10"), "{report}");
    dir.write("runs/second/summary.json", "{");
    dir.run(["report", "runs/second"])
        .fails_with(1, &["runs/second/summary.json is not JSON"]);
}
