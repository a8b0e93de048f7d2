//! One mapped safetensors file.

use std::path::{Path, PathBuf};

use safetensors::Dtype;
use tch::{Device, Kind, Tensor};

use super::WeightError;
use super::header::{Header, TensorInfo};

/// A safetensors file whose header was checked and whose data is mapped into memory.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    header: Header,
    bytes: Tensor,
}

impl WeightFile {
    /// Checks the header of `path` and maps the file.
    ///
    /// # Errors
    /// The file cannot be read, or its header lies: wrong lengths, impossible shapes, overlapping
    /// or missing byte ranges, unknown types, names listed twice.
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        let header = Header::read(path)?;
        let Some(name) = path.to_str() else {
            return Err(WeightError::Format {
                path: path.to_path_buf(),
                problem: "its path is not UTF-8, which libtorch cannot open".into(),
            });
        };
        let length = header.file_length as i64;
        let bytes = Tensor::f_from_file(name, false, length, (Kind::Uint8, Device::Cpu))
            .map_err(|error| WeightError::torch(path, &error))?;
        Ok(WeightFile {
            path: path.to_path_buf(),
            header,
            bytes,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names and descriptions of all tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.header
            .tensors
            .iter()
            .map(|(name, info)| (name.as_str(), info))
    }

    /// The tensor called `name` in the file's own type: a view of the mapped file.
    ///
    /// # Errors
    /// There is none, or libtorch has no such type.
    pub fn tensor(&self, name: &str) -> Result<Tensor, WeightError> {
        let info = self
            .header
            .tensors
            .get(name)
            .ok_or_else(|| WeightError::NoTensor {
                path: self.path.clone(),
                name: name.to_string(),
            })?;
        let kind = kind(info.dtype).ok_or_else(|| WeightError::Format {
            path: self.path.clone(),
            problem: format!(
                "tensor `{name}` has type {:?}, which is not supported",
                info.dtype
            ),
        })?;
        self.view(info, kind)
            .map_err(|error| WeightError::torch(&self.path, &error))
    }

    fn view(&self, info: &TensorInfo, kind: Kind) -> Result<Tensor, tch::TchError> {
        let start = (self.header.data_start + info.data_offsets.0) as i64;
        let length = (info.data_offsets.1 - info.data_offsets.0) as i64;
        if length == 0 {
            return Tensor::f_zeros(info.size(), (kind, Device::Cpu));
        }
        let mut bytes = self.bytes.f_narrow(0, start, length)?;
        if start % kind.elt_size_in_bytes() as i64 != 0 {
            // A header of odd length leaves the data unaligned.
            bytes = Tensor::f_empty([length], (Kind::Uint8, Device::Cpu))?.f_copy_from(&bytes)?;
        }
        bytes.f_view_dtype(kind)?.f_view(&info.size()[..])
    }
}

/// `copy_` as an expression.
trait CopyFrom: Sized {
    fn f_copy_from(self, source: &Tensor) -> Result<Self, tch::TchError>;
}

impl CopyFrom for Tensor {
    fn f_copy_from(mut self, source: &Tensor) -> Result<Self, tch::TchError> {
        self.f_copy_(source)?;
        Ok(self)
    }
}

/// libtorch's name of a file type.
fn kind(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::Uint8,
        Dtype::I8 => Kind::Int8,
        Dtype::I16 => Kind::Int16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        _ => return None,
    })
}
