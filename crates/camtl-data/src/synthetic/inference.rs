//! 3-way inference: does the second sentence follow from the first, contradict it, or neither?
//!
//! Negation occurs equally often in both sentences of every class, so that only whether the two agree says anything;
//! about a third of the neutral pairs has the same words in other roles.

use super::proposition::{Proposition, Rates};
use super::relation::{Change, Verdict, change_some, combine, verdict};
use super::text::pick;
use crate::random::Stream;

const RATES: Rates = Rates {
    thing: 0.35,
    adverbial: 0.35,
    adjective: 0.25,
    relative: 0.12,
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

/// Negations of premise and hypothesis that a class is drawn with. Most classes need the exact pairs; each column has
/// negation about half of the time.
fn negations(stream: &mut Stream, wanted: Verdict) -> (bool, bool) {
    let draw = stream.uniform();
    match wanted {
        Verdict::Entailment if draw < 0.42 => (false, false),
        Verdict::Entailment if draw < 0.92 => (true, true),
        Verdict::Entailment => (false, true),
        Verdict::Contradiction if draw < 0.42 => (false, true),
        Verdict::Contradiction if draw < 0.92 => (true, false),
        Verdict::Contradiction => (false, false),
        Verdict::Neutral => (stream.chance(0.5), stream.chance(0.5)),
    }
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
