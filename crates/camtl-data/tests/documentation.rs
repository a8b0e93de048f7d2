//! What the documentation shows: its task files, its data and its tables hold.

use std::fs;
use std::path::{Path, PathBuf};

use camtl_data::{FileFormat, TaskSpec, read_split};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tasks")
}

fn shipped(name: &str) -> TaskSpec {
    TaskSpec::from_file(configs().join(format!("{name}.toml"))).unwrap()
}

#[test]
fn the_task_file_of_the_readme_is_sound() {
    let readme = include_str!("../README.md");
    let (_, after) = readme.split_once("```toml\n").unwrap();
    let (text, _) = after.split_once("```").unwrap();
    let spec = TaskSpec::from_toml(text, "README.md").unwrap();
    assert_eq!(spec.layout("test").unwrap().format, FileFormat::Csv);
    assert_eq!(spec.submission.unwrap().spelling("wet"), "rainy");
}

#[test]
fn the_walk_through_of_the_documentation_works() {
    let docs = include_str!("../../../docs/tasks.md");
    let block = |opening: &str| {
        let (_, after) = docs.split_once(opening).unwrap();
        after.split_once("```").unwrap().0
    };
    let spec = TaskSpec::from_toml(block("```toml\n"), "docs/tasks.md").unwrap();
    let rows = block("```text\ndata/tickets/train.csv\n");
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tickets")).unwrap();
    fs::write(dir.path().join("tickets/train.csv"), rows).unwrap();
    let examples = read_split(&spec, dir.path(), "train").unwrap();
    assert_eq!(examples.len(), 2);
    assert_eq!(
        examples[0].text_b.as_deref(),
        Some("Third floor, smoke everywhere")
    );

    // The nested example of MultiRC.
    fs::create_dir(dir.path().join("MultiRC")).unwrap();
    fs::write(dir.path().join("MultiRC/val.jsonl"), block("```json\n")).unwrap();
    let answers = read_split(&shipped("multirc"), dir.path(), "dev").unwrap();
    let keys: Vec<_> = answers
        .iter()
        .map(|answer| answer.key.as_deref().unwrap())
        .collect();
    assert_eq!(keys, ["0-0-0", "0-0-1"]);
    assert_eq!(answers[0].text_b.as_deref(), Some("Who ate the bread? Jon"));
}

#[test]
fn every_shipped_file_is_documented() {
    let docs = include_str!("../../../docs/tasks.md");
    for entry in fs::read_dir(configs()).unwrap() {
        let path = entry.unwrap().path();
        let spec = TaskSpec::from_file(&path).unwrap();
        let row = docs
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", spec.name)))
            .unwrap_or_else(|| panic!("{} is not in docs/tasks.md", spec.name));
        // As task files spell them.
        let metrics: Vec<String> = (spec.metrics.iter())
            .map(|metric| {
                serde_json::to_value(metric)
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert!(row.contains(&metrics.join(", ")), "{row}");
        for label in spec.kind.labels() {
            assert!(
                row.contains(label.as_str()) || row.contains("| as `"),
                "{row}"
            );
        }
        let folder = spec.folder.as_ref().unwrap().display().to_string();
        let (before, _) = docs.split_once(row).unwrap();
        let heading = before.rsplit("files in `").next().unwrap();
        assert!(heading.starts_with(&folder), "{}: {folder}", spec.name);
    }
}

#[test]
fn the_example_reads_its_own_files() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pack_a_batch");
    for (task, examples) in [("mood", 3), ("similarity", 2)] {
        let spec = TaskSpec::from_file(dir.join(format!("{task}.toml"))).unwrap();
        assert_eq!(read_split(&spec, &dir, "train").unwrap().len(), examples);
    }
}
