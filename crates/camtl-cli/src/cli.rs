//! The command line: every command, option and help text in one place.

use std::path::PathBuf;

use camtl_trainer::DeviceChoice;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Trains, evaluates and uses conditionally adaptive multi-task models (CA-MTL).
///
/// One encoder serves many language tasks: learned task vectors modulate its embeddings, attention
/// and layer norms, and MT-Uncertainty sampling picks the examples the model is least sure of.
///
/// Results go to standard output, progress and diagnostics to standard error.
#[derive(Debug, Parser)]
#[command(
    name = "camtl",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 success, 1 the work failed, 2 bad usage or configuration,\n\
                  130 stopped by Ctrl-C (a training run is saved and can be resumed).",
    after_long_help = "Exit codes: 0 success, 1 the work failed, 2 bad usage or configuration,\n\
                  130 stopped by Ctrl-C (a training run is saved and can be resumed).\n\n\
                  CAMTL_LOG sets what is logged, e.g. CAMTL_LOG=debug or CAMTL_LOG=camtl_trainer=trace.\n\n\
                  Start with `camtl quickstart`: it needs no data and no download."
)]
pub(crate) struct Cli {
    /// Log more to standard error: -v for debug, -vv for trace.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Show warnings and errors only, and no progress.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(TrainArgs),
    Eval(EvalArgs),
    Predict(PredictArgs),
    Serve(ServeArgs),
    Submit(SubmitArgs),
    Adapt(AdaptArgs),
    Params(ParamsArgs),
    Report(ReportArgs),
    Task(TaskArgs),
    Quickstart(QuickstartArgs),
    Reproduce(ReproduceArgs),
}

/// Trains a model as a configuration file describes it.
///
/// The run folder receives config.toml (resolved), events.jsonl, camtl.log, checkpoints/ and, at the
/// end, summary.json. Ctrl-C saves a checkpoint and exits with code 130; `--resume` continues a run
/// that was stopped, killed or cut off, and ends with the same bytes as a run that never was.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  \
    camtl train configs/glue-minilm.toml --run runs/glue\n  \
    camtl train configs/glue-minilm.toml --set train.max_steps=300 --set data.dir=glue --run runs/short\n  \
    camtl train --resume --run runs/short")]
pub(crate) struct TrainArgs {
    /// The configuration (TOML). With --resume it may be left out: the run folder has its own copy.
    #[arg(required_unless_present = "resume")]
    pub(crate) config: Option<PathBuf>,

    /// Overrides one configuration value, e.g. train.learning_rate=5e-5 or data.tasks='["cola"]';
    /// may be given many times, the last one wins.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// The run folder [default: runs/ followed by the configuration's file name].
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,

    /// Continues the run from its last checkpoint, bit for bit.
    #[arg(long)]
    pub(crate) resume: bool,
}

/// Prints every metric of every task of a trained run, their average and task σ.
#[derive(Debug, Args)]
#[command(
    after_long_help = "The average counts each task's scores once (GLUE: nine scores, MNLI twice);\n\
    task σ is the standard deviation over all scores.\n\n\
    Examples:\n  camtl eval runs/glue\n  camtl eval runs/glue --task cola --task rte --json"
)]
pub(crate) struct EvalArgs {
    /// The run folder.
    pub(crate) run: PathBuf,

    /// The split to evaluate. `dev` includes a task's dev_mismatched.
    #[arg(long, default_value = "dev")]
    pub(crate) split: String,

    /// Only this task; may be given many times.
    #[arg(long = "task", value_name = "TASK")]
    pub(crate) tasks: Vec<String>,

    /// Reads the data from this folder instead of the one the run was trained on.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) weights: WeightsArgs,

    /// Prints one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which weights of a run are used, and where.
#[derive(Debug, Args)]
pub(crate) struct WeightsArgs {
    /// A checkpoint folder to use instead of the run's final weights, e.g. checkpoints/step-300.
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: Option<PathBuf>,

    /// Computes here instead of on the run's own train.device; on a CPU in float32.
    #[arg(long, value_enum)]
    pub(crate) device: Option<Device>,
}

/// A device to compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// The processor.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
    /// The GPU if there is one, else the processor.
    Auto,
}

impl From<Device> for DeviceChoice {
    fn from(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda => Self::Cuda,
            Device::Auto => Self::Auto,
        }
    }
}

