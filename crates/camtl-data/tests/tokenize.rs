//! Tokenisation against stored values of Hugging Face's slow BERT tokenizer, and folders that are not as they should be.

use std::fs;
use std::path::{Path, PathBuf};

use camtl_data::tokenize::{PairLayout, longest_first};
use camtl_data::{Example, TextTokenizer, TokenizerError};
use proptest::prelude::*;
use serde::Deserialize;

const VOCAB: &str = include_str!("fixtures/tokenize/vocab.txt");

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenize")
}

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    lowercase: bool,
    text_a: String,
    text_b: Option<String>,
    max_length: usize,
    input_ids: Vec<u32>,
    token_type_ids: Vec<u8>,
}

#[test]
fn agrees_with_the_slow_tokenizer_of_hugging_face() {
    let golden: Golden =
        serde_json::from_str(include_str!("fixtures/tokenize/slow_bert.json")).unwrap();
    let uncased = TextTokenizer::from_vocab(VOCAB, true).unwrap();
    let cased = TextTokenizer::from_vocab(VOCAB, false).unwrap();
    assert!(golden.cases.len() > 400);
    let mut truncated = 0;
    let mut wrong = Vec::new();
    for case in &golden.cases {
        let tokenizer = if case.lowercase { &uncased } else { &cased };
        let encoded = tokenizer
            .encode(&case.text_a, case.text_b.as_deref(), case.max_length)
            .unwrap();
        truncated += u32::from(encoded.truncated);
        if encoded.input_ids != case.input_ids || encoded.token_type_ids != case.token_type_ids {
            let tokens = |ids: &[u32]| -> Vec<_> {
                ids.iter()
                    .filter_map(|id| tokenizer.token(*id))
                    .collect::<Vec<_>>()
            };
            wrong.push(format!(
                "{:?} + {:?} in {}: expected {:?}, got {:?}",
                case.text_a,
                case.text_b,
                case.max_length,
                tokens(&case.input_ids),
                tokens(&encoded.input_ids)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        truncated > 100,
        "the cases must exercise truncation, {truncated} do"
    );
}

#[test]
fn settings_saved_in_tokenizer_json_are_overridden() {
    // Saved with truncation to 6 and padding to 12.
    let saved = TextTokenizer::from_dir(fixtures().join("saved_with_padding")).unwrap();
    let plain = TextTokenizer::from_vocab(VOCAB, true).unwrap();
    let text = "the rain falls on the harbour, and the boat falls unbreakable";
    for (b, length) in [
        (None, 64),
        (Some("a boat"), 64),
        (Some("a boat"), 9),
        (None, 5),
    ] {
        let expected = plain.encode(text, b, length).unwrap();
        assert_eq!(saved.encode(text, b, length).unwrap(), expected);
    }
    let short = saved.encode("a boat", None, 64).unwrap();
    assert_eq!(short.input_ids.len(), 4, "no padding");
    assert_eq!(saved.layout(), PairLayout::Bert);
    assert_eq!(saved.vocab_size(), VOCAB.lines().count());
}

#[test]
fn a_folder_with_vocab_txt_follows_tokenizer_config() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("vocab.txt"), VOCAB).unwrap();
    let boat = |dir: &Path| {
        let tokenizer = TextTokenizer::from_dir(dir).unwrap();
        let encoded = tokenizer.encode("Boat", None, 8).unwrap();
        tokenizer.token(encoded.input_ids[1]).unwrap()
    };
    assert_eq!(
        boat(dir.path()),
        "boat",
        "lowercase when nothing is said, as Hugging Face"
    );
    fs::write(
        dir.path().join("tokenizer_config.json"),
        r#"{"do_lower_case": false}"#,
    )
    .unwrap();
    assert_eq!(boat(dir.path()), "Boat");

    // The same word wins over the normaliser of tokenizer.json.
    fs::copy(
        fixtures().join("saved_with_padding/tokenizer.json"),
        dir.path().join("tokenizer.json"),
    )
    .unwrap();
    assert_eq!(boat(dir.path()), "Boat");
    fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    assert_eq!(boat(dir.path()), "boat");
}

#[test]
fn the_fingerprint_tells_tokenizers_apart() {
    let uncased = TextTokenizer::from_vocab(VOCAB, true).unwrap();
    let again = TextTokenizer::from_vocab(VOCAB, true).unwrap();
    let cased = TextTokenizer::from_vocab(VOCAB, false).unwrap();
    let swapped = VOCAB.replacen("the\nrain\n", "rain\nthe\n", 1);
    let swapped = TextTokenizer::from_vocab(&swapped, true).unwrap();
    assert_eq!(uncased.fingerprint(), again.fingerprint());
    assert_eq!(uncased.fingerprint().len(), 64);
    assert_ne!(uncased.fingerprint(), cased.fingerprint());
    assert_ne!(uncased.fingerprint(), swapped.fingerprint());
}

#[test]
fn special_tokens_have_their_ids() {
    let tokenizer = TextTokenizer::from_vocab(VOCAB, true).unwrap();
    let names = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"];
    let ids = [
        tokenizer.cls_id(),
        tokenizer.sep_id(),
        tokenizer.pad_id(),
        tokenizer.unk_id(),
        tokenizer.mask_id(),
    ];
    for (name, id) in names.into_iter().zip(ids) {
        assert_eq!(tokenizer.token(id).as_deref(), Some(name));
        assert_eq!(tokenizer.id(name), Some(id));
    }
    assert_eq!(tokenizer.token(1_000_000), None);
}

#[test]
fn roberta_pairs_have_two_separators_and_one_segment() {
    let dir = tempfile::tempdir().unwrap();
    let json = serde_json::json!({
        "version": "1.0",
        "truncation": null, "padding": null, "normalizer": null, "post_processor": null, "decoder": null,
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {
            "<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "rain": 5, "boat": 6}}
    });
    fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    let tokenizer = TextTokenizer::from_dir(dir.path()).unwrap();
    assert_eq!(tokenizer.layout(), PairLayout::Roberta);
    let pair = tokenizer.encode("rain boat", Some("sun"), 16).unwrap();
    assert_eq!(pair.input_ids, [0, 5, 6, 2, 2, 3, 2]);
    assert_eq!(pair.token_type_ids, [0; 7]);
    let cut = tokenizer
        .encode("rain boat rain", Some("boat boat"), 7)
        .unwrap();
    assert_eq!(cut.input_ids, [0, 5, 6, 2, 2, 6, 2]);
    assert!(cut.truncated);
}

#[test]
fn encoding_in_parallel_keeps_the_order() {
    let tokenizer = TextTokenizer::from_vocab(VOCAB, true).unwrap();
    let examples: Vec<Example> = (0..500)
        .map(|id| Example {
            id,
            text_a: "rain ".repeat(id as usize % 17),
            text_b: (id % 3 == 0).then(|| "boat ".repeat(id as usize % 5)),
            ..Example::default()
        })
        .collect();
    let split = tokenizer.encode_all(&examples, 12).unwrap();
    assert_eq!(split.len(), examples.len());
    for (example, encoded) in examples.iter().zip(split.iter()) {
        let alone = tokenizer
            .encode(&example.text_a, example.text_b.as_deref(), 12)
            .unwrap();
        assert_eq!(encoded.id, example.id);
        assert_eq!(encoded.input_ids, alone.input_ids);
        assert_eq!(encoded.token_type_ids, alone.token_type_ids);
    }
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(
        one.install(|| tokenizer.encode_all(&examples, 12).unwrap()),
        split
    );
}

#[test]
fn too_short_a_maximum_is_an_error() {
    let tokenizer = TextTokenizer::from_vocab(VOCAB, true).unwrap();
    let message = tokenizer.encode("rain", None, 2).unwrap_err().to_string();
    assert!(
        message.contains("maximum length of 2") && message.contains("at least 3"),
        "{message}"
    );
    assert!(tokenizer.encode("rain", Some("boat"), 3).is_err());
    assert_eq!(
        tokenizer
            .encode("rain", Some("boat"), 4)
            .unwrap()
            .input_ids
            .len(),
        4
    );
}

#[test]
fn bad_vocabularies_are_named_with_their_line() {
    let message = |text: &str| {
        TextTokenizer::from_vocab(text, true)
            .unwrap_err()
            .to_string()
    };
    let start = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    assert!(message("").contains("empty"));
    assert!(message(&format!("{start}rain\n\nboat\n")).starts_with("vocabulary:7: blank line"));
    let twice = message(&format!("{start}rain\nboat\nrain\n"));
    assert!(
        twice.starts_with("vocabulary:8: token `rain`") && twice.contains("line 6"),
        "{twice}"
    );
    let missing = message("[PAD]\n[UNK]\n[CLS]\nrain\n");
    assert!(missing.contains("lacks [SEP], [MASK]"), "{missing}");

    // Line ends and byte order marks of other systems are no tokens.
    let windows = format!("\u{feff}{}", format!("{start}rain").replace('\n', "\r\n"));
    let tokenizer = TextTokenizer::from_vocab(&windows, true).unwrap();
    assert_eq!(
        tokenizer.encode("rain", None, 8).unwrap().input_ids,
        [2, 5, 3]
    );
}

#[test]
fn bad_folders_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = TextTokenizer::from_dir(dir.path()).unwrap_err();
    assert!(matches!(error, TokenizerError::NoTokenizer { .. }));
    assert!(
        error
            .to_string()
            .contains("neither tokenizer.json nor vocab.txt")
    );

    let json = dir.path().join("tokenizer.json");
    for text in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"model": {"type": "WordPiece"}}"#,
        "\u{0}\u{0}",
    ] {
        fs::write(&json, text).unwrap();
        let message = TextTokenizer::from_dir(dir.path()).unwrap_err().to_string();
        assert!(message.contains("tokenizer.json"), "{text:?}: {message}");
    }
    fs::remove_file(&json).unwrap();

    fs::write(dir.path().join("vocab.txt"), b"[PAD]\n[UNK]\n\xff\xfe\n").unwrap();
    let message = TextTokenizer::from_dir(dir.path()).unwrap_err().to_string();
    assert!(message.contains("vocab.txt:3: not UTF-8"), "{message}");

    fs::write(dir.path().join("vocab.txt"), VOCAB).unwrap();
    fs::write(
        dir.path().join("tokenizer_config.json"),
        r#"{"do_lower_case": "yes"}"#,
    )
    .unwrap();
    let message = TextTokenizer::from_dir(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains("`do_lower_case` is \"yes\"; expected true or false"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn truncation_keeps_what_fits_and_favours_no_text(a in 0_usize..400, b in 0_usize..400, room in 0_usize..500) {
        let (kept_a, kept_b) = longest_first(a, b, room);
        prop_assert!(kept_a <= a && kept_b <= b);
        prop_assert_eq!(kept_a + kept_b, room.min(a + b));
        // A text is cut only down to the other's length, give or take the one token of a tie.
        if kept_a < a { prop_assert!(kept_a >= kept_b); }
        if kept_b < b { prop_assert!(kept_b + 1 >= kept_a); }
    }

    #[test]
    fn any_text_becomes_a_sequence_within_the_maximum(
        a in "\\PC{0,40}", b in proptest::option::of("[\u{0}-\u{ffff}]{0,40}"), max_length in 4_usize..40
    ) {
        let tokenizer = TextTokenizer::from_vocab(VOCAB, true).unwrap();
        let encoded = tokenizer.encode(&a, b.as_deref(), max_length).unwrap();
        prop_assert!(encoded.input_ids.len() <= max_length);
        prop_assert_eq!(encoded.input_ids.len(), encoded.token_type_ids.len());
        prop_assert_eq!(encoded.input_ids[0], tokenizer.cls_id());
        prop_assert_eq!(*encoded.input_ids.last().unwrap(), tokenizer.sep_id());
        prop_assert!(encoded.input_ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
        prop_assert!(encoded.token_type_ids.is_sorted());
    }
}
