//! `cargo xtask gpu-check --rehearse`: the host's side of computing on a GPU, without a GPU.

mod log;
mod stand_in;
mod table;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;

use log::{Steps, Summary};
use stand_in::StandIn;
use table::{Outcome, Repeats};
use xtask::cargo;
use xtask::commands::{kernels, setup};
use xtask::disk::{self, writing};
use xtask::error::failure;
use xtask::kernels::plugin::{self, RunTime};
use xtask::libtorch::layout::Set;
use xtask::workspace::shown;

/// The run that continues an earlier one.
const RESUMED: &str = "resumed";

/// For `camtl predict`.
const SENTENCES: &str = "a touching film\nthe plot is weak\n";

/// What the rehearsed programs need.
struct Stage {
    camtl: PathBuf,
    camtl_step: PathBuf,
    libtorch: PathBuf,
    stand_in: StandIn,
    plugin: PathBuf,
    /// Runs, logs and what the programs said.
    work: PathBuf,
}

/// A program to run over the stand-in.
struct Run {
    name: &'static str,
    /// Of its log and of what it said.
    file: &'static str,
    program: PathBuf,
    args: Vec<OsString>,
    /// Whether it has to capture graphs.
    graphs: bool,
    /// Whether its steps are in the second table.
    repeats: Option<Repeats>,
}

/// The workspace is the first argument.
fn main() -> ExitCode {
    let root = std::env::args_os()
        .nth(1)
        .map_or_else(xtask::workspace::root, PathBuf::from);
    match rehearse(&root) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", xtask::error::render(&error));
            ExitCode::from(xtask::error::exit_code(&error))
        }
    }
}

/// Builds everything, runs it and prints the tables.
///
/// # Errors
/// If something cannot be built, a program fails, a call was refused, or no graph was captured where
/// there should be some.
fn rehearse(root: &Path) -> anyhow::Result<()> {
    let stage = prepare(root)?;
    let mut outcomes = Vec::new();
    let mut steps = Vec::new();
    check_rules(&stage)?;
    train_on_the_cpu(&stage)?;
    for run in runs(&stage) {
        if run.file == RESUMED {
            cut_off(&stage.work.join("graphs"))?;
        }
        let (outcome, log) = perform(&stage, &run)?;
        if let Some(repeats) = run.repeats {
            steps.push((run.name, repeats, Steps::of(&log)));
        }
        outcomes.push(outcome);
    }
    println!("{}", table::of_runs(&outcomes));
    println!("{}", table::of_steps(&steps));
    println!(
        "Nothing was computed: a stand-in took the calls to CUDA and cuBLAS, kernels did not run, and copies\n\
         from the device gave zeros. This checks what the host asks of a GPU, no numbers and no times."
    );
    let faults: Vec<String> = outcomes.iter().flat_map(Outcome::faults).collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(failure(
        format!("the rehearsal failed:\n  {}", faults.join("\n  ")),
        format!(
            "{} has what each program said (.txt) and what was asked of the GPU, in order (.log); \
             the line before a refused call shows where it came from",
            shown(&stage.work)
        ),
    ))
}

fn prepare(root: &Path) -> anyhow::Result<Stage> {
    // Looked for first: building takes minutes, and this may be missing.
    let libtorch = plugin::cuda_libtorch(root)?;
    let folder = kernels::target_folder(root).join("gpu-rehearsal");
    // The stand-in is compiled with the toolkit's headers, and before the kernels.
    setup::install(root, Set::Toolkit, false)?;
    let camtl = cargo::build_camtl(root)?;
    let camtl_step = cargo::build_binary(root, "camtl-benches", "camtl-step")?;
    let stand_in = stand_in::build(
        root,
        &libtorch,
        &Set::Toolkit.folder(root),
        &folder.join("stand-in"),
    )?;
    let plugin = folder.join(plugin::FILE_NAME);
    kernels::link(root, RunTime::StandIn(&stand_in.library), &plugin)?;
    let work = folder.join("work");
    disk::remove_if_there(&work)?;
    writing(fs::create_dir_all(&work), &work)?;
    let sentences = work.join("sentences.txt");
    writing(fs::write(&sentences, SENTENCES), &sentences)?;
    Ok(Stage {
        camtl,
        camtl_step,
        libtorch,
        stand_in,
        plugin,
        work,
    })
}

/// That nothing is refused says something only of a stand-in that would refuse.
fn check_rules(stage: &Stage) -> anyhow::Result<()> {
    let said = stage.work.join("rules.txt");
    let code = start(
        Command::new(&stage.stand_in.rules),
        "the stand-in's own rules",
        &said,
    )?;
    if code == Some(0) {
        return Ok(());
    }
    Err(failure(
        "the stand-in for a GPU does not keep the CUDA run time's rules",
        format!("{} names them; mend benches/gpu/stand_in", shown(&said)),
    ))
}

/// Makes data, an encoder and a configuration to train from.
fn train_on_the_cpu(stage: &Stage) -> anyhow::Result<()> {
    let mut command = Command::new(&stage.camtl);
    command.args(["quickstart", "--scale", "0.02", "--run"]);
    command.arg(stage.work.join("suite"));
    let said = stage.work.join("suite.txt");
    let code = start(command, "quickstart, on the CPU", &said)?;
    if code == Some(0) {
        return Ok(());
    }
    Err(failure(
        "camtl quickstart failed on the CPU, without which there is nothing to rehearse",
        format!("{} has what it said", shown(&said)),
    ))
}

