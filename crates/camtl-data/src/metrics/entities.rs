//! Precision, recall and F1 of named entities, read from BIO tags as `conlleval` and seqeval read them.
//!
//! An entity is a type with its first and last token, and is correct only if all three are. With the sets of predicted
//! and true entities P and T,
//!
//! `precision = |P ∩ T| / |P|`, `recall = |P ∩ T| / |T|`, `F1 = 2 |P ∩ T| / (|P| + |T|)`, each 0 where it is 0/0,
//!
//! per type and, with the counts of all types summed, as the micro average.
//!
//! # From tags to entities
//!
//! `O` is outside, `B-TYPE` begins an entity, `I-TYPE` continues one. Every sequence has a reading: an entity begins at
//! each `B-`, and at an `I-` that follows `O`, the start of the sentence or another type; it ends before `O`, before `B-`,
//! before a tag of another type and with the sentence. The older IOB1 files, where `B-` appears only between neighbours of
//! one type, are therefore read correctly too. `B` and `I` without a type are of the type `_`.
//!
//! # The two scorers
//!
//! On B, I and O tags `conlleval` (Tjong Kim Sang, CoNLL-2000 to 2003) and seqeval 1.2.2 in its default mode count the
//! same, valid sequences or not. They differ in what is outside of this module: seqeval's `mode="strict"` drops entities
//! that begin with `I-`; of further prefixes seqeval knows `E-` and `S-`, `conlleval` `E-` and the tags `[`, `]`, `.` (here
//! they are errors); `conlleval` prints percent with two digits; its name for a missing type is the empty one.
//!
//! ```
//! use camtl_data::metrics::entities::entity_scores;
//!
//! let predicted = [vec!["B-person", "I-person", "O", "B-location"]];
//! let actual = [vec!["B-person", "I-person", "O", "B-product"]];
//! let scores = entity_scores(&predicted, &actual)?;
//! assert_eq!(scores.micro.f1(), 0.5);
//! assert_eq!(scores.per_type["person"].f1(), 1.0);
//! assert_eq!(scores.per_type["product"].recall(), 0.0);
//! # Ok::<(), camtl_data::metrics::MetricError>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::check::check_counts;
use super::error::MetricError;

/// An entity of a sentence: the tokens `start..end` and their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity<'a> {
    /// First token.
    pub start: usize,
    /// One past the last token.
    pub end: usize,
    /// The part of the tag after `B-` or `I-`; `_` if there is none.
    pub entity_type: &'a str,
}

/// How many entities were predicted, are true, and are both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EntityCounts {
    /// Predicted entities that are true: same type, same tokens.
    pub correct: u64,
    /// Predicted entities.
    pub predicted: u64,
    /// True entities.
    pub actual: u64,
}

impl EntityCounts {
    /// `correct / predicted`, 0 if nothing was predicted.
    pub fn precision(&self) -> f64 {
        ratio(self.correct, self.predicted)
    }

    /// `correct / actual`, 0 if there is no true entity.
    pub fn recall(&self) -> f64 {
        ratio(self.correct, self.actual)
    }

    /// `2 correct / (predicted + actual)`, the harmonic mean of precision and recall; 0 if there is no entity at all.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.correct, self.predicted + self.actual)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// The scores of tagged sentences.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EntityScores {
    /// Counts over all types: its F1 is the number that CoNLL tasks and WNUT2017 report.
    pub micro: EntityCounts,
    /// Counts of each type that occurs among predicted or true entities.
    pub per_type: BTreeMap<String, EntityCounts>,
    /// Share of the tokens whose tag is the true one (`conlleval`'s and seqeval's accuracy).
    pub token_accuracy: f64,
}

impl EntityScores {
    /// The unweighted mean of the types' F1 (seqeval's `macro avg`), 0 if there is no entity at all.
    pub fn macro_f1(&self) -> f64 {
        if self.per_type.is_empty() {
            return 0.0;
        }
        self.per_type.values().map(EntityCounts::f1).sum::<f64>() / self.per_type.len() as f64
    }
}

/// The token's part in an entity, with the entity's type.
#[derive(Clone, Copy, PartialEq)]
enum Tag<'a> {
    Outside,
    Begin(&'a str),
    Inside(&'a str),
}

fn parse(tag: &str) -> Option<Tag<'_>> {
    if tag == "O" {
        return Some(Tag::Outside);
    }
    let (begins, rest) = match tag.strip_prefix('B') {
        Some(rest) => (true, rest),
        None => (false, tag.strip_prefix('I')?),
    };
    let entity_type = match rest {
        "" | "-" => "_",
        _ => rest.strip_prefix('-')?,
    };
    Some(if begins {
        Tag::Begin(entity_type)
    } else {
        Tag::Inside(entity_type)
    })
}

