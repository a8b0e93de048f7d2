//! Unpacking archives that nobody vouched for.
//!
//! A zip's entry names, sizes and kinds are claims of whoever made it. [`Archive::unpack`] believes none of
//! them: before anything is written, every name in the archive is checked, and an archive with a
//! name that climbs out (`../x`), is absolute or names a drive is refused as a whole; only the
//! entries asked for are unpacked, each to a path the caller chose; links are never made; sizes,
//! counts and compression ratios have limits, and the bytes that really come out are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use zip::ZipArchive;
use zip::read::ZipFile;

use crate::disk::writing;
use crate::error::failure;
use crate::workspace::{human_bytes, shown};

/// What an archive may contain at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries, directories included.
    pub entries: usize,
    /// Unpacked bytes of one entry.
    pub entry_bytes: u64,
    /// Unpacked bytes of all unpacked entries together.
    pub total_bytes: u64,
    /// Unpacked bytes per packed byte, for entries above 10 MB.
    pub ratio: u64,
}

impl Limits {
    /// For data sets: text that packs well, a few files.
    pub const DATA: Self = Self {
        entries: 10_000,
        entry_bytes: 4 << 30,
        total_bytes: 8 << 30,
        ratio: 60,
    };
    /// For wheels, whose content is known by hash: room for libtorch.
    pub const WHEEL: Self = Self {
        entries: 50_000,
        entry_bytes: 4 << 30,
        total_bytes: 8 << 30,
        ratio: 200,
    };
}

/// Entries this small may have any compression ratio: a run of zeros is not an attack.
const RATIO_MATTERS_FROM: u64 = 10_000_000;

/// Where a refused archive came from, for messages.
fn refused(archive: &Path, why: impl std::fmt::Display) -> anyhow::Error {
    failure(
        format!("refusing to unpack {}: {why}", shown(archive)),
        "nothing was unpacked; the archive is damaged or hostile, so get it from another source (--from)",
    )
}

/// An opened zip whose entry names have all been checked.
pub struct Archive {
    path: PathBuf,
    zip: ZipArchive<File>,
    /// Index of every regular entry by its checked name.
    entries: BTreeMap<String, usize>,
    limits: Limits,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("path", &self.path)
            .field("entries", &self.entries.len())
            .finish()
    }
}

impl Archive {
    /// Opens a zip and checks every name in it.
    ///
    /// # Errors
    /// If the file is no zip, has too many entries, or a name climbs out, is absolute or names a
    /// drive.
    pub fn open(path: &Path, limits: Limits) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", shown(path)))?;
        let mut zip = ZipArchive::new(file)
            .map_err(|e| refused(path, format!("it is not a whole zip archive ({e})")))?;
        if zip.len() > limits.entries {
            return Err(refused(
                path,
                format!("it has {} entries, more than {}", zip.len(), limits.entries),
            ));
        }
        let mut entries = BTreeMap::new();
        for index in 0..zip.len() {
            let entry = zip
                .by_index_raw(index)
                .map_err(|e| refused(path, format!("entry {index} cannot be read ({e})")))?;
            let name = entry.name().to_owned();
            check_name(&name).map_err(|why| refused(path, format!("entry {name:?} {why}")))?;
            if entry.is_dir() || entry.is_symlink() {
                continue;
            }
            entries.insert(name, index);
        }
        Ok(Self {
            path: path.to_path_buf(),
            zip,
            entries,
            limits,
        })
    }

    /// Names of all regular entries, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// True if the archive has this regular entry.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Unpacks the given entries: pairs of entry name and target path under `folder`.
    ///
    /// On an error the files written so far are removed.
    ///
    /// # Errors
    /// If an entry is missing or damaged, a limit is exceeded, a target path leaves `folder`, or
    /// writing fails.
    pub fn unpack(
        &mut self,
        folder: &Path,
        wanted: &[(String, PathBuf)],
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<()> {
        let mut written = Vec::new();
        let result = self.unpack_noting(folder, wanted, &mut written, &mut progress);
        if result.is_err() {
            for path in written {
                let _ = fs::remove_file(path);
            }
        }
        result
    }

    fn unpack_noting(
        &mut self,
        folder: &Path,
        wanted: &[(String, PathBuf)],
        written: &mut Vec<PathBuf>,
        progress: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        let mut total = 0u64;
        let mut folders = BTreeSet::new();
        for (name, target) in wanted {
            ensure!(
                target
                    .components()
                    .all(|c| matches!(c, Component::Normal(_))),
                "unpacking target {} leaves its folder",
                target.display()
            );
            let archive = self.path.clone();
            let (entry_limit, ratio, total_limit) = (
                self.limits.entry_bytes,
                self.limits.ratio,
                self.limits.total_bytes,
            );
            let mut entry = self.entry(name)?;
            let packed = entry.compressed_size();
            let claimed = entry.size();
            let path = folder.join(target);
            if let Some(parent) = path.parent()
                && folders.insert(parent.to_path_buf())
            {
                writing(fs::create_dir_all(parent), parent)?;
            }
            // One byte more than allowed is enough to notice.
            let allowed = entry_limit
                .min(total_limit.saturating_sub(total))
                .min(packed.saturating_mul(ratio).max(RATIO_MATTERS_FROM));
            written.push(path.clone());
            let mut out = BufWriter::with_capacity(1 << 20, writing(File::create(&path), &path)?);
            let bytes = copy_at_most(
                &mut entry, &mut out, allowed, &archive, name, &path, progress,
            )?;
            writing(out.flush(), &path)?;
            if bytes != claimed {
                return Err(refused(
                    &archive,
                    format!("entry {name:?} says it has {claimed} bytes and has {bytes}"),
                ));
            }
            copy_mode(&entry, &path);
            total += bytes;
        }
        Ok(())
    }

    /// True if `path` holds exactly the bytes of the entry `name`.
    ///
    /// # Errors
    /// If the entry is missing or damaged, or the file cannot be read.
    pub fn matches(&mut self, name: &str, path: &Path) -> anyhow::Result<bool> {
        let mut entry = self.entry(name)?;
        let Ok(meta) = fs::metadata(path) else {
            return Ok(false);
        };
        if meta.len() != entry.size() {
            return Ok(false);
        }
        let mut file = File::open(path).with_context(|| format!("cannot open {}", shown(path)))?;
        let (mut ours, mut theirs) = (vec![0u8; 1 << 20], vec![0u8; 1 << 20]);
        loop {
            let n = entry
                .read(&mut theirs)
                .with_context(|| format!("cannot unpack {name}"))?;
            if n == 0 {
                return Ok(true);
            }
            if file.read_exact(&mut ours[..n]).is_err() || ours[..n] != theirs[..n] {
                return Ok(false);
            }
        }
    }

    fn entry(&mut self, name: &str) -> anyhow::Result<ZipFile<'_, File>> {
        let Some(&index) = self.entries.get(name) else {
            let some: Vec<&str> = self.names().take(8).collect();
            bail!(
                "{} has no entry {name:?}; it has {} entries, the first ones are {}",
                shown(&self.path),
                self.entries.len(),
                some.join(", ")
            );
        };
        let path = self.path.clone();
        self.zip
            .by_index(index)
            .map_err(|e| refused(&path, format!("entry {name:?} cannot be read ({e})")))
    }
}

