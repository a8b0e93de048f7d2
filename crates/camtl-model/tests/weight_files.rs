//! Weight files that lie, break off or do not fit: an error that says which and why, never a crash
//! and never a half-loaded model.

use std::path::Path;

use camtl_model::weights::{TensorProblem, WeightError, WeightFile, write_tensors};
use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, ModelError, TaskHead};
use tch::{Device, Kind, Tensor};

fn config() -> ModelConfig {
    ModelConfig {
        encoder: EncoderConfig::bert(20, 8, 2, 2, 12, 10),
        method: MethodConfig::plain(),
        tasks: vec![TaskHead::classification("rte", 2)],
        max_length: 10,
        freeze: Default::default(),
    }
}

/// A safetensors file from a header text and data.
fn file(dir: &Path, header: &str, data: &[u8]) -> std::path::PathBuf {
    let path = dir.join("model.safetensors");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn open_error(header: &str, data: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    WeightFile::open(&file(dir.path(), header, data))
        .unwrap_err()
        .to_string()
}

#[test]
fn hostile_headers_are_refused() {
    for (header, data, expected) in [
        ("{", 0, "cannot be parsed"),
        ("[]", 0, "cannot be parsed"),
        ("\u{1}\u{2}", 0, "cannot be parsed"),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
            4,
            "claims bytes 0 to 8",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
            8,
            "needs 12 bytes",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
            8,
            "claims bytes 8 to 0",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
            8,
            "cannot be parsed",
        ),
        (
            r#"{"a":{"dtype":"Q9","shape":[2],"data_offsets":[0,8]}}"#,
            8,
            "cannot be parsed",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[2]}}"#,
            8,
            "cannot be parsed",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}}"#,
            8,
            "impossible shape",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[18446744073709551615,0],"data_offsets":[0,0]}}"#,
            0,
            "impossible shape",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
            12,
            "they overlap",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#,
            12,
            "there is a gap",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            8,
            "cover 4",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            8,
            "listed twice",
        ),
    ] {
        let error = open_error(header, &vec![0; data]);
        assert!(error.contains(expected), "{header}: {error}");
        assert!(
            error.contains("model.safetensors") && error.contains("again"),
            "{error}"
        );
    }
}

#[test]
fn lying_header_lengths_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    for bytes in [
        vec![],
        vec![1, 2, 3],
        u64::MAX.to_le_bytes().to_vec(),
        200_000_000u64.to_le_bytes().to_vec(),
        9u64.to_le_bytes()
            .iter()
            .copied()
            .chain([b'{'; 8])
            .collect(),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let error = WeightFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("header"), "{bytes:?}: {error}");
    }
    let error = WeightFile::open(&dir.path().join("absent"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("absent") && error.contains("cannot read"),
        "{error}"
    );
    assert!(WeightFile::open(dir.path()).is_err());
}

/// Every prefix of a good file is refused.
#[test]
fn truncated_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    let tensors = [
        ("a".to_string(), Tensor::from_slice(&[1f32, 2.0, 3.0])),
        ("b".to_string(), Tensor::from_slice(&[1i64, 2])),
    ];
    write_tensors(&path, &tensors).unwrap();
    let whole = std::fs::read(&path).unwrap();
    // The format's own crate reads what we write.
    let parsed = safetensors::SafeTensors::deserialize(&whole).unwrap();
    assert_eq!(
        parsed.tensor("a").unwrap().data(),
        [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64]
    );
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(
            WeightFile::open(&path).is_err(),
            "{length} of {} bytes",
            whole.len()
        );
    }
    std::fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert!(WeightFile::open(&path).is_err(), "one byte too many");
}

/// Data that does not start on a multiple of the element size is still read.
#[test]
fn unaligned_data_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let header = if header.len().is_multiple_of(4) {
        format!("{header} ")
    } else {
        header.to_string()
    };
    let data: Vec<u8> = [1.5f32, -2.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let file = WeightFile::open(&file(dir.path(), &header, &data)).unwrap();
    assert_eq!(
        Vec::<f32>::try_from(file.tensor("a").unwrap()).unwrap(),
        [1.5, -2.0]
    );
    let error = file.tensor("b").unwrap_err().to_string();
    assert!(error.contains("no tensor `b`"), "{error}");
}

