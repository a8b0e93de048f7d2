//! The paper's grids: which runs each of them is made of, and the paper's own figures.
//!
//! A grid starts from one configuration and changes in each row what the paper's table changes, and nothing
//! else: encoder, data, learning rate and number of updates stay. Figures of the paper (Pilault et al., ICLR
//! 2021) are percentages on its own encoders, data and budgets.

use camtl_data::sampler::{
    Annealed, Proportional, SamplerConfig, ShuffledMix, SquareRoot, Uniform,
};
use camtl_data::task::TaskSpec;
use camtl_model::{Freeze, MethodConfig, Variant};
use camtl_trainer::RunConfig;
use serde::Serialize;

use crate::cli::GridName;
use crate::failure::Failure;

/// Figures that the paper has for a row, in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Paper {
    /// Average over tasks.
    pub(super) average: Option<f64>,
    /// Task σ.
    pub(super) task_sigma: Option<f64>,
    /// Data used.
    pub(super) data: Option<f64>,
}

/// A row of a grid.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// As the table shows it.
    pub(super) name: String,
    /// Its folder.
    pub(super) folder: &'static str,
    /// The configuration, but for seed and number of updates.
    pub(super) config: RunConfig,
    /// Whether every task is trained by itself, in runs that share the updates.
    pub(super) alone: bool,
    /// The paper's figures.
    pub(super) paper: Paper,
}

/// A grid.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    /// Its rows, in order.
    pub(super) rows: Vec<Row>,
    /// Rows that the paper has and that are not run here.
    pub(super) cited: Vec<(&'static str, Paper)>,
    /// What the paper's figures are about.
    pub(super) source: &'static str,
}

const fn paper(average: f64) -> Paper {
    Paper {
        average: Some(average),
        task_sigma: None,
        data: None,
    }
}

const UNKNOWN: Paper = Paper {
    average: None,
    task_sigma: None,
    data: None,
};

impl Grid {
    /// The grid called `name` around `base`, whose tasks are `specs` and whose encoder has `layers` layers.
    ///
    /// # Errors
    /// `base` is not what the grid needs.
    pub(super) fn new(
        name: GridName,
        base: &RunConfig,
        specs: &[TaskSpec],
        layers: i64,
    ) -> Result<Self, Failure> {
        if matches!(
            name,
            GridName::Ablation | GridName::Baselines | GridName::Sampling
        ) {
            require_full_method(base)?;
        }
        Ok(match name {
            GridName::Ablation => ablation(base),
            GridName::Baselines => baselines(base),
            GridName::Sampling => sampling(base),
            GridName::Freezing => freezing(base, layers),
            GridName::Scaling => scaling(base, specs)?,
        })
    }
}

/// These grids take parts away from the method, so the configuration must have all of them.
fn require_full_method(base: &RunConfig) -> Result<(), Failure> {
    let method = &base.model.method;
    let whole = method.conditional_alignment
        && method.conditional_attention
        && method.conditional_layer_norm
        && method.conditional_bottleneck
        && matches!(base.sampler, SamplerConfig::MtUncertainty(_));
    if whole {
        return Ok(());
    }
    Err(Failure::usage(anyhow::anyhow!(
        "this grid takes parts away from CA-MTL, and the configuration does not have all of them \
         (every conditional module, sampler.kind = \"mt-uncertainty\")"
    ))
    .hint("start from configs/glue-base.toml or configs/glue-minilm.toml"))
}

/// The plain encoder with one head per task.
fn plain(base: &RunConfig, sampler: SamplerConfig) -> RunConfig {
    let mut config = base.clone();
    config.model.method = MethodConfig {
        variant: Variant::None,
        conditional_alignment: false,
        conditional_attention: false,
        conditional_layer_norm: false,
        conditional_bottleneck: false,
        ..base.model.method.clone()
    };
    config.sampler = sampler;
    config
}

fn row(name: &str, folder: &'static str, config: RunConfig, paper: Paper) -> Row {
    Row {
        name: name.to_owned(),
        folder,
        config,
        alone: false,
        paper,
    }
}

/// One module after the other, then the sampler; the same layers frozen everywhere.
fn ablation(base: &RunConfig) -> Grid {
    let with = |attention: bool, bottleneck: bool, norms: bool| {
        let mut config = base.clone();
        config.model.method.conditional_attention = attention;
        config.model.method.conditional_bottleneck = bottleneck;
        config.model.method.conditional_layer_norm = norms;
        config.model.method.conditional_alignment = norms;
        config.sampler = SamplerConfig::from(Uniform {});
        config
    };
    let figures = |average, task_sigma, data| Paper {
        average: Some(average),
        task_sigma: Some(task_sigma),
        data: Some(data),
    };
    Grid {
        rows: vec![
            row(
                "multi-task",
                "multi-task",
                plain(base, SamplerConfig::from(Uniform {})),
                figures(80.61, 14.41, 100.0),
            ),
            row(
                "+ conditional attention",
                "attention",
                with(true, false, false),
                figures(82.41, 10.67, 100.0),
            ),
            row(
                "+ conditional bottleneck",
                "bottleneck",
                with(true, true, false),
                figures(82.90, 11.27, 100.0),
            ),
            row(
                "+ conditional alignment and layer norm",
                "layer-norm",
                with(true, true, true),
                figures(83.12, 10.91, 100.0),
            ),
            row(
                "+ MT-Uncertainty (CA-MTL)",
                "ca-mtl",
                base.clone(),
                figures(84.03, 10.02, 66.3),
            ),
        ],
        cited: Vec::new(),
        source: "BERT base on the development sets of GLUE, lower half frozen in all rows, one seed",
    }
}

