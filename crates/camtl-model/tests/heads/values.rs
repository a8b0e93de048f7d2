//! Losses and uncertainties against their definitions in float64, and against the same example alone.

use camtl_model::{Model, ModelInput};
use camtl_ops::DropoutStream;
use proptest::prelude::*;
use tch::{Kind, Tensor, no_grad};

use crate::batch::*;

/// `W x + b` of the head of `task`.
fn head(model: &Model, task: i64, x: &[f64]) -> Vec<f64> {
    let part = |name: &str| {
        let name = format!("decoders.{task}.model.{name}");
        vector(&model.parameters().tensor(&name).unwrap())
    };
    part("weight")
        .chunks_exact(x.len())
        .zip(part("bias"))
        .map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias)
        .collect()
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - most).exp()).sum();
    logits.iter().map(|z| z - most - sum.ln()).collect()
}

fn entropy(logits: &[f64]) -> f64 {
    log_softmax(logits).iter().map(|l| -l.exp() * l).sum()
}

/// `-ln p` of a class; 0 if it is negative, which means not known.
fn cross_entropy(logits: &[f64], class: i64) -> f64 {
    match usize::try_from(class) {
        Ok(class) => -log_softmax(logits)[class],
        Err(_) => 0.0,
    }
}

/// Loss and uncertainty of one example, from the rows the encoder gives for it alone.
fn defined(model: &Model, example: &Example) -> (f64, f64) {
    let width = model.config().encoder.hidden_size as usize;
    let input: ModelInput = input(std::slice::from_ref(example));
    let output = no_grad(|| model.forward_all(&input, None).unwrap());
    let rows = |tensor: &Tensor| -> Vec<Vec<f64>> {
        vector(tensor)
            .chunks_exact(width)
            .map(<[f64]>::to_vec)
            .collect()
    };
    let (pooled, hidden) = (rows(&output.pooled), rows(&output.sequence.unwrap()));
    let extra = &example.extra;
    let say = |x: &[f64]| head(model, example.task, x);
    match example.task {
        CLASSIFICATION => {
            let z = say(&pooled[0]);
            (cross_entropy(&z, example.class), entropy(&z))
        }
        REGRESSION => ((say(&pooled[0])[0] - f64::from(example.score)).powi(2), 0.0),
        CHOICE => {
            let z: Vec<f64> = pooled.iter().map(|x| say(x)[0]).collect();
            (cross_entropy(&z, example.class), entropy(&z))
        }
        TAGGING => {
            let tagged: Vec<usize> = (0..extra.len()).filter(|&at| extra[at] != -100).collect();
            let known: Vec<usize> = tagged
                .iter()
                .copied()
                .filter(|&at| extra[at] >= 0)
                .collect();
            let mean = |of: &[usize], value: &dyn Fn(usize) -> f64| {
                of.iter().map(|&at| value(at)).sum::<f64>() / of.len().max(1) as f64
            };
            (
                mean(&known, &|at| cross_entropy(&say(&hidden[at]), extra[at])),
                mean(&tagged, &|at| entropy(&say(&hidden[at]))),
            )
        }
        SPAN | SPAN_OR_NONE => {
            let context: Vec<i64> = (extra[2]..=extra[3]).collect();
            let all: Vec<i64> = [0].into_iter().chain(context.clone()).collect();
            let uncertain = if example.task == SPAN { &context } else { &all };
            let (mut loss, mut sum) = (0.0, 0.0);
            for (side, &wanted) in extra[..2].iter().enumerate() {
                let said = |of: &[i64]| -> Vec<f64> {
                    of.iter()
                        .map(|&at| say(&hidden[at as usize])[side])
                        .collect()
                };
                let place = all.iter().position(|&at| at == wanted);
                loss += cross_entropy(&said(&all), place.map_or(-1, |at| at as i64)) / 2.0;
                if uncertain.len() > 1 {
                    sum += entropy(&said(uncertain)) / (uncertain.len() as f64).ln() / 2.0;
                }
            }
            (loss, 2f64.ln() * sum)
        }
        _ => {
            let mean = |start: i64, end: i64| -> Vec<f64> {
                let rows = &hidden[start as usize..end as usize];
                (0..width)
                    .map(|j| rows.iter().map(|row| row[j]).sum::<f64>() / rows.len() as f64)
                    .collect()
            };
            let x = [
                hidden[0].clone(),
                mean(extra[0], extra[1]),
                mean(extra[2], extra[3]),
            ];
            let z = say(&x.concat());
            (cross_entropy(&z, example.class), entropy(&z))
        }
    }
}

