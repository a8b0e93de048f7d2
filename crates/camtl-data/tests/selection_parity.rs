//! MT-Uncertainty against the authors' code, number by number.
//!
//! `CAMTL_GOLDEN_DIR=<folder> cargo test -p camtl-data --test selection_parity` checks every selection case of that
//! folder: each `*.json` with a `cases` table, beside a `*.safetensors` of the same name. Without the variable the small
//! cases in `tests/fixtures/selection` are checked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use camtl_data::sampler::score::{
    borrow_scores, largest_mean, normalised_entropy, released_scores, task_means, top_b,
};
use camtl_data::sampler::{ExampleRef, SamplerConfig, TaskInfo, build_sampler};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

/// The reference computes in float32; its entropies and scores are of order 1.
const TOLERANCE: f64 = 5e-6;

#[derive(Deserialize)]
struct Case {
    tasks: Vec<String>,
    num_labels: Vec<usize>,
    b: usize,
    candidates_per_task: Vec<usize>,
    k_selected: usize,
    special_case_applies: bool,
    degenerate: Option<String>,
    must_select: Option<BTreeSet<usize>>,
    tie_pool: Option<BTreeSet<usize>>,
    take_from_tie_pool: Option<usize>,
    selected_per_task: Option<Vec<usize>>,
    selected_per_task_if_there_were_no_special_case: Option<Vec<usize>>,
    threshold: Option<f64>,
}

struct Tensors<'a> {
    file: &'a SafeTensors<'a>,
    case: &'a str,
}

impl Tensors<'_> {
    fn bytes(&self, name: &str, dtype: Dtype) -> (Vec<usize>, &[u8]) {
        let full = format!("{}.{name}", self.case);
        let tensor = self
            .file
            .tensor(&full)
            .unwrap_or_else(|error| panic!("{full}: {error}"));
        assert_eq!(tensor.dtype(), dtype, "{full}");
        (tensor.shape().to_vec(), tensor.data())
    }

    fn floats(&self, name: &str) -> Vec<f64> {
        let (_, bytes) = self.bytes(name, Dtype::F32);
        bytes
            .chunks_exact(4)
            .map(|chunk| f64::from(f32::from_le_bytes(chunk.try_into().unwrap())))
            .collect()
    }

    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        let (shape, _) = self.bytes(name, Dtype::F32);
        assert_eq!(shape.len(), 2, "{}.{name}", self.case);
        let values = self.floats(name);
        values
            .chunks(shape[1].max(1))
            .map(<[f64]>::to_vec)
            .collect()
    }

    fn integers(&self, name: &str) -> Vec<usize> {
        let (_, bytes) = self.bytes(name, Dtype::I64);
        bytes
            .chunks_exact(8)
            .map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap()) as usize)
            .collect()
    }
}

