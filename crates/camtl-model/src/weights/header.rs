//! The header of a safetensors file, checked completely.
//!
//! Layout: 8 bytes with the header's length, the header (a JSON object of tensors with type, shape
//! and byte range), the data. Ranges must cover the data exactly, without gaps or overlaps.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::Dtype;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::WeightError;

/// Longest header that is read; the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Type, shape and place of one tensor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<u64>,
    /// First and one-past-last byte in the data.
    pub data_offsets: (u64, u64),
}

impl TensorInfo {
    /// The shape as libtorch counts.
    pub fn size(&self) -> Vec<i64> {
        self.shape
            .iter()
            .map(|&dimension| dimension as i64)
            .collect()
    }
}

#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
    /// First byte of the data in the file.
    pub(crate) data_start: u64,
    pub(crate) file_length: u64,
}

impl Header {
    pub(crate) fn read(path: &Path) -> Result<Self, WeightError> {
        let io = |source| WeightError::io("read the weight file", path, source);
        let fail = |problem: String| WeightError::Format {
            path: path.to_path_buf(),
            problem,
        };
        let mut file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(fail("it is no regular file".into()));
        }
        let file_length = metadata.len();
        if file_length < 8 {
            return Err(fail(format!(
                "it has {file_length} bytes, too few for a header length"
            )));
        }
        let mut length = [0u8; 8];
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length > file_length - 8 {
            return Err(fail(format!(
                "its header claims {length} bytes, but the file has {} after the length{}",
                file_length - 8,
                if length > MAX_HEADER {
                    " and the format allows 100,000,000"
                } else {
                    ""
                }
            )));
        }
        let mut text = vec![0u8; length as usize];
        file.read_exact(&mut text).map_err(io)?;
        let Entries(entries) = serde_json::from_slice(&text)
            .map_err(|error| fail(format!("its header cannot be parsed: {error}")))?;
        let data_start = 8 + length;
        let tensors = check(entries, file_length - data_start).map_err(fail)?;
        Ok(Header {
            tensors,
            data_start,
            file_length,
        })
    }
}

/// Checks every tensor's size against its byte range and that ranges tile the data.
fn check(
    entries: Vec<(String, TensorInfo)>,
    data_length: u64,
) -> Result<BTreeMap<String, TensorInfo>, String> {
    let mut tensors = BTreeMap::new();
    let mut ranges = Vec::with_capacity(entries.len());
    for (name, info) in entries {
        let (start, end) = info.data_offsets;
        if end < start || end > data_length {
            return Err(format!(
                "tensor `{name}` claims bytes {start} to {end}, but the data has {data_length}"
            ));
        }
        let bits = info
            .shape
            .iter()
            .try_fold(info.dtype.bitsize() as u64, |product, &dimension| {
                product.checked_mul(dimension)
            })
            .filter(|&bits| info.shape.iter().all(|&d| d <= i64::MAX as u64) && bits % 8 == 0);
        let Some(bits) = bits else {
            return Err(format!(
                "tensor `{name}` has the impossible shape {:?}",
                info.shape
            ));
        };
        if bits / 8 != end - start {
            return Err(format!(
                "tensor `{name}` with shape {:?} and type {:?} needs {} bytes, but claims {}",
                info.shape,
                info.dtype,
                bits / 8,
                end - start
            ));
        }
        ranges.push((start, end, name.clone()));
        if tensors.insert(name.clone(), info).is_some() {
            return Err(format!("tensor `{name}` is listed twice"));
        }
    }
    ranges.sort();
    let mut covered = 0;
    for (start, end, name) in ranges {
        if start != covered {
            return Err(format!(
                "tensor `{name}` starts at byte {start}, but the tensors before it end at {covered} \
                 ({})",
                if start < covered {
                    "they overlap"
                } else {
                    "there is a gap"
                }
            ));
        }
        covered = end;
    }
    if covered != data_length {
        return Err(format!(
            "the data has {data_length} bytes, but the tensors cover {covered}"
        ));
    }
    Ok(tensors)
}

/// The header's entries in file order, so that a name listed twice is seen.
struct Entries(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        let _: BTreeMap<String, String> = map.next_value()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}