fn assert_defined(model: &Model, examples: &[Example]) {
    let said = no_grad(|| heads(model, examples, None));
    let (losses, entropies) = (vector(&said.loss.unwrap()), vector(&said.entropy));
    assert_eq!(
        (losses.len(), entropies.len()),
        (examples.len(), examples.len())
    );
    for (at, example) in examples.iter().enumerate() {
        let (loss, entropy) = defined(model, example);
        assert!(
            (losses[at] - loss).abs() < 1e-4,
            "loss of {example:?}: {} instead of {loss}",
            losses[at]
        );
        assert!(
            (entropies[at] - entropy).abs() < 1e-4,
            "uncertainty of {example:?}: {} instead of {entropy}",
            entropies[at]
        );
    }
}

#[test]
fn losses_and_uncertainties_are_as_defined() {
    let model = model();
    assert_defined(&model, &mixed());
    let said = heads(&model, &mixed(), None);
    let losses = vector(&said.loss.unwrap());
    for (at, loss) in losses.iter().enumerate() {
        // The last four have no known truth.
        assert_eq!(*loss == 0.0, at >= 8, "example {at}");
    }
    // Shapes, by order of first appearance.
    let shapes: Vec<(usize, Vec<i64>, Vec<usize>)> = said
        .logits
        .iter()
        .map(|one| (one.task, one.logits.size(), one.counts.clone()))
        .collect();
    assert_eq!(
        shapes,
        [
            (3, vec![4, 4], vec![3, 1]),
            (0, vec![1, 3], vec![1]),
            (2, vec![2, 2], vec![1, 1]),
            (1, vec![1, 1], vec![1]),
            (4, vec![14, 2], vec![8, 6]),
            (5, vec![11, 2], vec![7, 4]),
            (6, vec![2, 2], vec![1, 1]),
        ]
    );
    assert_eq!(said.logits[2].examples, [2, 9]);
    assert!(!said.entropy.requires_grad());
}

/// A flat head is as uncertain as can be: the logarithm of the number of alternatives; of spans, of 2.
#[test]
fn a_head_of_zeros_has_the_largest_uncertainty() {
    let model = model();
    for task in 0..model.config().tasks.len() {
        let name = format!("decoders.{task}.model.weight");
        let weight = model.parameters().tensor(&name).unwrap().zeros_like();
        model.parameters().set(&name, &weight).unwrap();
    }
    let examples = mixed();
    let entropies = vector(&heads(&model, &examples, None).entropy);
    for (example, entropy) in examples.iter().zip(entropies) {
        let alternatives: f64 = match example.task {
            CLASSIFICATION => 3.0,
            REGRESSION => 1.0,
            TAGGING => 4.0,
            _ => 2.0,
        };
        assert!(
            (entropy - alternatives.ln()).abs() < 1e-5,
            "{example:?}: {entropy}"
        );
    }
}

/// Nothing to choose from: neither loss nor uncertainty, and no NaN.
#[test]
fn examples_without_alternatives_are_certain() {
    let model = model();
    let examples = [
        example(TAGGING, &[2, 6, 3], &[-100; 3], 0),
        example(SPAN, &[2, 6, 3], &[0, 0, 1, 0], 0),
        example(SPAN_OR_NONE, &[2, 6, 3], &[0, 0, 1, 0], 0),
    ];
    let said = heads(&model, &examples, None);
    assert_eq!(vector(said.loss.as_ref().unwrap()), [0.0; 3]);
    assert_eq!(vector(&said.entropy), [0.0; 3]);
    said.loss.unwrap().sum(Kind::Float).backward();
    assert_eq!(
        model
            .parameters()
            .flat_grad()
            .isfinite()
            .all()
            .int64_value(&[]),
        1
    );
    // One token to choose is certain too, without the first token as an alternative.
    let one = [example(SPAN, &[2, 6, 3], &[1, 1, 1, 1], 0)];
    assert_eq!(vector(&heads(&model, &one, None).entropy), [0.0]);
}

