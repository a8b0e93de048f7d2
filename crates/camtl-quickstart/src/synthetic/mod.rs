//! A suite of small tasks in English-like sentences, generated from a seed: for the quickstart, for tests, and for trying
//! things out without data.
//!
//! | task | kind | train | what decides |
//! |---|---|---|---|
//! | `acceptability` | 2 classes, Matthews | 800 | agreement across other nouns, order, verb forms |
//! | `inference` | 3 classes, accuracy | 6000 | negation and its scope, roles, synonyms, kinds of things |
//! | `paraphrase` | 2 classes, accuracy and F1 | 1500 | roles, place of negation and adjectives, synonyms, voice |
//! | `sentiment` | 2 classes, accuracy | 3000 | negation, and whose judgement of what counts |
//! | `similarity` | score 0 to 5, Pearson and Spearman | 600 | which parts of the meaning differ |
//!
//! The tasks share words, synonyms, voice and negation, so that the small ones gain from the large. No task can be solved
//! from the words alone: a linear model of word counts stays far behind (a test). Labels are exact, except for a little
//! noise in the similarity scores. No example of `dev` or `test` is in `train`. A pair has at most [`MAX_LENGTH`] word
//! pieces with `[CLS]` and both `[SEP]`.
//!
//! ```
//! use camtl_quickstart::synthetic::{suite_scaled, sentences};
//!
//! let tasks = suite_scaled(12, 0.02);
//! let names: Vec<&str> = tasks.iter().map(|task| task.spec.name.as_str()).collect();
//! assert_eq!(names, ["acceptability", "inference", "paraphrase", "sentiment", "similarity"]);
//! assert_eq!(tasks[1].splits["train"].len(), 120);
//! assert_eq!(tasks[1].splits["train"], suite_scaled(12, 0.02)[1].splits["train"]);
//! assert_eq!(sentences(12, 3).len(), 3);
//! ```

mod acceptability;
mod inference;
mod lexicon;
mod paraphrase;
mod proposition;
mod relation;
mod sentiment;
mod similarity;
mod text;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet};

use camtl_data::kinds::{Classification, Regression};
use camtl_data::metrics::MetricKind;
use camtl_data::random::Stream;
use camtl_data::task::{Column, Fields, TaskKind, TaskSpec};
use camtl_data::{Example, Label};

/// Largest number of word pieces of an example, special tokens included.
pub const MAX_LENGTH: usize = 32;

/// A generated task with its data.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticTask {
    /// Description of the task; it names no files.
    pub spec: TaskSpec,
    /// Examples of `train`, `dev` and `test`, all labelled.
    pub splits: BTreeMap<String, Vec<Example>>,
}

/// Number of examples per split.
struct Sizes {
    train: usize,
    dev: usize,
    test: usize,
}

/// The five tasks at full size; the same for the same seed.
pub fn suite(seed: u64) -> Vec<SyntheticTask> {
    suite_scaled(seed, 1.0)
}

/// The five tasks with all sizes multiplied by `scale`, at least 8 examples per split. Values above 2 are taken as 2:
/// the grammar does not have many more different sentences.
pub fn suite_scaled(seed: u64, scale: f64) -> Vec<SyntheticTask> {
    let of_classes = |text: String, class| (text, None, Label::Class(class));
    let pair_of_classes = |(a, b, class): (String, String, u32)| (a, Some(b), Label::Class(class));
    vec![
        task(
            seed,
            scale,
            classification(
                "acceptability",
                "Grammatical acceptability",
                &["unacceptable", "acceptable"],
                &[MetricKind::Matthews, MetricKind::Accuracy],
                false,
            ),
            Sizes {
                train: 800,
                dev: 500,
                test: 500,
            },
            |stream| {
                let (text, class) = acceptability::draw(stream);
                of_classes(text, class)
            },
        ),
        task(
            seed,
            scale,
            classification(
                "inference",
                "Natural language inference",
                &["entailment", "neutral", "contradiction"],
                &[MetricKind::Accuracy],
                true,
            ),
            Sizes {
                train: 6000,
                dev: 500,
                test: 500,
            },
            |stream| pair_of_classes(inference::draw(stream)),
        ),
        task(
            seed,
            scale,
            classification(
                "paraphrase",
                "Paraphrase identification",
                &["different", "paraphrase"],
                &[MetricKind::F1, MetricKind::Accuracy],
                true,
            ),
            Sizes {
                train: 1500,
                dev: 400,
                test: 400,
            },
            |stream| pair_of_classes(paraphrase::draw(stream)),
        ),
        task(
            seed,
            scale,
            classification(
                "sentiment",
                "Sentiment of film reviews",
                &["negative", "positive"],
                &[MetricKind::Accuracy],
                false,
            ),
            Sizes {
                train: 3000,
                dev: 400,
                test: 400,
            },
            |stream| {
                let (text, class) = sentiment::draw(stream);
                of_classes(text, class)
            },
        ),
        task(
            seed,
            scale,
            with_title(
                TaskSpec::new(
                    "similarity",
                    TaskKind::Regression(Regression {
                        min: 0.0,
                        max: similarity::MAX,
                    }),
                    vec![MetricKind::Spearman, MetricKind::Pearson],
                    fields(true),
                ),
                "Semantic similarity",
            ),
            Sizes {
                train: 600,
                dev: 400,
                test: 400,
            },
            |stream| {
                let (a, b, score) = similarity::draw(stream);
                (a, Some(b), Label::Score(score))
            },
        ),
    ]
}

