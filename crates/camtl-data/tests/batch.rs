//! Packed batches: invariants over random batches, and hand-made ones.

use camtl_data::{BatchError, BatchItem, EncodedExample, Label, LossReduction, PackedBatch};
use proptest::prelude::*;

/// An example that owns its tokens.
#[derive(Clone, Debug)]
struct Sequence {
    task: u32,
    id: u64,
    input_ids: Vec<u32>,
    token_type_ids: Vec<u8>,
    label: Option<Label>,
    /// Lengths of its sequences where there are several, else any values.
    extra: Vec<i32>,
    sequences: usize,
}

impl Sequence {
    fn item(&self) -> BatchItem<'_> {
        BatchItem {
            task: self.task,
            example: EncodedExample {
                id: self.id,
                input_ids: &self.input_ids,
                token_type_ids: &self.token_type_ids,
                label: self.label,
                extra: &self.extra,
                sequences: self.sequences,
            },
        }
    }
}

fn label() -> impl Strategy<Value = Option<Label>> {
    prop_oneof![
        Just(None),
        (0_u32..9).prop_map(|class| Some(Label::Class(class))),
        (0_f32..5.0).prop_map(|score| Some(Label::Score(score))),
    ]
}

fn sequences() -> impl Strategy<Value = Vec<Sequence>> {
    let tokens = prop::collection::vec((0_u32..30_000, 0_u8..2), 0..40);
    let extra = prop::collection::vec(-100_i32..50, 0..6);
    let one = (0_u32..6, any::<u64>(), tokens, label(), extra, 1_usize..4).prop_map(
        |(task, id, tokens, label, mut extra, sequences)| {
            let (input_ids, token_type_ids): (Vec<u32>, Vec<u8>) = tokens.into_iter().unzip();
            if sequences > 1 {
                let (all, parts) = (input_ids.len() as i32, sequences as i32);
                extra = vec![all / parts; sequences];
                extra[0] += all % parts;
            }
            Sequence {
                task,
                id,
                input_ids,
                token_type_ids,
                label,
                extra,
                sequences,
            }
        },
    );
    prop::collection::vec(one, 0..40)
}

fn reduction() -> impl Strategy<Value = LossReduction> {
    prop_oneof![
        Just(LossReduction::MeanOfTaskMeans),
        Just(LossReduction::SumOfTaskMeans),
        Just(LossReduction::ExampleMean),
    ]
}

fn pack(sequences: &[Sequence], reduction: LossReduction) -> PackedBatch {
    let items: Vec<_> = sequences.iter().map(Sequence::item).collect();
    PackedBatch::pack(&items, reduction)
}

/// Every example of a batch, with all that belongs to it.
type Row = (
    i64,
    u64,
    Vec<i64>,
    Vec<i64>,
    Vec<i64>,
    Option<Label>,
    f32,
    Vec<i64>,
    Vec<usize>,
);

/// The tokens of an example.
fn tokens_of(batch: &PackedBatch, example: usize) -> std::ops::Range<usize> {
    let sequences = batch.sequences_of(example);
    batch.cu_seqlens[sequences.start] as usize..batch.cu_seqlens[sequences.end] as usize
}

fn rows(batch: &PackedBatch) -> Vec<Row> {
    (0..batch.num_examples())
        .map(|index| {
            let tokens = tokens_of(batch, index);
            let sequences = batch.sequences_of(index);
            (
                batch.example_tasks()[index],
                batch.example_ids[index],
                batch.input_ids[tokens.clone()].to_vec(),
                batch.token_type_ids[tokens.clone()].to_vec(),
                batch.position_ids[tokens].to_vec(),
                batch.labels[index],
                batch.loss_weights[index],
                batch.extra_of(index).to_vec(),
                sequences
                    .map(|sequence| batch.tokens_of(sequence).len())
                    .collect(),
            )
        })
        .collect()
}

