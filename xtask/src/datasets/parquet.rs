//! GLUE from Parquet files: those of the hub, of a mirror of its repository, or of a folder.
//!
//! The program `glue-tables` makes the official tables of them. It is built when it is first needed, because
//! its Parquet reader takes longer to build than all of `xtask`.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::obtain::{Origin, note_local};
use super::record::{Entry, SourceEntry};
use crate::cargo;
use crate::disk::{self, writing};
use crate::error::failure;
use crate::fetch::{Fetcher, Request, progress};
use crate::hub::{Hub, Kind, Repository};
use crate::workspace::{human_bytes, root, shown};

/// The repository on the hub.
const REPOSITORY: &str = "nyu-mll/glue";

/// Which Parquet files, and what converts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parquet {
    /// The hub that is asked where no mirror and no folder is named.
    pub hub: Hub,
    /// Branch, tag or commit on it.
    pub revision: String,
    /// The program that makes the tables.
    pub converter: Converter,
}

/// Where the program `glue-tables` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Converter {
    /// Built by cargo when it is first needed.
    Built,
    /// There already.
    At(PathBuf),
}

/// A data set: its name in the catalogue, the folder of its Parquet files, and which split becomes which table.
struct Set(
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const USUAL: &[(&str, &str)] = &[
    ("train", "train.tsv"),
    ("validation", "dev.tsv"),
    ("test", "test.tsv"),
];

const SETS: [Set; 10] = [
    Set("CoLA", "cola", USUAL),
    Set("SST-2", "sst2", USUAL),
    Set("MRPC", "mrpc", USUAL),
    Set("STS-B", "stsb", USUAL),
    Set("QQP", "qqp", USUAL),
    Set(
        "MNLI",
        "mnli",
        &[
            ("train", "train.tsv"),
            ("validation_matched", "dev_matched.tsv"),
            ("validation_mismatched", "dev_mismatched.tsv"),
            ("test_matched", "test_matched.tsv"),
            ("test_mismatched", "test_mismatched.tsv"),
        ],
    ),
    Set("QNLI", "qnli", USUAL),
    Set("RTE", "rte", USUAL),
    Set("WNLI", "wnli", USUAL),
    Set("diagnostic", "ax", &[("test", "diagnostic.tsv")]),
];

impl Set {
    /// The Parquet file of each table.
    fn sources(&self) -> Vec<String> {
        let Self(_, config, tables) = self;
        tables
            .iter()
            .map(|(split, _)| format!("{config}/{split}-00000-of-00001.parquet"))
            .collect()
    }
}

/// The source of one command; the hub is asked for its list, and the program built, when they are first needed.
pub(super) struct ParquetSource<'a> {
    parquet: &'a Parquet,
    origin: &'a Origin,
    fetcher: &'a Fetcher,
    repository: OnceCell<Repository>,
    program: OnceCell<PathBuf>,
}

impl<'a> ParquetSource<'a> {
    pub(super) fn new(parquet: &'a Parquet, origin: &'a Origin, fetcher: &'a Fetcher) -> Self {
        Self {
            parquet,
            origin,
            fetcher,
            repository: OnceCell::new(),
            program: OnceCell::new(),
        }
    }

    /// Makes the tables of the data set `name` in `staged`; what is downloaded for them is kept in `work`
    /// until they are there.
    pub(super) fn fill(
        &self,
        name: &str,
        work: &Path,
        staged: &Path,
        entry: &mut Entry,
    ) -> anyhow::Result<()> {
        let set = (SETS.iter())
            .find(|set| set.0 == name)
            .with_context(|| format!("it is not known how {name} is made from Parquet files"))?;
        let sources = set.sources();
        let paths = match self.origin {
            Origin::Official => self.fetch_from_hub(name, &sources, work, entry)?,
            Origin::Mirror(base) => self.fetch_from_mirror(base, &sources, work, entry)?,
            Origin::Folder(folder) => found_in_folder(name, folder, &sources, entry)?,
        };
        let program = self.program()?;
        let bar = progress::counter(&format!("converting {name}"));
        let converted = (set.2.iter().zip(&paths)).try_for_each(|((_, table), path)| {
            let target = staged.join(table);
            convert(program, name, table, path, &target)?;
            bar.inc(fs::metadata(&target).map_or(0, |m| m.len()));
            anyhow::Ok(())
        });
        bar.finish_and_clear();
        if converted.is_err() && !matches!(self.origin, Origin::Folder(_)) {
            // Another try would convert the same file again.
            disk::remove_if_there(work)?;
        }
        converted
    }

