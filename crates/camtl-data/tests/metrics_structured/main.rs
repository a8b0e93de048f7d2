//! Metrics of answers, entities and answer sets against stored values of reference scorers (`../fixtures/make_qa_metrics.py`,
//! `make_entity_metrics.py`, `make_superglue_metrics.py`), properties and bad input.

mod entities;
mod question_answering;
mod superglue;

/// Agreement with the stored values.
fn close(ours: f64, expected: f64) -> bool {
    (ours - expected).abs() < 1e-9
}