/// An encoder folder's tensors under the newest names.
fn encoder_tensors() -> Vec<(String, Tensor)> {
    let model = Model::new(&config(), Device::Cpu, 3).unwrap();
    model
        .named_tensors()
        .unwrap()
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("bert.")?.to_string(), tensor.copy())))
        .collect()
}

fn load(tensors: &[(String, Tensor)]) -> Result<(Model, camtl_model::LoadReport), ModelError> {
    let dir = tempfile::tempdir().unwrap();
    write_tensors(&dir.path().join("model.safetensors"), tensors).unwrap();
    Model::from_pretrained(&config(), dir.path(), Device::Cpu, 9)
}

fn same_encoder(model: &Model, expected: &[(String, Tensor)]) {
    for (name, tensor) in expected {
        assert_eq!(
            &model.parameters().tensor(&format!("bert.{name}")).unwrap(),
            tensor,
            "{name}"
        );
    }
}

#[test]
fn all_spellings_load() {
    let plain = encoder_tensors();
    let (model, report) = load(&plain).unwrap();
    same_encoder(&model, &plain);
    assert_eq!(
        report.initialised,
        ["decoders.0.model.weight", "decoders.0.model.bias"]
    );
    assert!(report.ignored.is_empty() && report.renamed.is_empty() && !report.new_pooler);

    let old: Vec<(String, Tensor)> = plain
        .iter()
        .map(|(name, tensor)| {
            let name = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            (format!("bert.{name}"), tensor.shallow_clone())
        })
        .chain([
            (
                "cls.predictions.bias".to_string(),
                Tensor::zeros([20], (Kind::Float, Device::Cpu)),
            ),
            (
                "bert.embeddings.position_ids".to_string(),
                Tensor::arange(10, (Kind::Int64, Device::Cpu)),
            ),
        ])
        .collect();
    let (model, report) = load(&old).unwrap();
    same_encoder(&model, &plain);
    assert_eq!(report.ignored.len(), 2);
    assert_eq!(report.renamed.len(), 2 * 5);
    assert!(
        report
            .to_string()
            .contains("2 tensors of the file not used"),
        "{report}"
    );

    let without_pooler: Vec<_> = encoder_tensors()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("pooler"))
        .collect();
    let (_, report) = load(&without_pooler).unwrap();
    assert!(
        report.new_pooler
            && report
                .initialised
                .iter()
                .any(|name| name.contains("pooler"))
    );
}

/// Half-precision files become fp32 parameters, and the report says so.
#[test]
fn half_precision_is_converted() {
    for kind in [Kind::Half, Kind::BFloat16, Kind::Double] {
        let plain = encoder_tensors();
        let stored: Vec<_> = plain
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.to_kind(kind)))
            .collect();
        let (model, report) = load(&stored).unwrap();
        assert_eq!(report.converted.len(), plain.len());
        assert_eq!(model.parameters().flat().kind(), Kind::Float);
        let rounded: Vec<_> = plain
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.to_kind(kind).to_kind(Kind::Float)))
            .collect();
        same_encoder(&model, &rounded);
    }
}

