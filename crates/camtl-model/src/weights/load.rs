//! From files into a model's parameters, strictly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::Dtype;

use super::file::WeightFile;
use super::header::TensorInfo;
use super::shards::open_folder;
use super::{TensorProblem, WeightError};
use crate::arch::{Meaning, architecture};
use crate::config::ModelType;
use crate::error::ModelError;
use crate::parameters::{Module, ParameterStore};

/// A tensor of the file that the model does not use.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct IgnoredTensor {
    /// Name in the file.
    pub name: String,
    /// Why it is not needed.
    pub reason: String,
}

/// What loading an encoder did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LoadReport {
    /// Parameters taken from the file.
    pub loaded: Vec<String>,
    /// Parameters that keep their seeded start.
    pub initialised: Vec<String>,
    /// Tensors of the file that are not used.
    pub ignored: Vec<IgnoredTensor>,
    /// Old names and the parameters they mean.
    pub renamed: Vec<(String, String)>,
    /// Tensors converted to fp32, with their type in the file.
    pub converted: Vec<(String, String)>,
    /// Whether the pooler starts new because the file has none.
    pub new_pooler: bool,
}

impl std::fmt::Display for LoadReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} parameters loaded, {} new{}",
            self.loaded.len(),
            self.initialised.len(),
            if self.new_pooler {
                " (the pooler among them)"
            } else {
                ""
            }
        )?;
        if !self.converted.is_empty() {
            write!(f, ", {} converted to fp32", self.converted.len())?;
        }
        if !self.ignored.is_empty() {
            write!(f, ", {} tensors of the file not used", self.ignored.len())?;
        }
        Ok(())
    }
}

/// Whether values of this type can become fp32 parameters.
fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64)
}

/// Checks one tensor against the parameter it is for.
fn check(
    name: &str,
    info: &TensorInfo,
    expected: &[i64],
    problems: &mut Vec<TensorProblem>,
) -> bool {
    let before = problems.len();
    if info.size() != expected {
        problems.push(TensorProblem::Shape {
            name: name.to_string(),
            expected: expected.to_vec(),
            found: info.size(),
        });
    }
    if !is_float(info.dtype) {
        problems.push(TensorProblem::Dtype {
            name: name.to_string(),
            found: format!("{:?}", info.dtype),
        });
    }
    problems.len() == before
}

/// Fills the encoder of `store` from the weight files of a Hugging Face folder. Nothing is changed
/// if anything is wrong.
pub(crate) fn load_pretrained(
    store: &ParameterStore,
    family: ModelType,
    dir: &Path,
) -> Result<LoadReport, ModelError> {
    let family = architecture(family);
    let files = open_folder(dir)?;
    // Parameter by its name in the file, without prefix.
    let wanted: BTreeMap<&str, usize> = store
        .entries()
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| Some((entry.spec.pretrained()?, at)))
        .collect();
    let scratch: BTreeSet<&str> = store
        .entries()
        .iter()
        .filter(|entry| entry.spec.from_scratch)
        .filter_map(|entry| entry.spec.plain.as_deref())
        .collect();
    let mut report = LoadReport::default();
    let mut problems = Vec::new();
    let mut sources: BTreeMap<usize, (usize, String)> = BTreeMap::new();
    for (at_file, file) in files.iter().enumerate() {
        for (name, info) in file.tensors() {
            let parameter = match family.meaning(name) {
                Meaning::Parameter(parameter) => parameter,
                Meaning::Ignorable(reason) => {
                    let (name, reason) = (name.to_string(), reason.to_string());
                    report.ignored.push(IgnoredTensor { name, reason });
                    continue;
                }
            };
            let Some(&at) = wanted.get(parameter.as_str()) else {
                if scratch.contains(parameter.as_str()) {
                    let reason = "the top layer is made from scratch (base_top_layer)".to_string();
                    report.ignored.push(IgnoredTensor {
                        name: name.to_string(),
                        reason,
                    });
                } else {
                    let (name, shape) = (name.to_string(), info.size());
                    problems.push(TensorProblem::Unexpected { name, shape });
                }
                continue;
            };
            if sources.contains_key(&at) {
                problems.push(TensorProblem::Duplicate {
                    name: name.to_string(),
                    parameter,
                });
                continue;
            }
            check(name, info, &store.entries()[at].shape, &mut problems);
            sources.insert(at, (at_file, name.to_string()));
        }
    }
    for (name, &at) in &wanted {
        if sources.contains_key(&at) {
            continue;
        }
        if store.entries()[at].module == Module::Pooler {
            report.new_pooler = true;
        } else {
            problems.push(TensorProblem::Missing {
                name: (*name).to_string(),
                expected: store.entries()[at].shape.clone(),
            });
        }
    }
    if !problems.is_empty() {
        return Err(WeightError::Tensors {
            path: dir.to_path_buf(),
            problems,
            advice: "Check that config.json belongs to these weights and that the folder holds a \
                     whole BertModel or RobertaModel"
                .into(),
        }
        .into());
    }
    for (at, entry) in store.entries().iter().enumerate() {
        let Some((at_file, name)) = sources.get(&at) else {
            report.initialised.push(entry.name.clone());
            continue;
        };
        let file = &files[*at_file];
        copy(store, &entry.name, file, name, &mut report.converted)?;
        if entry.spec.pretrained() != Some(name.as_str())
            && entry.name != *name
            && name.strip_prefix(family.prefix()) != entry.spec.pretrained()
        {
            report.renamed.push((name.clone(), entry.name.clone()));
        }
        report.loaded.push(entry.name.clone());
    }
    tracing::debug!(folder = %dir.display(), %report, "encoder loaded");
    Ok(report)
}

/// Fills `store` from a file that has exactly its parameters, under its own names.
pub(crate) fn load_exact(store: &ParameterStore, file: &WeightFile) -> Result<(), ModelError> {
    let found: BTreeMap<&str, &TensorInfo> = file.tensors().collect();
    let known: BTreeSet<&str> = store
        .entries()
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    let mut problems = Vec::new();
    for entry in store.entries() {
        match found.get(entry.name.as_str()) {
            Some(info) => {
                check(&entry.name, info, &entry.shape, &mut problems);
            }
            None => problems.push(TensorProblem::Missing {
                name: entry.name.clone(),
                expected: entry.shape.clone(),
            }),
        }
    }
    for (name, info) in &found {
        if !known.contains(name) {
            let (name, shape) = ((*name).to_string(), info.size());
            problems.push(TensorProblem::Unexpected { name, shape });
        }
    }
    if !problems.is_empty() {
        return Err(WeightError::Tensors {
            path: file.path().to_path_buf(),
            problems,
            advice: "The file was written for another configuration; load it with the manifest \
                     that was saved beside it"
                .into(),
        }
        .into());
    }
    for entry in store.entries() {
        copy(store, &entry.name, file, &entry.name, &mut Vec::new())?;
    }
    Ok(())
}

fn copy(
    store: &ParameterStore,
    parameter: &str,
    file: &WeightFile,
    name: &str,
    converted: &mut Vec<(String, String)>,
) -> Result<(), ModelError> {
    let values = file.tensor(name)?;
    if values.kind() != tch::Kind::Float {
        converted.push((name.to_string(), format!("{:?}", values.kind())));
    }
    store.set(parameter, &values.f_to_kind(tch::Kind::Float)?)
}
