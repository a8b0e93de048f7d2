//! GLUE averages and the spread over tasks.

use camtl_data::metrics::{GlueRule, MetricError, ScoreTable, glue_average, task_sigma};

/// A row of a results table in GLUE's order: CoLA, MNLI-m, MNLI-mm, MRPC, QNLI, QQP, RTE, SST-2, STS-B.
fn row(cells: [f64; 9]) -> ScoreTable {
    let [cola, mnli, mnli_mm, mrpc, qnli, qqp, rte, sst2, stsb] = cells;
    let mut table = ScoreTable::new();
    let mut put = |task: &str, metric: &str, value: f64| {
        table
            .entry(task.to_owned())
            .or_default()
            .insert(metric.to_owned(), value);
    };
    put("cola", "mcc", cola);
    put("mnli", "accuracy", mnli);
    put("mnli-mm", "accuracy", mnli_mm);
    put("mrpc", "f1", mrpc);
    put("qnli", "accuracy", qnli);
    put("qqp", "f1", qqp);
    put("rte", "accuracy", rte);
    put("sst-2", "accuracy", sst2);
    put("sts-b", "spearman", stsb);
    table
}

/// Rows of the paper's table of the GLUE test server, with the average printed beside them. The cells are the paper's as
/// remembered, not re-read; that they average to the printed totals is what is checked here. (The table's Adapters row is
/// left out: its printed total of 80.0 follows another rule, the nine scores average 81.5.)
#[test]
fn published_rows_average_to_their_totals() {
    let rows = [
        (
            "BERT-base, one model per task",
            [52.1, 84.6, 83.4, 88.9, 90.5, 71.2, 66.4, 93.5, 85.8],
            79.6,
        ),
        (
            "BERT-base, multi-task",
            [51.2, 84.0, 83.4, 86.7, 89.3, 70.8, 76.6, 93.4, 83.6],
            79.9,
        ),
        (
            "PALs, annealed",
            [51.2, 84.3, 83.5, 88.7, 90.0, 71.5, 76.0, 92.6, 85.8],
            80.4,
        ),
        (
            "CA-MTL base",
            [53.1, 85.9, 85.8, 88.6, 90.5, 69.2, 76.4, 93.2, 85.3],
            80.9,
        ),
        (
            "BERT-large, one model per task",
            [60.5, 86.7, 85.9, 89.3, 92.7, 72.1, 70.1, 94.9, 86.5],
            82.1,
        ),
        (
            "CA-MTL large",
            [59.5, 85.9, 85.4, 89.3, 92.6, 71.4, 79.0, 94.7, 87.7],
            82.8,
        ),
    ];
    for (model, cells, total) in rows {
        let average = glue_average(&row(cells), GlueRule::Paper).unwrap();
        assert!(
            (average - total).abs() < 0.05 + 1e-9,
            "{model}: {average}, printed {total}"
        );
    }
    let adapters = [59.5, 84.9, 85.1, 89.5, 90.7, 71.8, 71.5, 94.0, 86.9];
    let average = glue_average(&row(adapters), GlueRule::Paper).unwrap();
    assert!((average - 81.5).abs() < 0.06, "{average}");
}

