//! 3-way inference: does the second sentence follow from the first, contradict it, or neither?
//!
//! A negation in one sentence only is the strongest hint, and it misleads wherever one event is a special case of the
//! other, verbs are opposites, or roles are swapped.

use super::proposition::{Proposition, Rates};
use super::relation::{Change, Verdict, change_some, combine, verdict};
use super::text::pick;
use camtl_data::random::Stream;

const RATES: Rates = Rates {
    thing: 0.3,
    adverbial: 0.25,
    adjective: 0.2,
    relative: 0.08,
    negated: 0.5,
};

/// Changes by how often they are tried.
const CHANGES: &[Change] = &[
    Change::SwapRoles,
    Change::SwapRoles,
    Change::SwapRoles,
    Change::OppositeVerb,
    Change::OppositeVerb,
    Change::OtherVerb,
    Change::OtherVerb,
    Change::OtherSubject,
    Change::OtherSubject,
    Change::OtherObject,
    Change::DropAdverbial,
    Change::DropAdverbial,
    Change::AddAdverbial,
    Change::OtherAdverbial,
    Change::Generalise,
    Change::Generalise,
    Change::Specialise,
    Change::Specialise,
    Change::DropModifier,
    Change::AddModifier,
];

/// Negations of premise and hypothesis that a class is drawn with, as weights of (no, no), (no, yes), (yes, no) and
/// (yes, yes). A negated hypothesis is most often a contradiction, as in real data, but far from always.
fn negations(stream: &mut Stream, wanted: Verdict) -> (bool, bool) {
    let weights: [u64; 4] = match wanted {
        Verdict::Entailment => [55, 10, 0, 35],
        Verdict::Neutral => [40, 20, 15, 25],
        Verdict::Contradiction => [25, 50, 25, 0],
    };
    let mut draw = stream.below(weights.iter().sum());
    for (weight, negations) in
        weights
            .into_iter()
            .zip([(false, false), (false, true), (true, false), (true, true)])
    {
        if draw < weight {
            return negations;
        }
        draw -= weight;
    }
    (true, true)
}

/// A pair with its class: 0 entailment, 1 neutral, 2 contradiction.
pub(super) fn draw(stream: &mut Stream) -> (String, String, u32) {
    let (wanted, class) = pick(
        stream,
        &[
            (Verdict::Entailment, 0),
            (Verdict::Neutral, 1),
            (Verdict::Contradiction, 2),
        ],
    );
    let (premise_negated, hypothesis_negated) = negations(stream, wanted);
    loop {
        let premise = Proposition {
            negated: premise_negated,
            ..Proposition::draw(stream, RATES)
        };
        let count = pick(stream, &[0, 1, 1, 1, 2]);
        let (mut hypothesis, changes) = change_some(&premise, CHANGES, count, stream);
        let (relation, modifiers) = combine(&changes);
        if verdict(relation, modifiers, premise_negated, hypothesis_negated) == Some(wanted) {
            hypothesis.negated = hypothesis_negated;
            let (first, second) = (premise.sentence(stream), hypothesis.sentence(stream));
            if first != second {
                return (first, second, class);
            }
        }
    }
}
