//! The words of the synthetic suite.
//!
//! A *concept* is a list of words with the same meaning (`doctor`, `physician`); which of them a sentence uses is chosen
//! anew each time. Concepts are addressed by their position in the tables below.

/// A noun: singular and plural.
pub(super) type NounForms = (&'static str, &'static str);

/// A verb: base form, third person singular, participle.
pub(super) type VerbForms = (&'static str, &'static str, &'static str);

/// People: subjects of all sentences, objects of [`SOCIAL_VERBS`].
pub(super) const PEOPLE: &[&[NounForms]] = &[
    &[("doctor", "doctors"), ("physician", "physicians")],
    &[("lawyer", "lawyers"), ("attorney", "attorneys")],
    &[("student", "students"), ("pupil", "pupils")],
    &[("child", "children"), ("kid", "kids")],
    &[("writer", "writers"), ("author", "authors")],
    &[("king", "kings"), ("monarch", "monarchs")],
    &[("pilot", "pilots")],
    &[("baker", "bakers")],
    &[("farmer", "farmers")],
    &[("nurse", "nurses")],
    &[("sailor", "sailors")],
    &[("singer", "singers")],
    &[("teacher", "teachers")],
    &[("neighbor", "neighbors")],
];

/// Kinds of things, with the things of each kind: the object of [`THING_VERBS`] is one of either.
pub(super) const THINGS: &[(&str, &[&str])] = &[
    ("flower", &["rose", "tulip"]),
    ("vehicle", &["car", "truck"]),
    ("animal", &["dog", "cat"]),
    ("fruit", &["apple", "plum"]),
];

/// What people do to people. The first [`OPPOSED`] come in pairs that exclude each other (0 and 1, 2 and 3, ...).
pub(super) const SOCIAL_VERBS: &[&[VerbForms]] = &[
    &[
        ("help", "helps", "helped"),
        ("assist", "assists", "assisted"),
    ],
    &[
        ("hinder", "hinders", "hindered"),
        ("obstruct", "obstructs", "obstructed"),
    ],
    &[
        ("praise", "praises", "praised"),
        ("applaud", "applauds", "applauded"),
    ],
    &[
        ("blame", "blames", "blamed"),
        ("accuse", "accuses", "accused"),
    ],
    &[("love", "loves", "loved"), ("adore", "adores", "adored")],
    &[
        ("hate", "hates", "hated"),
        ("detest", "detests", "detested"),
    ],
    &[
        ("welcome", "welcomes", "welcomed"),
        ("greet", "greets", "greeted"),
    ],
    &[
        ("ignore", "ignores", "ignored"),
        ("neglect", "neglects", "neglected"),
    ],
    &[
        ("follow", "follows", "followed"),
        ("trail", "trails", "trailed"),
    ],
    &[("call", "calls", "called"), ("phone", "phones", "phoned")],
    &[
        ("teach", "teaches", "taught"),
        ("instruct", "instructs", "instructed"),
    ],
    &[("visit", "visits", "visited")],
];

/// How many of [`SOCIAL_VERBS`] have an opposite.
pub(super) const OPPOSED: usize = 8;

/// What people do to things.
pub(super) const THING_VERBS: &[&[VerbForms]] = &[
    &[
        ("buy", "buys", "bought"),
        ("purchase", "purchases", "purchased"),
    ],
    &[("clean", "cleans", "cleaned"), ("wash", "washes", "washed")],
    &[("carry", "carries", "carried"), ("haul", "hauls", "hauled")],
    &[
        ("find", "finds", "found"),
        ("discover", "discovers", "discovered"),
    ],
    &[("paint", "paints", "painted")],
];

/// What people do alone: base form and third person singular.
pub(super) const INTRANSITIVE_VERBS: &[&[(&str, &str)]] = &[
    &[("sleep", "sleeps"), ("doze", "dozes")],
    &[("laugh", "laughs"), ("giggle", "giggles")],
    &[("wait", "waits")],
    &[("sing", "sings")],
    &[("dance", "dances")],
];

/// Properties of people.
pub(super) const ADJECTIVES: &[&[&str]] = &[
    &["young"],
    &["old"],
    &["tall"],
    &["rich", "wealthy"],
    &["happy", "glad"],
    &["brave", "bold"],
    &["clever", "smart"],
    &["tired", "weary"],
];

/// How, where or when something happens. An event with one of them is a special case of the event without.
pub(super) const ADVERBIALS: &[&[&str]] = &[
    &["quickly", "rapidly"],
    &["secretly"],
    &["openly"],
    &["loudly"],
    &["at night"],
    &["at home"],
    &["today"],
];

/// What a review is about.
pub(super) const FILM: &[&str] = &["film", "movie", "picture"];

/// What else a review mentions; none of it decides the verdict.
pub(super) const ASPECTS: &[&str] = &["plot", "music", "cast", "ending", "dialogue", "scenery"];

/// Words of praise.
pub(super) const GOOD: &[&str] = &[
    "wonderful",
    "great",
    "excellent",
    "charming",
    "brilliant",
    "lovely",
    "funny",
];

/// Words of blame.
pub(super) const BAD: &[&str] = &[
    "awful", "terrible", "dreadful", "boring", "dull", "horrible", "weak",
];

/// People whose opinion a review reports.
pub(super) const VIEWERS: &[NounForms] = &[
    ("critic", "critics"),
    ("viewer", "viewers"),
    ("fan", "fans"),
];

/// What viewers feel: base form, third person singular; the first half are for, the second half against.
pub(super) const VERDICTS: &[(&str, &str)] = &[
    ("love", "loves"),
    ("adore", "adores"),
    ("enjoy", "enjoys"),
    ("hate", "hates"),
    ("detest", "detests"),
    ("dislike", "dislikes"),
];

/// Words of the grammar itself, for the vocabulary.
#[cfg(test)]
pub(super) const FUNCTION_WORDS: &[&str] = &[
    "the",
    "a",
    "an",
    "some",
    "this",
    "these",
    "that",
    "those",
    "who",
    "does",
    "do",
    "not",
    "is",
    "are",
    "by",
    "near",
    "behind",
    "himself",
    "herself",
    "themselves",
    "although",
    "but",
    "and",
    "it",
    "they",
    "say",
    "never",
    "or",
];

/// Every word that a sentence may hold.
#[cfg(test)]
pub(super) fn all_words() -> std::collections::BTreeSet<&'static str> {
    let mut words = std::collections::BTreeSet::new();
    for (singular, plural) in PEOPLE
        .iter()
        .flat_map(|concept| concept.iter())
        .chain(VIEWERS)
    {
        words.extend([*singular, *plural]);
    }
    for (kind, things) in THINGS {
        words.insert(*kind);
        words.extend(things.iter());
    }
    for (base, third, participle) in SOCIAL_VERBS
        .iter()
        .chain(THING_VERBS)
        .flat_map(|concept| concept.iter())
    {
        words.extend([*base, *third, *participle]);
    }
    for (base, third) in INTRANSITIVE_VERBS
        .iter()
        .flat_map(|concept| concept.iter())
        .chain(VERDICTS)
    {
        words.extend([*base, *third]);
    }
    for adverbial in ADVERBIALS.iter().flat_map(|concept| concept.iter()) {
        words.extend(adverbial.split(' '));
    }
    words.extend(ADJECTIVES.iter().flat_map(|concept| concept.iter()));
    words.extend(
        [FILM, ASPECTS, GOOD, BAD, FUNCTION_WORDS]
            .into_iter()
            .flatten(),
    );
    words
}