/// The word-piece vocabulary of the suite: one piece per line, the line number (from 0) is the id. It is for a
/// lower-casing BERT tokenizer and covers every sentence; letters and digits are in it, so that other English text has a
/// spelling too.
///
/// ```
/// let vocabulary = camtl_quickstart::synthetic::vocab();
/// assert_eq!(vocabulary.lines().next(), Some("[PAD]"));
/// ```
pub fn vocab() -> &'static str {
    vocabulary::VOCAB
}

/// `n` unlabelled sentences of the kinds that the tasks have, for a masked-language-model warm start. They are drawn
/// from a stream of their own; single sentences of the tasks may occur among them, labels cannot.
pub fn sentences(seed: u64, n: usize) -> Vec<String> {
    const RATES: proposition::Rates = proposition::Rates {
        thing: 0.3,
        adverbial: 0.35,
        adjective: 0.3,
        relative: 0.25,
        negated: 0.45,
    };
    let mut stream = Stream::new(seed, "synthetic/sentences");
    (0..n)
        .map(|_| match stream.below(10) {
            0..=5 => proposition::Proposition::draw(&mut stream, RATES).sentence(&mut stream),
            6..=7 => acceptability::acceptable(&mut stream),
            _ => sentiment::draw(&mut stream).0,
        })
        .collect()
}

fn fields(pair: bool) -> Fields {
    let column = |name: &str| Column::Name(name.to_owned());
    Fields {
        text_b: pair.then(|| column("sentence2")),
        label: Some(column("label")),
        ..Fields::new(column(if pair { "sentence1" } else { "sentence" }))
    }
}

fn with_title(spec: TaskSpec, title: &str) -> TaskSpec {
    TaskSpec {
        title: Some(title.to_owned()),
        ..spec
    }
}

fn classification(
    name: &str,
    title: &str,
    labels: &[&str],
    metrics: &[MetricKind],
    pair: bool,
) -> TaskSpec {
    let kind = TaskKind::Classification(Classification {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    });
    with_title(
        TaskSpec::new(name, kind, metrics.to_vec(), fields(pair)),
        title,
    )
}

/// Draws the splits of one task, each from a stream of its own. `test` and `dev` come first, so that their examples do
/// not depend on the size of `train`, which leaves out whatever is in them.
fn task(
    seed: u64,
    scale: f64,
    spec: TaskSpec,
    sizes: Sizes,
    mut draw: impl FnMut(&mut Stream) -> (String, Option<String>, Label),
) -> SyntheticTask {
    let scale = scale.clamp(0.0, 2.0);
    let mut seen: BTreeSet<(String, Option<String>)> = BTreeSet::new();
    let mut splits = BTreeMap::new();
    for (split, size) in [
        ("test", sizes.test),
        ("dev", sizes.dev),
        ("train", sizes.train),
    ] {
        let size = ((size as f64 * scale).round() as usize).max(8);
        let mut stream = Stream::new(seed, &format!("synthetic/{}/{split}", spec.name));
        let mut examples = Vec::with_capacity(size);
        while examples.len() < size {
            let (text_a, text_b, label) = draw(&mut stream);
            let special = if text_b.is_some() { 3 } else { 2 };
            let pieces = vocabulary::count_pieces(&text_a)
                + text_b.as_deref().map_or(0, vocabulary::count_pieces);
            if pieces + special > MAX_LENGTH || !seen.insert((text_a.clone(), text_b.clone())) {
                continue;
            }
            examples.push(Example {
                id: examples.len() as u64,
                text_a,
                text_b,
                label: Some(label),
                ..Example::default()
            });
        }
        splits.insert(split.to_owned(), examples);
    }
    SyntheticTask { spec, splits }
}
