//! The masked-LM warm start: reproducible, learns, refuses what it cannot use.

use std::sync::atomic::AtomicBool;

use camtl_data::{EncodedSplit, Example, TextTokenizer};
use camtl_model::{EncoderConfig, Model};
use camtl_quickstart::pretrain::{PretrainError, PretrainOptions, PretrainStep, pretrain};

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\na\ncat\ndog\nsleeps\nruns\n";

fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_vocab(VOCAB, true).unwrap()
}

fn corpus(texts: &[(&str, Option<&str>)]) -> EncodedSplit {
    let examples: Vec<Example> = texts
        .iter()
        .map(|(a, b)| Example {
            text_a: (*a).to_owned(),
            text_b: b.map(str::to_owned),
            ..Example::default()
        })
        .collect();
    tokenizer().encode_all(&examples, 12).unwrap()
}

fn sentences() -> EncodedSplit {
    corpus(&[
        ("the cat sleeps", None),
        ("a dog runs", None),
        ("the cat sleeps", Some("a dog runs")),
    ])
}

fn encoder() -> EncoderConfig {
    EncoderConfig::bert(11, 16, 2, 2, 32, 12)
}

fn options() -> PretrainOptions {
    PretrainOptions {
        steps: 120,
        batch_size: 8,
        learning_rate: 1e-2,
        seed: 5,
        ..PretrainOptions::default()
    }
}

fn run(options: &PretrainOptions) -> (Result<Model, PretrainError>, Vec<PretrainStep>) {
    let mut steps = Vec::new();
    let stop = AtomicBool::new(false);
    let model = pretrain(
        &encoder(),
        &sentences(),
        &tokenizer(),
        options,
        &mut |step| steps.push(*step),
        &stop,
    );
    (model, steps)
}

fn parameters(model: &Model) -> Vec<f32> {
    Vec::try_from(model.parameters().flat()).unwrap()
}

#[test]
fn it_learns_and_is_reproducible() {
    let (first, steps) = run(&options());
    let (first, again) = (first.unwrap(), run(&options()).0.unwrap());
    assert_eq!(parameters(&first), parameters(&again));
    let mean = |steps: &[PretrainStep]| {
        steps.iter().map(|step| step.loss).sum::<f64>() / steps.len() as f64
    };
    let (begin, end) = (mean(&steps[..10]), mean(&steps[110..]));
    // A uniform guess over the vocabulary has loss ln 11.
    assert!((begin - 11f64.ln()).abs() < 0.8, "{begin}");
    assert!(end < 0.7 * begin, "{begin} falls to {end}");
    assert_eq!(steps.last().unwrap().step, 120);
    let other = run(&PretrainOptions {
        seed: 6,
        ..options()
    })
    .0
    .unwrap();
    assert_ne!(parameters(&first), parameters(&other));
}

#[test]
fn the_word_embeddings_learn_from_both_of_their_uses() {
    // One token occurs in no text: as an input it gets no gradient, as an output it is unlearned.
    let name = "bert.embeddings.word_embeddings.weight";
    let start = run(&PretrainOptions {
        steps: 1,
        learning_rate: 1e-12,
        ..options()
    })
    .0
    .unwrap();
    let end = run(&PretrainOptions {
        steps: 1,
        ..options()
    })
    .0
    .unwrap();
    let row = |model: &Model, id: i64| {
        let row = model.parameters().tensor(name).unwrap().get(id);
        Vec::<f32>::try_from(row).unwrap()
    };
    for id in 0..11 {
        assert_ne!(
            row(&start, id),
            row(&end, id),
            "row {id} is part of the output layer"
        );
    }
}

#[test]
fn the_encoder_is_saved_and_read_back() {
    let (model, _) = run(&PretrainOptions {
        steps: 2,
        ..options()
    });
    let folder = tempfile::tempdir().unwrap();
    let model = model.unwrap();
    model.save_encoder_as_hf(folder.path()).unwrap();
    assert_eq!(EncoderConfig::from_dir(folder.path()).unwrap(), encoder());
    let (other, report) =
        Model::from_pretrained(model.config(), folder.path(), tch::Device::Cpu, 99).unwrap();
    assert!(!report.new_pooler);
    let name = "bert.encoder.layer.1.output.dense.weight";
    assert_eq!(
        other.parameters().tensor(name).unwrap(),
        model.parameters().tensor(name).unwrap()
    );
}

#[test]
fn what_it_cannot_use_is_refused() {
    let stop = AtomicBool::new(false);
    let mut nothing = |_: &PretrainStep| {};
    let refused = |options: PretrainOptions| match run(&options).0 {
        Err(error @ PretrainError::Option { .. }) => error.to_string(),
        other => panic!("{options:?} gave {other:?}"),
    };
    let base = options();
    assert!(
        refused(PretrainOptions {
            batch_size: 0,
            ..base.clone()
        })
        .contains("batch_size is 0")
    );
    assert!(
        refused(PretrainOptions {
            learning_rate: f64::NAN,
            ..base.clone()
        })
        .contains("learning_rate")
    );
    assert!(
        refused(PretrainOptions {
            mask_probability: 0.0,
            ..base.clone()
        })
        .contains("mask_probability")
    );
    assert!(
        refused(PretrainOptions {
            warmup_ratio: 1.5,
            ..base.clone()
        })
        .contains("warmup_ratio")
    );
    assert!(
        refused(PretrainOptions {
            max_grad_norm: 0.0,
            ..base.clone()
        })
        .contains("max_grad_norm")
    );

    let empty = pretrain(
        &encoder(),
        &corpus(&[("", None)]),
        &tokenizer(),
        &base,
        &mut nothing,
        &stop,
    );
    assert!(
        matches!(empty, Err(PretrainError::EmptyCorpus)),
        "{empty:?}"
    );
    let exploding = PretrainOptions {
        learning_rate: 1e30,
        ..base.clone()
    };
    match run(&exploding).0 {
        Err(PretrainError::NonFinite { step, .. }) => assert!(step > 1),
        other => panic!("a learning rate of 1e30 gave {other:?}"),
    }
    let stopped = pretrain(
        &encoder(),
        &sentences(),
        &tokenizer(),
        &base,
        &mut nothing,
        &AtomicBool::new(true),
    );
    assert!(
        matches!(
            stopped,
            Err(PretrainError::Stopped {
                step: 0,
                steps: 120
            })
        ),
        "{stopped:?}"
    );
    // A vocabulary larger than the encoder's embedding.
    let small = EncoderConfig::bert(8, 16, 1, 2, 32, 12);
    assert!(
        pretrain(
            &small,
            &sentences(),
            &tokenizer(),
            &base,
            &mut nothing,
            &stop
        )
        .is_err()
    );
}
