//! Batches that do not fit their heads: an error that names the example, never a panic.

use camtl_model::ExampleLayout;

use crate::batch::*;

fn error_of(examples: &[Example]) -> String {
    let model = model();
    let input = input(examples);
    let output = model.forward(&input, None).unwrap();
    model
        .heads_of(
            &input,
            &output,
            &layout(examples),
            Some(&targets(examples)),
            None,
        )
        .unwrap_err()
        .to_string()
}

#[test]
fn numbers_that_do_not_fit_are_named() {
    let good = example(CLASSIFICATION, &[2, 3], &[], 0);
    for (bad, expected) in [
        (example(TAGGING, &[2, 3], &[1], 0), "1 tags for 2 tokens"),
        (
            example(TAGGING, &[2, 3], &[1, 4], 0),
            "tag 4; the classes are 0 to 3",
        ),
        (example(TAGGING, &[2, 3], &[1, -7], 0), "tag -7"),
        (example(SPAN, &[2, 3], &[0, 0], 0), "a span takes 4 numbers"),
        (
            example(SPAN, &[2, 3], &[0, 0, 1, 2], 0),
            "context [1, 2] is outside its 2 tokens",
        ),
        (example(SPAN, &[2, 3], &[0, 0, -1, 1], 0), "context [-1, 1]"),
        (
            example(SPAN, &[2, 3, 4, 5], &[1, 2, 2, 3], 0),
            "answer [1, 2] is outside its context",
        ),
        (
            example(SPAN, &[2, 3, 4, 5], &[3, 2, 2, 3], 0),
            "answer [3, 2]",
        ),
        (
            example(PAIR, &[2, 3], &[0, 1, 1], 0),
            "a span pair takes 4 numbers",
        ),
        (
            example(PAIR, &[2, 3], &[0, 1, 1, 1], 0),
            "stretch 1..1 is empty",
        ),
        (
            example(PAIR, &[2, 3], &[0, 3, 0, 1], 0),
            "stretch 0..3 is empty or outside its 2 tokens",
        ),
    ] {
        let error = error_of(&[good.clone(), bad]);
        assert!(
            error.contains("example 1 of the batch") && error.contains(expected),
            "{error}"
        );
    }
    let error = error_of(&[example(CLASSIFICATION, &[2, 3], &[], 3), mixed()[0].clone()]);
    assert!(error.contains("class 3"), "{error}");
}

#[test]
fn sequences_that_do_not_fit_are_named() {
    let two = |task| Example {
        sequences: vec![vec![2, 3], vec![2, 3]],
        ..example(task, &[], &[], 0)
    };
    let error = error_of(&[two(CLASSIFICATION)]);
    assert!(
        error.contains("2 sequences") && error.contains("a classification"),
        "{error}"
    );
    let error = error_of(&[example(CHOICE, &[2, 3], &[2], 0)]);
    assert!(
        error.contains("1 sequences") && error.contains("a multiple choice"),
        "{error}"
    );
    let three = Example {
        sequences: vec![vec![2, 3]; 3],
        ..two(CHOICE)
    };
    let error = error_of(&[two(CHOICE), three]);
    assert!(
        error.contains("example 1") && error.contains("3 options"),
        "{error}"
    );

    let model = model();
    let examples = [two(CHOICE)];
    let input = input(&examples);
    let output = model.forward(&input, None).unwrap();
    for (layout, expected) in [
        (ExampleLayout::one_each(3), "3 sequences, the batch 2"),
        (
            ExampleLayout::new(&[0, 0, 2], &[], &[0; 3]).unwrap(),
            "example 0 has no sequence",
        ),
    ] {
        let error = model
            .heads_of(&input, &output, &layout, None, None)
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = model
        .heads_of(
            &input,
            &output,
            &layout(&examples),
            Some(&targets(&mixed())),
            None,
        )
        .unwrap_err();
    assert!(
        error.to_string().contains("12] targets for 1 examples"),
        "{error}"
    );
    let error = model.heads(&output, None, None).unwrap_err().to_string();
    assert!(
        error.contains("`choice` is a multiple choice; use heads_of"),
        "{error}"
    );
}

#[test]
fn layouts_are_checked() {
    for (cu_examples, extra, cu_extra, expected) in [
        (
            &[1, 2][..],
            &[][..],
            &[0, 0][..],
            "cu_examples must begin with 0",
        ),
        (&[0, 2, 1], &[], &[0, 0, 0], "cu_examples must"),
        (&[0, 1], &[5], &[0, -1], "cu_extra must"),
        (&[], &[], &[], "cu_examples must"),
        (&[0, 1], &[5], &[0], "cu_examples has 2 entries, cu_extra 1"),
        (&[0, 1], &[5], &[0, 2], "does not end at 1"),
    ] {
        let error = ExampleLayout::new(cu_examples, extra, cu_extra).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(ExampleLayout::one_each(0).is_empty());
    assert_eq!(ExampleLayout::one_each(2).len(), 2);
}

/// Hidden states that were not computed are asked for, not made up.
#[test]
fn outputs_without_hidden_states_are_refused() {
    let model = model();
    let choice = [mixed()[2].clone()];
    let output = model.forward(&input(&choice), None).unwrap();
    let tagging = [mixed()[8].clone()];
    let error = model
        .heads_of(&input(&tagging), &output, &layout(&tagging), None, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`tags` reads hidden states"), "{error}");
}
