//! Scores as a table: every metric of every task, the average and task σ.

use camtl_data::metrics::ScoreTable;

use crate::table::{PlainTable, score};

/// The table of one model's scores, tasks in the given order.
pub(crate) fn table(
    scores: &ScoreTable,
    order: &[&str],
    average: Option<f64>,
    sigma: Option<f64>,
) -> String {
    let mut table = PlainTable::new(["task", "metric", "score"]).left(2);
    for task in order {
        for (metric, value) in scores.get(*task).into_iter().flatten() {
            table.row([(*task).to_owned(), metric.clone(), score(*value)]);
        }
    }
    if table.is_empty() {
        return "not evaluated\n".to_owned();
    }
    table.rule();
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), score);
    table.row(["average".to_owned(), String::new(), figure(average)]);
    table.row(["task σ".to_owned(), String::new(), figure(sigma)]);
    table.render()
}
