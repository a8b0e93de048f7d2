//! What metrics compare on a split, from a model's answers.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::answers::{Answer, AnswerError, RowsOf, check_count, merged, misfit, query_answers};
use crate::encoded::EncodedSplit;
use crate::metrics::multirc::{MultiRcScores, multirc_scores};
use crate::metrics::question_answering::{AnswerScores, squad_v1_scores, squad_v2_scores};
use crate::metrics::record::record_scores;
use crate::metrics::{Compares, MetricError, MetricKind, Rows, check_finite, check_lengths};
use crate::spec::{AnswerForm, Details, Label};
use crate::task::TaskSpec;

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
/// ([`MetricError`]), a file that was changed or removed since it was encoded.
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
        answer_scores: OnceCell::new(),
        judgements: OnceCell::new(),
    };
    (spec.metrics.iter())
        .map(|metric| Ok((metric.name().to_owned(), job.value(*metric)?)))
        .collect()
}

/// What is to be scored.
struct Job<'a> {
    spec: &'a TaskSpec,
    split: &'a EncodedSplit,
    indices: &'a [usize],
    answers: &'a [Answer],
    answer_scores: OnceCell<AnswerScores>,
    judgements: OnceCell<MultiRcScores>,
}

/// Predictions and truth, one for one.
struct Pairs<T> {
    predicted: Vec<T>,
    actual: Vec<T>,
}

