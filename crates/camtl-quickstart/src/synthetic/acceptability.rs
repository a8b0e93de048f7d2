//! Acceptability: is a sentence grammatical?
//!
//! The mistakes leave the words nearly as they are: number agreement across a noun of the other number, order, the form
//! of one verb. Three in five sentences are acceptable.

use super::lexicon::{ADJECTIVES, INTRANSITIVE_VERBS, PEOPLE, SOCIAL_VERBS};
use super::proposition::another;
use super::text::{pick, pick_word, position, sentence};
use camtl_data::random::Stream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// The main verb has the wrong number.
    Agreement,
    /// The verb of the relative clause has the wrong number.
    RelativeAgreement,
    /// `the boys praise himself`.
    Reflexive,
    /// `these doctor`, `a pilots`.
    Determiner,
    /// `the doctor young`.
    AdjectiveOrder,
    /// `doctor the`.
    DeterminerOrder,
    /// `does not helps`, `is help by`.
    VerbForm,
    /// `not does help`.
    NegationOrder,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Predicate {
    Transitive,
    Intransitive,
    Reflexive,
    Passive,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attachment {
    None,
    /// `near the pilots`
    Near,
    /// `who help the pilots`
    Relative,
}

/// The plan of a sentence.
struct Plan {
    predicate: Predicate,
    attachment: Attachment,
    plural: bool,
    /// Number of the nouns beside the subject; mostly the other one, so that the nearest noun misleads.
    other_plural: bool,
    subject: usize,
    negated: bool,
    adjective: bool,
}

impl Plan {
    fn draw(stream: &mut Stream) -> Self {
        let plural = stream.chance(0.5);
        Self {
            predicate: pick(
                stream,
                &[
                    Predicate::Transitive,
                    Predicate::Transitive,
                    Predicate::Intransitive,
                    Predicate::Reflexive,
                    Predicate::Passive,
                ],
            ),
            attachment: pick(
                stream,
                &[
                    Attachment::None,
                    Attachment::None,
                    Attachment::Near,
                    Attachment::Relative,
                ],
            ),
            plural,
            other_plural: plural != stream.chance(0.75),
            subject: position(stream, PEOPLE),
            negated: stream.chance(0.35),
            adjective: stream.chance(0.4),
        }
    }

    /// The mistakes that this sentence can have, some repeated to be drawn more often.
    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = vec![
            Mistake::Agreement,
            Mistake::Agreement,
            Mistake::Determiner,
            Mistake::Determiner,
            Mistake::DeterminerOrder,
        ];
        if self.attachment == Attachment::Relative {
            mistakes.extend([Mistake::RelativeAgreement; 2]);
        }
        if self.predicate == Predicate::Reflexive {
            mistakes.extend([Mistake::Reflexive; 3]);
        }
        if self.adjective {
            mistakes.extend([Mistake::AdjectiveOrder; 2]);
        }
        if self.negated {
            mistakes.push(Mistake::NegationOrder);
        }
        if self.negated || self.predicate == Predicate::Passive {
            mistakes.extend([Mistake::VerbForm; 2]);
        }
        mistakes
    }

    fn words(&self, stream: &mut Stream, mistake: Option<Mistake>) -> Vec<&'static str> {
        let has = |kind| mistake == Some(kind);
        let mut words = Vec::with_capacity(16);
        self.push_subject(stream, mistake, &mut words);
        let neighbor = another(stream, self.subject, PEOPLE.len());
        match self.attachment {
            Attachment::None => {}
            Attachment::Near => {
                words.push(pick(stream, &["near", "behind"]));
                words.extend(["the", noun(stream, neighbor, self.other_plural)]);
            }
            Attachment::Relative => {
                words.push("who");
                if self.predicate == Predicate::Intransitive || stream.chance(0.5) {
                    let (base, third, _) = pick_word(stream, SOCIAL_VERBS);
                    words.push(if self.plural == has(Mistake::RelativeAgreement) {
                        third
                    } else {
                        base
                    });
                    words.extend(["the", noun(stream, neighbor, self.other_plural)]);
                } else {
                    let (base, third) = pick_word(stream, INTRANSITIVE_VERBS);
                    words.push(if self.plural == has(Mistake::RelativeAgreement) {
                        third
                    } else {
                        base
                    });
                }
            }
        }

        let verb_plural = self.plural != has(Mistake::Agreement);
        let (base, third, participle) = if self.predicate == Predicate::Intransitive {
            let (base, third) = pick_word(stream, INTRANSITIVE_VERBS);
            (base, third, base)
        } else {
            pick_word(stream, SOCIAL_VERBS)
        };
        let (auxiliary, main) = match (self.predicate, self.negated) {
            (Predicate::Passive, _) => {
                let copula = if verb_plural { "are" } else { "is" };
                (
                    Some(copula),
                    if has(Mistake::VerbForm) {
                        base
                    } else {
                        participle
                    },
                )
            }
            (_, true) => {
                let auxiliary = if verb_plural { "do" } else { "does" };
                (
                    Some(auxiliary),
                    if has(Mistake::VerbForm) { third } else { base },
                )
            }
            (_, false) => (None, if verb_plural { base } else { third }),
        };
        match (auxiliary, self.negated) {
            (Some(auxiliary), true) if has(Mistake::NegationOrder) => {
                words.extend(["not", auxiliary, main])
            }
            (Some(auxiliary), true) => words.extend([auxiliary, "not", main]),
            (Some(auxiliary), false) => words.extend([auxiliary, main]),
            (None, _) => words.push(main),
        }

        match self.predicate {
            Predicate::Intransitive => {}
            Predicate::Reflexive if self.plural != has(Mistake::Reflexive) => {
                words.push("themselves")
            }
            Predicate::Reflexive => words.push(pick(stream, &["himself", "herself"])),
            Predicate::Transitive | Predicate::Passive => {
                if self.predicate == Predicate::Passive {
                    words.push("by");
                }
                let object = another(stream, self.subject, PEOPLE.len());
                words.extend([
                    determiner(stream, self.other_plural),
                    noun(stream, object, self.other_plural),
                ]);
            }
        }
        words
    }

    fn push_subject(
        &self,
        stream: &mut Stream,
        mistake: Option<Mistake>,
        words: &mut Vec<&'static str>,
    ) {
        let noun = noun(stream, self.subject, self.plural);
        let adjective = if self.adjective {
            Some(pick_word(stream, ADJECTIVES))
        } else {
            None
        };
        let determiner = if mistake == Some(Mistake::Determiner) {
            marked_determiner(stream, !self.plural)
        } else {
            determiner(stream, self.plural)
        };
        match (adjective, mistake) {
            (Some(adjective), Some(Mistake::AdjectiveOrder)) => {
                words.extend([determiner, noun, adjective])
            }
            (Some(adjective), Some(Mistake::DeterminerOrder)) => {
                words.extend([adjective, determiner, noun])
            }
            (None, Some(Mistake::DeterminerOrder)) => words.extend([noun, determiner]),
            (Some(adjective), _) => words.extend([determiner, adjective, noun]),
            (None, _) => words.extend([determiner, noun]),
        }
    }
}

fn noun(stream: &mut Stream, concept: usize, plural: bool) -> &'static str {
    let (one, many) = pick(stream, PEOPLE[concept]);
    if plural { many } else { one }
}

/// A determiner that shows its number.
fn marked_determiner(stream: &mut Stream, plural: bool) -> &'static str {
    pick(
        stream,
        if plural {
            &["these", "those"]
        } else {
            &["this", "that"]
        },
    )
}

fn determiner(stream: &mut Stream, plural: bool) -> &'static str {
    if stream.chance(0.5) {
        "the"
    } else {
        marked_determiner(stream, plural)
    }
}

/// A sentence with its class: 0 unacceptable, 1 acceptable.
pub(super) fn draw(stream: &mut Stream) -> (String, u32) {
    let acceptable = stream.chance(0.6);
    let plan = Plan::draw(stream);
    let mistake = if acceptable {
        None
    } else {
        Some(pick(stream, &plan.mistakes()))
    };
    (
        sentence(&plan.words(stream, mistake)),
        u32::from(acceptable),
    )
}

/// An acceptable sentence.
pub(super) fn acceptable(stream: &mut Stream) -> String {
    let plan = Plan::draw(stream);
    sentence(&plan.words(stream, None))
}
