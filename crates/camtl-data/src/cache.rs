//! Encoded splits on disk, memory-mapped.
//!
//! A cache file is a header and nine columns, each aligned to eight bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic `CAMTLTOK` |
//! | 4 + 4 | format version; a word that tells the byte order |
//! | 32 | key: SHA-256 over data file, tokenizer, lengths, row layout, labels and format version |
//! | 32 | SHA-256 of all other bytes of the file |
//! | 9 × 8 | number of examples `n`, of tokens `m`, of values that the kind adds `e`, of groups `g` (0 or `n`); sequences per example; malformed rows and rows without a usable label left out, empty texts, examples truncated |
//! | 8 (n + 1) | offsets: tokens of example `i` are `offsets[i]..offsets[i + 1]` |
//! | 8 n | ids |
//! | n, 4 n | kind of label (0 none, 1 class, 2 score, 3 structured) and its bits |
//! | 8 (n + 1), or 0 if `e` is 0 | offsets of the values that the kind adds, as for tokens |
//! | 8 g | groups |
//! | 4 m, m, 4 e | token ids, segments, values that the kind adds |
//!
//! Numbers are in the byte order of the machine, so that columns can be used where they lie. A file is written under
//! a temporary name, synced, and renamed; readers never see half of one. On opening, key, length, checksum, offsets,
//! labels and the values that the kind adds are checked, and only the three long columns stay in the mapping.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

use crate::columns::{MappedTokens, Tokens, column};
use crate::encoded::{EncodedSplit, SplitCounts};
use crate::error::DataError;
use crate::reader::Label;
use crate::task::{SplitLayout, TaskKind, TaskSpec};

const MAGIC: &[u8; 8] = b"CAMTLTOK";
/// To be raised whenever this layout, the readers or the tokenisation change what a file holds.
const FORMAT_VERSION: u32 = 3;
const BYTE_ORDER: u32 = 0x0102_0304;
const CHECKSUM: Range<usize> = 48..80;
const HEADER: usize = 152;

/// What decides the content of a cache file.
#[derive(Serialize)]
struct KeyParts<'a> {
    format_version: u32,
    data_sha256: [u8; 32],
    tokenizer: &'a str,
    max_length: usize,
    limit: Option<usize>,
    layout: &'a SplitLayout,
    labels: &'a [String],
    kind: &'static str,
}

/// The key of a split's cache file.
pub(crate) fn cache_key(
    spec: &TaskSpec,
    layout: &SplitLayout,
    data: &[u8],
    tokenizer: &str,
    max_length: usize,
    limit: Option<usize>,
) -> [u8; 32] {
    let parts = KeyParts {
        format_version: FORMAT_VERSION,
        data_sha256: Sha256::digest(data).into(),
        tokenizer,
        max_length,
        limit,
        layout,
        labels: spec.kind.labels(),
        kind: spec.kind.name(),
    };
    let mut hash = Sha256::new();
    // Serialising these plain values cannot fail; were it to, the key would only be coarser.
    hash.update(serde_json::to_vec(&parts).unwrap_or_default());
    hash.finalize().into()
}

/// The cache file of one split.
pub(crate) struct TokenCache {
    dir: PathBuf,
    path: PathBuf,
    key: [u8; 32],
    kind: TaskKind,
}

