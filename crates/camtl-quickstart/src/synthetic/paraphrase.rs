//! Paraphrase: do two sentences say the same?
//!
//! Paraphrases differ in synonyms and voice. The others differ in what is said, mostly with the same words: roles
//! swapped, a negation or an adjective moved to another place.

use super::proposition::{Object, Proposition, Rates};
use super::relation::Change;
use super::text::pick;
use camtl_data::random::Stream;

const RATES: Rates = Rates {
    thing: 0.15,
    adverbial: 0.2,
    adjective: 0.3,
    relative: 0.2,
    negated: 0.3,
};

#[derive(Clone, Copy)]
enum Difference {
    Negate,
    MoveNegation,
    ExchangeAdjectives,
    Change(Change),
}

/// Differences by how often they are tried.
const DIFFERENCES: &[Difference] = &[
    Difference::Change(Change::SwapRoles),
    Difference::Change(Change::SwapRoles),
    Difference::Change(Change::SwapRoles),
    Difference::Change(Change::SwapRoles),
    Difference::Change(Change::SwapRoles),
    Difference::MoveNegation,
    Difference::MoveNegation,
    Difference::ExchangeAdjectives,
    Difference::ExchangeAdjectives,
    Difference::Negate,
    Difference::Negate,
    Difference::Negate,
    Difference::Change(Change::OppositeVerb),
    Difference::Change(Change::OppositeVerb),
    Difference::Change(Change::OppositeVerb),
    Difference::Change(Change::OtherAdverbial),
    Difference::Change(Change::OtherObject),
    Difference::Change(Change::OtherSubject),
    Difference::Change(Change::OtherSubject),
    Difference::Change(Change::OtherVerb),
    Difference::Change(Change::OtherVerb),
];

impl Difference {
    fn apply(self, to: &Proposition, stream: &mut Stream) -> Option<Proposition> {
        let mut changed = to.clone();
        match self {
            Self::Negate => changed.negated = !to.negated,
            Self::MoveNegation => {
                let relative = changed.subject.relative.as_mut()?;
                if relative.negated == to.negated {
                    return None;
                }
                relative.negated = to.negated;
                changed.negated = !to.negated;
            }
            Self::ExchangeAdjectives => match &mut changed.object {
                Object::People(people) if people.adjective != changed.subject.adjective => {
                    std::mem::swap(&mut people.adjective, &mut changed.subject.adjective);
                }
                _ => return None,
            },
            Self::Change(change) => return change.apply(to, stream),
        }
        Some(changed)
    }
}

/// A pair with its class: 0 different, 1 paraphrase.
pub(super) fn draw(stream: &mut Stream) -> (String, String, u32) {
    let same = stream.chance(0.5);
    loop {
        let first = Proposition::draw(stream, RATES);
        let second = if same {
            Some(first.clone())
        } else {
            pick(stream, DIFFERENCES).apply(&first, stream)
        };
        if let Some(second) = second {
            let (text_a, text_b) = (first.sentence(stream), second.sentence(stream));
            if text_a != text_b {
                return (text_a, text_b, u32::from(same));
            }
        }
    }
}