proptest! {
    #[test]
    fn packing_sorts_by_task_and_keeps_every_sequence(sequences in sequences(), reduction in reduction()) {
        let batch = pack(&sequences, reduction);
        let count = sequences.iter().map(|example| example.sequences).sum::<usize>();
        prop_assert_eq!(batch.num_examples(), sequences.len());
        prop_assert_eq!(batch.num_sequences(), count);
        prop_assert!(batch.tasks.is_sorted());
        prop_assert_eq!(batch.cu_seqlens.len(), count + 1);
        prop_assert_eq!(batch.cu_examples.len(), sequences.len() + 1);
        prop_assert_eq!(batch.cu_seqlens[0], 0);
        prop_assert_eq!(*batch.cu_seqlens.last().unwrap() as usize, batch.num_tokens());

        let mut expected = sequences.clone();
        expected.sort_by_key(|sequence| sequence.task); // stable
        for (row, sequence) in rows(&batch).into_iter().zip(&expected) {
            prop_assert_eq!(row.0, i64::from(sequence.task));
            prop_assert_eq!(row.1, sequence.id);
            prop_assert_eq!(row.2, sequence.input_ids.iter().map(|id| i64::from(*id)).collect::<Vec<_>>());
            prop_assert_eq!(row.3, sequence.token_type_ids.iter().map(|id| i64::from(*id)).collect::<Vec<_>>());
            let lengths: Vec<usize> = sequence.item().example.sequence_lengths().collect();
            prop_assert_eq!(row.4, lengths.iter().flat_map(|length| 0..*length as i64).collect::<Vec<_>>());
            prop_assert_eq!(row.5, sequence.label);
            prop_assert_eq!(row.7, sequence.extra.iter().map(|value| i64::from(*value)).collect::<Vec<_>>());
            prop_assert_eq!(row.8, lengths);
        }
        let longest = sequences.iter().flat_map(|example| example.item().example.sequence_lengths()).max().unwrap_or(0);
        prop_assert_eq!(batch.max_len, longest);
    }

    #[test]
    fn weights_are_those_of_the_reduction(sequences in sequences(), losses in prop::collection::vec(0_f64..3.0, 40)) {
        prop_assume!(!sequences.is_empty());
        for reduction in [LossReduction::MeanOfTaskMeans, LossReduction::SumOfTaskMeans, LossReduction::ExampleMean] {
            let batch = pack(&sequences, reduction);
            let weighted: f64 = batch.loss_weights.iter().zip(&losses).map(|(w, l)| f64::from(*w) * l).sum();
            let means: Vec<f64> = batch
                .task_segments()
                .iter()
                .map(|s| losses[s.start..s.end].iter().sum::<f64>() / (s.end - s.start) as f64)
                .collect();
            let expected = match reduction {
                LossReduction::MeanOfTaskMeans => means.iter().sum::<f64>() / means.len() as f64,
                LossReduction::SumOfTaskMeans => means.iter().sum::<f64>(),
                _ => losses[..sequences.len()].iter().sum::<f64>() / sequences.len() as f64,
            };
            prop_assert!((weighted - expected).abs() < 1e-5, "{:?}: {} {}", reduction, weighted, expected);
        }
    }

    #[test]
    fn segments_cover_the_batch_once(sequences in sequences()) {
        let batch = pack(&sequences, LossReduction::ExampleMean);
        let mut at = 0;
        let mut last = None;
        for segment in batch.task_segments() {
            prop_assert_eq!(segment.start, at);
            prop_assert!(segment.end > segment.start);
            prop_assert!(last.is_none_or(|last| last < segment.task));
            prop_assert!(batch.example_tasks()[segment.start..segment.end].iter().all(|task| *task == segment.task));
            (at, last) = (segment.end, Some(segment.task));
        }
        prop_assert_eq!(at, batch.num_examples());
    }

    #[test]
    fn splitting_keeps_order_content_and_weights(sequences in sequences(), reduction in reduction(), budget in 40_usize..300) {
        let batch = pack(&sequences, reduction);
        let parts = batch.split_by_tokens(budget).unwrap();
        let together: Vec<Row> = parts.iter().flat_map(rows).collect();
        prop_assert_eq!(together, rows(&batch));
        for part in &parts {
            prop_assert!(!part.is_empty());
            prop_assert!(part.num_tokens() <= budget);
            prop_assert_eq!(part.cu_seqlens[0], 0);
            prop_assert_eq!(*part.cu_seqlens.last().unwrap() as usize, part.num_tokens());
            let longest = (0..part.num_sequences()).map(|index| part.tokens_of(index).len()).max().unwrap();
            prop_assert_eq!(part.max_len, longest);
            prop_assert!(part.tasks.is_sorted());
            prop_assert_eq!((part.cu_examples[0], part.cu_extra[0]), (0, 0));
            prop_assert_eq!(*part.cu_examples.last().unwrap() as usize, part.num_sequences());
        }
        // No part could have taken the first example of the next.
        for pair in parts.windows(2) {
            prop_assert!(pair[0].num_tokens() + tokens_of(&pair[1], 0).len() > budget);
        }
    }
}

