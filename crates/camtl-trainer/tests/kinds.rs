//! Tasks of every kind in one model: they are learned, evaluated, answered, and resumed exactly.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use camtl_data::answers::Answer;
use camtl_data::reader::{Details, Mention, Question, TextSide};
use camtl_data::sampler::{SamplerConfig, Uniform};
use camtl_data::task::TaskSpec;
use camtl_data::{EncodedExample, Example, Label, Stream, TaskDataset};
use camtl_trainer::{Event, RunConfig, Trainer, predict};
use support::{finish, model, raw_tasks, run_until, weights};

const NOUNS: [&str; 3] = ["film", "book", "song"];
const GOOD: [&str; 3] = ["good", "fine", "great"];
const BAD: [&str; 3] = ["bad", "poor", "awful"];

fn one<'a>(stream: &mut Stream, of: &[&'a str]) -> &'a str {
    of[stream.below(of.len() as u64) as usize]
}

fn coin(stream: &mut Stream) -> bool {
    stream.below(2) == 1
}

/// Which of two options is a praise.
fn choice(stream: &mut Stream) -> Example {
    let second = coin(stream);
    let mut options = vec![
        format!("very {}", one(stream, &GOOD)),
        format!("{} very", one(stream, &BAD)),
    ];
    if second {
        options.swap(0, 1);
    }
    Example {
        text_a: format!("the {}", one(stream, &NOUNS)),
        label: Some(Label::Class(u32::from(second))),
        details: Details::Options(options),
        ..Example::default()
    }
}

/// Nouns are things.
fn tagging(stream: &mut Stream) -> Example {
    let mut words = vec!["the"; 1 + stream.below(3) as usize];
    let mut tags = vec![0; words.len()];
    for _ in 0..1 + stream.below(2) {
        words.extend([one(stream, &NOUNS), "very", one(stream, &BAD)]);
        tags.extend([1, 0, 0]);
    }
    Example {
        text_a: words.join(" "),
        label: Some(Label::Structured),
        details: Details::Words {
            words: words.into_iter().map(str::to_owned).collect(),
            tags: Some(tags),
        },
        ..Example::default()
    }
}

/// What is good?
fn question(stream: &mut Stream) -> Example {
    let (good, bad) = (one(stream, &NOUNS), one(stream, &NOUNS));
    let before = "the ".repeat(stream.below(3) as usize);
    let (context, start) = if coin(stream) {
        let start = before.len();
        (
            format!(
                "{before}{good} {} {bad} {}",
                one(stream, &GOOD),
                one(stream, &BAD)
            ),
            start,
        )
    } else {
        let first = format!("{before}{bad} {} ", one(stream, &BAD));
        (format!("{first}{good} {}", one(stream, &GOOD)), first.len())
    };
    Example {
        text_a: "very good".to_owned(),
        text_b: Some(context),
        label: Some(Label::Structured),
        details: Details::Question(Question {
            answers: vec![good.to_owned()],
            spans: std::iter::once(start..start + good.len()).collect(),
        }),
        ..Example::default()
    }
}

/// Whether two marked words praise alike.
fn pair(stream: &mut Stream) -> Example {
    let words = [coin(stream), coin(stream)]
        .map(|good| (good, one(stream, if good { &GOOD } else { &BAD })));
    let text = |word: &str| format!("the very {word}");
    let mention = |side, word: &str| Mention {
        side,
        range: 9..9 + word.len(),
    };
    Example {
        text_a: text(words[0].1),
        text_b: Some(text(words[1].1)),
        label: Some(Label::Class(u32::from(words[0].0 == words[1].0))),
        details: Details::Mentions([
            mention(TextSide::A, words[0].1),
            mention(TextSide::B, words[1].1),
        ]),
        ..Example::default()
    }
}

/// A task as its file would describe it; the data is in memory, so its files are not there.
fn spec(name: &str, description: &str) -> TaskSpec {
    let text = format!("name = {name:?}\n{description}\n[files]\ntrain = \"t\"\ndev = \"d\"\n");
    TaskSpec::from_toml(&text, name).unwrap()
}

const CHOICE: &str = r#"
kind = "multiple-choice"
labels = ["0", "1"]
metrics = ["accuracy"]
format = "jsonl"
fields = { text_a = "a", label = "c", choices = ["first", "second"] }"#;
const TAGS: &str = r#"
kind = "tagging"
labels = ["O", "B-thing"]
metrics = ["entity-f1"]
format = "conll""#;
const SPAN: &str = r#"
kind = "span"
metrics = ["em"]
format = "squad""#;
const PAIR: &str = r#"
kind = "span-pair"
labels = ["no", "yes"]
metrics = ["accuracy"]
format = "jsonl"
[fields]
text_a = "a"
text_b = "b"
label = "c"
mentions = [{ text = "a", start = "s1", end = "e1" }, { text = "b", start = "s2", end = "e2" }]"#;

/// One task of each kind.
fn raw() -> Vec<(TaskSpec, BTreeMap<String, Vec<Example>>)> {
    let mut stream = Stream::new(8, "kinds");
    let mut task = |spec: TaskSpec, make: fn(&mut Stream) -> Example| {
        let splits = [("train", 300), ("dev", 30)].map(|(name, count)| {
            let examples = (0..count).map(|id| Example {
                id,
                ..make(&mut stream)
            });
            (name.to_owned(), examples.collect())
        });
        (spec, splits.into())
    };
    let mut tasks = vec![
        task(spec("choice", CHOICE), choice),
        task(spec("tags", TAGS), tagging),
        task(spec("span", SPAN), question),
        task(spec("pair", PAIR), pair),
    ];
    tasks.extend(
        raw_tasks()
            .into_iter()
            .filter(|(spec, _)| spec.name != "agreement"),
    );
    tasks
}

