//! From logits to answers: probabilities, tags, spans.

use camtl_data::answers::{Answer, MAX_ANSWER_LENGTH, MAX_CANDIDATES, SpanCandidate};
use camtl_data::batch::PackedBatch;
use camtl_model::{HeadKind, TaskLogits};
use tch::{Kind, Tensor};

use crate::error::TrainError;

/// The answers to the examples of `said`, in its order.
pub(crate) fn answers(
    kind: HeadKind,
    said: &TaskLogits,
    batch: &PackedBatch,
) -> Result<Vec<Answer>, TrainError> {
    let columns = said.logits.size().get(1).copied().unwrap_or(1).max(1) as usize;
    let rows = |values: &Tensor| -> Result<Vec<Vec<f32>>, TrainError> {
        Ok(to_vec(values)?
            .chunks_exact(columns)
            .map(<[f32]>::to_vec)
            .collect())
    };
    let probabilities = || rows(&said.logits.f_softmax(-1, Kind::Float)?);
    Ok(match kind {
        HeadKind::Regression => to_vec(&said.logits)?
            .into_iter()
            .map(Answer::Score)
            .collect(),
        HeadKind::MultipleChoice => probabilities()?
            .into_iter()
            .map(|probabilities| Answer::Choice {
                option: argmax(&probabilities),
                probabilities,
            })
            .collect(),
        HeadKind::Tagging => {
            let tags: Vec<u32> = rows(&said.logits)?.iter().map(|row| argmax(row)).collect();
            split(&tags, &said.counts)
                .map(|tags| Answer::Tags(tags.to_vec()))
                .collect()
        }
        HeadKind::Span { .. } => {
            let logits = rows(&said.logits)?;
            split(&logits, &said.counts)
                .zip(&said.examples)
                .map(|(logits, &example)| span(logits, context(batch, example)))
                .collect()
        }
        _ => probabilities()?
            .into_iter()
            .map(|probabilities| Answer::Class {
                label: argmax(&probabilities),
                probabilities,
            })
            .collect(),
    })
}

/// Consecutive parts of `values`.
fn split<'a, T>(values: &'a [T], counts: &'a [usize]) -> impl Iterator<Item = &'a [T]> {
    let mut rest = values;
    counts.iter().map(move |&count| {
        let (part, others) = rest.split_at(count.min(rest.len()));
        rest = others;
        part
    })
}

/// First and last token of the context of a span's window.
fn context(batch: &PackedBatch, example: usize) -> Option<(usize, usize)> {
    let start = *batch.cu_extra.get(example)? as usize;
    let context = batch.extra.get(start + 2..start + 4)?;
    let place = |token: i64| usize::try_from(token).ok();
    Some((place(context[0])?, place(context[1])?))
}

/// The best spans within the context; of equally good ones the first.
fn span(logits: &[Vec<f32>], context: Option<(usize, usize)>) -> Answer {
    let said = |token: usize, side: usize| logits[token][side];
    let mut best: Vec<SpanCandidate> = Vec::with_capacity(MAX_CANDIDATES + 1);
    let tokens = context.map_or(0..0, |(first, last)| first..(last + 1).min(logits.len()));
    for start in tokens.clone() {
        for end in start..tokens.end.min(start + MAX_ANSWER_LENGTH) {
            let score = said(start, 0) + said(end, 1);
            let place = best.partition_point(|other| other.score >= score);
            if place < MAX_CANDIDATES && !score.is_nan() {
                best.insert(place, SpanCandidate { start, end, score });
                best.truncate(MAX_CANDIDATES);
            }
        }
    }
    let null_score = logits.first().map_or(0.0, |first| first.iter().sum());
    Answer::Span { best, null_score }
}

/// Copies a tensor to the host as fp32, in row-major order.
pub(crate) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>, TrainError> {
    let flat = tensor
        .f_to_device(tch::Device::Cpu)?
        .f_to_kind(Kind::Float)?
        .f_contiguous()?
        .f_view([-1])?;
    Ok(Vec::<f32>::try_from(&flat)?)
}

/// The place of the largest value, the first of equal ones.
fn argmax(row: &[f32]) -> u32 {
    let mut best = 0;
    for (place, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = place;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first() {
        assert_eq!(argmax(&[0.2, 0.4, 0.4]), 1);
        assert_eq!(argmax(&[0.5, 0.5]), 0);
        assert_eq!(argmax(&[f32::NAN, 0.5]), 0);
    }

    fn candidates(logits: &[[f32; 2]], context: (usize, usize)) -> (Vec<(usize, usize, f32)>, f32) {
        let logits: Vec<Vec<f32>> = logits.iter().map(|row| row.to_vec()).collect();
        match span(&logits, Some(context)) {
            Answer::Span { best, null_score } => (
                best.iter()
                    .map(|one| (one.start, one.end, one.score))
                    .collect(),
                null_score,
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn spans_are_inside_the_context_and_in_order() {
        let logits = [[1.0, 2.0], [9.0, 9.0], [0.0, 5.0], [4.0, 1.0], [9.0, 9.0]];
        let (best, null) = candidates(&logits, (2, 3));
        // Token 3 before token 2 is no span although it has the largest sum.
        assert_eq!(best, [(2, 2, 5.0), (3, 3, 5.0), (2, 3, 1.0)]);
        assert_eq!(null, 3.0);
        assert_eq!(candidates(&logits, (3, 2)).0, []);
    }

    #[test]
    fn spans_are_short_and_few() {
        // The best start is the first token, the best end the last: too far apart.
        let mut logits = vec![[0.0f32, 0.0]; 50];
        logits[0][0] = 10.0;
        logits[49][1] = 10.0;
        let (best, _) = candidates(&logits, (0, 49));
        assert_eq!(best.len(), MAX_CANDIDATES);
        assert_eq!(best[0], (0, 0, 10.0));
        assert!(
            best.iter()
                .all(|(start, end, _)| end - start < MAX_ANSWER_LENGTH)
        );
        assert!(best.windows(2).all(|pair| pair[0].2 >= pair[1].2));
    }
}
