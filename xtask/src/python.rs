//! The user's Python: found, checked, and its pip driven with hashes.
//!
//! pip fetches the wheels because it honours the user's mirror, proxy and certificates; which file
//! is acceptable is decided here, by SHA-256, so the version of Python does not matter.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::disk::{self, writing};
use crate::error::{OrHint as _, failure};
use crate::hash;
use crate::workspace::shown;

/// A Python interpreter that started.
#[derive(Debug, Clone)]
pub struct Python {
    /// What was run: `$PYTHON`, `python3` or `python`.
    pub program: PathBuf,
    /// Its version, e.g. `3.11.7`.
    pub version: String,
}

/// The oldest Python whose pip knows `--require-hashes` and platform tags as used here.
const OLDEST: (u32, u32) = (3, 8);

impl Python {
    /// Finds `$PYTHON`, or else `python3` or `python`.
    ///
    /// # Errors
    /// If none starts, or it is too old.
    pub fn find() -> anyhow::Result<Self> {
        if let Some(program) = std::env::var_os("PYTHON").filter(|p| !p.is_empty()) {
            return Self::named(Path::new(&program), "PYTHON");
        }
        let mut error = None;
        for name in ["python3", "python"] {
            match Self::probe(Path::new(name)) {
                Ok(python) => return Ok(python),
                Err(e) => error = error.or(Some(e)),
            }
        }
        Err(error.unwrap_or_else(|| anyhow::anyhow!("no Python"))).or_hint(|| {
            "install Python 3 with pip (Debian and Ubuntu: apt install python3 python3-pip), \
             or set PYTHON to one"
                .into()
        })
    }

    /// The Python that the environment variable `variable` names.
    ///
    /// # Errors
    /// If it does not start, or it is too old.
    pub fn named(program: &Path, variable: &str) -> anyhow::Result<Self> {
        Self::probe(program).or_hint(|| {
            format!(
                "{variable} is set in the environment: set it to a Python {}.{} or newer, or unset it",
                OLDEST.0, OLDEST.1
            )
        })
    }

    fn probe(program: &Path) -> anyhow::Result<Self> {
        let output = Command::new(program)
            .args(["-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run Python as `{}`", program.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let mut numbers = version.split('.').map(|n| n.parse::<u32>().ok());
        let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) else {
            anyhow::bail!(
                "`{}` is not a Python 3 ({})",
                program.display(),
                last_lines(&output.stderr, 1)
            );
        };
        if (major, minor) < OLDEST {
            anyhow::bail!(
                "`{}` is Python {version}, and {}.{} or newer is needed",
                program.display(),
                OLDEST.0,
                OLDEST.1
            );
        }
        Ok(Self {
            program: program.to_path_buf(),
            version,
        })
    }

    /// pip's version, e.g. `23.2.1`.
    ///
    /// # Errors
    /// If this Python has no pip.
    pub fn pip_version(&self) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .args(["-m", "pip", "--version"])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run `{} -m pip`", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match text.split_whitespace().nth(1) {
            Some(version) if output.status.success() => Ok(version.to_owned()),
            _ => Err(failure(
                format!(
                    "Python {} (`{}`) has no pip: {}",
                    self.version,
                    self.program.display(),
                    last_lines(&output.stderr, 1)
                ),
                "install pip (Debian and Ubuntu: apt install python3-pip; else `python3 -m ensurepip`), \
                 or set PYTHON to a Python that has it",
            )),
        }
    }

    /// Runs a short program and returns what it prints.
    ///
    /// # Errors
    /// If it does not start or fails; the message has the end of its standard error.
    pub fn eval(&self, code: &str, args: &[&Path]) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .arg("-c")
            .arg(code)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run `{}`", self.program.display()))?;
        anyhow::ensure!(output.status.success(), "{}", last_lines(&output.stderr, 1));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Makes sure the wheel of `requirement` lies in `folder`, and returns its path.
    ///
    /// A wheel that is already there with the right hash is used as it is, so an interrupted set-up
    /// continues where it stopped.
    ///
    /// # Errors
    /// If pip cannot fetch it, or what it fetched has another hash.
    pub fn wheel(&self, requirement: &Requirement, folder: &Path) -> anyhow::Result<PathBuf> {
        writing(fs::create_dir_all(folder), folder)?;
        if let Some(path) = requirement.find_in(folder)? {
            return Ok(path);
        }
        let list = folder.join(format!(".{}.txt", requirement.name));
        disk::write_atomically(&list, format!("{}\n", requirement.line()).as_bytes())?;
        let mut command = Command::new(&self.program);
        command
            .args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--disable-pip-version-check",
            ])
            .args(["--only-binary=:all:", "--require-hashes"])
            .args([
                "--python-version",
                "3.11",
                "--implementation",
                "cp",
                "--abi",
                "cp311",
                "--abi",
                "none",
            ]);
        for platform in PLATFORMS {
            command.arg("--platform").arg(platform);
        }
        command.arg("-r").arg(&list).arg("-d").arg(folder);
        let outcome = run_to_stderr(command);
        let _ = fs::remove_file(&list);
        let (success, stderr) =
            outcome.with_context(|| format!("cannot run `{} -m pip`", self.program.display()))?;
        if !success {
            return Err(explain_pip(requirement, &stderr));
        }
        requirement.find_in(folder)?.ok_or_else(|| {
            anyhow::anyhow!(
                "pip downloaded {}=={}, but no wheel in {} has the SHA-256 {}",
                requirement.name,
                requirement.version,
                shown(folder),
                requirement.sha256
            )
        })
    }
}

