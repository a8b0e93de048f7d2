//! Sentiment: is a review for or against the film?
//!
//! Only what is said of the film itself counts, and negation turns it around. Most reviews also judge something else or
//! report somebody's opinion, independently of the verdict.

use super::lexicon::{ADVERBIALS, ASPECTS, BAD, FILM, GOOD, VERDICTS, VIEWERS};
use super::text::{pick, pick_word, sentence};
use camtl_data::random::Stream;

type Words = Vec<&'static str>;

/// How often a judgement is negated.
const NEGATED: f64 = 0.3;

/// `the SUBJECT is [not] ADJECTIVE`, judging it as `good` says.
fn judgement(stream: &mut Stream, subject: &'static str, good: bool) -> Words {
    let negated = stream.chance(NEGATED);
    let adjective = pick(stream, if good == negated { BAD } else { GOOD });
    let mut words = vec!["the", subject, "is"];
    if negated {
        words.push(pick(stream, &["not", "not", "never"]));
    }
    words.push(adjective);
    words
}

/// `the SUBJECT is ADJECTIVE [and ADJECTIVE]` / `the SUBJECT is not ADJECTIVE [or ADJECTIVE]`.
fn plain_judgement(stream: &mut Stream, subject: &'static str, good: bool) -> Words {
    let mut words = judgement(stream, subject, good);
    if stream.chance(0.8) {
        let negated = words.len() == 5;
        let second = pick(stream, if good == negated { BAD } else { GOOD });
        if !words.contains(&second) {
            words.extend([if negated { "or" } else { "and" }, second]);
        }
    }
    words
}

/// `the VIEWERS [do not] VERDICT`, for or against.
fn opinion(stream: &mut Stream, good: bool) -> Words {
    let negated = stream.chance(NEGATED);
    let (favourable, unfavourable) = VERDICTS.split_at(VERDICTS.len() / 2);
    let (base, third) = pick(
        stream,
        if good == negated {
            unfavourable
        } else {
            favourable
        },
    );
    let (singular, plural) = pick(stream, VIEWERS);
    let many = stream.chance(0.5);
    let mut words = vec!["the", if many { plural } else { singular }];
    match (negated, many) {
        (true, true) => words.extend(["do", "not", base]),
        (true, false) => words.extend(["does", "not", base]),
        (false, true) => words.push(base),
        (false, false) => words.push(third),
    }
    words
}

/// A review with its class: 0 negative, 1 positive.
pub(super) fn draw(stream: &mut Stream) -> (String, u32) {
    let good = stream.chance(0.5);
    let film = pick(stream, FILM);
    let aspect = pick(stream, ASPECTS);
    let other = stream.chance(0.5);
    let words = match stream.below(20) {
        0..=3 => plain_judgement(stream, film, good),
        4..=7 => {
            let mut words = opinion(stream, good);
            words.extend(["the", film]);
            if stream.chance(0.7) {
                words.extend(pick_word(stream, ADVERBIALS).split(' '));
            }
            words
        }
        8..=9 => {
            let mut words = vec!["although"];
            words.extend(judgement(stream, aspect, other));
            words.push(",");
            words.extend(judgement(stream, film, good));
            words
        }
        10..=11 => {
            let mut words = judgement(stream, film, good);
            words.push("although");
            words.extend(judgement(stream, aspect, other));
            words
        }
        12..=14 => {
            let film_first = stream.chance(0.5);
            let (film, aspect) = (
                judgement(stream, film, good),
                judgement(stream, aspect, other),
            );
            let (mut words, second) = if film_first {
                (film, aspect)
            } else {
                (aspect, film)
            };
            words.extend([",", if good == other { "and" } else { "but" }]);
            words.extend(second);
            words
        }
        15..=16 => {
            // "The film that the critics do not love is dull": the opinion is not the review's.
            let mut words = vec!["the", film, "that"];
            words.extend(opinion(stream, other));
            words.extend(judgement(stream, film, good).into_iter().skip(2));
            words
        }
        _ => reported(stream, film, good),
    };
    (sentence(&words), u32::from(good))
}

/// `they say the film is [not] ADJECTIVE, and it is` / `..., but it is not`.
fn reported(stream: &mut Stream, film: &'static str, good: bool) -> Words {
    let confirmed_negated = stream.chance(0.5);
    let reported_negated = stream.chance(NEGATED);
    let adjective = pick(stream, if good == confirmed_negated { BAD } else { GOOD });
    let mut words = match stream.below(3) {
        0 => vec!["they", "say"],
        _ => vec!["the", pick(stream, VIEWERS).1, "say"],
    };
    words.extend(["the", film, "is"]);
    if reported_negated {
        words.push("not");
    }
    words.extend([
        adjective,
        ",",
        if reported_negated == confirmed_negated {
            "and"
        } else {
            "but"
        },
        "it",
        "is",
    ]);
    if confirmed_negated {
        words.push("not");
    }
    words
}