/// Answers lines of text: labels and probabilities, scores, entities, answers to questions.
///
/// With --task, input lines are tab-separated fields in the task's order (a text or a pair; then options,
/// or the numbers of two mentions), or JSON objects that use the task's field names; the form is
/// recognised by the first character of the first line unless --input-format says which. Without --task,
/// lines are JSON objects with `task`, `text_a` and, for tasks on pairs, `text_b` (docs/serving.md has
/// the other kinds): tasks may be mixed, and are answered in the same passes. Output is one line per
/// input line, in its order.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Output (tsv): the label, then one probability per label in the task's order;\n\
    a regression writes its score, tagging the tags of the words, a span the answer with its place and\n\
    score. The header line names the columns; --no-header leaves it out. With --format jsonl, tagging\n\
    also writes entities with their places.\n\n\
    Examples:\n  \
    printf 'a touching film\\n' | camtl predict runs/glue --task sst-2\n  \
    camtl predict runs/glue --task mnli --input pairs.tsv --output labels.jsonl --format jsonl\n  \
    echo '{\"task\": \"sst-2\", \"text_a\": \"a touching film\"}' | camtl predict runs/glue"
)]
pub(crate) struct PredictArgs {
    /// The run folder.
    pub(crate) run: PathBuf,

    /// The task that is asked [default: each line names its own].
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,

    /// The input file [default: standard input].
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// The output file, written whole or not at all [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// The form of the output [default: tsv with --task, else jsonl].
    #[arg(long, value_enum)]
    pub(crate) format: Option<LineFormat>,

    /// The form of the input [default: recognised].
    #[arg(long, value_enum)]
    pub(crate) input_format: Option<LineFormat>,

    /// Leaves out the header line of tsv output.
    #[arg(long)]
    pub(crate) no_header: bool,

    #[command(flatten)]
    pub(crate) weights: WeightsArgs,
}

/// Answers over HTTP for every task of a trained run, until Ctrl-C or SIGTERM.
///
/// Requests of all connections are collected for a moment and answered in packed batches that mix
/// tasks. Stopping finishes what is queued; a second Ctrl-C stops at once. The server listens on this
/// machine only unless --host says otherwise; it has no authentication.
#[derive(Debug, Args)]
#[command(
    after_long_help = "POST /predict  one request or an array: {\"task\": ..., \"text_a\": ..., \"text_b\": ...};\n\
    \x20              docs/serving.md has the keys for tasks of every kind\n\
    GET  /tasks    names, kinds, labels and scores\n\
    GET  /health   200 while requests are taken\n\
    GET  /metrics  counters in Prometheus' text form\n\n\
    Errors are {\"error\": REASON} with status 400 (malformed), 404 (no such task or path), 405, 408 (the body\n\
    does not arrive), 413 (too large), 500, 503 with Retry-After (too many wait) or 504 (no answer in time).\n\n\
    Examples:\n  camtl serve runs/glue\n  \
    curl -d '{\"task\": \"sst-2\", \"text_a\": \"a touching film\"}' http://127.0.0.1:8080/predict"
)]
pub(crate) struct ServeArgs {
    /// The run folder.
    pub(crate) run: PathBuf,

    /// The address to listen on; 0.0.0.0 takes connections from other machines.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: String,

    /// The port to listen on; 0 takes any free one, which is printed.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,

    /// Most requests in one batch; its tokens are bounded by the run's eval.batch_tokens.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) max_batch: usize,

    /// Longest wait of a request for others to share its batch, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2)]
    pub(crate) max_wait_ms: u64,

    /// Requests that may wait for the model; beyond it the answer is 503.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) queue: usize,

    /// Most requests in one body; more are answered 413.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) max_items: usize,

    /// Most bytes of a body; larger ones are answered 413.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    pub(crate) max_body: usize,

    /// Seconds for a request's head to arrive, for its body (else 408), and then for its answer (else 504).
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) timeout: f64,

    #[command(flatten)]
    pub(crate) weights: WeightsArgs,
}

/// A form of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LineFormat {
    /// Tab-separated fields.
    Tsv,
    /// One JSON object a line.
    Jsonl,
}

/// Writes the prediction files that the GLUE and SuperGLUE servers take, for every task of a run that
/// has them.
///
/// GLUE's are tables with the header `index<TAB>prediction` and one line per test example: CoLA.tsv,
/// SST-2.tsv, MRPC.tsv, STS-B.tsv (0 to 5, three decimals), QQP.tsv, MNLI-m.tsv, MNLI-mm.tsv, QNLI.tsv,
/// RTE.tsv, WNLI.tsv, and AX.tsv (predicted by MNLI) when the diagnostic set is there. SuperGLUE's are
/// JSON Lines with the test rows' own `idx`: BoolQ.jsonl, CB.jsonl, COPA.jsonl, MultiRC.jsonl,
/// ReCoRD.jsonl, RTE.jsonl, WiC.jsonl, WSC.jsonl, and AX-b.jsonl, AX-g.jsonl (predicted by RTE). Either
/// all files are written or none.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  camtl submit runs/glue --out submission\n  \
    (cd submission && zip ../submission.zip *)"
)]
pub(crate) struct SubmitArgs {
    /// The run folder.
    pub(crate) run: PathBuf,