    fn program(&self) -> anyhow::Result<&Path> {
        if let Some(program) = self.program.get() {
            return Ok(program);
        }
        let found = match &self.parquet.converter {
            Converter::At(path) => path.clone(),
            Converter::Built => cargo::build_binary(&root(), "glue-tables", "glue-tables")?,
        };
        Ok(self.program.get_or_init(|| found))
    }

    fn fetch_from_hub(
        &self,
        name: &str,
        sources: &[String],
        work: &Path,
        entry: &mut Entry,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let hub = match self.repository.get() {
            Some(hub) => hub,
            None => {
                let listed = Repository::list(
                    &self.parquet.hub,
                    Kind::DataSet,
                    REPOSITORY,
                    &self.parquet.revision,
                    self.fetcher,
                )?;
                self.repository.get_or_init(|| listed)
            }
        };
        let names = hub.names();
        if let Some(missing) = sources
            .iter()
            .find(|source| !names.contains(source.as_str()))
        {
            return Err(failure(
                format!("{REPOSITORY} has no {missing} ({})", hub.place()),
                "name a --revision that has it, or take the official files: leave out --source hub",
            ));
        }
        let total = hub.bytes_of(sources);
        // Tables are larger than the packed columns they are made from.
        disk::require_free(work, total * 6, name)?;
        eprintln!(
            "{name}: downloading {} from {}",
            human_bytes(total),
            hub.place()
        );
        sources
            .iter()
            .map(|source| {
                let path = work.join(source);
                hub.fetch(source, &path, self.fetcher, entry)?;
                Ok(path)
            })
            .collect()
    }

    /// `BASE/cola/train-00000-of-00001.parquet`, ...
    fn fetch_from_mirror(
        &self,
        base: &str,
        sources: &[String],
        work: &Path,
        entry: &mut Entry,
    ) -> anyhow::Result<Vec<PathBuf>> {
        sources
            .iter()
            .map(|source| {
                let request = Request {
                    url: format!("{base}/{source}"),
                    destination: work.join(source),
                    ..Request::default()
                };
                let fetched = self.fetcher.fetch(&request)?;
                entry.sources.push(SourceEntry {
                    from: request.url,
                    sha256: fetched.sha256,
                    bytes: fetched.bytes,
                    verified: false,
                });
                Ok(request.destination)
            })
            .collect()
    }
}

fn found_in_folder(
    name: &str,
    folder: &Path,
    sources: &[String],
    entry: &mut Entry,
) -> anyhow::Result<Vec<PathBuf>> {
    sources
        .iter()
        .map(|source| {
            let path = folder.join(source);
            if !path.is_file() {
                return Err(failure(
                    format!("{} has no {source}, which {name} needs", shown(folder)),
                    "give a folder with the files of the hub's repository; to take only some data sets add --only NAME,NAME",
                ));
            }
            entry.sources.push(note_local(&path)?);
            Ok(path)
        })
        .collect()
}

/// Runs `glue-tables` on one file.
fn convert(
    program: &Path,
    set: &str,
    table: &str,
    parquet: &Path,
    out: &Path,
) -> anyhow::Result<()> {
    if let Some(parent) = out.parent() {
        writing(fs::create_dir_all(parent), parent)?;
    }
    let output = Command::new(program)
        .args([set, table])
        .args([parquet, out])
        .output()
        .with_context(|| format!("cannot start {}", shown(program)))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // A reader that stumbles over damaged pages ends without a message of its own.
    let message = match output.status.code() {
        Some(1) => said.trim().to_owned(),
        _ => format!(
            "{} cannot be decoded ({}): {}",
            shown(parquet),
            output.status,
            said.lines().nth(1).unwrap_or_default().trim()
        ),
    };
    Err(failure(
        message,
        "nothing was kept; get the file again, name another --revision or source (--from), or take the official files: leave out --source hub",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::catalogue::Collection;

    #[test]
    fn every_file_of_the_catalogue_has_a_source() {
        let glue = Collection::named("glue").expect("GLUE");
        assert_eq!(glue.sets.len(), SETS.len());
        for (set, Set(name, _, tables)) in glue.sets.iter().zip(&SETS) {
            let files: Vec<&str> = tables.iter().map(|(_, file)| *file).collect();
            assert_eq!((set.name, set.files), (*name, files.as_slice()));
        }
    }
}