/// The tags of one sentence; `Err` holds the position of one that is not a BIO tag.
fn parse_all<T: AsRef<str>>(tags: &[T]) -> Result<Vec<Tag<'_>>, usize> {
    tags.iter()
        .enumerate()
        .map(|(token, tag)| parse(tag.as_ref()).ok_or(token))
        .collect()
}

fn collect<'a>(tags: &[Tag<'a>]) -> Vec<Entity<'a>> {
    let mut found = Vec::new();
    let mut open: Option<Entity<'a>> = None;
    for (token, tag) in tags.iter().enumerate() {
        if let Tag::Inside(entity_type) = *tag
            && let Some(entity) = open
                .as_mut()
                .filter(|entity| entity.entity_type == entity_type)
        {
            entity.end = token + 1;
            continue;
        }
        found.extend(open.take());
        if let Tag::Begin(entity_type) | Tag::Inside(entity_type) = *tag {
            open = Some(Entity {
                start: token,
                end: token + 1,
                entity_type,
            });
        }
    }
    found.extend(open);
    found
}

/// The entities of one sentence, in order.
///
/// ```
/// use camtl_data::metrics::entities::{entities, Entity};
///
/// // An I- after O begins an entity, and so does an I- of another type.
/// let found = entities(&["I-PER", "I-PER", "I-ORG", "O"])?;
/// assert_eq!(found[0], Entity { start: 0, end: 2, entity_type: "PER" });
/// assert_eq!(found[1], Entity { start: 2, end: 3, entity_type: "ORG" });
/// # Ok::<(), camtl_data::metrics::MetricError>(())
/// ```
///
/// # Errors
/// [`MetricError::UnknownTag`] for a tag other than `O`, `B`, `I`, `B-…`, `I-…`.
pub fn entities<T: AsRef<str>>(tags: &[T]) -> Result<Vec<Entity<'_>>, MetricError> {
    let parsed = parse_all(tags).map_err(|token| unknown_tag("tags", 0, token, tags))?;
    Ok(collect(&parsed))
}

fn unknown_tag<T: AsRef<str>>(
    side: &'static str,
    sentence: usize,
    token: usize,
    tags: &[T],
) -> MetricError {
    MetricError::UnknownTag {
        side,
        sentence,
        token,
        tag: tags[token].as_ref().to_owned(),
    }
}

/// Entity counts and token accuracy of predicted against true tags, sentence by sentence. A sentence may be empty, but
/// not all of them.
///
/// # Errors
/// [`MetricError::CountMismatch`] for different numbers of sentences, [`MetricError::SentenceLength`] for different
/// numbers of tokens in a sentence, [`MetricError::UnknownTag`], and [`MetricError::NothingToScore`] if there is no token.
pub fn entity_scores<P: AsRef<str>, R: AsRef<str>>(
    predictions: &[Vec<P>],
    references: &[Vec<R>],
) -> Result<EntityScores, MetricError> {
    const METRIC: &str = "entity f1";
    check_counts(
        METRIC,
        "tagged reference sentences",
        predictions.len(),
        references.len(),
    )?;
    let mut per_type: BTreeMap<String, EntityCounts> = BTreeMap::new();
    let mut micro = EntityCounts::default();
    let (mut tokens, mut correct_tokens) = (0u64, 0u64);
    for (sentence, (predicted, actual)) in predictions.iter().zip(references).enumerate() {
        if predicted.len() != actual.len() {
            return Err(MetricError::SentenceLength {
                sentence,
                predictions: predicted.len(),
                references: actual.len(),
            });
        }
        let predicted_tags = parse_all(predicted)
            .map_err(|token| unknown_tag("predictions", sentence, token, predicted))?;
        let actual_tags = parse_all(actual)
            .map_err(|token| unknown_tag("references", sentence, token, actual))?;
        tokens += actual_tags.len() as u64;
        correct_tokens += predicted_tags
            .iter()
            .zip(&actual_tags)
            .filter(|(p, a)| p == a)
            .count() as u64;

        let mut count = |entity_type: &str, add: fn(&mut EntityCounts)| {
            if !per_type.contains_key(entity_type) {
                per_type.insert(entity_type.to_owned(), EntityCounts::default());
            }
            if let Some(counts) = per_type.get_mut(entity_type) {
                add(counts);
            }
            add(&mut micro);
        };
        let actual: BTreeSet<Entity<'_>> = collect(&actual_tags).into_iter().collect();
        for entity in &actual {
            count(entity.entity_type, |counts| counts.actual += 1);
        }
        for entity in collect(&predicted_tags) {
            count(entity.entity_type, |counts| counts.predicted += 1);
            if actual.contains(&entity) {
                count(entity.entity_type, |counts| counts.correct += 1);
            }
        }
    }
    if tokens == 0 {
        return Err(MetricError::NothingToScore { metric: METRIC });
    }
    Ok(EntityScores {
        micro,
        per_type,
        token_accuracy: correct_tokens as f64 / tokens as f64,
    })
}