    /// The folder for the files; it must not exist, or be empty, or hold an earlier submission.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Only this task; may be given many times.
    #[arg(long = "task", value_name = "TASK")]
    pub(crate) tasks: Vec<String>,

    /// Reads the test files from this folder instead of the one the run was trained on.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) weights: WeightsArgs,
}

/// Extends a trained model by a task: one row of the task embedding and one head.
///
/// By default everything that the old tasks use is frozen. Only the new row and head are trained, and
/// the old tasks' outputs stay the same, bit for bit. --freeze trains more; the command says at its end
/// which of the two is the case. The result is a run folder like any other; the new task's training
/// (checkpoints, events) is kept in its adaptation/ folder.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Training takes the trained run's settings, with one task's shuffled data, 3 epochs but at least 200\n\
    updates, and a learning rate of 1e-3 while everything shared is frozen; --set changes any of them.\n\n\
    Examples:\n  camtl adapt runs/glue --task configs/tasks/scitail.toml\n  \
    camtl adapt runs/glue --task configs/tasks/scitail.toml --init-from sts-b --fraction 0.01 --run runs/scitail-1\n  \
    camtl adapt runs/glue --task configs/tasks/snli.toml --freeze 0-2 --set train.learning_rate=2e-5"
)]
pub(crate) struct AdaptArgs {
    /// The run folder of the trained model; it is not changed.
    #[arg(value_name = "RUN")]
    pub(crate) base: PathBuf,

    /// The task file (TOML) of the new task.
    #[arg(long, value_name = "TASKFILE")]
    pub(crate) task: PathBuf,

    /// Where the new row of the task embedding starts: a task of the run, `mean` of all its tasks, or
    /// `random` [default: mean].
    #[arg(long, value_name = "TASK|mean|random")]
    pub(crate) init_from: Option<String>,

    /// Trains on this fraction of the new task's training rows, drawn at random with train.seed.
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub(crate) fraction: f64,

    /// What is not trained: `shared` (all but the new row and head), `none`, layers such as `0-4` (and
    /// the embeddings), or name patterns with commas between them.
    #[arg(long, value_name = "WHAT", default_value = "shared")]
    pub(crate) freeze: String,

    /// The new run folder [default: RUN followed by - and the task's name].
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,

    /// The folder that the new task's paths are relative to [default: the run's data.dir].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Overrides one configuration value of the new task's training; may be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Continues an adaptation that was stopped; give the same options again.
    #[arg(long)]
    pub(crate) resume: bool,

    #[command(flatten)]
    pub(crate) weights: WeightsArgs,
}

/// Counts parameters from shapes alone: total, trained, per task, by module.
///
/// No weights are needed: the configuration's encoder may be a folder with a config.json or one of
/// the built-in names bert-base-cased, bert-base-uncased, bert-large-cased, bert-large-uncased,
/// all-MiniLM-L6-v2.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  camtl params configs/glue-base.toml\n  \
    camtl params configs/glue-minilm.toml --set model.encoder=bert-large-cased --json"
)]
pub(crate) struct ParamsArgs {
    /// The training configuration (TOML).
    pub(crate) config: PathBuf,

    /// Overrides one configuration value; may be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Prints one JSON object instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Compares runs in plain tables: scores, parameters, data used, throughput, progress.
///
/// Reads summary.json and events.jsonl of each run folder; a run that has not finished is shown as
/// far as it got.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  camtl report runs/glue\n  camtl report runs/a runs/b runs/c"
)]
pub(crate) struct ReportArgs {
    /// The run folders.
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,

    /// Prints one JSON object instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Tells about task files.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct TaskArgs {
    #[command(subcommand)]
    pub(crate) command: TaskCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    Check(TaskCheckArgs),
}

