//! Writing safetensors files: atomically, with the same bytes for the same tensors.

use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::WeightError;

/// Length and hash of a written file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WrittenFile {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole file, in hexadecimal.
    pub sha256: String,
}

/// Writes `tensors` to `path`, ordered by name, and gives the file's length and hash. An existing
/// file is replaced whole or not at all.
///
/// # Errors
/// The file cannot be written (the old one is then untouched), a name occurs twice, or a tensor has
/// a type that the format does not know.
pub fn write_tensors(
    path: &Path,
    tensors: &[(String, Tensor)],
) -> Result<WrittenFile, WeightError> {
    let fail = |problem: String| WeightError::Format {
        path: path.to_path_buf(),
        problem,
    };
    let mut sorted: Vec<&(String, Tensor)> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!({"format": "pt"}));
    let mut offset = 0u64;
    for (name, tensor) in sorted.iter().map(|entry| (&entry.0, &entry.1)) {
        let dtype = dtype(tensor.kind()).ok_or_else(|| {
            fail(format!(
                "tensor `{name}` has type {:?}, which is not written",
                tensor.kind()
            ))
        })?;
        let end = offset + (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
        let info = serde_json::json!({
            "dtype": dtype, "shape": tensor.size(), "data_offsets": [offset, end]
        });
        if header.insert(name.clone(), info).is_some() {
            return Err(fail(format!("tensor `{name}` is given twice")));
        }
        offset = end;
    }
    let mut text = serde_json::Value::Object(header).to_string();
    // Spaces up to a multiple of 8, so that the data is aligned.
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let mut hash = Sha256::new();
    let mut bytes = 0u64;
    camtl_files::write_with(path, |writer| {
        let mut put = |part: &[u8]| {
            hash.update(part);
            bytes += part.len() as u64;
            writer.write_all(part)
        };
        put(&(text.len() as u64).to_le_bytes())?;
        put(text.as_bytes())?;
        for (_, tensor) in sorted {
            put(&raw_bytes(tensor).map_err(std::io::Error::other)?)?;
        }
        Ok(())
    })
    .map_err(|source| WeightError::io("write", path, source))?;
    let sha256 = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(WrittenFile { bytes, sha256 })
}

fn raw_bytes(tensor: &Tensor) -> Result<Vec<u8>, tch::TchError> {
    let tensor = tensor
        .f_detach()?
        .f_to_device(Device::Cpu)?
        .f_contiguous()?;
    let numel = tensor.numel();
    let mut bytes = vec![0u8; numel * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, numel)?;
    Ok(bytes)
}

fn dtype(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Bool => "BOOL",
        Kind::Uint8 => "U8",
        Kind::Int8 => "I8",
        Kind::Int16 => "I16",
        Kind::Int => "I32",
        Kind::Int64 => "I64",
        Kind::Half => "F16",
        Kind::BFloat16 => "BF16",
        Kind::Float => "F32",
        Kind::Double => "F64",
        _ => return None,
    })
}
