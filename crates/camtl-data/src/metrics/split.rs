//! The metrics of a task on a split, from a model's answers.

use std::collections::BTreeMap;

use super::entities::entity_scores;
use super::multirc::multirc_scores;
use super::question_answering::{squad_v1_scores, squad_v2_scores};
use super::record::record_scores;
use super::winogender::gender_parity;
use super::{MetricKind, Predictions, References, compute};
use crate::answers::{Answer, AnswerError, RowsOf, check_count, merged, misfit, query_answers};
use crate::encoded::EncodedSplit;
use crate::reader::{Details, Example, Label};
use crate::task::{FileFormat, TaskKind, TaskSpec};

/// The values of all of the task's metrics over a whole split, by [`MetricKind::name`]; `answers` are one per example, in
/// order.
///
/// # Errors
/// As [`score_examples`].
pub fn score_split(
    spec: &TaskSpec,
    split: &EncodedSplit,
    answers: &[Answer],
) -> Result<BTreeMap<String, f64>, AnswerError> {
    let all: Vec<usize> = (0..split.len()).collect();
    score_examples(spec, split, &all, answers)
}

/// The values of all of the task's metrics over the examples `indices` of a split; `answers` are one per index, in order.
///
/// Groups count with the examples that are among them: a question of whose windows only a few are given is answered from
/// these. Of the pairs that gender parity is about, whole ones count.
///
/// # Errors
/// Answers of another kind or number than the examples, an example without a label, a metric without a value
/// ([`MetricError`](super::MetricError)), a file that was changed or removed since it was encoded.
pub fn score_examples(
    spec: &TaskSpec,
    split: &EncodedSplit,
    indices: &[usize],
    answers: &[Answer],
) -> Result<BTreeMap<String, f64>, AnswerError> {
    check_count(spec, indices, answers)?;
    if let Some(example) = indices.iter().find(|at| split.get(**at).label.is_none()) {
        return Err(AnswerError::Answer {
            task: spec.name.clone(),
            example: *example,
            problem: "it has no label; only labelled splits can be scored".to_owned(),
        });
    }
    let job = Job {
        spec,
        split,
        indices,
        answers,
    };
    let mut values = BTreeMap::new();
    for metric in &spec.metrics {
        if !values.contains_key(metric) {
            values.extend(job.values(*metric)?);
        }
    }
    Ok(values
        .into_iter()
        .filter(|(metric, _)| spec.metrics.contains(metric))
        .map(|(metric, value)| (metric.name().to_owned(), value))
        .collect())
}

/// What is to be scored.
struct Job<'a> {
    spec: &'a TaskSpec,
    split: &'a EncodedSplit,
    indices: &'a [usize],
    answers: &'a [Answer],
}

/// Values of metrics that are found together.
type Values = Vec<(MetricKind, f64)>;

