//! Writing a file so that it is there whole or not at all.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::WeightError;

/// Writes `path` through `fill`: temporary file beside it, fsync, rename, fsync of the folder. On
/// an error the old file, if any, is untouched and the temporary one removed.
pub(crate) fn write<T>(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<T>,
) -> Result<T, WeightError> {
    let io = |action| move |source| WeightError::io(action, path, source);
    let file_name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("file");
    let temporary = path.with_file_name(format!(".{file_name}.{}.tmp", std::process::id()));
    let result = fill_and_sync(&temporary, fill)
        .map_err(io("write"))
        .and_then(|value| {
            std::fs::rename(&temporary, path).map_err(io("put in place"))?;
            Ok(value)
        });
    let value = match result {
        Ok(value) => value,
        Err(error) => {
            // The error that matters is the first; a file that cannot be removed is only litter.
            let _ = std::fs::remove_file(&temporary);
            return Err(error);
        }
    };
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(io("make durable"))?;
    Ok(value)
}

fn fill_and_sync<T>(
    temporary: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let mut writer = BufWriter::with_capacity(1 << 20, File::create(temporary)?);
    let value = fill(&mut writer)?;
    writer.flush()?;
    writer.get_ref().sync_all()?;
    Ok(value)
}