/// One model per task, plain multi-task training, CA-MTL.
fn baselines(base: &RunConfig) -> Grid {
    let mut unfrozen = plain(base, SamplerConfig::from(ShuffledMix {}));
    unfrozen.model.freeze = Freeze::None;
    Grid {
        rows: vec![
            Row {
                alone: true,
                ..row(
                    "one model per task",
                    "single-task",
                    unfrozen.clone(),
                    paper(79.6),
                )
            },
            row("multi-task", "multi-task", unfrozen, paper(79.9)),
            row(
                "multi-task, frozen as CA-MTL",
                "multi-task-frozen",
                plain(base, SamplerConfig::from(ShuffledMix {})),
                UNKNOWN,
            ),
            row("CA-MTL", "ca-mtl", base.clone(), paper(80.9)),
        ],
        cited: vec![("PALs, annealed sampling", paper(80.4))],
        source: "BERT base on the test server of GLUE (not its development sets), one seed",
    }
}

/// The plain encoder under every way to choose tasks.
fn sampling(base: &RunConfig) -> Grid {
    let with = |name, folder, sampler, paper| row(name, folder, plain(base, sampler), paper);
    Grid {
        rows: vec![
            with(
                "every task equally often",
                "uniform",
                SamplerConfig::from(Uniform {}),
                UNKNOWN,
            ),
            with(
                "by size",
                "proportional",
                SamplerConfig::from(Proportional {}),
                UNKNOWN,
            ),
            with(
                "by the root of the size",
                "square-root",
                SamplerConfig::from(SquareRoot {}),
                UNKNOWN,
            ),
            with(
                "annealed",
                "annealed",
                SamplerConfig::from(Annealed {
                    steps_per_epoch: None,
                }),
                UNKNOWN,
            ),
            with(
                "shuffled mix",
                "shuffled-mix",
                SamplerConfig::from(ShuffledMix {}),
                UNKNOWN,
            ),
            with(
                "MT-Uncertainty",
                "mt-uncertainty",
                base.sampler.clone(),
                paper(82.2),
            ),
        ],
        cited: vec![("counterfactual estimation", paper(80.5))],
        source: "the best of 200,000 updates of BERT base without modules on the development sets of GLUE; the paper \
                 shows the others as curves",
    }
}

/// Nothing, a quarter and half of the layers frozen.
fn freezing(base: &RunConfig, layers: i64) -> Grid {
    let with = |name: &str, folder, frozen: i64, average| {
        let mut config = base.clone();
        config.model.freeze = match frozen {
            0 => Freeze::None,
            count => Freeze::Layers {
                first: 0,
                last: count - 1,
            },
        };
        row(name, folder, config, paper(average))
    };
    let quarter = (layers + 2) / 4;
    Grid {
        rows: vec![
            with("nothing frozen", "none", 0, 84.9),
            with(
                &format!("a quarter ({quarter} of {layers} layers)"),
                "quarter",
                quarter.max(1),
                85.1,
            ),
            with(
                &format!("half ({} of {layers} layers)", layers / 2),
                "half",
                (layers / 2).max(1),
                85.5,
            ),
        ],
        cited: vec![("half, full-block attention", paper(81.8))],
        source: "BERT large on the development sets of GLUE, five epochs, one seed",
    }
}

const GLUE: [&str; 9] = [
    "cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst-2", "sts-b", "wnli",
];
const SUPERGLUE: [&str; 8] = [
    "boolq",
    "cb",
    "copa",
    "multirc",
    "record",
    "rte-superglue",
    "wic",
    "wsc",
];

/// GLUE, then more tasks, with and without the method.
fn scaling(base: &RunConfig, specs: &[TaskSpec]) -> Result<Grid, Failure> {
    let group = |spec: &TaskSpec| match spec.name.as_str() {
        name if GLUE.contains(&name) => 0,
        name if SUPERGLUE.contains(&name) => 1,
        _ => 2,
    };
    let names = ["GLUE", "+ SuperGLUE", "+ all others"];
    let folders = [
        ["glue-multi-task", "glue-ca-mtl"],
        ["superglue-multi-task", "superglue-ca-mtl"],
        ["all-multi-task", "all-ca-mtl"],
    ];
    let mut rows = Vec::new();
    for (last, (name, [multi_task, ca_mtl])) in names.into_iter().zip(folders).enumerate() {
        if !specs.iter().any(|spec| group(spec) == last) {
            continue;
        }
        let mut config = base.clone();
        config.data.tasks = base
            .data
            .tasks
            .iter()
            .zip(specs)
            .filter(|(_, spec)| group(spec) <= last)
            .map(|(path, _)| path.clone())
            .collect();
        let names = specs.iter().filter(|spec| group(spec) <= last);
        config.keep_loss_weights(names.map(|spec| spec.name.as_str()));
        let count = config.data.tasks.len();
        rows.push(row(
            &format!("{name} ({count} tasks), multi-task"),
            multi_task,
            plain(&config, SamplerConfig::from(ShuffledMix {})),
            UNKNOWN,
        ));
        rows.push(row(
            &format!("{name} ({count} tasks), CA-MTL"),
            ca_mtl,
            config,
            UNKNOWN,
        ));
    }
    if rows.len() < 4 {
        return Err(Failure::usage(anyhow::anyhow!(
            "this grid goes from GLUE to more tasks, and the configuration has one of the groups only"
        ))
        .hint("start from configs/all-tasks-minilm.toml"));
    }
    Ok(Grid {
        rows,
        cited: Vec::new(),
        source: "BERT base, half frozen, up to 23 tasks: multi-task training lost 1.8 % from GLUE to all tasks, and \
                 CA-MTL ended about 4 % above it",
    })
}