impl TokenCache {
    pub(crate) fn new(dir: &Path, task: &str, split: &str, key: [u8; 32], kind: TaskKind) -> Self {
        let short: String = key[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            dir: dir.to_owned(),
            path: dir.join(format!("{task}.{split}.{short}.tokens")),
            key,
            kind,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The cached split; `None` when there is no file; the reason when there is one that cannot be used.
    pub(crate) fn open(&self) -> Result<Option<EncodedSplit>, String> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        if length < HEADER as u64 {
            return Err(format!("{length} bytes are less than a header of {HEADER}"));
        }
        let map = map_file(&file).map_err(|error| error.to_string())?;
        self.check(map).map(Some)
    }

    fn check(&self, map: Mmap) -> Result<EncodedSplit, String> {
        let bytes: &[u8] = &map;
        if bytes.get(..8) != Some(MAGIC.as_slice()) {
            return Err("not a token cache (wrong magic)".to_owned());
        }
        let version = read_u32(bytes, 8)?;
        let byte_order = read_u32(bytes, 12)?;
        if version != FORMAT_VERSION {
            return Err(format!(
                "format version {version}, expected {FORMAT_VERSION}"
            ));
        }
        if byte_order != BYTE_ORDER {
            return Err("written on a machine of another byte order".to_owned());
        }
        if bytes.get(16..48) != Some(self.key.as_slice()) {
            return Err("made for other data, another tokenizer or other settings".to_owned());
        }
        let mut sizes = [0; 9];
        for (size, at) in sizes.iter_mut().zip((80..).step_by(8)) {
            *size = read_u64(bytes, at)?;
        }
        let [
            examples,
            tokens,
            extra,
            groups,
            sequences,
            skipped_rows,
            skipped_labels,
            empty_texts,
            truncated,
        ] = sizes;
        let columns = Columns::new(examples, tokens, extra, groups)?;
        if columns.end != bytes.len() {
            return Err(format!("{} bytes, expected {}", bytes.len(), columns.end));
        }
        let (before, after) = (&bytes[..CHECKSUM.start], &bytes[CHECKSUM.end..]);
        if bytes[CHECKSUM] != checksum([before, after]) {
            return Err("checksum does not match".to_owned());
        }

        let offsets_within = |range: &Range<usize>, end: u64| -> Result<Vec<u64>, String> {
            let offsets = column::<u64>(bytes, range)?.to_vec();
            let spans = offsets.is_empty() && end == 0
                || offsets.first() == Some(&0) && offsets.last() == Some(&end);
            if offsets.is_sorted() && spans {
                Ok(offsets)
            } else {
                Err("offsets do not cover their column".to_owned())
            }
        };
        let offsets = offsets_within(&columns.offsets, tokens)?;
        let extra_offsets = offsets_within(&columns.extra_offsets, extra)?;
        let ids = column::<u64>(bytes, &columns.ids)?.to_vec();
        let kinds = column::<u8>(bytes, &columns.label_kinds)?;
        let values = column::<u32>(bytes, &columns.label_bits)?;
        let labels = kinds
            .iter()
            .zip(values)
            .map(|(kind, bits)| self.label(*kind, *bits))
            .collect::<Result<Vec<_>, _>>()?;
        if sequences != self.kind.sequences_per_example() as u64 {
            return Err(format!(
                "{sequences} sequences per example are not of this task"
            ));
        }
        let groups = column::<u64>(bytes, &columns.groups)?.to_vec();
        column::<u32>(bytes, &columns.input_ids)?;
        column::<i32>(bytes, &columns.extra)?;
        let tokens = MappedTokens {
            input_ids: columns.input_ids,
            token_type_ids: columns.token_type_ids,
            extra: columns.extra,
            map,
        };
        let split = EncodedSplit {
            tokens: Tokens::Mapped(Arc::new(tokens)),
            offsets: Arc::new(offsets),
            ids: Arc::new(ids),
            labels: Arc::new(labels),
            extra_offsets: Arc::new(extra_offsets),
            groups: Arc::new(groups),
            sequences: self.kind.sequences_per_example(),
            counts: SplitCounts {
                skipped_rows,
                skipped_labels,
                empty_texts,
                truncated,
            },
            source: None,
        };
        let misfit = (split.iter())
            .position(|example| self.kind.extra(example.extra, example.len()).is_none());
        match misfit {
            Some(at) => Err(format!(
                "the values added to example {at} are not of this task"
            )),
            None => Ok(split),
        }
    }

    fn label(&self, kind: u8, bits: u32) -> Result<Option<Label>, String> {
        match kind {
            0 => Ok(None),
            1 if (bits as usize) < self.kind.num_alternatives() => Ok(Some(Label::Class(bits))),
            2 if f32::from_bits(bits).is_finite() => Ok(Some(Label::Score(f32::from_bits(bits)))),
            3 => Ok(Some(Label::Structured)),
            _ => Err(format!(
                "label of kind {kind} with bits {bits} is not of this task"
            )),
        }
    }

    /// Writes the split so that a reader sees all of it or nothing.
    pub(crate) fn store(&self, split: &EncodedSplit) -> Result<(), DataError> {
        let failed = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| DataError::Io {
                action,
                path,
                source,
            }
        };
        std::fs::create_dir_all(&self.dir)
            .map_err(failed("create the token cache folder", &self.dir))?;
        camtl_files::write_with(&self.path, |out| write_split(out, &self.key, split))
            .map_err(failed("write the token cache", &self.path))
    }
}

