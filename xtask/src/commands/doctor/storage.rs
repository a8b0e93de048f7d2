//! Disk space, encoders and data sets that are there.

use std::fs;
use std::path::Path;

use super::{Check, Status};
use crate::datasets::catalogue::COLLECTIONS;
use crate::disk;
use crate::models;
use crate::workspace::human_bytes;

/// Room for a release build, test builds and a run's checkpoints.
const COMFORTABLE: u64 = 5_000_000_000;

pub(super) fn checks(root: &Path) -> Vec<Check> {
    vec![space(root), encoders(root), data(root)]
}

fn space(root: &Path) -> Check {
    match disk::free_bytes(root) {
        None => Check::new(
            "disk",
            Status::Warn,
            "df does not say how much is free",
            "check it by hand",
        ),
        Some(free) if free < COMFORTABLE => Check::new(
            "disk",
            if free < COMFORTABLE / 5 {
                Status::Error
            } else {
                Status::Warn
            },
            format!("{} free", human_bytes(free)),
            format!(
                "builds and runs want {}; `cargo clean` removes builds, .cache holds downloads",
                human_bytes(COMFORTABLE)
            ),
        ),
        Some(free) => Check::ok("disk", format!("{} free", human_bytes(free))),
    }
}

fn encoders(root: &Path) -> Check {
    let folder = root.join("models");
    let mut found = Vec::new();
    for name in names(&folder) {
        if models::is_complete(&folder.join(&name)) {
            found.push(name);
            continue;
        }
        for inner in names(&folder.join(&name)) {
            if models::is_complete(&folder.join(&name).join(&inner)) {
                found.push(format!("{name}/{inner}"));
            }
        }
    }
    if found.is_empty() {
        return Check::new(
            "encoders",
            Status::Note,
            "none in models/ (quickstart needs none; train fetches the one it needs)",
            format!("cargo xtask download model {}", models::MINILM),
        );
    }
    Check::ok("encoders", found.join(", "))
}

fn data(root: &Path) -> Check {
    let folder = root.join("data");
    let mut found = Vec::new();
    for collection in COLLECTIONS {
        let here = collection
            .sets
            .iter()
            .filter(|s| {
                s.files
                    .iter()
                    .all(|f| folder.join(s.folder).join(f).is_file())
            })
            .count();
        if here > 0 {
            found.push(format!(
                "{} ({here} of {})",
                collection.name,
                collection.sets.len()
            ));
        }
    }
    if found.is_empty() {
        return Check::new(
            "data",
            Status::Note,
            "no data set in data/ (quickstart needs none)",
            "cargo xtask download glue",
        );
    }
    Check::ok("data", found.join(", "))
}

/// Names of the visible entries of a folder, sorted; none if it is not there.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|n| !n.starts_with('.'))
        .collect();
    names.sort();
    names
}
