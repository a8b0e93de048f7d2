//! A tiny encoder with random weights and three tiny tasks, written as a user would have them.
//!
//! Everything is made here, from a seed, without the project's own readers and generators: `mood`
//! (two labels, one text), `order` (three labels, a pair, with a mismatched split) and `overlap`
//! (a score from 0 to 5, a pair). Each can be learnt from its words.

use std::fmt::Write as _;

use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, TaskHead};
use safetensors::tensor::{Dtype, TensorView};
use tch::Device;

use super::Dir;

/// Hidden size, a multiple of the longest sequence as conditional attention wants it.
const HIDDEN: i64 = 32;
const MAX_LENGTH: usize = 16;
pub const GOOD: [&str; 4] = ["warm", "bright", "kind", "sweet"];
pub const BAD: [&str; 4] = ["cold", "dull", "harsh", "bitter"];
pub const PLAIN: [&str; 8] = [
    "river", "stone", "house", "road", "cloud", "bread", "night", "field",
];

/// A linear congruential generator: all that a fixture needs.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    pub fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// Rows of `mood`: text and label.
pub fn mood(count: usize, seed: u64) -> Vec<(String, &'static str)> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|_| {
            let good = dice.below(2) == 1;
            let word = dice.pick(if good { &GOOD } else { &BAD });
            let text = format!("{} {} {}", dice.pick(&PLAIN), word, dice.pick(&PLAIN));
            (text, if good { "pos" } else { "neg" })
        })
        .collect()
}

/// Rows of `order`: two texts and a label.
pub fn order(count: usize, seed: u64) -> Vec<(String, String, &'static str)> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|_| {
            let a = dice.pick(&PLAIN);
            let (b, label) = match dice.below(3) {
                0 => (a, "same"),
                1 => (dice.pick(&GOOD), "praise"),
                _ => (dice.pick(&BAD), "blame"),
            };
            (
                format!("{a} {}", dice.pick(&PLAIN)),
                format!("{b} {}", dice.pick(&PLAIN)),
                label,
            )
        })
        .collect()
}

/// Rows of `overlap`: two texts and a score.
pub fn overlap(count: usize, seed: u64) -> Vec<(String, String, f32)> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|_| {
            let words: Vec<&str> = (0..3).map(|_| dice.pick(&PLAIN)).collect();
            let kept = dice.below(4);
            let other: Vec<&str> = (0..3)
                .map(|at| {
                    if at < kept {
                        words[at]
                    } else {
                        dice.pick(&BAD)
                    }
                })
                .collect();
            (words.join(" "), other.join(" "), kept as f32 * 5.0 / 3.0)
        })
        .collect()
}

impl Dir {
    /// A folder with `encoder/`, `data/`, `tasks/` and the configuration `run.toml`.
    pub fn with_project() -> Self {
        let dir = Self::new();
        dir.write_encoder();
        dir.write_tasks(160, 90);
        dir.write("run.toml", CONFIG);
        dir
    }

    /// A plain BERT with random weights, as a Hugging Face folder.
    pub fn write_encoder(&self) {
        self.write_encoder_as("encoder", HIDDEN, 2, MAX_LENGTH);
    }

