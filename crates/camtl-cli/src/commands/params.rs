//! `camtl params`: parameters from shapes alone.

use camtl_model::{ModelConfig, ParameterReport};
use camtl_trainer::{RunConfig, setup};
use serde_json::{Map, Value, json};

use crate::cli::ParamsArgs;
use crate::encoders;
use crate::failure::{Failure, Outcome, SUCCESS};
use crate::output;
use crate::table::{PlainTable, thousands};

/// Runs the command.
pub(crate) fn run(args: &ParamsArgs) -> Outcome {
    let config = RunConfig::from_file(&args.config, &args.set).map_err(Failure::usage)?;
    let specs = config.task_specs().map_err(Failure::usage)?;
    let model = ModelConfig {
        encoder: encoders::shapes_of(&config)?,
        method: config.model.method.clone(),
        tasks: specs.iter().map(setup::task_head).collect(),
        max_length: config.data.max_length,
        freeze: config.model.freeze.clone(),
    };
    let report = ParameterReport::new(&model).map_err(Failure::usage)?;
    if args.json {
        let text = serde_json::to_string_pretty(&as_json(&config.model.encoder, &report))?;
        output::result(&text)?;
    } else {
        output::result(&as_table(&config.model.encoder, &report))?;
    }
    Ok(SUCCESS)
}

fn as_json(encoder: &str, report: &ParameterReport) -> Value {
    let modules: Map<String, Value> = report
        .modules
        .iter()
        .map(|count| {
            (
                count.module.name().to_owned(),
                json!({"total": count.total, "trained": count.trained}),
            )
        })
        .collect();
    json!({
        "encoder": encoder,
        "tasks": report.tasks,
        "total": report.total,
        "trained": report.trained,
        "backbone": report.backbone,
        "backbone_trained": report.backbone_trained,
        "backbone_frozen_share": report.backbone_frozen_share(),
        "total_ratio": report.total_ratio,
        "trained_ratio": report.trained_ratio,
        "trained_per_task_percent": report.trained_per_task_percent,
        "marginal_per_task": report.marginal_per_task,
        "modules": modules,
    })
}

fn as_table(encoder: &str, report: &ParameterReport) -> String {
    let mut modules = PlainTable::new(["module", "parameters", "trained", "of backbone"]);
    let share = |count: u64| format!("{:.2} %", 100.0 * count as f64 / report.backbone as f64);
    for count in &report.modules {
        modules.row([
            count.module.name().to_owned(),
            thousands(count.total),
            thousands(count.trained),
            share(count.total),
        ]);
    }
    modules.rule();
    modules.row([
        "total".to_owned(),
        thousands(report.total),
        thousands(report.trained),
        share(report.total),
    ]);

    let mut figures = PlainTable::new(["figure", "value"]);
    let mut row = |name: &str, value: String| {
        figures.row([name.to_owned(), value]);
    };
    row("backbone (plain encoder)", thousands(report.backbone));
    row("total / backbone", format!("{:.3}", report.total_ratio));
    row("trained / backbone", format!("{:.3}", report.trained_ratio));
    row(
        "backbone frozen",
        format!("{:.1} %", 100.0 * report.backbone_frozen_share()),
    );
    row(
        "trained per task / backbone",
        format!("{:.2} %", report.trained_per_task_percent),
    );
    row(
        "one more binary task adds",
        thousands(report.marginal_per_task),
    );
    format!(
        "{encoder}, {} tasks\n\n{}\n{}",
        report.tasks,
        modules.render(),
        figures.render()
    )
}
