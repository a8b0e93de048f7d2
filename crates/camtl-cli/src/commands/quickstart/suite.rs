//! The quickstart's data and encoder, on disk in the forms a user's own would have.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use camtl_data::encoded::TaskDataset;
use camtl_data::reader::{Example, Label};
use camtl_data::task::{SplitSource, TaskSpec};
use camtl_data::tokenize::TextTokenizer;
use camtl_data::{LoadOptions, load_task};
use camtl_quickstart::pretrain::{PretrainError, pretrain};
use camtl_quickstart::synthetic::{self, SyntheticTask};

use super::plan::Plan;
use super::{Halt, Places};
use crate::failure::{Failure, OrFail};
use crate::progress::{self, Progress};
use crate::table::thousands;

/// The tasks, read back from the files that were written.
pub(super) struct Suite {
    /// Tasks with their splits, in order.
    pub(super) datasets: Vec<TaskDataset>,
    /// The tokenizer.
    pub(super) tokenizer: TextTokenizer,
    /// Unlabelled texts for the warm start: generated sentences, and the training splits' texts.
    corpus: Vec<Example>,
    /// A sentence of the sentiment task's development split, to try the result with.
    pub(super) sample: String,
}

impl Suite {
    /// The tasks' descriptions.
    pub(super) fn specs(&self) -> Vec<&TaskSpec> {
        self.datasets.iter().map(|dataset| &dataset.spec).collect()
    }

    /// Training examples per task.
    pub(super) fn sizes(&self) -> Vec<usize> {
        let size =
            |dataset: &TaskDataset| dataset.splits.get("train").map_or(0, |split| split.len());
        self.datasets.iter().map(size).collect()
    }
}

/// What the warm start came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct WarmStart {
    pub(super) steps: u64,
    /// Mean over the last tenth of the steps.
    pub(super) loss: f64,
    pub(super) accuracy: f64,
    pub(super) seconds: f64,
}

/// Generates the suite into `data/` (TSV) and `tasks/` (task files), and reads it back as `train` would.
pub(super) fn write(plan: &Plan, places: &Places) -> Result<Suite, Failure> {
    let tokenizer = TextTokenizer::from_vocab(synthetic::vocab(), true)?;
    let data_dir = places.work.join("data");
    let options = LoadOptions::new(&data_dir, synthetic::MAX_LENGTH);
    let mut corpus: Vec<Example> = synthetic::sentences(plan.seed, plan.sentences())
        .into_iter()
        .map(|text| unlabelled(text, None))
        .collect();
    let mut datasets = Vec::new();
    let mut sample = String::new();
    for task in synthetic::suite_scaled(plan.seed, plan.scale) {
        let spec = write_task(&task, places)?;
        corpus.extend(
            task.splits
                .get("train")
                .into_iter()
                .flatten()
                .map(|row| unlabelled(row.text_a.clone(), row.text_b.clone())),
        );
        if spec.name == "sentiment" {
            sample = task
                .splits
                .get("dev")
                .and_then(|rows| rows.first())
                .map_or(String::new(), |row| row.text_a.clone());
        }
        datasets.push(load_task(&spec, &tokenizer, &options)?);
    }
    Ok(Suite {
        datasets,
        tokenizer,
        corpus,
        sample,
    })
}

fn unlabelled(text_a: String, text_b: Option<String>) -> Example {
    Example {
        text_a,
        text_b,
        ..Example::default()
    }
}