/// Classifications and regressions alone give what `heads` gives, bit for bit, and only first tokens
/// are computed for them and for choices.
#[test]
fn batches_without_token_heads_are_as_before() {
    let model = model();
    let plain: Vec<Example> = mixed()
        .into_iter()
        .filter(|one| one.task < CHOICE)
        .collect();
    let stream = || DropoutStream::new(0.1, 5);
    let ours = heads(&model, &plain, Some(stream()));
    let (input, mut dropout) = (input(&plain), stream());
    let output = model.forward(&input, Some(&mut dropout)).unwrap();
    assert!(output.sequence.is_none());
    let theirs = model
        .heads(&output, Some(&targets(&plain)), Some(&mut dropout))
        .unwrap();
    assert_eq!(ours.loss.unwrap(), theirs.loss.unwrap());
    assert_eq!(ours.entropy, theirs.entropy);
    for (ours, theirs) in ours.logits.iter().zip(&theirs.logits) {
        assert_eq!((ours.task, &ours.logits), (theirs.0, &theirs.1));
    }
    let choices: Vec<Example> = mixed()
        .into_iter()
        .filter(|one| one.task == CHOICE)
        .collect();
    let output = model.forward(&crate::batch::input(&choices), None).unwrap();
    assert!(output.sequence.is_none());
}

/// An example that is not finite spoils no other.
#[test]
fn a_broken_example_is_alone() {
    let model = model();
    let name = "bert.embeddings.word_embeddings.weight";
    let table = model.parameters().tensor(name).unwrap().copy();
    let _ = table.get(29).fill_(f64::NAN);
    model.parameters().set(name, &table).unwrap();
    for broken in 0..mixed().len() {
        let mut examples = mixed();
        examples[broken].sequences[0][0] = 29;
        let said = heads(&model, &examples, None);
        for (at, entropy) in vector(&said.entropy).into_iter().enumerate() {
            let nan_expected = at == broken && examples[at].task != REGRESSION;
            assert_eq!(entropy.is_nan(), nan_expected, "{broken} broken, {at} read");
        }
        for (at, loss) in vector(&said.loss.unwrap()).into_iter().enumerate() {
            assert_eq!(
                loss.is_nan(),
                at == broken && at < 8,
                "{broken} broken, {at} read"
            );
        }
    }
}

fn token_list(from: usize, to: usize) -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(1i64..30, from..=to)
}

fn any_example() -> impl Strategy<Value = Example> {
    let plain = (0i64..2, token_list(1, 10), 0i64..3, -2.0f32..2.0).prop_map(
        |(task, tokens, class, score)| Example {
            score,
            ..example(task, &tokens, &[], class)
        },
    );
    let choice =
        (prop::collection::vec(token_list(1, 10), 3), -1i64..3).prop_map(|(sequences, class)| {
            Example {
                task: CHOICE,
                extra: sequences.iter().map(|one| one.len() as i64).collect(),
                sequences,
                class: if class < 0 { -100 } else { class },
                score: 0.0,
            }
        });
    let tagging = prop::collection::vec((1i64..30, -2i64..4), 1..=10).prop_map(|tokens| {
        let (ids, tags): (Vec<i64>, Vec<i64>) = tokens.into_iter().unzip();
        let tags: Vec<i64> = tags
            .iter()
            .map(|&tag| if tag < -1 { -100 } else { tag })
            .collect();
        example(TAGGING, &ids, &tags, 0)
    });
    let span = (
        SPAN..=SPAN_OR_NONE,
        token_list(4, 10),
        any::<[prop::sample::Index; 4]>(),
        0..3,
    )
        .prop_map(|(task, tokens, at, truth)| {
            let first = 1 + at[0].index(tokens.len() - 1);
            let last = first + at[1].index(tokens.len() - first);
            let start = first + at[2].index(last + 1 - first);
            let end = start + at[3].index(last + 1 - start);
            let (start, end) = match truth {
                0 => (-1, -1),
                1 => (0, 0),
                _ => (start as i64, end as i64),
            };
            example(task, &tokens, &[start, end, first as i64, last as i64], 0)
        });
    let pair = (
        token_list(2, 10),
        any::<[prop::sample::Index; 4]>(),
        0i64..2,
    )
        .prop_map(|(tokens, at, class)| {
            let mut extra = Vec::new();
            for pair in at.chunks_exact(2) {
                let start = pair[0].index(tokens.len());
                let end = start + 1 + pair[1].index(tokens.len() - start);
                extra.extend([start as i64, end as i64]);
            }
            example(PAIR, &tokens, &extra, class)
        });
    prop_oneof![plain, choice, tagging, span, pair]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever else is in the batch and in which order: `defined` reads the example alone.
    #[test]
    fn an_example_does_not_depend_on_its_batch(examples in prop::collection::vec(any_example(), 1..9)) {
        assert_defined(&model(), &examples);
    }
}
