//! What one proposition says about the truth of another: a small natural logic.
//!
//! Changes to a proposition relate the two *events* (the statements without their negation): equal, one a special case
//! of the other, mutually exclusive, or independent. Negation then turns special cases around: "does not run" entails
//! "does not run quickly", while "runs quickly" entails "runs". Modifiers of the definite noun phrases ("the tall
//! doctor") only help to find the person, inside a negation as outside: dropping one keeps the truth, adding one says
//! something new.

use super::lexicon::{
    ADJECTIVES, ADVERBIALS, INTRANSITIVE_VERBS, OPPOSED, PEOPLE, SOCIAL_VERBS, THING_VERBS, THINGS,
};
use super::proposition::{Object, Proposition, Relative, another};
use super::text::{pick, position};
use camtl_data::random::Stream;

/// How the event of a second proposition relates to that of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// The same event.
    Equal,
    /// The first is a special case of the second.
    Forward,
    /// The second is a special case of the first.
    Reverse,
    /// They cannot both happen.
    Exclusive,
    /// Neither says anything about the other.
    Independent,
}

/// What happened to the modifiers of definite noun phrases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifiers {
    Same,
    Dropped,
    Added,
}

/// A change to a proposition, other than negating it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    SwapRoles,
    OppositeVerb,
    OtherVerb,
    OtherSubject,
    OtherObject,
    DropAdverbial,
    AddAdverbial,
    OtherAdverbial,
    Generalise,
    Specialise,
    DropModifier,
    AddModifier,
}

/// Truth of the hypothesis, given the premise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Entailment,
    Neutral,
    Contradiction,
}

impl Change {
    /// Applies the change; `None` if the proposition does not allow it.
    pub(super) fn apply(self, to: &Proposition, stream: &mut Stream) -> Option<Proposition> {
        let mut changed = to.clone();
        match (self, &mut changed.object) {
            (Self::SwapRoles, Object::People(object)) => {
                std::mem::swap(&mut changed.subject, object)
            }
            (Self::OppositeVerb, Object::People(_)) if to.verb < OPPOSED => {
                changed.verb = to.verb ^ 1
            }
            (Self::OtherVerb, Object::People(_)) => {
                let other = another(stream, to.verb, SOCIAL_VERBS.len());
                if to.verb < OPPOSED && other == to.verb ^ 1 {
                    return None;
                }
                changed.verb = other;
            }
            (Self::OtherVerb, Object::Thing(_)) => {
                changed.verb = another(stream, to.verb, THING_VERBS.len())
            }
            (Self::OtherSubject, object) => {
                changed.subject.noun = another(stream, to.subject.noun, PEOPLE.len());
                if matches!(object, Object::People(people) if people.noun == changed.subject.noun) {
                    return None;
                }
            }
            (Self::OtherObject, Object::People(people)) => {
                people.noun = another(stream, people.noun, PEOPLE.len());
                if people.noun == changed.subject.noun {
                    return None;
                }
            }
            (Self::OtherObject, Object::Thing(thing)) => {
                thing.kind = another(stream, thing.kind, THINGS.len());
                thing.thing = Some(position(stream, THINGS[thing.kind].1));
            }
            (Self::DropAdverbial, _) => {
                changed.adverbial.take()?;
            }
            (Self::AddAdverbial, _) if to.adverbial.is_none() => {
                changed.adverbial = Some(position(stream, ADVERBIALS));
            }
            (Self::OtherAdverbial, _) => {
                changed.adverbial = Some(another(stream, to.adverbial?, ADVERBIALS.len()));
            }
            (Self::Generalise, Object::Thing(thing)) => {
                thing.thing.take()?;
            }
            (Self::Specialise, Object::Thing(thing)) if thing.thing.is_none() => {
                thing.thing = Some(position(stream, THINGS[thing.kind].1));
            }
            (Self::DropModifier, object) => {
                let subject = &mut changed.subject;
                let of_subject =
                    subject.relative.take().is_some() || subject.adjective.take().is_some();
                let dropped = of_subject
                    || match object {
                        Object::People(people) => people.adjective.take().is_some(),
                        Object::Thing(_) => false,
                    };
                if !dropped {
                    return None;
                }
            }
            (Self::AddModifier, _) => {
                let subject = &mut changed.subject;
                if stream.chance(0.5) && subject.relative.is_none() {
                    subject.relative = Some(Relative {
                        verb: position(stream, INTRANSITIVE_VERBS),
                        negated: stream.chance(0.5),
                    });
                } else if subject.adjective.is_none() {
                    subject.adjective = Some(position(stream, ADJECTIVES));
                } else {
                    return None;
                }
            }
            _ => return None,
        }
        Some(changed)
    }

    /// The part of the proposition that is changed. Two changes of one part could undo each other.
    fn part(self) -> u8 {
        match self {
            Self::SwapRoles
            | Self::OtherSubject
            | Self::OtherObject
            | Self::Generalise
            | Self::Specialise => 0,
            Self::OppositeVerb | Self::OtherVerb => 1,
            Self::DropAdverbial | Self::AddAdverbial | Self::OtherAdverbial => 2,
            Self::DropModifier | Self::AddModifier => 3,
        }
    }

