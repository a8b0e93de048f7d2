//! Downloads, unpacks and places any data set of the catalogue.
//!
//! Everything happens under `DATA/.download`; a data set's folder appears in its place complete, by
//! one rename, or not at all. Archives are removed once their files are in place.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::catalogue::{Collection, DataSet, Recipe, Source};
use super::folder::{self, Offer};
use super::mrpc;
use super::parquet::{Parquet, ParquetSource};
use super::record::{self, Entry, SourceEntry};
use crate::archive::{self, Archive, Limits};
use crate::disk::{self, writing};
use crate::error::failure;
use crate::fetch::{Fetcher, Request, progress};
use crate::hash;
use crate::workspace::{human_bytes, shown};

/// Where the files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The official addresses.
    Official,
    /// `BASE/FILE` instead of each official address.
    Mirror(String),
    /// A local folder with the archives, or with the files in the official layout.
    Folder(PathBuf),
}

impl Origin {
    /// Reads `--from`: an http(s) address or a folder.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(from: Option<&str>) -> anyhow::Result<Self> {
        let Some(from) = from else {
            return Ok(Self::Official);
        };
        if from.starts_with("http://") || from.starts_with("https://") {
            return Ok(Self::Mirror(from.trim_end_matches('/').to_owned()));
        }
        let folder = PathBuf::from(from);
        if !folder.is_dir() {
            return Err(crate::error::usage(
                format!("--from {from}: no such folder"),
                "give a folder that exists, or an address that begins with http:// or https://",
            ));
        }
        Ok(Self::Folder(folder))
    }
}

/// What is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The archives and files that the catalogue names.
    Official,
    /// Parquet files, which become the official tables (GLUE).
    Parquet(Parquet),
}

/// What to obtain and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder; collections become folders in it.
    pub data: PathBuf,
    /// What is fetched.
    pub form: Form,
    /// Where the files come from.
    pub origin: Origin,
    /// Accept files whose SHA-256 differs from the pinned one, and only note it.
    pub unpinned: bool,
    /// Names of data sets to obtain; empty for all.
    pub only: Vec<String>,
}

/// Obtains the data sets of a collection that are not there yet.
///
/// # Errors
/// If a file cannot be fetched, verified, unpacked or placed. Data sets that were complete before the
/// error stay; the failing one leaves nothing but resumable parts under `.download`.
pub fn collection(
    collection: &Collection,
    options: &Options,
    fetcher: &Fetcher,
) -> anyhow::Result<()> {
    let sets: Vec<&DataSet> = collection
        .sets
        .iter()
        .filter(|s| {
            options.only.is_empty() || options.only.iter().any(|o| o.eq_ignore_ascii_case(s.name))
        })
        .collect();
    if let Some(unknown) = options.only.iter().find(|o| {
        !collection
            .sets
            .iter()
            .any(|s| s.name.eq_ignore_ascii_case(o))
    }) {
        let names: Vec<_> = collection.sets.iter().map(|s| s.name).collect();
        return Err(crate::error::usage(
            format!("{} has no data set `{unknown}`", collection.name),
            format!("its data sets are {}", names.join(", ")),
        ));
    }
    let work = options.data.join(".download");
    let _lock = disk::lock(
        &work.join(format!("{}.lock", collection.name)),
        &format!("another process is downloading {}", collection.name),
    )?;
    let parquet = match &options.form {
        Form::Official => None,
        Form::Parquet(parquet) => Some(ParquetSource::new(parquet, &options.origin, fetcher)),
    };
    let mut incomplete = Vec::new();
    for set in sets {
        let target = options.data.join(set.folder);
        if set.files.iter().all(|f| target.join(f).is_file()) {
            eprintln!("{}: already in {}", set.name, shown(&target));
            continue;
        }
        let missing = obtain(
            set,
            options,
            parquet.as_ref(),
            fetcher,
            &work,
            &options.data.join(collection.folder),
        )
        .with_context(|| format!("cannot obtain {}", set.name))?;
        if missing.is_empty() {
            eprintln!("{}: in {}", set.name, shown(&target));
        } else {
            eprintln!(
                "{}: in {}, without {}",
                set.name,
                shown(&target),
                missing.join(", ")
            );
            incomplete.push(set.name);
        }
    }
    if !incomplete.is_empty() {
        eprintln!(
            "note: {} came without some of the official files; what needs those will say so",
            incomplete.join(", ")
        );
    }
    Ok(())
}

/// One data set; returns the official files that the source did not have.
fn obtain(
    set: &DataSet,
    options: &Options,
    parquet: Option<&ParquetSource<'_>>,
    fetcher: &Fetcher,
    work: &Path,
    record_folder: &Path,
) -> anyhow::Result<Vec<&'static str>> {
    let staged = work.join(format!("{}.unpacked", set.folder));
    disk::remove_if_there(&staged)?;
    writing(fs::create_dir_all(&staged), &staged)?;
    let mut entry = Entry::default();
    let result = (|| {
        if let Some(parquet) = parquet {
            parquet.fill(set.name, &work.join(set.folder), &staged, &mut entry)?;
            return Ok(Vec::new());
        }
        let (sources, missing) = match &options.origin {
            Origin::Folder(folder) => match folder::look(folder, set) {
                Offer::Sources(paths) => {
                    for (source, path) in set.sources.iter().zip(&paths) {
                        entry
                            .sources
                            .push(check_local(source, path, options.unpinned)?);
                    }
                    (paths, Vec::new())
                }
                Offer::Files { found, missing } => {
                    for (name, path) in found {
                        folder::copy(&path, &staged.join(name))?;
                        entry.sources.push(note_local(&path)?);
                    }
                    return Ok(missing);
                }
                Offer::Nothing => return Err(nothing_there(set, folder)),
            },
            remote => (
                fetch_all(set, remote, options.unpinned, fetcher, work, &mut entry)?,
                Vec::new(),
            ),
        };
        build(set, &sources, &staged)?;
        Ok(missing)
    })();
    let missing = match result {
        Ok(missing) => missing,
        Err(error) => {
            let _ = fs::remove_dir_all(&staged);
            return Err(error);
        }
    };
    let present: Vec<&str> = set
        .files
        .iter()
        .copied()
        .filter(|f| !missing.contains(f))
        .collect();
    entry.hash_files(&staged, &present)?;
    disk::place_folder(&staged, &options.data.join(set.folder))?;
    record::note(record_folder, set.name, entry)?;
    if !matches!(options.origin, Origin::Folder(_)) {
        disk::remove_if_there(&work.join(set.folder))?;
    }
    Ok(missing)
}