/// Writes one task's splits and its task file; the description returned names the files.
fn write_task(task: &SyntheticTask, places: &Places) -> Result<TaskSpec, Failure> {
    let mut spec = task.spec.clone();
    let folder = places.work.join("data").join(&spec.name);
    std::fs::create_dir_all(&folder).or_work(|| format!("cannot make {}", folder.display()))?;
    for (split, examples) in &task.splits {
        let path = folder.join(format!("{split}.tsv"));
        std::fs::write(&path, tsv(&spec, examples))
            .or_work(|| format!("cannot write {}", path.display()))?;
        spec.files.insert(
            split.clone(),
            SplitSource::new(format!("{}/{split}.tsv", spec.name)),
        );
    }
    let folder = places.work.join("tasks");
    std::fs::create_dir_all(&folder).or_work(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{}.toml", spec.name));
    let text = toml::to_string(&spec)?;
    std::fs::write(&path, text).or_work(|| format!("cannot write {}", path.display()))?;
    Ok(spec)
}

/// The rows with a header, columns in the order of the task's fields.
fn tsv(spec: &TaskSpec, examples: &[Example]) -> String {
    let fields = &spec.fields;
    let columns: Vec<String> = [
        Some(&fields.text_a),
        fields.text_b.as_ref(),
        fields.label.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(|column| column.to_string().trim_matches('`').to_owned())
    .collect();
    let mut text = columns.join("\t") + "\n";
    for example in examples {
        text.push_str(&example.text_a);
        if let Some(second) = &example.text_b {
            let _ = write!(text, "\t{second}");
        }
        let _ = match example.label {
            Some(Label::Class(class)) => {
                writeln!(text, "\t{}", spec.label_name(class).unwrap_or_default())
            }
            Some(Label::Score(score)) => writeln!(text, "\t{score}"),
            _ => writeln!(text),
        };
    }
    text
}

/// Makes the encoder and saves it as a Hugging Face folder.
pub(super) fn warm_up(
    plan: &Plan,
    places: &Places,
    suite: &Suite,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<WarmStart, Halt> {
    let started = Instant::now();
    camtl_ops::set_num_threads(i32::try_from(plan.threads).unwrap_or(1))?;
    camtl_ops::set_deterministic(true)?;
    let options = plan.warm_start();
    let corpus = suite
        .tokenizer
        .encode_all(&suite.corpus, synthetic::MAX_LENGTH)?;
    let encoder = plan.encoder(suite.tokenizer.vocab_size());
    let lines = Progress::new("encoder", quiet);
    lines.line(&format!(
        "masked-language modelling on {} texts, {} steps of {}",
        thousands(corpus.len() as u64),
        thousands(options.steps),
        options.batch_size
    ));
    let bar = if quiet {
        indicatif::ProgressBar::hidden()
    } else {
        progress::bar()
    };
    bar.set_length(options.steps);
    let (mut loss, mut accuracy, mut counted) = (0.0, 0.0, 0u64);
    let tail = options.steps - options.steps / 10;
    let mut observe = |step: &camtl_quickstart::pretrain::PretrainStep| {
        bar.set_position(step.step);
        bar.set_message(format!("warming up the encoder, loss {:.3}", step.loss));
        if step.step > tail {
            loss += step.loss;
            accuracy += step.accuracy;
            counted += 1;
        }
    };
    let model = match pretrain(
        &encoder,
        &corpus,
        &suite.tokenizer,
        &options,
        &mut observe,
        stop,
    ) {
        Ok(model) => model,
        Err(PretrainError::Stopped { .. }) => return Err(Halt::Stopped),
        Err(error) => return Err(Failure::work(error).into()),
    };
    bar.finish_and_clear();
    let folder = places.work.join("encoder");
    model.save_encoder_as_hf(&folder)?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).or_work(|| format!("cannot write {}", path.display()))
    };
    write("vocab.txt", synthetic::vocab())?;
    write(
        "tokenizer_config.json",
        "{\n  \"do_lower_case\": true,\n  \"tokenizer_class\": \"BertTokenizer\"\n}\n",
    )?;
    let counted = counted.max(1) as f64;
    let warm_start = WarmStart {
        steps: options.steps,
        loss: loss / counted,
        accuracy: accuracy / counted,
        seconds: started.elapsed().as_secs_f64(),
    };
    lines.line(&format!(
        "restores {:.1} % of masked tokens after {:.0} s",
        100.0 * warm_start.accuracy,
        warm_start.seconds
    ));
    Ok(warm_start)
}
