//! Statements about people and things, and how they become sentences.
//!
//! A [`Proposition`] is a meaning. [`Proposition::sentence`] says it in one of several ways: with either of two synonyms
//! for each word, in the active or the passive voice. Two sentences of one proposition are paraphrases; the tasks that
//! compare sentences differ in what they change about the second proposition.

use super::lexicon::{
    ADJECTIVES, ADVERBIALS, INTRANSITIVE_VERBS, PEOPLE, SOCIAL_VERBS, THING_VERBS, THINGS,
};
use super::text::{article, pick, position, sentence};
use camtl_data::random::Stream;

/// `the [ADJECTIVE] PERSON [who [does not] VERB]`: one or several certain people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct People {
    pub(super) noun: usize,
    pub(super) plural: bool,
    pub(super) adjective: Option<usize>,
    pub(super) relative: Option<Relative>,
}

/// `who [does not] VERB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relative {
    pub(super) verb: usize,
    pub(super) negated: bool,
}

/// `a THING`: any thing of the kind; with `thing` of `None` the kind itself (`a flower`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thing {
    pub(super) kind: usize,
    pub(super) thing: Option<usize>,
}

/// Whom or what the subject acts on; people and things have verbs of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    People(People),
    Thing(Thing),
}

/// `SUBJECT [does not] VERB OBJECT [ADVERBIAL]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposition {
    pub(super) subject: People,
    pub(super) verb: usize,
    pub(super) object: Object,
    pub(super) adverbial: Option<usize>,
    pub(super) negated: bool,
}

/// How often parts that a sentence can do without are there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) thing: f64,
    pub(super) adverbial: f64,
    pub(super) adjective: f64,
    pub(super) relative: f64,
    pub(super) negated: f64,
}

/// How often a sentence uses the passive where it can.
const PASSIVE: f64 = 0.4;

impl People {
    fn draw(stream: &mut Stream, noun: usize, adjective: f64, relative: f64) -> Self {
        Self {
            noun,
            plural: stream.chance(0.4),
            adjective: stream
                .chance(adjective)
                .then(|| position(stream, ADJECTIVES)),
            relative: stream.chance(relative).then(|| Relative {
                verb: position(stream, INTRANSITIVE_VERBS),
                negated: stream.chance(0.5),
            }),
        }
    }

    fn push(&self, stream: &mut Stream, words: &mut Vec<&'static str>) {
        words.push("the");
        if let Some(adjective) = self.adjective {
            words.push(pick(stream, ADJECTIVES[adjective]));
        }
        let (singular, plural) = pick(stream, PEOPLE[self.noun]);
        words.push(if self.plural { plural } else { singular });
        if let Some(relative) = self.relative {
            words.push("who");
            let (base, third) = pick(stream, INTRANSITIVE_VERBS[relative.verb]);
            match (relative.negated, self.plural) {
                (true, true) => words.extend(["do", "not", base]),
                (true, false) => words.extend(["does", "not", base]),
                (false, true) => words.push(base),
                (false, false) => words.push(third),
            }
        }
    }
}

impl Thing {
    fn word(self) -> &'static str {
        let (kind, things) = THINGS[self.kind];
        self.thing.map_or(kind, |thing| things[thing])
    }
}

impl Object {
    fn push(&self, stream: &mut Stream, words: &mut Vec<&'static str>) {
        match self {
            Self::People(people) => people.push(stream, words),
            Self::Thing(thing) => words.extend([article(thing.word()), thing.word()]),
        }
    }

    fn plural(&self) -> bool {
        matches!(self, Self::People(people) if people.plural)
    }
}

impl Proposition {
    pub(super) fn draw(stream: &mut Stream, rates: Rates) -> Self {
        let noun = position(stream, PEOPLE);
        let subject = People::draw(stream, noun, rates.adjective, rates.relative);
        let (verb, object) = if stream.chance(rates.thing) {
            let kind = position(stream, THINGS);
            // One in three is the kind itself, so that a second sentence can go either way.
            let thing = (!stream.chance(1.0 / 3.0)).then(|| position(stream, THINGS[kind].1));
            (
                position(stream, THING_VERBS),
                Object::Thing(Thing { kind, thing }),
            )
        } else {
            let other = another(stream, noun, PEOPLE.len());
            let people = People::draw(stream, other, rates.adjective, 0.0);
            (position(stream, SOCIAL_VERBS), Object::People(people))
        };
        Self {
            subject,
            verb,
            object,
            adverbial: stream
                .chance(rates.adverbial)
                .then(|| position(stream, ADVERBIALS)),
            negated: stream.chance(rates.negated),
        }
    }

    /// One of the sentences that say this.
    pub(super) fn sentence(&self, stream: &mut Stream) -> String {
        let mut words = Vec::with_capacity(20);
        let (base, third, participle) = match self.object {
            Object::People(_) => pick(stream, SOCIAL_VERBS[self.verb]),
            Object::Thing(_) => pick(stream, THING_VERBS[self.verb]),
        };
        // "A rose is not bought" could mean one certain rose, and in "helped by the king who sleeps at home" it is not
        // clear what happens at home.
        let unclear = (self.negated && matches!(self.object, Object::Thing(_)))
            || (self.adverbial.is_some() && self.subject.relative.is_some());
        if !unclear && stream.chance(PASSIVE) {
            self.object.push(stream, &mut words);
            words.push(if self.object.plural() { "are" } else { "is" });
            if self.negated {
                words.push("not");
            }
            words.extend([participle, "by"]);
            self.subject.push(stream, &mut words);
        } else {
            self.subject.push(stream, &mut words);
            match (self.negated, self.subject.plural) {
                (true, true) => words.extend(["do", "not", base]),
                (true, false) => words.extend(["does", "not", base]),
                (false, true) => words.push(base),
                (false, false) => words.push(third),
            }
            self.object.push(stream, &mut words);
        }
        if let Some(adverbial) = self.adverbial {
            words.extend(pick(stream, ADVERBIALS[adverbial]).split(' '));
        }
        sentence(&words)
    }
}

/// A position in `0..n` other than `not`.
pub(super) fn another(stream: &mut Stream, not: usize, n: usize) -> usize {
    let other = stream.below(n as u64 - 1) as usize;
    if other >= not { other + 1 } else { other }
}