    fn relation(self) -> Relation {
        match self {
            Self::DropModifier | Self::AddModifier => Relation::Equal,
            Self::DropAdverbial | Self::Generalise => Relation::Forward,
            Self::AddAdverbial | Self::Specialise => Relation::Reverse,
            Self::OppositeVerb => Relation::Exclusive,
            Self::SwapRoles
            | Self::OtherVerb
            | Self::OtherSubject
            | Self::OtherObject
            | Self::OtherAdverbial => Relation::Independent,
        }
    }

    fn modifiers(self) -> Modifiers {
        match self {
            Self::DropModifier => Modifiers::Dropped,
            Self::AddModifier => Modifiers::Added,
            _ => Modifiers::Same,
        }
    }
}

/// Applies `count` changes drawn from `kinds` to different parts of `to` (fewer if some do not apply) and says which.
pub(super) fn change_some(
    to: &Proposition,
    kinds: &[Change],
    count: usize,
    stream: &mut Stream,
) -> (Proposition, Vec<Change>) {
    let mut changed = to.clone();
    let mut changes: Vec<Change> = Vec::with_capacity(count);
    for _ in 0..count {
        let change = pick(stream, kinds);
        if changes.iter().all(|other| other.part() != change.part())
            && let Some(next) = change.apply(&changed, stream)
        {
            changed = next;
            changes.push(change);
        }
    }
    (changed, changes)
}

/// The relation of one change followed by another.
fn join(first: Relation, second: Relation) -> Relation {
    use Relation::{Equal, Exclusive, Forward, Independent, Reverse};
    match (first, second) {
        (Equal, other) | (other, Equal) => other,
        (Independent, _) | (_, Independent) => Independent,
        (Forward, Forward) => Forward,
        (Reverse, Reverse) => Reverse,
        (Forward, Reverse) | (Reverse, Forward) => Independent,
        // Special cases of exclusive events exclude each other; changes of this kind come once only.
        (Exclusive, _) | (_, Exclusive) => Exclusive,
    }
}

/// Relation and modifiers after all `changes`.
pub(super) fn combine(changes: &[Change]) -> (Relation, Modifiers) {
    let relation = changes.iter().fold(Relation::Equal, |so_far, change| {
        join(so_far, change.relation())
    });
    let modifiers =
        changes
            .iter()
            .map(|change| change.modifiers())
            .fold(Modifiers::Same, |so_far, next| {
                // Adding outweighs dropping: whatever was added is new.
                match (so_far, next) {
                    (Modifiers::Added, _) | (_, Modifiers::Added) => Modifiers::Added,
                    (Modifiers::Dropped, _) | (_, Modifiers::Dropped) => Modifiers::Dropped,
                    _ => Modifiers::Same,
                }
            });
    (relation, modifiers)
}

/// The verdict on a hypothesis whose event relates so to the premise's; `None` where speakers would not agree.
pub(super) fn verdict(
    relation: Relation,
    modifiers: Modifiers,
    premise_negated: bool,
    hypothesis_negated: bool,
) -> Option<Verdict> {
    use Relation::{Equal, Exclusive, Forward, Reverse};
    let same_people = match (premise_negated, hypothesis_negated, relation) {
        (false, false, Equal | Forward) => Verdict::Entailment,
        (false, false, Exclusive) => Verdict::Contradiction,
        (true, true, Equal | Reverse) => Verdict::Entailment,
        (false, true, Equal | Forward) => Verdict::Contradiction,
        (false, true, Exclusive) => Verdict::Entailment,
        (true, false, Equal | Reverse) => Verdict::Contradiction,
        _ => Verdict::Neutral,
    };
    match (modifiers, same_people) {
        (Modifiers::Same | Modifiers::Dropped, verdict) => Some(verdict),
        (Modifiers::Added, Verdict::Contradiction) => None,
        (Modifiers::Added, _) => Some(Verdict::Neutral),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Truth tables over two events: a world says whether each happens; the relation rules worlds out.
    fn possible(relation: Relation, first: bool, second: bool) -> bool {
        match relation {
            Relation::Equal => first == second,
            Relation::Forward => !first || second,
            Relation::Reverse => first || !second,
            Relation::Exclusive => !(first && second),
            Relation::Independent => true,
        }
    }

    #[test]
    fn verdicts_follow_from_truth_tables() {
        use Relation::{Equal, Exclusive, Forward, Independent, Reverse};
        for relation in [Equal, Forward, Reverse, Exclusive, Independent] {
            for (premise_negated, hypothesis_negated) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let mut outcomes = Vec::new();
                for (first, second) in [(false, false), (false, true), (true, false), (true, true)]
                {
                    if possible(relation, first, second) && first != premise_negated {
                        outcomes.push(second != hypothesis_negated);
                    }
                }
                let expected = match (outcomes.contains(&true), outcomes.contains(&false)) {
                    (true, false) => Verdict::Entailment,
                    (false, true) => Verdict::Contradiction,
                    _ => Verdict::Neutral,
                };
                let actual = verdict(
                    relation,
                    Modifiers::Same,
                    premise_negated,
                    hypothesis_negated,
                );
                assert_eq!(
                    actual,
                    Some(expected),
                    "{relation:?} {premise_negated} {hypothesis_negated}"
                );
            }
        }
    }
}
