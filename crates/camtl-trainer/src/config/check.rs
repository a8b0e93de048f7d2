//! Ranges and combinations that types cannot express.

use super::problem::ConfigProblem;
use super::{Export, RunConfig};

/// Every problem of a configuration whose keys and types are right.
pub(super) fn check(config: &RunConfig) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let mut require = |holds: bool, key: &str, found: &dyn std::fmt::Display, expected: &str| {
        if !holds {
            problems.push(ConfigProblem::new(
                key,
                format!("is {found}; expected {expected}"),
            ));
        }
    };
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let not_negative = |value: f64| value.is_finite() && value >= 0.0;

    let data = &config.data;
    require(
        data.max_length >= 3,
        "data.max_length",
        &data.max_length,
        "at least 3 (the special tokens of a pair)",
    );
    require(
        data.train_limit != Some(0),
        "data.train_limit",
        &0,
        "at least 1",
    );
    if let Some(fraction) = data.train_fraction {
        require(
            fraction > 0.0 && fraction <= 1.0,
            "data.train_fraction",
            &fraction,
            "a number above 0 and at most 1",
        );
    }

    require(
        (0.0..1.0).contains(&data.holdout_fraction),
        "data.holdout_fraction",
        &data.holdout_fraction,
        "a number in [0, 1)",
    );
    require(
        i64::try_from(data.holdout_seed).is_ok(),
        "data.holdout_seed",
        &data.holdout_seed,
        "at most 9223372036854775807",
    );

    let model = &config.model;
    require(
        !model.encoder.is_empty(),
        "model.encoder",
        &"missing",
        "a folder or a name such as bert-base-cased",
    );
    if let Some(dropout) = model.dropout {
        require(
            (0.0..1.0).contains(&dropout),
            "model.dropout",
            &dropout,
            "a number in [0, 1)",
        );
    }

    let train = &config.train;
    require(
        i64::try_from(train.seed).is_ok(),
        "train.seed",
        &train.seed,
        "at most 9223372036854775807",
    );
    require(
        train.threads.is_none_or(|n| (1..=4096).contains(&n)),
        "train.threads",
        &train.threads.unwrap_or(0),
        "1 to 4096",
    );
    require(
        train.batch_size >= 1,
        "train.batch_size",
        &train.batch_size,
        "at least 1",
    );
    require(
        positive(train.epochs),
        "train.epochs",
        &train.epochs,
        "a number above 0",
    );
    require(
        train.max_steps != Some(0),
        "train.max_steps",
        &0,
        "at least 1",
    );
    require(
        not_negative(train.learning_rate),
        "train.learning_rate",
        &train.learning_rate,
        "a number of at least 0",
    );
    for (key, scale) in [
        (
            "train.conditional_learning_rate_scale",
            train.conditional_learning_rate_scale,
        ),
        (
            "train.head_learning_rate_scale",
            train.head_learning_rate_scale,
        ),
    ] {
        require(not_negative(scale), key, &scale, "a number of at least 0");
    }
    for (task, weight) in &train.loss_weights {
        require(
            not_negative(*weight),
            &format!("train.loss_weights.{task}"),
            weight,
            "a number of at least 0",
        );
    }
    require(
        (0.0..=1.0).contains(&train.warmup_ratio),
        "train.warmup_ratio",
        &train.warmup_ratio,
        "a number in [0, 1]",
    );
    require(
        not_negative(train.weight_decay),
        "train.weight_decay",
        &train.weight_decay,
        "a number of at least 0",
    );
    for (name, beta) in [
        ("first", train.adam_betas.0),
        ("second", train.adam_betas.1),
    ] {
        require(
            (0.0..1.0).contains(&beta),
            "train.adam_betas",
            &format!("{beta} in the {name} place"),
            "numbers in [0, 1)",
        );
    }
    require(
        positive(train.adam_epsilon),
        "train.adam_epsilon",
        &train.adam_epsilon,
        "a small number above 0",
    );
    require(
        not_negative(train.max_grad_norm),
        "train.max_grad_norm",
        &train.max_grad_norm,
        "a number of at least 0 (0 switches clipping off)",
    );
    require(
        (0.0..=1.0).contains(&train.exploration),
        "train.exploration",
        &train.exploration,
        "a number in [0, 1]",
    );
    require(
        train.exploration == 0.0 || !config.sampler.keeps_scores(),
        "train.exploration",
        &train.exploration,
        &format!(
            "0 with sampler.kind = {:?}, which keeps scores from update to update: its `unscored` explores",
            config.sampler.name()
        ),
    );
    require(
        (2..=64).contains(&train.regression_passes),
        "train.regression_passes",
        &train.regression_passes,
        "2 to 64",
    );
    require(
        train.log_every_steps >= 1,
        "train.log_every_steps",
        &train.log_every_steps,
        "at least 1",
    );
    let budgets = [
        ("train.micro_batch_tokens", train.micro_batch_tokens),
        ("train.scoring_batch_tokens", train.scoring_batch_tokens),
        ("eval.batch_tokens", config.eval.batch_tokens),
    ];
    for (key, tokens) in budgets {
        require(
            tokens >= data.max_length,
            key,
            &tokens,
            &format!(
                "at least data.max_length = {}, or the longest sequence would not fit",
                data.max_length
            ),
        );
    }

    let eval = &config.eval;
    require(
        eval.every_steps != Some(0),
        "eval.every_steps",
        &0,
        "at least 1; leave it out to evaluate at the end only",
    );
    require(eval.limit != Some(0), "eval.limit", &0, "at least 1");
    require(
        eval.max_examples != Some(0),
        "eval.max_examples",
        &0,
        "at least 1",
    );
    require(
        !eval.splits.is_empty(),
        "eval.splits",
        &"empty",
        "at least one split, for example [\"dev\"]",
    );

    let checkpoint = &config.checkpoint;
    require(
        checkpoint.keep_last >= 1,
        "checkpoint.keep_last",
        &checkpoint.keep_last,
        "at least 1",
    );
    if checkpoint.export == Export::Best && !checkpoint.keep_best {
        problems.push(ConfigProblem::new(
            "checkpoint.export",
            "\"best\" needs checkpoint.keep_best = true",
        ));
    }
    if checkpoint.export == Export::Best && eval.every_steps.is_none() && !eval.at_end {
        problems.push(ConfigProblem::new(
            "checkpoint.export",
            "\"best\" needs evaluations; set eval.every_steps",
        ));
    }

    let stopping = &config.early_stopping;
    if let Some(patience) = stopping.patience {
        if patience == 0 {
            problems.push(ConfigProblem::new(
                "early_stopping.patience",
                "is 0; expected at least 1",
            ));
        }
        if eval.every_steps.is_none() {
            problems.push(ConfigProblem::new(
                "early_stopping.patience",
                "early stopping needs evaluations during training; set eval.every_steps",
            ));
        }
    }
    if !not_negative(stopping.min_delta) {
        let message = format!("is {}; expected a number of at least 0", stopping.min_delta);
        problems.push(ConfigProblem::new("early_stopping.min_delta", message));
    }
    if let Err(error) = config.sampler.check() {
        problems.push(ConfigProblem::new("sampler", error.to_string()));
    }
    problems
}