/// Reads a task file with its data: counts, label balance, lengths in tokens, the first examples as
/// the model will see them, and every problem with its file and line.
///
/// Tags are counted by word, questions with the windows of their contexts, mentions with their words.
/// In the examples, answers and mentions stand between « and », and a tag follows its word after a /.
///
/// Lengths and tokens need the tokenizer of an encoder: that of --encoder, else the first one found
/// below models. The exit code is 1 when something has to be mended before the task can be trained on.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  camtl task check tickets.toml --data-dir data\n  \
    camtl task check configs/tasks/multirc.toml --max-length 256 --json"
)]
pub(crate) struct TaskCheckArgs {
    /// The task file (TOML).
    pub(crate) file: PathBuf,

    /// The folder that the paths of the task file are relative to.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,

    /// The encoder whose tokenizer is used: a folder, or a name below models.
    #[arg(long, value_name = "DIR")]
    pub(crate) encoder: Option<PathBuf>,

    /// The longest sequence in tokens, as data.max_length of a training configuration.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) max_length: usize,

    /// So many examples are shown.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) examples: usize,

    /// At most so many problems are told in words; the rest is counted.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) max_problems: usize,

    /// Prints one JSON object instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs one of the paper's grids and prints its table beside the paper's figures.
///
/// A grid takes one configuration and changes in each row what the paper's table changes: encoder, data,
/// learning rate, frozen layers and the number of updates stay the same. Every row is trained once per seed,
/// in a run folder of its own. Runs that are there already are not trained again, and a run that was stopped
/// or killed goes on where it was: start the same command again. At the end, and after every run, table.txt
/// and results.json in the folder have what there is so far.
#[derive(Debug, Args)]
#[command(after_long_help = "Grids:\n  \
    ablation    multi-task training, then one conditional module after the other, then MT-Uncertainty\n  \
    baselines   one model per task, multi-task training, CA-MTL\n  \
    sampling    the plain encoder under every way to choose tasks\n  \
    freezing    nothing, a quarter and half of the layers frozen\n  \
    scaling     GLUE, SuperGLUE, all tasks of the configuration, with and without CA-MTL\n\n\
    The paper's figures are percentages of BERT on whole data sets and long budgets; the table says which.\n\n\
    Examples:\n  \
    camtl reproduce ablation configs/glue-base.toml --seeds 12,13,14\n  \
    camtl reproduce baselines configs/glue-minilm.toml --set train.max_steps=300\n  \
    camtl reproduce scaling configs/all-tasks-minilm.toml --run runs/scaling")]
pub(crate) struct ReproduceArgs {
    /// Which grid.
    #[arg(value_enum)]
    pub(crate) grid: GridName,

    /// The configuration that the grid varies (TOML).
    #[arg(default_value = "configs/glue-base.toml")]
    pub(crate) config: PathBuf,

    /// Overrides one configuration value in all rows; may be given many times, the last one wins.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// The seeds, with commas between them [default: train.seed of the configuration].
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub(crate) seeds: Vec<u64>,

    /// The folder of the grid [default: runs/reproduce- followed by the grid's name].
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
}

/// A grid of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GridName {
    /// The method, module by module.
    Ablation,
    /// The method against its baselines.
    Baselines,
    /// Ways to choose tasks.
    Sampling,
    /// How much is frozen.
    Freezing,
    /// More and more tasks.
    Scaling,
}

impl GridName {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ablation => "ablation",
            Self::Baselines => "baselines",
            Self::Sampling => "sampling",
            Self::Freezing => "freezing",
            Self::Scaling => "scaling",
        }
    }
}

/// Trains CA-MTL on an embedded task suite and compares it with two baselines, in three minutes.
///
/// Needs no data, no download and no GPU. A small encoder is warmed up by masked-language modelling on
/// generated sentences and the training splits' texts (no labels); then CA-MTL with MT-Uncertainty, plain
/// multi-task training and one full fine-tuning per task start from it with equal budgets of updates, and
/// are compared on held-out data. Budgets are fixed numbers of steps, so the table is reproducible.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  camtl quickstart\n  camtl quickstart --seed 7 --run runs/quickstart-7"
)]
pub(crate) struct QuickstartArgs {
    /// The folder for everything; an earlier quickstart there is replaced.
    #[arg(long, value_name = "DIR", default_value = "runs/quickstart")]
    pub(crate) run: PathBuf,

    /// The seed of data, initialisation, sampling and dropout.
    #[arg(long, default_value_t = 12)]
    pub(crate) seed: u64,

    /// Threads for the computation [default: the machine's cores, at most 2].
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,

    /// Multiplies data sizes and numbers of steps; for tests of the command itself.
    #[arg(long, value_name = "FACTOR", hide = true, default_value_t = 1.0)]
    pub(crate) scale: f64,
}