fn nothing_there(set: &DataSet, folder: &Path) -> anyhow::Error {
    let archives: Vec<_> = set.sources.iter().map(Source::file_name).collect();
    failure(
        format!("{} has nothing of {}", shown(folder), set.name),
        format!(
            "it needs {} or the unpacked files {}/{{{}}}; to take only some data sets add --only NAME,NAME",
            archives.join(" and "),
            set.folder,
            set.files.join(",")
        ),
    )
}

/// Where a source is downloaded to; the folder keeps data sets of the same name apart.
fn download_path(work: &Path, set: &DataSet, source: &Source) -> PathBuf {
    work.join(set.folder).join(mirror_name(set, source))
}

fn fetch_all(
    set: &DataSet,
    origin: &Origin,
    unpinned: bool,
    fetcher: &Fetcher,
    work: &Path,
    entry: &mut Entry,
) -> anyhow::Result<Vec<PathBuf>> {
    let total: u64 = set.sources.iter().map(|s| s.bytes).sum();
    disk::require_free(work, total * 4, set.name)?;
    eprintln!("{}: downloading {}", set.name, human_bytes(total));
    let mut paths = Vec::new();
    for source in set.sources {
        let url = match origin {
            Origin::Mirror(base) => format!("{base}/{}", mirror_name(set, source)),
            _ => source.url.to_owned(),
        };
        let request = Request {
            url: url.clone(),
            destination: download_path(work, set, source),
            sha256: (!unpinned).then(|| source.sha256.to_owned()),
            bytes: (!unpinned).then_some(source.bytes),
            token: None,
        };
        let fetched = fetcher.fetch(&request)?;
        let verified = fetched.sha256 == source.sha256;
        if !verified {
            eprintln!(
                "note: {url} differs from the official file; its SHA-256 {} is noted",
                fetched.sha256
            );
        }
        entry.sources.push(SourceEntry {
            from: url,
            sha256: fetched.sha256,
            bytes: fetched.bytes,
            verified,
        });
        paths.push(request.destination);
    }
    Ok(paths)
}

/// The name of a source on a mirror: its last part, with one folder more where two would be equal.
fn mirror_name(set: &DataSet, source: &Source) -> String {
    let same = set
        .sources
        .iter()
        .filter(|s| s.file_name() == source.file_name())
        .count();
    let parts: Vec<&str> = source
        .url
        .rsplit('/')
        .take(if same > 1 { 2 } else { 1 })
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

pub(super) fn note_local(path: &Path) -> anyhow::Result<SourceEntry> {
    let file = fs::File::open(path).with_context(|| format!("cannot open {}", shown(path)))?;
    let (sha256, bytes) =
        hash::of_reader(file).with_context(|| format!("cannot read {}", shown(path)))?;
    Ok(SourceEntry {
        from: path.display().to_string(),
        sha256,
        bytes,
        verified: false,
    })
}

fn check_local(source: &Source, path: &Path, unpinned: bool) -> anyhow::Result<SourceEntry> {
    let mut entry = note_local(path)?;
    entry.verified = entry.sha256 == source.sha256;
    if !entry.verified && !unpinned {
        return Err(failure(
            format!(
                "{} has the SHA-256 {}, and {} was expected ({} bytes, expected {})",
                shown(path),
                entry.sha256,
                source.sha256,
                entry.bytes,
                source.bytes
            ),
            "the file is not the official one or is damaged: get it again, or pass --unpinned if you trust it",
        ));
    }
    Ok(entry)
}

/// Makes the files of a data set in `staged` from its downloaded sources.
fn build(set: &DataSet, sources: &[PathBuf], staged: &Path) -> anyhow::Result<()> {
    let bar = progress::counter(&format!("unpacking {}", set.name));
    match set.recipe {
        Recipe::Zip(inner) => {
            let mut zip = Archive::open(&sources[0], Limits::DATA)?;
            let wanted: Vec<(String, PathBuf)> = set
                .files
                .iter()
                .map(|f| (format!("{inner}/{f}"), PathBuf::from(f)))
                .collect();
            zip.unpack(staged, &wanted, |n| bar.inc(n))?;
        }
        Recipe::Plain => {
            for (source, name) in sources.iter().zip(set.files) {
                folder::copy(source, &staged.join(name))?;
            }
        }
        Recipe::Gzip => {
            for (source, name) in sources.iter().zip(set.files) {
                archive::gunzip(source, &staged.join(name), Limits::DATA, |n| bar.inc(n))?;
            }
        }
        Recipe::Mrpc => mrpc::make(&sources[0], &sources[1], &sources[2], staged)?,
    }
    bar.finish_and_clear();
    Ok(())
}