/// The programs in their order; later ones use the runs of earlier ones.
fn runs(stage: &Stage) -> Vec<Run> {
    let at = |name: &str| stage.work.join(name).into_os_string();
    let camtl = |name, file, args: Vec<OsString>| Run {
        name,
        file,
        program: stage.camtl.clone(),
        args,
        graphs: false,
        repeats: None,
    };
    let train = |name, file: &'static str, settings: &[&str]| {
        let mut args = vec![
            OsString::from("train"),
            at("suite/ca-mtl/config.toml"),
            "--run".into(),
            at(file),
        ];
        for setting in ["train.device=cuda"].iter().chain(settings) {
            args.extend(["--set".into(), OsString::from(setting)]);
        }
        Run {
            repeats: Some(Repeats::Updates),
            ..camtl(name, file, args)
        }
    };
    let step = |name, file, shape: &str| Run {
        program: stage.camtl_step.clone(),
        graphs: true,
        repeats: Some(Repeats::StepsAndPasses),
        ..camtl(
            name,
            file,
            [shape, "mean40", "bfloat16"].map(OsString::from).to_vec(),
        )
    };
    let of = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    vec![
        train("train, float32", "float32", &["train.precision=float32"]),
        train("train, bfloat16", "bfloat16", &["train.precision=bfloat16"]),
        Run {
            graphs: true,
            ..train(
                "train, graphs",
                "graphs",
                &[
                    "train.precision=bfloat16",
                    "train.cuda_graphs=true",
                    // For resuming from the one before the last.
                    "checkpoint.every_steps=6",
                    "checkpoint.keep_when_finished=true",
                ],
            )
        },
        Run {
            graphs: true,
            ..camtl(
                "train, graphs, resumed",
                RESUMED,
                [of(&["train", "--resume", "--run"]), vec![at("graphs")]].concat(),
            )
        },
        camtl(
            "eval",
            "eval",
            [of(&["eval", "--split", "test"]), vec![at("graphs")]].concat(),
        ),
        camtl(
            "predict",
            "predict",
            [
                of(&["predict", "--task", "sentiment", "--input"]),
                vec![at("sentences.txt"), at("graphs")],
            ]
            .concat(),
        ),
        // A run that lacks a task, for `adapt`.
        train(
            "train, two tasks",
            "two-tasks",
            &[
                "train.precision=bfloat16",
                "data.tasks=[\"tasks/sentiment.toml\", \"tasks/inference.toml\"]",
                "sampler.borrow=[]",
            ],
        ),
        camtl(
            "adapt",
            "adapted",
            [
                of(&["adapt", "--task"]),
                vec![
                    at("suite/tasks/acceptability.toml"),
                    "--run".into(),
                    at("adapted"),
                    at("two-tasks"),
                ],
            ]
            .concat(),
        ),
        step("camtl-step minilm", "step-minilm", "minilm"),
        step("camtl-step base", "step-base", "base"),
    ]
}

/// Makes a finished run one that was stopped after its last checkpoint but one.
fn cut_off(run: &Path) -> anyhow::Result<()> {
    let checkpoints = run.join("checkpoints");
    // A training that failed left nothing to cut off; that it failed is told at the end.
    let Ok(entries) = fs::read_dir(&checkpoints) else {
        return Ok(());
    };
    let step = |path: &Path| -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("step-")?.parse().ok()
    };
    let mut steps: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| step(path).is_some())
        .collect();
    steps.sort_by_key(|path| step(path));
    if let [_, .., last] = steps.as_slice() {
        disk::remove_if_there(last)?;
    }
    disk::remove_if_there(&run.join("model.safetensors"))?;
    disk::remove_if_there(&run.join("summary.json"))
}

/// Runs a program over the stand-in and gives what it did, with its log.
fn perform(stage: &Stage, run: &Run) -> anyhow::Result<(Outcome, String)> {
    let log = stage.work.join(run.file).with_extension("log");
    let mut command = Command::new(&run.program);
    command.args(&run.args).current_dir(&stage.work);
    let libraries = cargo::joined_paths(
        &stage.libtorch.join("lib"),
        std::env::var_os("LD_LIBRARY_PATH").as_deref(),
    );
    let libraries = cargo::joined_paths(&stage.stand_in.driver, Some(libraries.as_os_str()));
    for (name, value) in [
        ("LD_PRELOAD", stage.stand_in.library.as_os_str()),
        ("LD_LIBRARY_PATH", libraries.as_os_str()),
        ("CAMTL_CUDA_PLUGIN", stage.plugin.as_os_str()),
        ("CAMTL_STAND_IN_LOG", log.as_os_str()),
        // Whatever hides GPUs hides none of these.
        ("CUDA_VISIBLE_DEVICES", OsStr::new("0")),
    ] {
        command.env(name, value);
    }
    let code = start(
        command,
        run.name,
        &stage.work.join(run.file).with_extension("txt"),
    )?;
    // A program that ends before it meets CUDA writes none.
    let text = match fs::read(&log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    };
    let outcome = Outcome {
        name: run.name,
        code,
        summary: Summary::of(&text),
        graphs: run.graphs,
    };
    Ok((outcome, text))
}

/// Runs a program whose words go to a file; `None` if a signal ended it.
fn start(mut command: Command, name: &str, said: &Path) -> anyhow::Result<Option<i32>> {
    eprintln!("{name}");
    let file = writing(fs::File::create(said), said)?;
    let errors = writing(file.try_clone(), said)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    Ok(status.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_cut_off_before_its_last_checkpoint() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let run = dir.path();
        for step in ["step-6", "step-12", "step-100"] {
            fs::create_dir_all(run.join("checkpoints").join(step))?;
        }
        fs::write(run.join("summary.json"), "{}")?;
        cut_off(run)?;
        let left = |step: &str| run.join("checkpoints").join(step).exists();
        assert!(left("step-6") && left("step-12") && !left("step-100"));
        assert!(!run.join("summary.json").exists());
        cut_off(&run.join("nothing"))
    }
}