impl Job<'_> {
    fn values(&self, metric: MetricKind) -> Result<Values, AnswerError> {
        match (metric, &self.spec.kind) {
            (_, TaskKind::Span { .. }) => self.span(),
            (_, TaskKind::Tagging { .. }) => self.tagging(),
            (MetricKind::F1a, _) => self.multirc(),
            (MetricKind::ExactMatch, _) if self.spec.format == FileFormat::MultiRc => {
                self.multirc()
            }
            (MetricKind::ExactMatch | MetricKind::AnswerF1, _) => self.record(),
            (MetricKind::GenderParity, _) => self.winogender(),
            (_, TaskKind::Regression { .. }) => {
                let predicted = self.predicted(|answer| match answer {
                    Answer::Score(score) => Some(*score),
                    _ => None,
                })?;
                let actual = self.labels(|label| match label {
                    Label::Score(score) => Some(score),
                    _ => None,
                });
                let value = compute(
                    metric,
                    Predictions::Scores(&predicted),
                    References::Scores(&actual),
                )?;
                Ok(vec![(metric, value)])
            }
            _ => {
                let value = compute(
                    metric,
                    Predictions::Classes(&self.classes()?),
                    References::Classes(&self.true_classes()),
                )?;
                Ok(vec![(metric, value)])
            }
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, &Answer)> {
        self.indices.iter().copied().zip(self.answers)
    }

    /// Of every answer what `pick` takes from it.
    fn predicted<T>(&self, pick: impl Fn(&Answer) -> Option<T>) -> Result<Vec<T>, AnswerError> {
        let wanted = match self.spec.kind {
            TaskKind::Regression { .. } => "a score",
            TaskKind::MultipleChoice { .. } => "an option",
            _ => "a class",
        };
        self.pairs()
            .map(|(index, answer)| {
                pick(answer).ok_or_else(|| misfit(self.spec, index, answer, wanted))
            })
            .collect()
    }

    fn classes(&self) -> Result<Vec<u32>, AnswerError> {
        let choice = matches!(self.spec.kind, TaskKind::MultipleChoice { .. });
        self.predicted(|answer| match answer {
            Answer::Class { label, .. } if !choice => Some(*label),
            Answer::Choice { option, .. } if choice => Some(*option),
            _ => None,
        })
    }

    fn labels<T>(&self, pick: impl Fn(Label) -> Option<T>) -> Vec<T> {
        self.indices
            .iter()
            .filter_map(|index| self.split.get(*index).label.and_then(&pick))
            .collect()
    }

    fn true_classes(&self) -> Vec<u32> {
        self.labels(|label| match label {
            Label::Class(class) => Some(class),
            _ => None,
        })
    }

    fn span(&self) -> Result<Values, AnswerError> {
        let rows = RowsOf::new(self.spec, self.split)?;
        let merged = merged(self.spec, &rows, self.indices, self.answers)?;
        let (mut texts, mut gold) = (Vec::new(), Vec::new());
        for (row, answer) in merged {
            if let Details::Question(question) = &rows.rows[row].details {
                texts.push(answer.text);
                gold.push(question.answers.clone());
            }
        }
        let scores = if self.spec.kind == (TaskKind::Span { no_answer: true }) {
            squad_v2_scores(&texts, &gold)?.all
        } else {
            squad_v1_scores(&texts, &gold)?
        };
        Ok(vec![
            (MetricKind::ExactMatch, scores.exact_match),
            (MetricKind::AnswerF1, scores.f1),
        ])
    }

    /// Over all words: those cut off by truncation count as tagged with the first label.
    fn tagging(&self) -> Result<Values, AnswerError> {
        let rows = RowsOf::new(self.spec, self.split)?;
        let labels = self.spec.kind.labels();
        let name = |class: u32| labels.get(class as usize).map_or("", String::as_str);
        let (mut predicted, mut actual) = (Vec::new(), Vec::new());
        let (mut words, mut right) = (0u64, 0u64);
        for (index, answer) in self.pairs() {
            let (
                Answer::Tags(tags),
                Details::Words {
                    tags: Some(true_tags),
                    ..
                },
            ) = (answer, &rows.row(index).details)
            else {
                return Err(misfit(self.spec, index, answer, "tags"));
            };
            if tags.len() > true_tags.len() {
                return Err(AnswerError::Answer {
                    task: self.spec.name.clone(),
                    example: index,
                    problem: format!("{} tags for {} words", tags.len(), true_tags.len()),
                });
            }
            let whole = (tags.iter().copied())
                .chain(std::iter::repeat(0))
                .take(true_tags.len());
            let whole: Vec<u32> = whole.collect();
            words += true_tags.len() as u64;
            right += whole.iter().zip(true_tags).filter(|(p, t)| p == t).count() as u64;
            predicted.push(whole.into_iter().map(name).collect::<Vec<_>>());
            actual.push(true_tags.iter().copied().map(name).collect::<Vec<_>>());
        }
        let mut values = vec![(MetricKind::Accuracy, right as f64 / words.max(1) as f64)];
        if self.spec.metrics.contains(&MetricKind::EntityF1) {
            let scores = entity_scores(&predicted, &actual)?;
            values.push((MetricKind::EntityF1, scores.micro.f1()));
        }
        Ok(values)
    }

    fn groups(&self) -> Vec<u64> {
        let groups = self.split.groups().unwrap_or(&self.split.ids);
        self.indices.iter().map(|index| groups[*index]).collect()
    }

    fn multirc(&self) -> Result<Values, AnswerError> {
        let right = |classes: Vec<u32>| classes.into_iter().map(|c| c == 1).collect::<Vec<_>>();
        let scores = multirc_scores(
            &self.groups(),
            &right(self.classes()?),
            &right(self.true_classes()),
        )?;
        Ok(vec![
            (MetricKind::F1a, scores.f1a),
            (MetricKind::ExactMatch, scores.exact_match),
        ])
    }

    fn record(&self) -> Result<Values, AnswerError> {
        let found = query_answers(self.spec, self.split, self.indices, self.answers)?;
        let (entities, gold): (Vec<String>, Vec<Vec<String>>) = found
            .into_iter()
            .map(|answer| (answer.entity, answer.accepted.to_vec()))
            .unzip();
        let scores = record_scores(&entities, &gold)?;
        Ok(vec![
            (MetricKind::ExactMatch, scores.exact_match),
            (MetricKind::AnswerF1, scores.f1),
        ])
    }

    fn winogender(&self) -> Result<Values, AnswerError> {
        let rows = RowsOf::new(self.spec, self.split)?;
        let by_index: BTreeMap<usize, u32> =
            self.indices.iter().copied().zip(self.classes()?).collect();
        let (mut hypotheses, mut predictions) = (Vec::new(), Vec::new());
        for (index, class) in &by_index {
            let partner = index ^ 1;
            // A last row without a partner is an error of the file, which the metric tells.
            if by_index.contains_key(&partner) || partner >= self.split.len() {
                let Example { text_a, text_b, .. } = rows.row(*index);
                hypotheses.push(text_b.as_deref().unwrap_or(text_a));
                predictions.push(*class);
            }
        }
        Ok(vec![(
            MetricKind::GenderParity,
            gender_parity(&hypotheses, &predictions)?,
        )])
    }
}
