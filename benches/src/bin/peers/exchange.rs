//! The folder that all systems read: `config.json`, `model.safetensors` under
//! the released state dict's names, `batches.safetensors` padded as the released
//! code pads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use camtl_benches::Lengths;
use camtl_benches::step::{
    BATCH, CLASSES, DROPOUT, LEARNING_RATE, MAX_GRAD_NORM, MAX_LENGTH, Sequences, model_config,
};
use camtl_model::weights::{WeightFile, write_tensors};
use camtl_model::{Model, Preset};
use tch::{Device, Kind, Tensor};

/// Batches of each size and length, used in turn.
pub(crate) const VARIANTS: usize = 3;

/// Name of a batch of [`BATCH`] sequences, or of candidates for one.
pub(crate) fn batch_name(lengths: Lengths, candidates: bool, variant: usize) -> String {
    let kind = if candidates { "candidates" } else { "batch" };
    format!("{}-{kind}-{}", lengths.name(), variant % VARIANTS)
}

/// Writes the folder.
pub(crate) fn write(folder: &Path) -> anyhow::Result<()> {
    let config = model_config(Preset::Released);
    let model = Model::new(&config, Device::Cpu, 1)?;
    let mut tensors = Vec::new();
    for entry in model.parameters().entries() {
        let values = model.parameters().tensor(&entry.name)?;
        tensors.push((entry.name.clone(), values));
    }
    write_tensors(&folder.join("model.safetensors"), &tensors)?;
    let trained: Vec<&str> = model
        .parameters()
        .entries()
        .iter()
        .filter(|entry| entry.trainable)
        .map(|entry| entry.name.as_str())
        .collect();
    let text = serde_json::json!({
        "hidden_size": config.encoder.hidden_size,
        "num_hidden_layers": config.encoder.num_hidden_layers,
        "num_attention_heads": config.encoder.num_attention_heads,
        "layer_norm_eps": config.encoder.layer_norm_eps,
        "max_length": MAX_LENGTH,
        "num_outputs": CLASSES,
        "dropout": DROPOUT,
        "learning_rate": LEARNING_RATE,
        "max_grad_norm": MAX_GRAD_NORM,
        "batch_size": BATCH,
        "trained": trained,
    });
    let path = folder.join("config.json");
    fs::write(&path, text.to_string()).with_context(|| format!("cannot write {path:?}"))?;

    let mut batches = Vec::new();
    for lengths in [Lengths::Mean40, Lengths::Full128] {
        for variant in 0..VARIANTS {
            for candidates in [false, true] {
                let count = if candidates {
                    BATCH * CLASSES.len()
                } else {
                    BATCH
                };
                let seed = 1 + variant as u64;
                let sequences = Sequences::random(lengths, &CLASSES, count, seed);
                let name = batch_name(lengths, candidates, variant);
                batches.extend(padded(&name, &sequences)?);
            }
        }
    }
    write_tensors(&folder.join("batches.safetensors"), &batches)?;
    Ok(())
}

fn padded(name: &str, sequences: &Sequences) -> anyhow::Result<Vec<(String, Tensor)>> {
    let count = sequences.ids.len();
    let (mut ids, mut mask) = (vec![0i64; count * MAX_LENGTH], Vec::new());
    mask.resize(ids.len(), 0f32);
    for (row, tokens) in sequences.ids.iter().enumerate() {
        let start = row * MAX_LENGTH;
        ids[start..start + tokens.len()].copy_from_slice(tokens);
        mask[start..start + tokens.len()].fill(1.0);
    }
    let shape = [count as i64, MAX_LENGTH as i64];
    let ids = Tensor::f_from_slice(&ids)?.f_view(shape)?;
    let classes = Tensor::f_from_slice(&sequences.classes)?.f_to_kind(Kind::Float)?;
    Ok([
        ("token_type_ids", ids.f_zeros_like()?),
        ("input_ids", ids),
        (
            "attention_mask",
            Tensor::f_from_slice(&mask)?.f_view(shape)?,
        ),
        ("tasks", Tensor::f_from_slice(&sequences.tasks)?),
        ("labels", classes),
    ]
    .into_iter()
    .map(|(field, tensor)| (format!("{name}.{field}"), tensor))
    .collect())
}

/// The model of a folder.
pub(crate) fn read_model(folder: &Path) -> anyhow::Result<Model> {
    let model = Model::new(&model_config(Preset::Released), Device::Cpu, 0)?;
    let file = WeightFile::open(&folder.join("model.safetensors"))?;
    for entry in model.parameters().entries() {
        model
            .parameters()
            .set(&entry.name, &file.tensor(&entry.name)?)?;
    }
    Ok(model)
}

/// The batches of a folder by name, without their padding.
pub(crate) fn read_batches(folder: &Path) -> anyhow::Result<BTreeMap<String, Sequences>> {
    let file = WeightFile::open(&folder.join("batches.safetensors"))?;
    let mut batches = BTreeMap::new();
    for lengths in [Lengths::Mean40, Lengths::Full128] {
        for (variant, candidates) in (0..VARIANTS).flat_map(|v| [(v, false), (v, true)]) {
            let name = batch_name(lengths, candidates, variant);
            let field = |field: &str, kind| -> anyhow::Result<Tensor> {
                Ok(file.tensor(&format!("{name}.{field}"))?.f_to_kind(kind)?)
            };
            let ids = Vec::<i64>::try_from(&field("input_ids", Kind::Int64)?.f_flatten(0, -1)?)?;
            let lengths =
                field("attention_mask", Kind::Float)?.f_sum_dim_intlist(1, false, Kind::Int64)?;
            let sequences = Sequences {
                ids: ids
                    .chunks(MAX_LENGTH)
                    .zip(Vec::<i64>::try_from(&lengths)?)
                    .map(|(row, length)| row[..length as usize].to_vec())
                    .collect(),
                tasks: Vec::try_from(&field("tasks", Kind::Int64)?)?,
                classes: Vec::try_from(&field("labels", Kind::Int64)?)?,
            };
            batches.insert(name, sequences);
        }
    }
    Ok(batches)
}