#[test]
fn the_leaderboard_rule_averages_both_metrics() {
    let mut table = row([50.0, 80.0, 82.0, 90.0, 88.0, 86.0, 60.0, 92.0, 84.0]);
    for (task, metric, value) in [
        ("mrpc", "accuracy", 86.0),
        ("qqp", "accuracy", 90.0),
        ("sts-b", "pearson", 88.0),
    ] {
        table
            .get_mut(task)
            .unwrap()
            .insert(metric.to_owned(), value);
    }
    let paper = (50.0 + 80.0 + 82.0 + 90.0 + 88.0 + 86.0 + 60.0 + 92.0 + 84.0) / 9.0;
    let leaderboard = (50.0 + 80.0 + 82.0 + 88.0 + 88.0 + 88.0 + 60.0 + 92.0 + 86.0) / 9.0;
    assert!((glue_average(&table, GlueRule::Paper).unwrap() - paper).abs() < 1e-12);
    assert!((glue_average(&table, GlueRule::Leaderboard).unwrap() - leaderboard).abs() < 1e-12);
    // WNLI and tasks of other suites do not count.
    table
        .entry("wnli".into())
        .or_default()
        .insert("accuracy".into(), 0.0);
    table
        .entry("boolq".into())
        .or_default()
        .insert("accuracy".into(), 0.0);
    assert!((glue_average(&table, GlueRule::Paper).unwrap() - paper).abs() < 1e-12);
}

#[test]
fn task_names_may_be_spelled_in_any_usual_way() {
    let table = row([50.0, 80.0, 82.0, 90.0, 88.0, 86.0, 60.0, 92.0, 84.0]);
    let expected = glue_average(&table, GlueRule::Paper).unwrap();
    let renamed: ScoreTable = table
        .iter()
        .map(|(task, metrics)| {
            let name = match task.as_str() {
                "cola" => "CoLA",
                "mnli-mm" => "mnli_mismatched",
                "sst-2" => "SST2",
                "sts-b" => "sts_b",
                other => other,
            };
            (name.to_owned(), metrics.clone())
        })
        .collect();
    assert_eq!(glue_average(&renamed, GlueRule::Paper).unwrap(), expected);

    let mut within = table.clone();
    let mismatched = within.remove("mnli-mm").unwrap()["accuracy"];
    within
        .get_mut("mnli")
        .unwrap()
        .insert("accuracy_mismatched".into(), mismatched);
    assert_eq!(glue_average(&within, GlueRule::Paper).unwrap(), expected);
}

#[test]
fn missing_and_broken_scores_are_named() {
    let mut table = row([50.0; 9]);
    table.remove("mnli-mm");
    let error = glue_average(&table, GlueRule::Paper).unwrap_err();
    assert_eq!(
        error,
        MetricError::MissingScore {
            task: "mnli-mm",
            metric: "accuracy"
        }
    );
    let error = glue_average(&row([50.0; 9]), GlueRule::Leaderboard).unwrap_err();
    assert_eq!(
        error,
        MetricError::MissingScore {
            task: "mrpc",
            metric: "accuracy"
        }
    );

    let mut table = row([50.0; 9]);
    table
        .get_mut("rte")
        .unwrap()
        .insert("accuracy".into(), f64::NAN);
    let error = glue_average(&table, GlueRule::Paper).unwrap_err();
    assert!(
        error.to_string().starts_with("accuracy of rte is NaN"),
        "{error}"
    );
    assert!(matches!(
        task_sigma(&table),
        Err(MetricError::NonFiniteScore { .. })
    ));
    assert_eq!(task_sigma(&ScoreTable::new()), Err(MetricError::NoScores));
}

#[test]
fn task_sigma_is_the_population_deviation_over_every_score() {
    let mut table = ScoreTable::new();
    table
        .entry("cola".into())
        .or_default()
        .insert("mcc".into(), 2.0);
    assert_eq!(task_sigma(&table).unwrap(), 0.0);
    for (task, metric, value) in [
        ("mrpc", "accuracy", 4.0),
        ("mrpc", "f1", 4.0),
        ("qqp", "accuracy", 4.0),
        ("qqp", "f1", 5.0),
        ("sts-b", "pearson", 5.0),
        ("sts-b", "spearman", 7.0),
        ("rte", "accuracy", 9.0),
    ] {
        table
            .entry(task.into())
            .or_default()
            .insert(metric.into(), value);
    }
    // 2 4 4 4 5 5 7 9: the standard example with mean 5 and deviation 2.
    assert_eq!(task_sigma(&table).unwrap(), 2.0);
}