fn datasets() -> Vec<TaskDataset> {
    support::encode(raw())
}

fn config() -> RunConfig {
    let mut config = support::config();
    config.train.batch_size = 24;
    config.train.learning_rate = 3e-3;
    config
}

fn trainer(config: &RunConfig, run_dir: Option<&Path>) -> Trainer {
    let datasets = datasets();
    let model = model(config, &datasets);
    Trainer::new(config.clone(), datasets, model, run_dir).unwrap()
}

/// Whether an answer is what the example's numbers say.
fn is_right(answer: &Answer, example: &EncodedExample<'_>) -> bool {
    match (answer, example.label) {
        (Answer::Class { label, .. }, Some(Label::Class(class))) => *label == class,
        (Answer::Choice { option, .. }, Some(Label::Class(class))) => *option == class,
        (Answer::Tags(tags), _) => {
            let truth = example.extra.iter().filter(|tag| **tag >= 0);
            truth.map(|tag| *tag as u32).eq(tags.iter().copied())
        }
        (Answer::Span { best, .. }, _) => best
            .first()
            .is_some_and(|best| [best.start as i32, best.end as i32] == example.extra[..2]),
        (Answer::Score(score), Some(Label::Score(truth))) => (score - truth).abs() < 1.0,
        other => panic!("{other:?}"),
    }
}

/// Random guessing is right half of the time at most; what was learned is right nearly always.
#[test]
fn every_kind_is_learned_and_evaluated() {
    let mut config = config();
    config.train.max_steps = Some(800);
    config.model.dropout = Some(0.0);
    config.train.micro_batch_tokens = 60;
    config.sampler = SamplerConfig::from(Uniform {});
    let mut trainer = trainer(&config, None);
    let (summary, _) = finish(&mut trainer);
    for (task, dataset) in trainer.datasets().iter().enumerate() {
        let dev = &dataset.splits["dev"];
        let answers = predict(trainer.model(), task, dev, 500).unwrap();
        assert_eq!(answers.len(), dev.len());
        let right = (0..dev.len())
            .filter(|&at| is_right(&answers[at], &dev.get(at)))
            .count();
        let name = &dataset.spec.name;
        assert!(
            right * 5 >= dev.len() * 4,
            "{name}: {right} of {}",
            dev.len()
        );
        let first = dataset.spec.metrics[0].name();
        assert!(
            summary.tasks[name][first] > 0.8,
            "{name}: {:?}",
            summary.tasks[name]
        );
        assert_eq!(summary.examples[name]["dev"].evaluated, dev.len() as u64);
        // Batches of any size give the same answers.
        let small = predict(trainer.model(), task, dev, 20).unwrap();
        let same = (0..dev.len())
            .filter(|&at| is_right(&small[at], &dev.get(at)))
            .count();
        assert_eq!(same, right, "{name}");
    }
}

/// MT-Uncertainty scores every kind on the scale of its alternatives.
#[test]
fn every_kind_has_an_uncertainty() {
    let mut config = config();
    config.train.max_steps = Some(1);
    config.eval.at_end = false;
    let (_, events) = finish(&mut trainer(&config, None));
    let mut steps = events.iter().filter_map(|event| match event {
        Event::Step { tasks, .. } => Some(tasks),
        _ => None,
    });
    let tasks = steps.next_back().unwrap();
    for name in ["choice", "tags", "span", "pair", "sentiment"] {
        let uncertainty = tasks[name].uncertainty.unwrap();
        // A model at its start knows next to nothing.
        assert!((0.8..=1.0).contains(&uncertainty), "{name}: {uncertainty}");
    }
}

#[test]
fn mixed_kinds_resume_exactly() {
    let mut config = config();
    config.train.max_steps = Some(7);
    config.train.micro_batch_tokens = 60;
    config.eval.every_steps = Some(3);
    config.eval.limit = Some(6);
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    finish(&mut trainer(&config, Some(&whole)));
    run_until(&mut trainer(&config, Some(&parts)), 4);
    let sets = datasets();
    let fresh = model(&config, &sets);
    let mut resumed = Trainer::resume(config.clone(), sets, &parts, || Ok(fresh)).unwrap();
    finish(&mut resumed);
    assert!(weights(&whole) == weights(&parts), "the weights differ");
}

/// A loss that is not finite names the task and the examples, whatever their kind.
#[test]
fn broken_examples_are_named() {
    for task in ["choice", "tags", "span", "pair"] {
        let mut config = config();
        config.sampler = SamplerConfig::from(Uniform {});
        let sets = datasets();
        let at = sets.iter().position(|set| set.spec.name == task).unwrap();
        let broken = model(&config, &sets);
        let name = format!("decoders.{at}.model.weight");
        let weight = broken.parameters().tensor(&name).unwrap();
        broken
            .parameters()
            .set(&name, &weight.full_like(f64::NAN))
            .unwrap();
        let mut trainer = Trainer::new(config, sets, broken, None).unwrap();
        let error = trainer
            .run(&mut |_| {}, &AtomicBool::new(false))
            .unwrap_err()
            .to_string();
        let expected = format!("the loss is not finite, caused by task `{task}` examples ");
        assert!(error.contains(&expected), "{error}");
        assert!(!error.contains("task `sentiment`"), "{error}");
    }
}