/// Copies at most `allowed` bytes; more is an error, and so is a damaged stream.
fn copy_at_most(
    reader: &mut impl Read,
    writer: &mut impl Write,
    allowed: u64,
    archive: &Path,
    name: &str,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<u64> {
    let mut buffer = vec![0u8; 1 << 18];
    let mut bytes = 0u64;
    loop {
        let n = match reader.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(refused(archive, format!("entry {name:?} is damaged ({e})"))),
        };
        bytes += n as u64;
        if bytes > allowed {
            return Err(refused(
                archive,
                format!(
                    "entry {name:?} unpacks to more than {}, which its packed size does not justify",
                    human_bytes(allowed)
                ),
            ));
        }
        writing(writer.write_all(&buffer[..n]), path)?;
        progress(n as u64);
    }
}

/// Unpacks a gzip file to `target` under the same limits as a zip's entry.
///
/// # Errors
/// If the file is damaged or too large, or writing fails; `target` is then removed.
pub fn gunzip(
    source: &Path,
    target: &Path,
    limits: Limits,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<u64> {
    let file = File::open(source).with_context(|| format!("cannot open {}", shown(source)))?;
    let packed = file.metadata().map_or(0, |m| m.len());
    let allowed = limits
        .entry_bytes
        .min(packed.saturating_mul(limits.ratio).max(RATIO_MATTERS_FROM));
    let mut reader = flate2::read::MultiGzDecoder::new(io::BufReader::with_capacity(1 << 20, file));
    let result = (|| {
        let mut out = BufWriter::with_capacity(1 << 20, writing(File::create(target), target)?);
        let name = target
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = copy_at_most(
            &mut reader,
            &mut out,
            allowed,
            source,
            &name,
            target,
            &mut progress,
        )?;
        writing(out.flush(), target)?;
        Ok(bytes)
    })();
    if result.is_err() {
        let _ = fs::remove_file(target);
    }
    result
}

/// Why a name must not be unpacked, if so.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.contains('\0') {
        return Err("has no usable name");
    }
    if name.starts_with(['/', '\\']) || name.as_bytes().get(1) == Some(&b':') {
        return Err("is an absolute path");
    }
    if name.split(['/', '\\']).any(|part| part == "..") {
        return Err("climbs out of the archive's folder");
    }
    Ok(())
}

#[cfg(unix)]
fn copy_mode(entry: &ZipFile<'_, File>, path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // Only the executable bits of the owner are taken over; never setuid, never world-writable.
    if entry.unix_mode().is_some_and(|mode| mode & 0o100 != 0) {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    }
}

#[cfg(not(unix))]
fn copy_mode(_: &ZipFile<'_, File>, _: &Path) {}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for bad in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "\\x",
            "C:\\x",
            "c:x",
            "a\\..\\x",
            "",
            "a\0b",
            "..",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b.tsv", "a..b/c", "..a/b", "Icon\r", "__MACOSX/._x"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }
}
