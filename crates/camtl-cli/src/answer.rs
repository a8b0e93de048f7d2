//! How answers are written: as a line of a table, or as a JSON object.

use std::fmt::Write as _;

use camtl_data::answers::AnswerForm;
use camtl_data::task::TaskSpec;
use serde_json::{Map, Value, json};

use crate::prediction::Prediction;

/// The header line of a task's table.
pub(crate) fn header(spec: &TaskSpec) -> String {
    let mut text = match spec.kind.answer() {
        AnswerForm::Score => "score".to_owned(),
        AnswerForm::Tags => "tags".to_owned(),
        AnswerForm::Span => {
            let mut text = "answer\tstart\tend\tscore".to_owned();
            if spec.kind.no_answer() == Some(true) {
                text.push_str("\tp(no answer)");
            }
            text
        }
        AnswerForm::Class | AnswerForm::Choice => {
            let mut text = "label".to_owned();
            for label in spec.kind.labels() {
                let _ = write!(text, "\tp({label})");
            }
            text
        }
    };
    text.push('\n');
    text
}

/// Adds an answer's line to a task's table. Tabs and line breaks within an answer become spaces.
pub(crate) fn tsv_line(spec: &TaskSpec, prediction: &Prediction, text: &mut String) {
    match prediction {
        Prediction::Label {
            label,
            probabilities,
        } => {
            text.push_str(&label_name(spec, *label));
            for probability in probabilities {
                let _ = write!(text, "\t{probability:.6}");
            }
        }
        Prediction::Score(score) => {
            let _ = write!(text, "{score:.6}");
        }
        Prediction::Entities { tags, .. } => {
            let tags: Vec<String> = tags.iter().map(|tag| label_name(spec, *tag)).collect();
            text.push_str(&tags.join(" "));
        }
        Prediction::Span {
            answer,
            may_have_none,
        } => {
            let line = answer.text.replace(['\t', '\n', '\r'], " ");
            let (start, end, score) = (answer.start, answer.end, answer.score);
            let _ = write!(text, "{line}\t{start}\t{end}\t{score:.6}");
            if *may_have_none {
                let _ = write!(text, "\t{:.6}", answer.no_answer_probability);
            }
        }
    }
    text.push('\n');
}

/// An answer as a JSON object, for an input that holds one task.
pub(crate) fn json_object(spec: &TaskSpec, prediction: &Prediction) -> Map<String, Value> {
    let mut object = Map::new();
    let mut add = |key: &str, value| object.insert(key.to_owned(), value);
    match prediction {
        Prediction::Label {
            label,
            probabilities,
        } => {
            let probabilities: Map<String, Value> = (0u32..)
                .zip(probabilities)
                .map(|(class, probability)| (label_name(spec, class), number(*probability)))
                .collect();
            add("label", json!(label_name(spec, *label)));
            add("probabilities", Value::Object(probabilities));
        }
        Prediction::Score(score) => {
            add("score", number(*score));
        }
        Prediction::Entities { tags, entities } => {
            let tags: Vec<String> = tags.iter().map(|tag| label_name(spec, *tag)).collect();
            add("entities", json!(entities));
            add("tags", json!(tags));
        }
        Prediction::Span {
            answer,
            may_have_none,
        } => {
            add("answer", json!(answer.text));
            add("start", json!(answer.start));
            add("end", json!(answer.end));
            add("score", number(answer.score));
            if *may_have_none {
                let probability = answer.no_answer_probability as f32;
                add("no_answer_probability", number(probability));
            }
        }
    }
    object
}

/// An answer as a JSON object that names its task, for an input that mixes tasks.
pub(crate) fn json_with_task(spec: &TaskSpec, prediction: &Prediction) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("task".to_owned(), json!(spec.name));
    object.append(&mut json_object(spec, prediction));
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
