//! nvcc on every `.cu` file, several at once, with what is unchanged taken from the last run.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

use super::resources::{self, Report};
use crate::disk::{self, writing};
use crate::error::failure;
use crate::hash;
use crate::workspace::shown;

/// Architectures with machine code of their own: sm_80 also runs on 8.6 and 8.9.
pub const ARCHITECTURES: [u32; 2] = [80, 90];

/// One compiled file.
#[derive(Debug)]
pub struct Unit {
    /// The source's name without folder and ending.
    pub name: String,
    /// Host object with the device code in it.
    pub object: PathBuf,
    /// What ptxas said.
    pub report: Report,
}

/// How the kernels are compiled.
#[derive(Debug)]
pub struct Compilation {
    /// The compiler.
    pub nvcc: PathBuf,
    /// Sources (`*.cu` in it, headers anywhere below).
    pub sources: PathBuf,
    /// Where objects are kept.
    pub cache: PathBuf,
}

impl Compilation {
    /// Compiles every file, at most one per core at a time.
    ///
    /// # Errors
    /// If nvcc cannot be run or refuses a file; its own words are in the message.
    pub fn run(&self) -> anyhow::Result<Vec<Unit>> {
        writing(fs::create_dir_all(&self.cache), &self.cache)?;
        let inputs = self.fingerprint()?;
        let files = self.files()?;
        let queue: Mutex<VecDeque<(usize, PathBuf)>> =
            Mutex::new(files.into_iter().enumerate().collect());
        let results: Mutex<BTreeMap<usize, anyhow::Result<Unit>>> = Mutex::default();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let job = queue
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .pop_front();
                        let Some((index, file)) = job else { return };
                        let unit = self.unit(&file, &inputs);
                        results
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(index, unit);
                    }
                });
            }
        });
        results
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .into_values()
            .collect()
    }

    fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let entries = fs::read_dir(&self.sources)
            .with_context(|| format!("cannot list {}", shown(&self.sources)))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot list {}", shown(&self.sources)))?
                .path();
            if path.extension().is_some_and(|e| e == "cu") {
                files.push(path);
            }
        }
        files.sort();
        anyhow::ensure!(!files.is_empty(), "no .cu file in {}", shown(&self.sources));
        Ok(files)
    }

    /// Hash of everything an object depends on beside its own file: headers, flags, compiler.
    fn fingerprint(&self) -> anyhow::Result<String> {
        let version = self.output(Command::new(&self.nvcc).arg("--version"))?;
        let mut text = format!("{version}\n{:?}\n", self.flags());
        let mut folders = VecDeque::from([self.sources.clone()]);
        while let Some(folder) = folders.pop_front() {
            let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
                .with_context(|| format!("cannot list {}", shown(&folder)))?
                .map(|e| e.map(|e| e.path()))
                .collect::<Result<_, _>>()
                .with_context(|| format!("cannot list {}", shown(&folder)))?;
            paths.sort();
            for path in paths {
                if path.is_dir() {
                    // The glue's headers are no business of the kernels.
                    if path.file_name().is_none_or(|n| n != "plugin") {
                        folders.push_back(path);
                    }
                } else if path.extension().is_some_and(|e| e == "cuh" || e == "h") {
                    let hash = hash::of_file(&path)
                        .with_context(|| format!("cannot read {}", shown(&path)))?;
                    text.push_str(&format!("{} {hash}\n", path.display()));
                }
            }
        }
        Ok(text)
    }

    fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = ["-O3", "-std=c++17", "-Xptxas", "-v", "--compress-mode=size"]
            .map(String::from)
            .into();
        // Only the plugin's own table is visible outside it.
        flags.extend(["-Xcompiler", "-fPIC,-fvisibility=hidden"].map(String::from));
        for arch in ARCHITECTURES {
            flags.push(format!("-gencode=arch=compute_{arch},code=sm_{arch}"));
        }
        // Newer GPUs compile this form when they load it.
        let newest = ARCHITECTURES[ARCHITECTURES.len() - 1];
        flags.push(format!(
            "-gencode=arch=compute_{newest},code=compute_{newest}"
        ));
        if let Some(cxx) = std::env::var("CXX").ok().filter(|c| !c.is_empty()) {
            flags.extend(["-ccbin".into(), cxx]);
        }
        flags
    }

    fn unit(&self, file: &Path, inputs: &str) -> anyhow::Result<Unit> {
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let own = hash::of_file(file).with_context(|| format!("cannot read {}", shown(file)))?;
        let (key, _) = hash::of_reader(format!("{inputs}{own}").as_bytes())?;
        let object = self.cache.join(format!("{name}-{}.o", &key[..16]));
        let said = object.with_extension("txt");
        let text = match fs::read_to_string(&said) {
            // The text is written last, so where it is the object is whole.
            Ok(text) if object.is_file() => text,
            _ => {
                eprintln!("compiling {}", shown(file));
                let text = self.compile(file, &object)?;
                disk::write_atomically(&said, text.as_bytes())?;
                text
            }
        };
        let report =
            resources::parse(&text).with_context(|| format!("compiling {}", shown(file)))?;
        Ok(Unit {
            name,
            object,
            report,
        })
    }

    fn compile(&self, file: &Path, object: &Path) -> anyhow::Result<String> {
        let partial = object.with_extension(format!("{}.o", std::process::id()));
        let mut command = Command::new(&self.nvcc);
        command
            .args(self.flags())
            .arg("-I")
            .arg(self.sources.join("platform"))
            .arg("-I")
            .arg(&self.sources)
            .arg("-c")
            .arg(file)
            .arg("-o")
            .arg(&partial);
        let text = self.output(&mut command)?;
        fs::rename(&partial, object)
            .with_context(|| format!("cannot rename {} to {}", shown(&partial), shown(object)))?;
        Ok(text)
    }

    /// Standard output and error of a run of nvcc.
    fn output(&self, command: &mut Command) -> anyhow::Result<String> {
        let output = command.stdin(Stdio::null()).output().map_err(|error| {
            failure(
                format!("cannot run {}: {error}", self.nvcc.display()),
                "`cargo xtask setup --cuda` fetches the compiler; CAMTL_NVCC names another nvcc",
            )
        })?;
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if output.status.success() {
            return Ok(text);
        }
        let lines: Vec<&str> = text.lines().filter(|l| !l.contains("ptxas info")).collect();
        let hint = if text.contains("unsupported GNU version") || text.contains("host compiler") {
            "nvcc 13.0 takes gcc up to 15; CXX names the host compiler to use"
        } else {
            "nvcc's own words are above"
        };
        Err(failure(
            format!(
                "{} failed ({}):\n{}",
                self.nvcc.display(),
                output.status,
                lines.join("\n")
            ),
            hint,
        ))
    }
}
