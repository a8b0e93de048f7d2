//! Parity with the authors' released code, number by number.
//!
//! `CAMTL_GOLDEN_DIR=<folder> cargo test -p camtl-model --test reference_parity` checks every model
//! case of that folder; without the variable, small cases kept in the project are checked.
//!
//! A case is `NAME.json` (configuration, tasks, parameter names, frozen list) and
//! `NAME.safetensors` (parameters, inputs, outputs, gradients). Everything is read from the case:
//! shapes, number of layers, first conditional layer, tasks. Each batch is computed packed (real
//! tokens only), padded (every row, padding masked as keys) and one by one, and compared with the
//! reference: hidden states and intermediate tensors, pooled output, logits, losses, entropies, and
//! the gradient of every parameter, both with all rows computed and with first-token tails.
//! Tolerances: outputs 2e-5 of the tensor's largest value (at least 0.1), gradients 2e-4 of the
//! parameter's largest gradient (at least a thousandth of the model's largest).

mod case;
mod compare;
mod execute;
mod gradients;

use std::path::{Path, PathBuf};

use camtl_model::{Activation, BottleneckResidual, LayerNormModulation, ModelConfig};
use case::Case;

fn folder() -> PathBuf {
    match std::env::var_os("CAMTL_GOLDEN_DIR") {
        // Tests run in the package's folder; a relative path is meant from where cargo was called.
        Some(dir) => {
            let dir = PathBuf::from(dir);
            let from_workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(&dir);
            if dir.is_relative() && from_workspace.is_dir() {
                from_workspace
            } else {
                dir
            }
        }
        None => {
            eprintln!("CAMTL_GOLDEN_DIR is not set: checking the small cases kept in the project");
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity")
        }
    }
}

#[test]
fn every_case_agrees_with_the_reference() {
    // Tensors this small only lose by being shared out.
    camtl_ops::set_num_threads(1).unwrap();
    let folder = folder();
    let cases = Case::read_folder(&folder);
    assert!(
        !cases.is_empty(),
        "{} has no model case (*.json with *.safetensors)",
        folder.display()
    );
    let mut failures = Vec::new();
    for case in &cases {
        let mut report = compare::Report::new(&case.name);
        case.check_parameters(&mut report);
        for batch in case.batches() {
            for execution in execute::Execution::ALL {
                execute::check_values(case, &batch, execution, &mut report);
                gradients::check(case, &batch, execution, &mut report);
            }
        }
        gradients::check_frozen(case, &mut report);
        eprintln!("{}", report.summary());
        failures.extend(report.failures);
    }
    assert!(
        failures.is_empty(),
        "{} deviations:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// The comparison is sharp enough to see a wrong constant, activation, head count, norm, residual or
/// layer range.
#[test]
fn deliberate_mistakes_are_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    type Mistake = fn(&mut ModelConfig);
    let mistakes: [(&str, Mistake); 6] = [
        ("epsilon", |config| config.encoder.layer_norm_eps = 1e-3),
        ("activation", |config| {
            config.encoder.hidden_act = Activation::GeluTanh
        }),
        ("heads", |config| config.encoder.num_attention_heads = 1),
        ("norm", |config| {
            config.method.layer_norm = LayerNormModulation::WeightAndBias
        }),
        ("residual", |config| {
            config.method.bottleneck_residual = BottleneckResidual::LayerOutput
        }),
        ("upper half", |config| {
            config.method.upper_half_from = Some(2)
        }),
    ];
    for case in &mut Case::read_folder(&folder) {
        let right = case.config.clone();
        for (mistake, make) in mistakes {
            let conditional = case.config.method.is_conditional();
            if !conditional && ["norm", "residual", "upper half"].contains(&mistake) {
                continue;
            }
            case.config = right.clone();
            make(&mut case.config);
            let mut report = compare::Report::new(&case.name);
            let batch = &case.batches()[0];
            execute::check_values(case, batch, execute::Execution::Packed, &mut report);
            assert!(
                !report.failures.is_empty(),
                "{}: a wrong {mistake} is not seen",
                case.name
            );
        }
        case.config = right;
    }
}

#[test]
fn a_folder_without_cases_has_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Case::read_folder(dir.path()).is_empty());
    // Selection cases are not model cases.
    std::fs::write(dir.path().join("mt_uncertainty.json"), r#"{"cases": {}}"#).unwrap();
    assert!(Case::read_folder(dir.path()).is_empty());
}
