//! The committed table of registers, and how a compilation compares with it.
//!
//! A kernel that takes more registers than it did has fewer blocks on a multiprocessor; nothing
//! fails, it only becomes slower. Without a GPU the table is what notices.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::resources::{Report, Resources};
use crate::disk;
use crate::error::OrHint as _;
use crate::workspace::shown;

/// Registers allowed, by kernel and architecture.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    registers: BTreeMap<String, BTreeMap<String, u32>>,
}

/// One row of the comparison.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The kernel instance.
    pub kernel: String,
    /// The architecture.
    pub arch: String,
    /// What it takes now.
    pub resources: Resources,
    /// What the table allows; `None` if it does not know the kernel.
    pub allowed: Option<u32>,
}

impl Row {
    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<String> {
        let Resources {
            registers,
            stack,
            spills,
        } = self.resources;
        if spills > 0 {
            return Some(format!("{spills} bytes spilled"));
        }
        if stack > 0 {
            return Some(format!("{stack} bytes of stack"));
        }
        match self.allowed {
            None => Some("not in the table".into()),
            Some(allowed) if registers > allowed => {
                Some(format!("{registers} registers, allowed {allowed}"))
            }
            Some(_) => None,
        }
    }
}

impl Table {
    /// Reads the table; a missing file is an empty table.
    ///
    /// # Errors
    /// If it cannot be read or has another form.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text)
                .with_context(|| format!("cannot read {}", shown(path)))
                .or_hint(|| {
                    "restore it from git, or make it anew with `cargo xtask kernels --record`"
                        .into()
                }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", shown(path))),
        }
    }

    /// The table of what a compilation took.
    pub fn of(report: &Report) -> Self {
        let mut table = Self::default();
        for ((arch, kernel), resources) in report {
            table
                .registers
                .entry(kernel.clone())
                .or_default()
                .insert(arch.clone(), resources.registers);
        }
        table
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = String::from(
            "# Registers per thread, at most, of every kernel instance. Checked by\n\
             # `cargo xtask kernels --check`; written by `cargo xtask kernels --record`.\n\n[registers]\n",
        );
        for (kernel, archs) in &self.registers {
            let cells: Vec<String> = archs
                .iter()
                .map(|(arch, n)| format!("{arch} = {n}"))
                .collect();
            text.push_str(&format!("\"{kernel}\" = {{ {} }}\n", cells.join(", ")));
        }
        disk::write_atomically(path, text.as_bytes())
    }

    /// Compares; also names kernels of the table that were not compiled.
    pub fn compare(&self, report: &Report) -> (Vec<Row>, Vec<String>) {
        let mut rows: Vec<Row> = report
            .iter()
            .map(|((arch, kernel), resources)| Row {
                kernel: kernel.clone(),
                arch: arch.clone(),
                resources: *resources,
                allowed: self
                    .registers
                    .get(kernel)
                    .and_then(|a| a.get(arch))
                    .copied(),
            })
            .collect();
        rows.sort_by(|a, b| (&a.kernel, &a.arch).cmp(&(&b.kernel, &b.arch)));
        let gone = self
            .registers
            .keys()
            .filter(|kernel| !report.keys().any(|(_, k)| k == *kernel))
            .cloned()
            .collect();
        (rows, gone)
    }
}

/// The rows as a table: one line a kernel, one column an architecture.
pub fn render(rows: &[Row]) -> String {
    let archs: Vec<&str> = {
        let mut all: Vec<&str> = rows.iter().map(|r| r.arch.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let mut kernels: Vec<&str> = rows.iter().map(|r| r.kernel.as_str()).collect();
    kernels.dedup();
    let width = kernels.iter().map(|k| k.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}", "registers per thread");
    for arch in &archs {
        text.push_str(&format!("  {arch:>6}"));
    }
    text.push('\n');
    for kernel in kernels {
        text.push_str(&format!("{kernel:width$}"));
        let mut faults = Vec::new();
        for arch in &archs {
            match rows.iter().find(|r| r.kernel == kernel && r.arch == *arch) {
                Some(row) => {
                    text.push_str(&format!("  {:>6}", row.resources.registers));
                    faults.extend(row.fault().map(|f| format!("{arch}: {f}")));
                }
                None => text.push_str(&format!("  {:>6}", "-")),
            }
        }
        if !faults.is_empty() {
            text.push_str(&format!("   << {}", faults.join("; ")));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(registers: u32, stack: u32, spills: u32) -> Report {
        [(
            ("sm_90".to_owned(), "k<64>".to_owned()),
            Resources {
                registers,
                stack,
                spills,
            },
        )]
        .into()
    }

    #[test]
    fn more_registers_spills_and_stack_are_faults_and_fewer_are_not() {
        let table = Table::of(&report(100, 0, 0));
        let fault = |r: &Report| table.compare(r).0[0].fault();
        assert_eq!(fault(&report(100, 0, 0)), None);
        assert_eq!(fault(&report(90, 0, 0)), None);
        assert!(fault(&report(101, 0, 0)).is_some_and(|f| f.contains("allowed 100")));
        assert!(fault(&report(90, 0, 4)).is_some_and(|f| f.contains("spilled")));
        assert!(fault(&report(90, 8, 0)).is_some_and(|f| f.contains("stack")));
        assert!(
            Table::default().compare(&report(1, 0, 0)).0[0]
                .fault()
                .is_some()
        );
    }

    #[test]
    fn the_table_survives_saving_and_names_what_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("registers.toml");
        assert_eq!(Table::load(&path).expect("empty"), Table::default());
        let table = Table::of(&report(77, 0, 0));
        table.save(&path).expect("saved");
        assert_eq!(Table::load(&path).expect("read"), table);
        assert_eq!(table.compare(&Report::new()).1, ["k<64>"]);
        std::fs::write(&path, "[registers]\n\"k\" = 3\n").expect("written");
        assert!(Table::load(&path).is_err());
    }

    #[test]
    fn faults_stand_beside_their_kernel() {
        let (rows, _) = Table::default().compare(&report(12, 0, 0));
        let text = render(&rows);
        assert!(
            text.contains("k<64>") && text.contains("<< sm_90: not in the table"),
            "{text}"
        );
    }
}
