//! How answers are written: as a line of a table, or as a JSON object.

use std::fmt::Write as _;

use camtl_data::answers::Answer;
use camtl_data::task::TaskSpec;
use serde_json::{Map, Value, json};

/// The header line of a task's table.
pub(crate) fn header(spec: &TaskSpec) -> String {
    let mut text = String::new();
    if spec.kind.is_regression() {
        text.push_str("score");
    } else {
        text.push_str("label");
        for label in spec.kind.labels() {
            let _ = write!(text, "\tp({label})");
        }
    }
    text.push('\n');
    text
}

/// Adds an answer's line to a task's table.
pub(crate) fn tsv_line(spec: &TaskSpec, answer: &Answer, text: &mut String) {
    match answer {
        Answer::Class {
            label,
            probabilities,
        } => {
            text.push_str(&label_name(spec, *label));
            for probability in probabilities {
                let _ = write!(text, "\t{probability:.6}");
            }
        }
        Answer::Score(score) => {
            let _ = write!(text, "{score:.6}");
        }
        // Tasks of other kinds are refused before they are asked.
        _ => {}
    }
    text.push('\n');
}

/// An answer as a JSON object, for an input that holds one task.
pub(crate) fn json_object(spec: &TaskSpec, answer: &Answer) -> Map<String, Value> {
    let mut object = Map::new();
    match answer {
        Answer::Class {
            label,
            probabilities,
        } => {
            let probabilities: Map<String, Value> = (0u32..)
                .zip(probabilities)
                .map(|(class, probability)| (label_name(spec, class), number(*probability)))
                .collect();
            object.insert("label".to_owned(), json!(label_name(spec, *label)));
            object.insert("probabilities".to_owned(), Value::Object(probabilities));
        }
        Answer::Score(score) => {
            object.insert("score".to_owned(), number(*score));
        }
        // As above.
        _ => {}
    }
    object
}

/// An answer as a JSON object that names its task, for an input that mixes tasks.
pub(crate) fn json_with_task(spec: &TaskSpec, answer: &Answer) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("task".to_owned(), json!(spec.name));
    object.append(&mut json_object(spec, answer));
    object
}

/// A float with the fewest digits that tell it from its neighbours; `null` if it is no number.
fn number(value: f32) -> Value {
    value
        .to_string()
        .parse::<f64>()
        .map_or(Value::Null, |value| json!(value))
}

fn label_name(spec: &TaskSpec, label: u32) -> String {
    spec.label_name(label)
        .map_or_else(|| label.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_short_and_keep_their_bits() {
        for value in [0.1f32, 1.0 / 3.0, 1e-30, -0.0, 4.25] {
            let written = number(value);
            assert_eq!(
                written.as_f64().map(|read| (read as f32).to_bits()),
                Some(value.to_bits())
            );
            assert!(written.to_string().len() <= 13, "{written}");
        }
        assert_eq!(number(f32::NAN), Value::Null);
    }
}