/// Entropy of the softmax in nats.
fn entropy(logits: &[f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let normaliser: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    logits
        .iter()
        .map(|logit| {
            let log_probability = logit - largest - normaliser.ln();
            let probability = log_probability.exp();
            // 0 ln 0 = 0: a probability that underflows must not meet an infinite logarithm.
            if probability == 0.0 {
                0.0
            } else {
                -probability * log_probability
            }
        })
        .sum()
}

fn assert_close(what: &str, ours: &[f64], reference: &[f64]) {
    assert_eq!(ours.len(), reference.len(), "{what}");
    for (position, (own, other)) in ours.iter().zip(reference).enumerate() {
        assert!(
            (own - other).abs() <= TOLERANCE,
            "{what}[{position}]: {own} here, {other} in the reference"
        );
    }
}

/// The selection is a set: `must_select` and the right number out of the ties at the threshold.
fn assert_selection(what: &str, case: &Case, reference: &[usize], ours: &[usize]) {
    let set: BTreeSet<usize> = ours.iter().copied().collect();
    assert_eq!(
        set.len(),
        ours.len(),
        "{what}: a candidate was selected twice: {ours:?}"
    );
    assert_eq!(set.len(), case.k_selected, "{what}");
    match (&case.must_select, &case.tie_pool, case.take_from_tie_pool) {
        (Some(must), Some(pool), Some(take)) => {
            assert!(
                must.is_subset(&set),
                "{what}: {set:?} lacks some of {must:?}"
            );
            assert_eq!(
                set.intersection(pool).count(),
                take,
                "{what}: {set:?}, ties {pool:?}"
            );
            assert_eq!(
                must.len() + take,
                set.len(),
                "{what}: {set:?}, ties {pool:?}"
            );
        }
        _ => assert_eq!(set, reference.iter().copied().collect(), "{what}"),
    }
}

fn check_case(what: &str, case: &Case, tensors: &Tensors<'_>) {
    let num_tasks = case.tasks.len();
    assert_eq!(case.num_labels.len(), num_tasks, "{what}");
    let total: usize = case.candidates_per_task.iter().sum();
    assert_eq!(case.k_selected, case.b.min(total), "{what}");

    let mut tasks: Vec<u32> = Vec::new();
    let mut entropies: Vec<f64> = Vec::new();
    for task in 0..num_tasks {
        let rows = tensors.rows(&format!("logits.{task}"));
        assert_eq!(
            rows.len(),
            case.candidates_per_task[task],
            "{what}: logits.{task}"
        );
        for row in rows {
            assert_eq!(row.len(), case.num_labels[task], "{what}: logits.{task}");
            tasks.push(task as u32);
            entropies.push(entropy(&row));
        }
    }
    assert_eq!(
        tasks.iter().map(|task| *task as usize).collect::<Vec<_>>(),
        tensors.integers("task_id"),
        "{what}: candidates are listed task by task"
    );

    // The formulas.
    let normalised: Vec<f64> = tasks
        .iter()
        .zip(&entropies)
        .map(|(task, entropy)| normalised_entropy(*entropy, case.num_labels[*task as usize]))
        .collect();
    assert_close(
        &format!("{what}: entropy"),
        &normalised,
        &tensors.floats("entropy"),
    );
    let means = task_means(&tasks, &normalised, num_tasks);
    let per_candidate: Vec<f64> = tasks
        .iter()
        .map(|task| means[*task as usize].unwrap())
        .collect();
    assert_close(
        &format!("{what}: entropy_task_mean"),
        &per_candidate,
        &tensors.floats("entropy_task_mean"),
    );
    assert_close(
        &format!("{what}: entropy_max_task_mean"),
        &[largest_mean(&means)],
        &tensors.floats("entropy_max_task_mean"),
    );
    let before = released_scores(&tasks, &normalised, &means);
    let mut after = before.clone();
    let find = |name: &str| case.tasks.iter().position(|task| task == name);
    let rule = find("mrpc").zip(find("sts-b"));
    assert_eq!(rule.is_some(), case.special_case_applies, "{what}");
    if let Some((from, to)) = rule {
        borrow_scores(&tasks, &mut after, from as u32, to as u32);
    }
    let reference_selection = tensors.integers("selected");
    let degenerate = case.degenerate.is_some() || largest_mean(&means) == 0.0;
    if degenerate {
        // 0/0 in the reference. Here: no score is NaN, and the batch is full all the same.
        assert!(
            tensors.floats("score").iter().all(|score| score.is_nan()),
            "{what}"
        );
        assert!(after.iter().all(|score| *score == 0.0), "{what}: {after:?}");
        assert_eq!(top_b(&after, case.b).len(), case.k_selected, "{what}");
    } else {
        assert_close(
            &format!("{what}: score_before_special_case"),
            &before,
            &tensors.floats("score_before_special_case"),
        );
        assert_close(&format!("{what}: score"), &after, &tensors.floats("score"));
        let selected = top_b(&after, case.b);
        assert_selection(what, case, &reference_selection, &selected);
        let scores: Vec<f64> = selected.iter().map(|position| after[*position]).collect();
        assert_close(
            &format!("{what}: selected_scores"),
            &scores,
            &tensors.floats("selected_scores"),
        );
        if let Some(threshold) = case.threshold {
            assert_close(
                &format!("{what}: threshold"),
                &scores[scores.len() - 1..],
                &[threshold],
            );
        }
        let counts = |scores: &[f64]| {
            let chosen = top_b(scores, case.b);
            let mut counts = vec![0usize; num_tasks];
            for position in &chosen {
                counts[tasks[*position] as usize] += 1;
            }
            // With a tie at the boundary the counts depend on which of the tied is taken.
            let lowest = chosen.last().map(|position| scores[*position]);
            let left_out = (0..scores.len())
                .filter(|position| !chosen.contains(position))
                .any(|position| {
                    lowest.is_some_and(|lowest| (scores[position] - lowest).abs() <= TOLERANCE)
                });
            (!left_out).then_some(counts)
        };
        if let (Some(expected), Some(ours)) = (&case.selected_per_task, counts(&after)) {
            assert_eq!(&ours, expected, "{what}");
        }
        if let (Some(expected), Some(ours)) = (
            &case.selected_per_task_if_there_were_no_special_case,
            counts(&before),
        ) {
            assert_eq!(&ours, expected, "{what}: without the special case");
        }
    }

    check_sampler(
        what,
        case,
        &tasks,
        &entropies,
        &reference_selection,
        degenerate,
    );
}

/// The whole sampler on the same candidates: the j-th candidate that it draws of a task is given the entropy of the j-th
/// row of the reference, whatever example it is.
fn check_sampler(
    what: &str,
    case: &Case,
    tasks: &[u32],
    entropies: &[f64],
    reference: &[usize],
    degenerate: bool,
) {
    // A step draws 1 to b candidates of every task; formulas can be checked on others, the sampler cannot.
    if !case
        .candidates_per_task
        .iter()
        .all(|count| (1..=case.b).contains(count))
    {
        eprintln!("{what}: no step of the sampler draws these candidates; formulas only");
        return;
    }
    let infos: Vec<TaskInfo> = case
        .tasks
        .iter()
        .zip(&case.num_labels)
        .zip(&case.candidates_per_task)
        .map(|((name, num_outputs), train_size)| TaskInfo {
            name: name.clone(),
            train_size: *train_size,
            num_outputs: *num_outputs,
            regression: *num_outputs == 1,
        })
        .collect();
    let mut sampler = build_sampler(&SamplerConfig::released(), &infos, case.b, 1.0, 12).unwrap();
    let mut drawn: Vec<ExampleRef> = Vec::new();
    let mut scorer = |candidates: &[ExampleRef]| {
        drawn = candidates.to_vec();
        Ok(entropies.iter().map(|entropy| *entropy as f32).collect())
    };
    let selection = sampler.next_batch(&mut scorer).unwrap();
    assert_eq!(
        drawn.iter().map(|example| example.task).collect::<Vec<_>>(),
        tasks,
        "{what}"
    );
    assert_eq!(selection.candidates, drawn.len(), "{what}");
    let scores = selection.scores.unwrap();
    assert!(
        scores.iter().all(|score| score.is_finite()),
        "{what}: {scores:?}"
    );
    assert!(
        scores.is_sorted_by(|left, right| left >= right),
        "{what}: {scores:?}"
    );
    let selected: Vec<usize> = selection
        .examples
        .iter()
        .map(|example| {
            drawn
                .iter()
                .position(|candidate| candidate == example)
                .unwrap()
        })
        .collect();
    if degenerate {
        assert_eq!(
            selected.iter().collect::<BTreeSet<_>>().len(),
            case.k_selected,
            "{what}"
        );
    } else {
        assert_selection(&format!("{what}: sampler"), case, reference, &selected);
    }
}

fn check_folder(folder: &Path) -> usize {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let mut checked = 0;
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // Model cases, manifests and the like have no `cases`.
        let Some(cases) = json.get("cases").and_then(serde_json::Value::as_object) else {
            continue;
        };
        let tensor_path = path.with_extension("safetensors");
        let bytes = std::fs::read(&tensor_path)
            .unwrap_or_else(|error| panic!("{}: {error}", tensor_path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (name, case) in cases {
            let what = format!("{}: {name}", path.file_name().unwrap().to_string_lossy());
            let case: Case = serde_json::from_value(case.clone())
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            check_case(
                &what,
                &case,
                &Tensors {
                    file: &file,
                    case: name,
                },
            );
            checked += 1;
        }
    }
    checked
}

#[test]
fn selections_equal_the_reference() {
    let folder = std::env::var_os("CAMTL_GOLDEN_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| {
        eprintln!("CAMTL_GOLDEN_DIR is not set: checking the cases kept in the project");
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/selection")
    });
    let checked = check_folder(&folder);
    assert!(
        checked > 0,
        "{}: no selection cases found",
        folder.display()
    );
    eprintln!("{checked} selection cases agree ({})", folder.display());
}

#[test]
fn the_kept_cases_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/selection");
    assert_eq!(check_folder(&folder), 10);
}

#[test]
fn a_folder_without_cases_has_none() {
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("model.json"), r#"{"tensors": {}}"#).unwrap();
    assert_eq!(check_folder(empty.path()), 0);
}
