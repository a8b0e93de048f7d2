//! A saved model: `model.safetensors` with every parameter, and `camtl.json`, its manifest.
//!
//! The manifest holds the whole configuration, the format's version, the length and hash of the
//! weight file, and whatever the caller wants to find again (label names, for example) as opaque
//! JSON. Both files are replaced whole or not at all; the manifest is written last, and its hash
//! tells if the two do not belong together.
//!
//! ```
//! use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, TaskHead};
//! use tch::Device;
//!
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 16, 1, 2, 32, 16),
//!     method: MethodConfig::plain(),
//!     tasks: vec![TaskHead::classification("rte", 2)],
//!     max_length: 16,
//!     freeze: Default::default(),
//! };
//! let dir = tempfile::tempdir().unwrap();
//! let labels = serde_json::json!({"rte": ["entailment", "not_entailment"]});
//! Model::new(&config, Device::Cpu, 1).unwrap().save_with(dir.path(), &labels).unwrap();
//! let (model, manifest) = Model::load_with(dir.path(), Device::Cpu).unwrap();
//! assert_eq!(model.config(), &config);
//! assert_eq!(manifest.extra["rte"][0], "entailment");
//! ```

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::model::Model;
use crate::weights::{WeightError, WeightFile, WrittenFile, load_exact, write_tensors};

/// Name of the manifest in a saved model's folder.
pub const MANIFEST_FILE: &str = "camtl.json";

/// Name of the weight file in a saved model's folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// What the manifest calls its format.
const FORMAT: &str = "camtl-model";

/// The version this crate writes, and the newest it reads. Version 2 gave heads a kind.
const FORMAT_VERSION: u32 = 2;

/// `camtl.json` of a saved model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `camtl-model`.
    pub format: String,
    /// Version of the format.
    pub format_version: u32,
    /// Version of the crate that wrote it.
    pub written_by: String,
    /// The model's configuration.
    pub config: ModelConfig,
    /// Length and hash of `model.safetensors`.
    pub weights: WrittenFile,
    /// What the caller stored; not read here.
    #[serde(default)]
    pub extra: serde_json::Value,
}

impl Manifest {
    /// Reads and checks the manifest of the saved model in `dir`, without its weights.
    ///
    /// # Errors
    /// It is missing, is no manifest of this format, is newer than this crate, or its configuration
    /// is not valid.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join(MANIFEST_FILE);
        let fail = |problem: String| ModelError::Manifest {
            path: path.clone(),
            problem,
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ModelError::io("read the model's manifest", &path, source))?;
        // The version is looked at first: a newer format may have other fields.
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| fail(format!("not JSON: {error}")))?;
        if value.get("format").and_then(|format| format.as_str()) != Some(FORMAT) {
            return Err(fail(format!(
                "its `format` is not \"{FORMAT}\"; it is no saved model"
            )));
        }
        match value
            .get("format_version")
            .and_then(|version| version.as_u64())
        {
            Some(version) if version <= u64::from(FORMAT_VERSION) => {}
            version => {
                return Err(fail(format!(
                    "its format_version is {}, this program reads up to {FORMAT_VERSION}; use the \
                     program that wrote it, or a newer one",
                    version.map_or("missing".to_string(), |version| version.to_string())
                )));
            }
        }
        let manifest: Manifest =
            serde_json::from_value(value).map_err(|error| fail(error.to_string()))?;
        manifest.config.check()?;
        Ok(manifest)
    }
}

impl Model {
    /// Saves all parameters and the configuration into the folder `dir`, which is made if needed.
    ///
    /// # Errors
    /// A file cannot be written; an older save in the folder then stays readable, or is refused for
    /// its hash, never mixed.
    pub fn save(&self, dir: &Path) -> Result<WrittenFile, ModelError> {
        self.save_with(dir, &serde_json::Value::Null)
    }

    /// [`Model::save`] with something of the caller's in the manifest.
    ///
    /// # Errors
    /// As [`Model::save`].
    pub fn save_with(
        &self,
        dir: &Path,
        extra: &serde_json::Value,
    ) -> Result<WrittenFile, ModelError> {
        std::fs::create_dir_all(dir)
            .map_err(|source| ModelError::io("make the folder", dir, source))?;
        let weights = write_tensors(&dir.join(WEIGHTS_FILE), &self.named_tensors()?)?;
        let manifest = Manifest {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            written_by: env!("CARGO_PKG_VERSION").into(),
            config: self.config().clone(),
            weights: weights.clone(),
            extra: extra.clone(),
        };
        write_json(&dir.join(MANIFEST_FILE), &manifest)?;
        Ok(weights)
    }

    /// Loads what [`Model::save`] wrote.
    ///
    /// # Errors
    /// A file is missing, damaged, or does not belong to the other.
    pub fn load(dir: &Path, device: Device) -> Result<Self, ModelError> {
        Ok(Model::load_with(dir, device)?.0)
    }

    /// [`Model::load`] with the manifest.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with(dir: &Path, device: Device) -> Result<(Self, Manifest), ModelError> {
        let manifest = Manifest::read(dir)?;
        let path = dir.join(WEIGHTS_FILE);
        let found = measure(&path)?;
        if found != manifest.weights {
            let problem = if found.bytes == manifest.weights.bytes {
                "its SHA-256 differs".to_string()
            } else {
                format!(
                    "it has {} bytes instead of {}",
                    found.bytes, manifest.weights.bytes
                )
            };
            return Err(WeightError::Foreign { path, problem }.into());
        }
        let model = Model::build(&manifest.config, device, 0, |_| false)?;
        load_exact(model.parameters(), &WeightFile::open(&path)?)?;
        Ok((model, manifest))
    }

    /// All parameters by name, sharing the model's memory.
    ///
    /// # Errors
    /// libtorch refuses.
    pub fn named_tensors(&self) -> Result<Vec<(String, Tensor)>, ModelError> {
        let store = self.parameters();
        store
            .entries()
            .iter()
            .map(|entry| Ok((entry.name.clone(), store.tensor(&entry.name)?)))
            .collect()
    }
}

/// Length and hash of the file at `path`.
fn measure(path: &Path) -> Result<WrittenFile, ModelError> {
    let io = |source| ModelError::io("read the weight file", path, source);
    let mut file = std::fs::File::open(path).map_err(io)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    let mut bytes = 0u64;
    loop {
        let count = file.read(&mut buffer).map_err(io)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        bytes += count as u64;
    }
    let sha256 = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(WrittenFile { bytes, sha256 })
}

/// Writes `value` as indented JSON, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ModelError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| ModelError::Manifest {
        path: PathBuf::from(path),
        problem: format!("cannot be written as JSON: {error}"),
    })?;
    text.push(b'\n');
    camtl_files::write(path, &text).map_err(|source| ModelError::io("write", path, source))
}