/// Maps a file for reading. This is the crate's one unsafe call.
#[allow(unsafe_code)]
fn map_file(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the mapping must not change while it is borrowed. Cache files are only ever replaced by renaming a new
    // file over them, which leaves a mapped one as it is; whatever else lies in that folder under such a name is not
    // written by this program. Were another program to change the file in place, token ids would change (never the
    // bounds, which are kept in memory); were it to truncate the file, the system would end the process (SIGBUS).
    unsafe { Mmap::map(file) }
}

/// Where the columns lie.
#[derive(Debug, PartialEq, Eq)]
struct Columns {
    offsets: Range<usize>,
    ids: Range<usize>,
    label_kinds: Range<usize>,
    label_bits: Range<usize>,
    extra_offsets: Range<usize>,
    groups: Range<usize>,
    input_ids: Range<usize>,
    token_type_ids: Range<usize>,
    extra: Range<usize>,
    end: usize,
}

impl Columns {
    /// `Err` for numbers that no file can hold.
    fn new(examples: u64, tokens: u64, extra: u64, groups: u64) -> Result<Self, String> {
        let absurd = || {
            format!(
                "{examples} examples, {tokens} tokens, {extra} values and {groups} groups cannot be"
            )
        };
        if groups != 0 && groups != examples {
            return Err(absurd());
        }
        let number = |value: u64| usize::try_from(value).map_err(|_| absurd());
        let (n, m, e, g) = (
            number(examples)?,
            number(tokens)?,
            number(extra)?,
            number(groups)?,
        );
        let mut at = HEADER;
        let mut next = |count: Option<usize>, size: usize| -> Result<Range<usize>, String> {
            let start = at;
            let end = count
                .and_then(|count| count.checked_mul(size))
                .and_then(|bytes| start.checked_add(bytes))
                .ok_or_else(absurd)?;
            at = end.checked_next_multiple_of(8).ok_or_else(absurd)?;
            Ok(start..end)
        };
        let offsets = next(n.checked_add(1), 8)?;
        let ids = next(Some(n), 8)?;
        let label_kinds = next(Some(n), 1)?;
        let label_bits = next(Some(n), 4)?;
        let extra_offsets = next(if e == 0 { Some(0) } else { n.checked_add(1) }, 8)?;
        let groups = next(Some(g), 8)?;
        let input_ids = next(Some(m), 4)?;
        let token_type_ids = next(Some(m), 1)?;
        let extra = next(Some(e), 4)?;
        Ok(Self {
            offsets,
            ids,
            label_kinds,
            label_bits,
            extra_offsets,
            groups,
            input_ids,
            token_type_ids,
            extra,
            end: at,
        })
    }
}