/// The platform tags of the pinned wheels. The newest first, as pip ranks them; all are below what
/// libtorch itself needs (glibc 2.28).
const PLATFORMS: [&str; 8] = [
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_25_x86_64",
    "manylinux_2_18_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux_2_12_x86_64",
    "manylinux_2_5_x86_64",
    "manylinux2014_x86_64",
];

/// One line of a lock file: `name==version --hash=sha256:...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The distribution's name.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// The wheel's SHA-256.
    pub sha256: String,
}

impl Requirement {
    /// Reads a lock file: one requirement a line, `#` starts a comment.
    ///
    /// ```
    /// let hash = "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a";
    /// let text = format!("# libtorch\ntorch==2.11.0 --hash=sha256:{hash}\n");
    /// let list = xtask::python::Requirement::parse_list(&text, "libtorch-cpu.txt")?;
    /// assert_eq!((list[0].name.as_str(), list[0].version.as_str()), ("torch", "2.11.0"));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a line has another form; the message names `origin` and the line.
    pub fn parse_list(text: &str, origin: &str) -> anyhow::Result<Vec<Self>> {
        let mut list = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let parsed = line.split_once(" --hash=sha256:").and_then(|(pin, hash)| {
                let (name, version) = pin.trim().split_once("==")?;
                let sha256 = hash.trim().to_owned();
                hash::is_sha256(&sha256).then(|| Self {
                    name: name.into(),
                    version: version.into(),
                    sha256,
                })
            });
            list.push(parsed.with_context(|| {
                format!(
                    "{origin}, line {}: expected `name==version --hash=sha256:HEX`, found `{line}`",
                    number + 1
                )
            })?);
        }
        anyhow::ensure!(!list.is_empty(), "{origin} names no package");
        Ok(list)
    }

    fn line(&self) -> String {
        format!(
            "{}=={} --hash=sha256:{}",
            self.name, self.version, self.sha256
        )
    }

    /// The wheel in `folder` that has this requirement's name, version and hash.
    fn find_in(&self, folder: &Path) -> anyhow::Result<Option<PathBuf>> {
        let prefix = format!("{}-{}-", self.name.replace('-', "_"), self.version);
        let entries =
            fs::read_dir(folder).with_context(|| format!("cannot list {}", shown(folder)))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot list {}", shown(folder)))?
                .path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with(&prefix) && name.ends_with(".whl") {
                let found = hash::of_file(&path)
                    .with_context(|| format!("cannot read {}", shown(&path)))?;
                if found == self.sha256 {
                    return Ok(Some(path));
                }
                // A leftover of another version of the lock file, or cut off: pip would stumble on it.
                disk::remove_if_there(&path)?;
            }
        }
        Ok(None)
    }
}

