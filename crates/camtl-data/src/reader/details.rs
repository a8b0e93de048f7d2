//! Options and mentions from the columns that a task file names for them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::formats::RawRow;
use crate::spec::RowProblem;
use crate::spec::{Details, Mention, TextSide};
use crate::task::{Fields, MentionColumns};
use camtl_files::nearest;

/// A problem with the column it lies in.
type Misplaced = (String, RowProblem);

/// Replaces the second text by what the task file has for it.
pub(super) fn replace_text_b(
    replacements: &BTreeMap<String, String>,
    fields: &Fields,
    row: &mut RawRow<'_>,
) -> Result<(), Misplaced> {
    let (false, Some(text), Some(column)) = (replacements.is_empty(), &row.text_b, &fields.text_b)
    else {
        return Ok(());
    };
    match replacements.get(text.as_ref()) {
        Some(replacement) => {
            row.text_b = Some(Cow::Owned(replacement.clone()));
            Ok(())
        }
        None => {
            let known = replacements.keys();
            let problem = RowProblem::NotReplaceable {
                found: text.clone().into_owned(),
                suggestion: nearest(text, known.clone().map(String::as_str)).map(str::to_owned),
                known: known.cloned().collect(),
            };
            Err((column.to_string(), problem))
        }
    }
}

/// The details that `fields` asks for, from a row's further cells ([`Fields::further`]).
pub(super) fn from_cells(fields: &Fields, row: &RawRow<'_>) -> Result<Details, Misplaced> {
    if !fields.choices.is_empty() {
        let options = row.further.iter().map(|cell| cell.clone().into_owned());
        return Ok(Details::Options(options.collect()));
    }
    if let [first, second] = fields.mentions.as_slice() {
        let (a, b) = row.further.split_at(2.min(row.further.len()));
        return Ok(Details::Mentions([
            mention(first, a, row)?,
            mention(second, b, row)?,
        ]));
    }
    Ok(Details::None)
}

fn mention(
    columns: &MentionColumns,
    cells: &[Cow<'_, str>],
    row: &RawRow<'_>,
) -> Result<Mention, Misplaced> {
    let text = match columns.text {
        TextSide::A => row.text_a.as_ref(),
        TextSide::B => row.text_b.as_deref().unwrap_or_default(),
    };
    let [first, second] = cells else {
        return Err(("of a mention".to_owned(), RowProblem::EmptyLabel));
    };
    let named = columns.named();
    let name = |number: usize| {
        named
            .get(number)
            .map_or_else(String::new, |c| c.to_string())
    };
    let number = |at: usize, cell: &str| -> Result<usize, Misplaced> {
        cell.trim().parse().map_err(|_| {
            let found = cell.to_owned();
            (name(at), RowProblem::NotAPosition { found })
        })
    };
    let start = number(0, first)?;
    let misplaced = |problem| (name(0), problem);
    if columns.by_words() {
        let range = words(text, start, second).map_err(misplaced)?;
        return Ok(Mention {
            side: columns.text,
            range,
        });
    }
    let end = number(1, second)?;
    Mention::of_characters(columns.text, text, start, end).map_err(misplaced)
}

/// As many words as the mention has, from word `first` on; only the mention itself where it stands within them.
fn words(text: &str, first: usize, mention: &str) -> Result<Range<usize>, RowProblem> {
    let words: Vec<Range<usize>> = words_of(text).collect();
    let count = words_of(mention).count().max(1);
    let outside = || RowProblem::PlaceOutside {
        what: "the mention's words",
        start: first,
        end: first.saturating_add(count - 1),
        length: words.len(),
    };
    let last = first.checked_add(count - 1).ok_or_else(outside)?;
    let (Some(from), Some(to)) = (words.get(first), words.get(last)) else {
        return Err(outside());
    };
    let covered = from.start..to.end;
    let within = text[covered.clone()]
        .find(mention)
        .filter(|_| !mention.is_empty());
    Ok(match within {
        Some(at) => covered.start + at..covered.start + at + mention.len(),
        None => covered,
    })
}

/// The places of the words between white space.
fn words_of(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    text.split_whitespace().map(|word| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        start..start + word.len()
    })
}