impl Job<'_> {
    fn value(&self, metric: MetricKind) -> Result<f64, AnswerError> {
        let provided = self.spec.evidence(self.spec.format);
        let Some(compares) = metric.definition().comparison(&provided) else {
            return Err(MetricError::NoEvidence {
                metric: metric.name(),
                kind: self.spec.kind.name(),
            }
            .into());
        };
        Ok(match compares {
            Compares::Decisions(score) => {
                let Pairs { predicted, actual } = self.decisions()?;
                check_lengths(metric.name(), predicted.len(), actual.len())?;
                score(&predicted, &actual)
            }
            Compares::Classes(score) => {
                let Pairs { predicted, actual } = self.decisions()?;
                check_lengths(metric.name(), predicted.len(), actual.len())?;
                score(&predicted, &actual)?
            }
            Compares::Scores(score) => {
                let Pairs { predicted, actual } = self.scores()?;
                check_lengths(metric.name(), predicted.len(), actual.len())?;
                check_finite(metric.name(), "predictions", &predicted)?;
                check_finite(metric.name(), "references", &actual)?;
                score(predicted.as_slice().into(), actual.as_slice().into())
            }
            Compares::Answers(score) => score(&once(&self.answer_scores, || self.answer_scores())?),
            Compares::Judgements(score) => score(&once(&self.judgements, || self.judgements())?),
            Compares::Tags(score) => {
                let names = |sentences: Vec<Vec<u32>>| -> Vec<Vec<&str>> {
                    let labels = self.spec.kind.labels();
                    let name = |tag: u32| labels.get(tag as usize).map_or("", String::as_str);
                    (sentences.into_iter())
                        .map(|tags| tags.into_iter().map(name).collect())
                        .collect()
                };
                let Pairs { predicted, actual } = self.tags()?;
                score(&names(predicted), &names(actual))?
            }
            Compares::Rows(score) => {
                let rows = RowsOf::new(self.spec, self.split)?;
                let predicted = self.decisions()?.predicted;
                let class = |(index, class): (&usize, u32)| (*index, (rows.row(*index), class));
                score(&Rows {
                    classes: self.indices.iter().zip(predicted).map(class).collect(),
                    all: self.split.len(),
                })?
            }
        })
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, &Answer)> {
        self.indices.iter().copied().zip(self.answers)
    }

    /// What `pick` takes from every answer, with its label.
    fn each<T>(
        &self,
        pick: impl Fn(&Answer, Option<Label>) -> Option<(T, T)>,
    ) -> Result<Pairs<T>, AnswerError> {
        let (predicted, actual) = (self.pairs())
            .map(|(index, answer)| {
                pick(answer, self.split.get(index).label)
                    .ok_or_else(|| misfit(self.spec, index, answer))
            })
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .unzip();
        Ok(Pairs { predicted, actual })
    }

    fn scores(&self) -> Result<Pairs<f32>, AnswerError> {
        self.each(|answer, label| match (answer, label) {
            (Answer::Score(predicted), Some(Label::Score(actual))) => Some((*predicted, actual)),
            _ => None,
        })
    }

    fn decisions(&self) -> Result<Pairs<u32>, AnswerError> {
        let form = self.spec.kind.answer();
        if form == AnswerForm::Tags {
            let Pairs { predicted, actual } = self.tags()?;
            return Ok(Pairs {
                predicted: predicted.concat(),
                actual: actual.concat(),
            });
        }
        self.each(|answer, label| match (answer, label) {
            (
                Answer::Class {
                    label: decision, ..
                }
                | Answer::Choice {
                    option: decision, ..
                },
                Some(Label::Class(actual)),
            ) if answer.form() == form => Some((*decision, actual)),
            _ => None,
        })
    }

    /// The tags of every word: those cut off by truncation count as tagged with the first label.
    fn tags(&self) -> Result<Pairs<Vec<u32>>, AnswerError> {
        let rows = RowsOf::new(self.spec, self.split)?;
        let mut pairs = Pairs {
            predicted: Vec::new(),
            actual: Vec::new(),
        };
        for (index, answer) in self.pairs() {
            let (
                Answer::Tags(tags),
                Details::Words {
                    tags: Some(true_tags),
                    ..
                },
            ) = (answer, &rows.row(index).details)
            else {
                return Err(misfit(self.spec, index, answer));
            };
            if tags.len() > true_tags.len() {
                return Err(AnswerError::Answer {
                    task: self.spec.name.clone(),
                    example: index,
                    problem: format!("{} tags for {} words", tags.len(), true_tags.len()),
                });
            }
            let mut whole = tags.clone();
            whole.resize(true_tags.len(), 0);
            pairs.predicted.push(whole);
            pairs.actual.push(true_tags.clone());
        }
        Ok(pairs)
    }

    fn answer_scores(&self) -> Result<AnswerScores, AnswerError> {
        let Some(no_answer) = self.spec.kind.no_answer() else {
            let found = query_answers(self.spec, self.split, self.indices, self.answers)?;
            let (entities, gold): (Vec<_>, Vec<_>) = (found.into_iter())
                .map(|answer| (answer.entity, answer.accepted.to_vec()))
                .unzip();
            return Ok(record_scores(&entities, &gold)?);
        };
        let rows = RowsOf::new(self.spec, self.split)?;
        let merged = merged(self.spec, &rows, self.indices, self.answers)?;
        let (mut texts, mut gold) = (Vec::new(), Vec::new());
        for (row, answer) in merged {
            if let Details::Question(question) = &rows.rows[row].details {
                texts.push(answer.text);
                gold.push(question.answers.clone());
            }
        }
        Ok(if no_answer {
            squad_v2_scores(&texts, &gold)?.all
        } else {
            squad_v1_scores(&texts, &gold)?
        })
    }

    fn judgements(&self) -> Result<MultiRcScores, AnswerError> {
        let right = |classes: Vec<u32>| classes.into_iter().map(|c| c == 1).collect::<Vec<_>>();
        let groups = self.split.groups().unwrap_or(&self.split.ids);
        let groups: Vec<u64> = self.indices.iter().map(|index| groups[*index]).collect();
        let Pairs { predicted, actual } = self.decisions()?;
        Ok(multirc_scores(&groups, &right(predicted), &right(actual))?)
    }
}

/// What `cell` holds, found first if it is empty.
fn once<T: Copy>(
    cell: &OnceCell<T>,
    find: impl FnOnce() -> Result<T, AnswerError>,
) -> Result<T, AnswerError> {
    match cell.get() {
        Some(found) => Ok(*found),
        None => find().map(|found| *cell.get_or_init(|| found)),
    }
}