#[test]
fn everything_wrong_is_listed_at_once() {
    let mut tensors = encoder_tensors();
    tensors.retain(|(name, _)| name != "encoder.layer.1.output.dense.bias");
    for (name, tensor) in &mut tensors {
        match name.as_str() {
            "embeddings.word_embeddings.weight" => *tensor = tensor.narrow(0, 0, 19),
            "encoder.layer.0.output.dense.bias" => *tensor = tensor.to_kind(Kind::Int64),
            _ => {}
        }
    }
    let extra = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    tensors.push(("encoder.layer.2.output.dense.bias".into(), extra.copy()));
    tensors.push((
        "bert.pooler.dense.bias".into(),
        Tensor::zeros([8], (Kind::Float, Device::Cpu)),
    ));
    let error = load(&tensors).unwrap_err();
    let text = error.to_string();
    let ModelError::Weights(WeightError::Tensors { problems, .. }) = error else {
        panic!("{text}");
    };
    assert_eq!(problems.len(), 5, "{text}");
    for expected in [
        "missing: `encoder.layer.1.output.dense.bias` [8]",
        "unknown: `encoder.layer.2.output.dense.bias` [3]",
        "shape: `embeddings.word_embeddings.weight` is [19, 8], the configuration asks for [20, 8]",
        "type: `encoder.layer.0.output.dense.bias` is I64",
        "also means `pooler.dense.bias`",
        "config.json",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    assert!(
        problems
            .iter()
            .any(|p| matches!(p, TensorProblem::Missing { .. }))
    );
}

#[test]
fn folders_without_usable_weights_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = |dir: &Path| {
        Model::from_pretrained(&config(), dir, Device::Cpu, 0)
            .unwrap_err()
            .to_string()
    };
    assert!(error(dir.path()).contains("neither model.safetensors"));
    std::fs::write(dir.path().join("pytorch_model.bin"), b"x").unwrap();
    assert!(error(dir.path()).contains("pickled"));
    assert!(error(&dir.path().join("nowhere")).contains("no such folder"));
}

#[test]
fn shards_load_and_bad_indexes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tensors = encoder_tensors();
    let (first, second) = tensors.split_at(7);
    write_tensors(&dir.path().join("model-00001-of-00002.safetensors"), first).unwrap();
    write_tensors(&dir.path().join("model-00002-of-00002.safetensors"), second).unwrap();
    let map = |shard: &dyn Fn(&str, bool) -> String| -> serde_json::Value {
        let entries = |part: &[(String, Tensor)], is_first: bool| {
            part.iter()
                .map(|(name, _)| (name.clone(), shard(name, is_first).into()))
                .collect::<Vec<(String, serde_json::Value)>>()
        };
        entries(first, true)
            .into_iter()
            .chain(entries(second, false))
            .collect()
    };
    let write = |map: serde_json::Value| {
        let index = serde_json::json!({"metadata": {}, "weight_map": map});
        std::fs::write(
            dir.path().join("model.safetensors.index.json"),
            index.to_string(),
        )
        .unwrap();
        Model::from_pretrained(&config(), dir.path(), Device::Cpu, 0)
    };
    let name =
        |is_first: bool| format!("model-0000{}-of-00002.safetensors", 2 - i32::from(is_first));
    let (model, _) = write(map(&|_, is_first| name(is_first))).unwrap();
    same_encoder(&model, &tensors);

    let error = write(map(&|_, _| "../model.safetensors".into()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("not a plain file name"), "{error}");
    let error = write(map(&|_, is_first| name(!is_first)))
        .unwrap_err()
        .to_string();
    assert!(error.contains("is listed in"), "{error}");
    let mut extra = map(&|_, is_first| name(is_first));
    extra["ghost"] = name(true).into();
    let error = write(extra).unwrap_err().to_string();
    assert!(error.contains("`ghost`"), "{error}");
    let error = write(serde_json::json!({})).unwrap_err().to_string();
    assert!(error.contains("empty"), "{error}");
    std::fs::write(dir.path().join("model.safetensors.index.json"), "{").unwrap();
    let error = Model::from_pretrained(&config(), dir.path(), Device::Cpu, 0).unwrap_err();
    assert!(error.to_string().contains("no shard index"), "{error}");
    std::fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    let error = write(map(&|_, is_first| name(is_first)))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("model-00002-of-00002.safetensors"),
        "{error}"
    );
}

/// Random damage to a good file is an error or a file with the same names, never a panic.
#[test]
fn damaged_files_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    write_tensors(&path, &encoder_tensors()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize + 8;
    let mut state = 1u64;
    for _ in 0..400 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = whole.clone();
        bytes[(state >> 33) as usize % header] = (state >> 20) as u8;
        std::fs::write(&path, &bytes).unwrap();
        let _ = Model::from_pretrained(&config(), dir.path(), Device::Cpu, 0);
    }
}