    /// The same in another folder and of another size.
    pub fn write_encoder_as(&self, folder: &str, hidden: i64, layers: i64, max_length: usize) {
        let vocab: Vec<&str> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            .into_iter()
            .chain(GOOD)
            .chain(BAD)
            .chain(PLAIN)
            .chain([".", "##s", "unusual"])
            .collect();
        self.write(
            &format!("{folder}/vocab.txt"),
            format!("{}\n", vocab.join("\n")),
        );
        self.write(
            &format!("{folder}/tokenizer_config.json"),
            "{\"do_lower_case\": true}\n",
        );
        let encoder = EncoderConfig::bert(
            vocab.len() as i64,
            hidden,
            layers,
            4,
            2 * hidden,
            max_length as i64,
        );
        self.write(
            &format!("{folder}/config.json"),
            serde_json::to_vec_pretty(&encoder).expect("JSON"),
        );
        let model = Model::new(
            &ModelConfig {
                encoder,
                method: MethodConfig::plain(),
                tasks: vec![TaskHead::classification("none", 2)],
                max_length,
                freeze: Default::default(),
            },
            Device::Cpu,
            7,
        )
        .expect("a model");
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = model
            .parameters()
            .entries()
            .iter()
            .filter_map(|entry| {
                Some((
                    entry.name.clone(),
                    entry.name.strip_prefix("bert.")?.to_owned(),
                ))
            })
            .map(|(name, plain)| {
                let tensor = model
                    .parameters()
                    .tensor(&name)
                    .expect("a parameter")
                    .contiguous();
                let shape: Vec<usize> = tensor.size().iter().map(|n| *n as usize).collect();
                let values = Vec::<f32>::try_from(tensor.flatten(0, -1)).expect("floats");
                (
                    plain,
                    shape,
                    values
                        .iter()
                        .flat_map(|value| value.to_le_bytes())
                        .collect(),
                )
            })
            .collect();
        let views: Vec<(&str, TensorView<'_>)> = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                (
                    name.as_str(),
                    TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a view"),
                )
            })
            .collect();
        self.write(
            &format!("{folder}/model.safetensors"),
            safetensors::serialize(views, None).expect("safetensors"),
        );
    }

    /// The three tasks, with so many training and development examples of `mood`.
    pub fn write_tasks(&self, train: usize, dev: usize) {
        for (split, count, seed) in [("train", train, 1), ("dev", dev, 2), ("test", dev / 3, 3)] {
            let mut file = String::from("text\tlabel\n");
            for (text, label) in mood(count, seed) {
                let _ = writeln!(file, "{text}\t{label}");
            }
            self.write(&format!("data/mood/{split}.tsv"), file);
        }
        for (split, count, seed) in [
            ("train", train / 2, 4),
            ("dev", dev / 2, 5),
            ("dev-mm", dev / 3, 6),
            ("test", dev / 3, 7),
        ] {
            let mut file = String::from("id\tfirst\tsecond\tlabel\n");
            for (row, (a, b, label)) in order(count, seed).into_iter().enumerate() {
                let _ = writeln!(file, "{row}\t{a}\t{b}\t{label}");
            }
            self.write(&format!("data/order/{split}.tsv"), file);
        }
        for (split, count, seed) in [
            ("train", train / 2, 8),
            ("dev", dev / 2, 9),
            ("test", dev / 3, 10),
        ] {
            let mut file = String::new();
            for (a, b, score) in overlap(count, seed) {
                let row = serde_json::json!({"one": a, "two": b, "score": score});
                let _ = writeln!(file, "{row}");
            }
            self.write(&format!("data/overlap/{split}.jsonl"), file);
        }
        self.write("tasks/mood.toml", MOOD);
        self.write("tasks/order.toml", ORDER);
        self.write("tasks/overlap.toml", OVERLAP);
    }

    /// Trains `run.toml` into `runs/first`, to its end.
    pub fn train(&self, extra: &[&str]) -> super::Ran {
        let arguments = ["train", "run.toml", "--run", "runs/first"];
        self.run(arguments.iter().chain(extra)).success()
    }
}

const MOOD: &str = r#"
name = "mood"
kind = "classification"
labels = ["neg", "pos"]
metrics = ["accuracy", "matthews"]
format = "tsv"
fields = { text_a = "text", label = "label" }

[files]
train = "mood/train.tsv"
dev = "mood/dev.tsv"
test = { path = "mood/test.tsv", labelled = false }

[submission]
files = { test = "Mood.tsv" }
labels = { neg = "0", pos = "1" }
"#;

const ORDER: &str = r#"
name = "order"
kind = "classification"
labels = ["same", "praise", "blame"]
metrics = ["accuracy"]
format = "tsv"
fields = { text_a = "first", text_b = "second", label = "label", key = "id" }

[files]
train = "order/train.tsv"
dev = "order/dev.tsv"
dev_mismatched = "order/dev-mm.tsv"
test = { path = "order/test.tsv", labelled = false }

[submission]
files = { test = "Order.tsv" }
"#;

const OVERLAP: &str = r#"
name = "overlap"
kind = "regression"
range = [0.0, 5.0]
metrics = ["pearson", "spearman"]
format = "jsonl"
fields = { text_a = "one", text_b = "two", label = "score" }

[files]
train = "overlap/train.jsonl"
dev = "overlap/dev.jsonl"
test = { path = "overlap/test.jsonl", labelled = false }

[submission]
files = { test = "Overlap.tsv" }
"#;

const CONFIG: &str = r#"
[data]
dir = "data"
tasks = ["mood", "order", "overlap"]
max_length = 16

[model]
encoder = "encoder"

[sampler]
kind = "mt-uncertainty"

[train]
seed = 3
device = "cpu"
threads = 2
batch_size = 8
max_steps = 30
learning_rate = 1e-3
log_every_steps = 5

[checkpoint]
every_steps = 4
"#;
