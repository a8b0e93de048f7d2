//! Where a task's files lie.

use std::path::{Path, PathBuf};

use super::TaskSpec;

impl TaskSpec {
    /// The path of a split's file: below `data_dir/folder` if the task names a [`folder`](TaskSpec::folder) and the
    /// file is there, else below `data_dir`; where it is in neither, below `data_dir/folder` if that folder is there.
    /// `None` when the task has no such split.
    ///
    /// So one data folder can hold several collections, and can also be one of them:
    ///
    /// ```
    /// # use camtl_data::TaskSpec;
    /// # use std::path::Path;
    /// let spec = TaskSpec::from_toml(
    ///     r#"
    ///     name = "mood"
    ///     kind = "classification"
    ///     labels = ["0", "1"]
    ///     metrics = ["accuracy"]
    ///     format = "tsv"
    ///     folder = "moods"
    ///     fields = { text_a = "sentence", label = "label" }
    ///     files = { dev = "Mood/dev.tsv" }
    ///     "#,
    ///     "mood.toml",
    /// )?;
    /// let data = std::env::temp_dir().join(format!("camtl-paths-{}", std::process::id()));
    /// assert_eq!(spec.split_path(&data, "dev"), Some(data.join("Mood/dev.tsv")));
    /// std::fs::create_dir_all(data.join("moods/Mood")).unwrap();
    /// assert_eq!(spec.split_path(&data, "dev"), Some(data.join("moods/Mood/dev.tsv")));
    /// std::fs::create_dir_all(data.join("Mood")).unwrap();
    /// std::fs::write(data.join("Mood/dev.tsv"), "").unwrap();
    /// assert_eq!(spec.split_path(&data, "dev"), Some(data.join("Mood/dev.tsv")));
    /// std::fs::write(data.join("moods/Mood/dev.tsv"), "").unwrap();
    /// assert_eq!(spec.split_path(&data, "dev"), Some(data.join("moods/Mood/dev.tsv")));
    /// # std::fs::remove_dir_all(&data).unwrap();
    /// # Ok::<(), camtl_data::TaskError>(())
    /// ```
    #[must_use]
    pub fn split_path(&self, data_dir: &Path, split: &str) -> Option<PathBuf> {
        let path = &self.files.get(split)?.path;
        let below = data_dir.join(path);
        let Some(folder) = self.folder.as_ref().map(|folder| data_dir.join(folder)) else {
            return Some(below);
        };
        let inside = folder.join(path);
        // Of a file that is nowhere, messages name the place where it belongs.
        let chosen = inside.is_file() || (folder.is_dir() && !below.is_file());
        Some(if chosen { inside } else { below })
    }
}