/// Runs a command with its output on our standard error, which is also returned for diagnosis.
fn run_to_stderr(mut command: Command) -> std::io::Result<(bool, String)> {
    // Standard output belongs to the program that is started in the end (think `predict > labels`).
    command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut seen = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            eprintln!("{line}");
            seen.push_str(&line);
            seen.push('\n');
        }
    }
    Ok((child.wait()?.success(), seen))
}

/// Turns pip's own words into what failed and what to do.
fn explain_pip(requirement: &Requirement, stderr: &str) -> anyhow::Error {
    let what = format!(
        "pip could not download {}=={}",
        requirement.name, requirement.version
    );
    let any = |needles: &[&str]| needles.iter().any(|n| stderr.contains(n));
    if any(&["DO NOT MATCH THE HASHES", "HashMismatch"]) {
        return failure(
            format!(
                "{what}: the file it got has another SHA-256 than the pinned {}",
                requirement.sha256
            ),
            "the index or mirror serves a different file; try the official index (pip config list shows \
             the one in use), and do not use this file",
        );
    }
    if any(&["No space left on device", "Errno 28"]) {
        return failure(
            format!("{what}: the disk is full"),
            "free some space (pip also needs it in its temporary folder, TMPDIR), then run the same \
             command again; wheels that are complete are kept",
        );
    }
    let unreachable = [
        "NewConnectionError",
        "Temporary failure in name resolution",
        "Failed to establish a new connection",
        "ProxyError",
        "Connection refused",
        "ConnectTimeoutError",
        "Read timed out",
        "ReadTimeoutError",
        "SSLError",
        "CERTIFICATE_VERIFY_FAILED",
        "Network is unreachable",
    ];
    if any(&unreachable) {
        return failure(
            format!("{what}: the package index cannot be reached"),
            "check the network; behind a proxy set HTTPS_PROXY, with a mirror set PIP_INDEX_URL, with own \
             certificates set PIP_CERT; without any network, copy the wheel to a folder and set \
             PIP_FIND_LINKS to it",
        );
    }
    if any(&["No matching distribution", "Could not find a version"]) {
        return failure(
            format!("{what}: the package index in use does not have it, or cannot be reached"),
            "pip config list shows the index in use; it must carry PyPI's linux x86_64 wheels; \
             with a mirror set PIP_INDEX_URL, behind a proxy HTTPS_PROXY",
        );
    }
    failure(
        format!("{what}; its own words are above"),
        "run the same command again once that is mended",
    )
}

/// The last non-empty lines of some output, joined.
fn last_lines(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::render;

    fn requirement() -> Requirement {
        Requirement {
            name: "torch".into(),
            version: "2.11.0".into(),
            sha256: "a".repeat(64),
        }
    }

    #[test]
    fn lock_files_are_strict() {
        for bad in [
            "torch==2.11.0",
            "torch --hash=sha256:00",
            "torch==1 --hash=sha256:xyz",
            "",
        ] {
            assert!(Requirement::parse_list(bad, "f").is_err(), "{bad}");
        }
        let error = Requirement::parse_list("# c\n\ntorch", "lock.txt").expect_err("bad line");
        assert!(
            error.to_string().starts_with("lock.txt, line 3:"),
            "{error}"
        );
    }

    #[test]
    fn pips_words_become_remedies() {
        for (stderr, expected) in [
            (
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
                "another SHA-256",
            ),
            (
                "OSError: [Errno 28] No space left on device",
                "the disk is full",
            ),
            (
                "NewConnectionError('<pip...>: Failed to establish a new connection",
                "cannot be reached",
            ),
            (
                "ERROR: No matching distribution found for torch==2.11.0",
                "does not have it",
            ),
            ("something else", "own words are above"),
        ] {
            let text = render(&explain_pip(&requirement(), stderr));
            assert!(text.contains(expected) && text.contains("hint: "), "{text}");
            assert!(text.contains("torch==2.11.0"), "{text}");
        }
    }
}