fn write_split(out: &mut impl Write, key: &[u8; 32], split: &EncodedSplit) -> std::io::Result<()> {
    let kinds: Vec<u8> = split
        .labels
        .iter()
        .map(|label| match label {
            None => 0,
            Some(Label::Class(_)) => 1,
            Some(Label::Score(_)) => 2,
            Some(Label::Structured) => 3,
        })
        .collect();
    let bits: Vec<u32> = split
        .labels
        .iter()
        .map(|label| match label {
            None | Some(Label::Structured) => 0,
            Some(Label::Class(class)) => *class,
            Some(Label::Score(score)) => score.to_bits(),
        })
        .collect();
    let mut head = Vec::with_capacity(CHECKSUM.start);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&FORMAT_VERSION.to_ne_bytes());
    head.extend_from_slice(&BYTE_ORDER.to_ne_bytes());
    head.extend_from_slice(key);
    let counts = [
        split.len() as u64,
        split.num_tokens() as u64,
        split.tokens.extra().len() as u64,
        split.groups.len() as u64,
        split.sequences as u64,
        split.counts.skipped_rows,
        split.counts.skipped_labels,
        split.counts.empty_texts,
        split.counts.truncated,
    ];
    let columns: [&[u8]; 10] = [
        counts.as_bytes(),
        split.offsets.as_bytes(),
        split.ids.as_bytes(),
        &kinds,
        bits.as_bytes(),
        split.extra_offsets.as_bytes(),
        split.groups.as_bytes(),
        split.tokens.input_ids().as_bytes(),
        split.tokens.token_type_ids(),
        split.tokens.extra().as_bytes(),
    ];
    let padded = columns.iter().flat_map(|bytes| {
        let padding = bytes.len().next_multiple_of(8) - bytes.len();
        [*bytes, &[0; 8][..padding]]
    });
    let checksum = checksum(std::iter::once(head.as_slice()).chain(padded.clone()));
    out.write_all(&head)?;
    out.write_all(&checksum)?;
    padded
        .into_iter()
        .try_for_each(|bytes| out.write_all(bytes))
}

fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn read_u32(bytes: &[u8], at: usize) -> Result<u32, String> {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map(u32::from_ne_bytes)
        .ok_or_else(|| "the header is cut off".to_owned())
}

fn read_u64(bytes: &[u8], at: usize) -> Result<u64, String> {
    let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
    word.map(u64::from_ne_bytes)
        .ok_or_else(|| "the header is cut off".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Write};
    use std::path::PathBuf;

    use super::*;
    use crate::TextTokenizer;
    use crate::reader::Example;

    /// A disk with little space left.
    struct SmallDisk(usize);

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 {
                Err(Error::from(ErrorKind::StorageFull))
            } else {
                Ok(taken)
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_noticed_wherever_it_strikes() {
        let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nrain\n";
        let example = Example {
            text_a: "rain rain rain".to_owned(),
            label: Some(Label::Class(1)),
            ..Example::default()
        };
        let tokenizer = TextTokenizer::from_vocab(vocab, true).unwrap();
        let split = tokenizer.encode_all(&[example], 16).unwrap();
        let mut whole = Vec::new();
        write_split(&mut whole, &[7; 32], &split).unwrap();
        for space in 0..whole.len() {
            let error = write_split(&mut SmallDisk(space), &[7; 32], &split).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{space} bytes left");
            let path = PathBuf::from("cache/rain.tokens");
            let error = DataError::Io {
                action: "write the token cache",
                path,
                source: error,
            };
            let message = error.to_string();
            assert!(message.contains("cache/rain.tokens") && message.contains("free some space"));
        }
        write_split(&mut SmallDisk(whole.len()), &[7; 32], &split).unwrap();
    }

    #[test]
    fn columns_follow_one_another_without_overlap() {
        for (examples, tokens, extra, groups) in [
            (0, 0, 0, 0),
            (1, 1, 0, 1),
            (3, 17, 12, 0),
            (8, 64, 64, 8),
            (1_000_003, 40_000_001, 4_000_012, 1_000_003),
        ] {
            let columns = Columns::new(examples, tokens, extra, groups).unwrap();
            let ranges = [
                &columns.offsets,
                &columns.ids,
                &columns.label_kinds,
                &columns.label_bits,
                &columns.extra_offsets,
                &columns.groups,
                &columns.input_ids,
                &columns.token_type_ids,
                &columns.extra,
            ];
            let mut at = HEADER;
            for range in ranges {
                assert!(range.start >= at && range.start - at < 8 && range.start % 8 == 0);
                at = range.end;
            }
            assert!(columns.end >= at && columns.end - at < 8);
        }
        assert!(Columns::new(u64::MAX, 0, 0, 0).is_err());
        assert!(Columns::new(0, u64::MAX / 2, 0, 0).is_err());
        assert!(Columns::new(1, 1, u64::MAX / 2, 0).is_err());
        assert!(
            Columns::new(3, 1, 0, 2).is_err(),
            "a group for each or for none"
        );
    }
}
