//! What ptxas says about a kernel: registers, stack, spills.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::error::failure;

/// Resources of one kernel instance on one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Registers per thread.
    pub registers: u32,
    /// Bytes of local-memory stack per thread.
    pub stack: u32,
    /// Bytes of registers written to and read from local memory.
    pub spills: u32,
}

/// Resources by architecture (`sm_90`) and kernel.
pub type Report = BTreeMap<(String, String), Resources>;

/// Reads the output of `nvcc -Xptxas -v`; kernels have their mangled names.
///
/// ```
/// let text = "\
/// ptxas info    : Compiling entry function '_Z1kPf' for 'sm_90'
/// ptxas info    : Function properties for _Z1kPf
///     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 32 registers, used 1 barriers
/// ";
/// let report = xtask::kernels::resources::parse(text)?;
/// assert_eq!(report[&("sm_90".into(), "_Z1kPf".into())].registers, 32);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If a line about a kernel has another form than known, or lacks one of the figures: an unread
/// figure must not count as none.
pub fn parse(text: &str) -> anyhow::Result<Report> {
    let mut report = Report::new();
    let mut current: Option<((String, String), Resources, bool)> = None;
    for line in text.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            close(&mut report, current.take())?;
            let mut parts = rest.split('\'');
            let (Some(name), Some(arch)) = (parts.next(), parts.nth(1)) else {
                anyhow::bail!("cannot read ptxas's line `{line}`");
            };
            current = Some(((arch.into(), name.into()), Resources::default(), false));
        } else if line.contains("bytes stack frame") {
            let numbers: Vec<u32> = line
                .split(',')
                .map(|part| {
                    part.split_whitespace()
                        .next()
                        .and_then(|n| n.parse().ok())
                        .with_context(|| format!("cannot read ptxas's line `{line}`"))
                })
                .collect::<anyhow::Result<_>>()?;
            let [stack, stores, loads] = numbers[..] else {
                anyhow::bail!("cannot read ptxas's line `{line}`");
            };
            if let Some((_, resources, known)) = &mut current {
                resources.stack = stack;
                resources.spills = stores + loads;
                *known = true;
            }
        } else if let Some(rest) = line.split(": Used ").nth(1)
            && let Some((_, resources, _)) = &mut current
        {
            resources.registers = rest
                .split_whitespace()
                .next()
                .and_then(|n| n.parse().ok())
                .with_context(|| format!("cannot read ptxas's line `{line}`"))?;
        }
    }
    close(&mut report, current)?;
    Ok(report)
}

fn close(
    report: &mut Report,
    entry: Option<((String, String), Resources, bool)>,
) -> anyhow::Result<()> {
    let Some((key, resources, known)) = entry else {
        return Ok(());
    };
    anyhow::ensure!(
        known && resources.registers > 0,
        "ptxas said nothing about the resources of {} for {}",
        key.1,
        key.0
    );
    report.insert(key, resources);
    Ok(())
}

/// The report with names as people write them: `attention_forward_kernel<64, 128, 4, false>`.
///
/// # Errors
/// If `c++filt` of binutils cannot be run.
pub fn readable(report: Report) -> anyhow::Result<Report> {
    let mut filter = Command::new("c++filt")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            failure(
                format!("cannot run c++filt: {error}"),
                "install binutils (Debian and Ubuntu: apt install binutils); the C++ compiler needs it too",
            )
        })?;
    let names: Vec<&str> = report.keys().map(|(_, name)| name.as_str()).collect();
    let input = names.join("\n") + "\n";
    let mut stdin = filter.stdin.take().context("c++filt has no input")?;
    // On another thread: c++filt answers while it reads, and full pipes would block both.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = filter.wait_with_output().context("c++filt failed")?;
    let _ = writer.join();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names: Vec<String> = text.lines().map(short_name).collect();
    anyhow::ensure!(
        names.len() == report.len(),
        "c++filt answered {} names for {}",
        names.len(),
        report.len()
    );
    Ok(report
        .into_iter()
        .zip(names)
        .map(|(((arch, _), resources), name)| ((arch, name), resources))
        .collect())
}

/// Without return type, namespace and parameters.
fn short_name(demangled: &str) -> String {
    let name = demangled.strip_prefix("void ").unwrap_or(demangled);
    // The parameter list is the last bracketed part at depth 0 of the template brackets.
    let mut depth = 0;
    let mut end = name.len();
    for (at, c) in name.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            '(' if depth == 0 => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    name[..end].replace("camtl::", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_to_what_tells_instances_apart() {
        assert_eq!(
            short_name("void camtl::k<camtl::bf16, 4, false>(camtl::Row<float>, int)"),
            "k<bf16, 4, false>"
        );
        assert_eq!(short_name("camtl::plain(float*)"), "plain");
    }

    #[test]
    fn missing_figures_are_an_error() {
        let text = "ptxas info    : Compiling entry function '_Z1k' for 'sm_80'\n";
        assert!(parse(text).is_err());
    }

    #[test]
    fn spills_are_read() {
        let text = "\
ptxas info    : Compiling entry function '_Z1k' for 'sm_80'
ptxas info    : Function properties for _Z1k
    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 8 bytes cumulative stack size
";
        let report = parse(text).expect("readable");
        let resources = report[&("sm_80".into(), "_Z1k".into())];
        assert_eq!(
            (resources.registers, resources.stack, resources.spills),
            (255, 16, 32)
        );
    }
}
