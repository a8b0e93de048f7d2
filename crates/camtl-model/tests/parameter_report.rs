//! Parameter counts of docs/method.md from shapes alone: no weights, no tensors.

use camtl_model::{
    EncoderConfig, MethodConfig, ModelConfig, Module, ParameterReport, Preset, TaskHead, Variant,
};

/// GLUE without WNLI (T = 8) or with it (T = 9).
fn glue(tasks: usize) -> Vec<TaskHead> {
    let names = [
        "cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst-2", "sts-b", "wnli",
    ];
    names[..tasks]
        .iter()
        .map(|&name| match name {
            "mnli" => TaskHead::classification(name, 3),
            "sts-b" => TaskHead::regression(name),
            _ => TaskHead::classification(name, 2),
        })
        .collect()
}

fn report(variant: Variant, tasks: usize, max_length: usize, freeze: &str) -> ParameterReport {
    let encoder = match variant {
        Variant::Large => EncoderConfig::bert_large_cased(),
        _ => EncoderConfig::bert_base_cased(),
    };
    ParameterReport::new(&ModelConfig {
        encoder,
        method: MethodConfig::new(Preset::Released, variant),
        tasks: glue(tasks),
        max_length,
        freeze: freeze.parse().unwrap(),
    })
    .unwrap()
}

#[test]
fn modules_of_the_base_model() {
    let report = report(Variant::Base, 8, 128, "none");
    assert_eq!(report.backbone, 108_310_272);
    for (module, expected) in [
        (Module::Embeddings, 22_665_216),
        (Module::Layers, 12 * 7_087_872),
        (Module::Pooler, 590_592),
        (Module::Alignment, 1_181_184),
        (Module::TaskTransformation, 590_592),
        (Module::Attention, 439_824),
        (Module::LayerNorm, 14_174_208),
        (Module::Bottleneck, 3_348_736),
        (Module::TaskEmbeddings, 6_144),
        (Module::Heads, 12_304),
    ] {
        assert_eq!(report.module(module).total, expected, "{}", module.name());
    }
    assert_eq!(report.trained, report.total);
}

#[test]
fn modules_of_the_large_model() {
    let report = report(Variant::Large, 9, 128, "0-11");
    assert_eq!(report.backbone, 333_579_264);
    for (module, expected) in [
        (Module::Embeddings, 30_220_288),
        (Module::Layers, 24 * 12_596_224),
        (Module::Pooler, 1_049_600),
        (Module::Alignment, 2_099_200),
        (Module::TaskTransformation, 1_049_600),
        (Module::Attention, 836_352),
        (Module::LayerNorm, 50_380_800),
        (Module::Bottleneck, 24 * 3_848_533),
        (Module::TaskEmbeddings, 9_216),
        (Module::Heads, 18_450),
    ] {
        assert_eq!(report.module(module).total, expected, "{}", module.name());
    }
}

#[test]
fn totals_and_trained() {
    for (variant, tasks, freeze, total, trained) in [
        (Variant::Base, 8, "0-4", 128_063_264, 69_789_508),
        (Variant::Base, 8, "0-5", 128_063_264, 62_667_800),
        (Variant::Base, 9, "0-4", 128_065_570, 69_791_814),
        (Variant::Base, 9, "0-5", 128_065_570, 62_670_106),
        (Variant::Large, 8, "0-11", 480_334_600, 298_566_024),
        (Variant::Large, 9, "0-11", 480_337_674, 298_569_098),
    ] {
        let report = report(variant, tasks, 128, freeze);
        assert_eq!(
            (report.total, report.trained),
            (total, trained),
            "{variant:?} {tasks} {freeze}"
        );
    }
    assert_eq!(report(Variant::Base, 9, 256, "none").total, 129_477_154);
    assert_eq!(report(Variant::Large, 9, 256, "none").total, 483_043_338);
}

#[test]
fn ratios() {
    let round = |value: f64, digits: i32| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
    let base = report(Variant::Base, 9, 128, "0-4");
    assert_eq!(round(base.total_ratio, 3), 1.182);
    assert_eq!(round(base.trained_per_task_percent, 1), 7.2);
    assert_eq!(round(100.0 * base.backbone_frozen_share(), 1), 53.6);
    assert_eq!(base.marginal_per_task, 2_306);
    let frozen_half = report(Variant::Base, 9, 128, "0-5");
    assert_eq!(round(frozen_half.trained_per_task_percent, 1), 6.4);
    assert_eq!(round(100.0 * frozen_half.backbone_frozen_share(), 1), 60.2);
    let large = report(Variant::Large, 9, 128, "0-11");
    assert_eq!(round(large.total_ratio, 3), 1.440);
    assert_eq!(round(large.trained_per_task_percent, 1), 9.9);
    assert_eq!(round(100.0 * large.backbone_frozen_share(), 1), 54.4);
    assert_eq!(large.marginal_per_task, 3_074);
    let base = report(Variant::Base, 8, 128, "0-4");
    assert_eq!(round(base.trained_ratio, 3), 0.644);
    let large = report(Variant::Large, 8, 128, "0-11");
    assert_eq!(round(large.trained_ratio, 3), 0.895);
}

/// The report's marginal cost is what adding a task really adds.
#[test]
fn one_more_task_costs_its_marginal() {
    for preset in [Preset::Released, Preset::Paper, Preset::Recommended] {
        for variant in [Variant::Base, Variant::Large, Variant::None] {
            let config = |tasks| ModelConfig {
                encoder: EncoderConfig::bert_base_cased(),
                method: MethodConfig::new(preset, variant),
                tasks: glue(tasks),
                max_length: 128,
                freeze: Default::default(),
            };
            let (eight, nine) = (
                ParameterReport::new(&config(8)).unwrap(),
                ParameterReport::new(&config(9)).unwrap(),
            );
            assert_eq!(
                nine.total - eight.total,
                eight.marginal_per_task,
                "{preset:?} {variant:?}"
            );
        }
    }
}

/// Each module can be switched off alone, and takes exactly its own parameters with it.
#[test]
fn modules_switch_off_one_by_one() {
    let config = |method| ModelConfig {
        encoder: EncoderConfig::bert_base_cased(),
        method,
        tasks: glue(8),
        max_length: 128,
        freeze: Default::default(),
    };
    let full = MethodConfig::new(Preset::Released, Variant::Base);
    let count = |method: MethodConfig| ParameterReport::new(&config(method)).unwrap();
    let all = count(full.clone());
    let without = count(MethodConfig {
        conditional_alignment: false,
        ..full.clone()
    });
    assert_eq!(all.total - without.total, 1_181_184);
    let without = count(MethodConfig {
        conditional_attention: false,
        ..full.clone()
    });
    assert_eq!(all.total - without.total, 439_824);
    // The adapter's own norm stays, without its generator.
    let without = count(MethodConfig {
        conditional_layer_norm: false,
        ..full.clone()
    });
    assert_eq!(all.total - without.total, 14_174_208 + 1_181_184);
    let without = count(MethodConfig {
        conditional_bottleneck: false,
        ..full.clone()
    });
    assert_eq!(all.total - without.total, 3_348_736);
    let none = count(MethodConfig::plain());
    assert_eq!(none.total, 108_310_272 + 12_304);
}
