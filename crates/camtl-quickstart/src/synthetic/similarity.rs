//! Similarity: how close are two sentences in meaning, from 0 to 5?
//!
//! Every difference in meaning has its price; synonyms and voice are free. A little noise stands for the judges.

use super::proposition::{Proposition, Rates};
use super::relation::{Change, change_some};
use super::text::pick;
use camtl_data::random::Stream;

const RATES: Rates = Rates {
    thing: 0.3,
    adverbial: 0.3,
    adjective: 0.2,
    relative: 0.08,
    negated: 0.3,
};

const CHANGES: &[Change] = &[
    Change::SwapRoles,
    Change::SwapRoles,
    Change::OppositeVerb,
    Change::OppositeVerb,
    Change::OtherVerb,
    Change::OtherSubject,
    Change::OtherObject,
    Change::DropAdverbial,
    Change::AddAdverbial,
    Change::OtherAdverbial,
    Change::Generalise,
    Change::Specialise,
    Change::DropModifier,
    Change::AddModifier,
];

/// Largest score.
pub(super) const MAX: f32 = 5.0;

const NEGATION_PRICE: f64 = 1.8;

fn price(change: Change) -> f64 {
    match change {
        Change::DropAdverbial
        | Change::AddAdverbial
        | Change::DropModifier
        | Change::AddModifier => 0.5,
        Change::Generalise | Change::Specialise => 0.6,
        Change::OtherAdverbial => 0.8,
        Change::SwapRoles | Change::OtherSubject | Change::OtherObject | Change::OtherVerb => 1.5,
        Change::OppositeVerb => 2.2,
    }
}

/// A pair with its score, a multiple of 0.2.
pub(super) fn draw(stream: &mut Stream) -> (String, String, f32) {
    let first = Proposition::draw(stream, RATES);
    let (second, ideal) = if stream.chance(0.1) {
        (Proposition::draw(stream, RATES), 0.3)
    } else {
        let count = pick(stream, &[0, 1, 1, 2, 2, 3, 4]);
        let (mut second, changes) = change_some(&first, CHANGES, count, stream);
        let mut ideal = f64::from(MAX) - changes.iter().map(|change| price(*change)).sum::<f64>();
        if stream.chance(0.3) {
            second.negated = !second.negated;
            ideal -= NEGATION_PRICE;
        }
        (second, ideal)
    };
    let judged = ideal + 0.5 * (stream.uniform() - 0.5);
    let fifths = (judged * 5.0).round().clamp(0.0, 5.0 * f64::from(MAX));
    (
        first.sentence(stream),
        second.sentence(stream),
        (fifths / 5.0) as f32,
    )
}