#[test]
fn a_sequence_over_the_budget_is_an_error() {
    let sequence = |id, length| Sequence {
        task: 3,
        id,
        input_ids: vec![1; length],
        token_type_ids: vec![0; length],
        label: None,
        extra: Vec::new(),
        sequences: 1,
    };
    let batch = pack(
        &[sequence(5, 10), sequence(6, 11)],
        LossReduction::ExampleMean,
    );
    let error = batch.split_by_tokens(10).unwrap_err();
    assert_eq!(
        error,
        BatchError::ExampleOverBudget {
            task: 3,
            example_id: 6,
            tokens: 11,
            max_tokens: 10
        }
    );
    let message = error.to_string();
    assert!(message.contains("example 6 of task 3") && message.contains("raise the budget"));
    assert_eq!(batch.split_by_tokens(11).unwrap().len(), 2);
    assert_eq!(batch.split_by_tokens(21).unwrap(), [batch]);
}

#[test]
fn the_options_of_a_choice_are_sequences_of_one_example() {
    let choice = Sequence {
        task: 2,
        id: 7,
        input_ids: vec![2, 8, 3, 2, 9, 9, 3],
        token_type_ids: vec![0; 7],
        label: Some(Label::Class(1)),
        extra: vec![3, 4],
        sequences: 2,
    };
    let single = Sequence {
        task: 0,
        id: 1,
        input_ids: vec![2, 3],
        token_type_ids: vec![0; 2],
        extra: Vec::new(),
        sequences: 1,
        ..choice.clone()
    };
    let batch = pack(&[choice, single], LossReduction::ExampleMean);
    assert_eq!(batch.cu_seqlens, [0, 2, 5, 9]);
    assert_eq!(batch.tasks, [0, 2, 2]);
    assert_eq!(batch.cu_examples, [0, 1, 3]);
    assert_eq!(batch.position_ids, [0, 1, 0, 1, 2, 0, 1, 2, 3]);
    assert_eq!(
        (&batch.extra[..], &batch.cu_extra[..]),
        (&[3, 4][..], &[0, 0, 2][..])
    );
    assert_eq!(batch.loss_weights, [0.5, 0.5]);
    let parts = batch.split_by_tokens(8).unwrap();
    assert_eq!(parts[1].cu_examples, [0, 2]);
    let error = batch.split_by_tokens(6).unwrap_err().to_string();
    assert!(
        error.contains("7 tokens") && error.contains("multiple choice"),
        "{error}"
    );
}

#[test]
fn an_empty_batch_is_empty() {
    let batch = pack(&[], LossReduction::MeanOfTaskMeans);
    assert!(batch.is_empty() && batch.task_segments().is_empty());
    assert_eq!((batch.num_tokens(), batch.max_len), (0, 0));
    assert_eq!(batch.cu_seqlens, [0]);
    assert!(batch.split_by_tokens(8).unwrap().is_empty());
}

#[test]
fn one_example_of_a_task_weighs_as_much_as_many_of_another() {
    let sequence = |task, id| Sequence {
        task,
        id,
        input_ids: vec![2, 3],
        token_type_ids: vec![0, 0],
        label: Some(Label::Class(0)),
        extra: Vec::new(),
        sequences: 1,
    };
    let many: Vec<_> = (0..31)
        .map(|id| sequence(4, id))
        .chain([sequence(1, 100)])
        .collect();
    let batch = pack(&many, LossReduction::MeanOfTaskMeans);
    assert_eq!(batch.loss_weights[0], 0.5);
    assert_eq!(batch.loss_weights[1], (0.5_f64 / 31.0) as f32);
    let sum: f32 = batch.loss_weights.iter().sum();
    assert!((sum - 1.0).abs() < 1e-6);
}

#[test]
fn reductions_are_spelt_in_kebab_case() {
    let spelt = |reduction: LossReduction| serde_json::to_value(reduction).unwrap();
    assert_eq!(spelt(LossReduction::MeanOfTaskMeans), "mean-of-task-means");
    assert_eq!(spelt(LossReduction::SumOfTaskMeans), "sum-of-task-means");
    assert_eq!(spelt(LossReduction::ExampleMean), "example-mean");
}
