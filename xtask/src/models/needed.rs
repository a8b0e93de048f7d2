//! Which encoder a training command needs, read from its configuration before `camtl` starts.
//!
//! Only two keys are looked at, `model.encoder` and `model.encoder_source`, from the file or from
//! `--set`. Everything else, mistakes included, is `camtl`'s to judge: if the configuration cannot be
//! read here, nothing is downloaded and `camtl` explains why.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Source, check_id};

/// An encoder named by a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// `ORGANISATION/NAME`.
    pub id: String,
    /// Where it comes from if it is missing.
    pub source: Source,
}

/// The encoder that `train ARGS`, started in `cwd`, names by its hub name; `None` if it names a folder
/// that exists, continues a run, or cannot be read.
pub fn by_training(args: &[OsString], cwd: &Path) -> Option<Needed> {
    let parsed = TrainArgs::read(args)?;
    let config = parsed.positional.first().cloned();
    of_configuration(config, &parsed, cwd)
}

/// The same for `reproduce GRID [CONFIG] ARGS`.
pub fn by_reproducing(args: &[OsString], cwd: &Path) -> Option<Needed> {
    let parsed = TrainArgs::read(args)?;
    let config = parsed.positional.get(1).cloned();
    let config = config.unwrap_or_else(|| PathBuf::from("configs/glue-base.toml"));
    of_configuration(Some(config), &parsed, cwd)
}

fn of_configuration(config: Option<PathBuf>, parsed: &TrainArgs, cwd: &Path) -> Option<Needed> {
    let file = config.and_then(|config| {
        let text = fs::read_to_string(cwd.join(config)).ok()?;
        text.parse::<toml::Table>().ok()
    });
    let from_file = |key: &str| {
        Some(
            file.as_ref()?
                .get("model")?
                .as_table()?
                .get(key)?
                .as_str()?
                .to_owned(),
        )
    };
    let encoder = parsed
        .overriding("model.encoder")
        .or_else(|| from_file("encoder"))?;
    let source = parsed
        .overriding("model.encoder_source")
        .or_else(|| from_file("encoder_source"));
    // A path that exists is taken as it is; `models/ID` and `ID` both mean the folder of that model.
    if cwd.join(&encoder).is_dir() {
        return None;
    }
    let id = encoder
        .strip_prefix("models/")
        .unwrap_or(&encoder)
        .to_owned();
    check_id(&id).ok()?;
    let source = match source {
        Some(text) => Source::parse(&text).ok()?,
        None => Source::usual(&id),
    };
    Some(Needed { id, source })
}

/// What of the command line matters here.
#[derive(Debug, Default)]
struct TrainArgs {
    positional: Vec<PathBuf>,
    set: Vec<(String, String)>,
}

impl TrainArgs {
    fn read(args: &[OsString]) -> Option<Self> {
        let mut parsed = Self::default();
        let mut args = args.iter().map(|a| a.to_string_lossy().into_owned());
        while let Some(arg) = args.next() {
            let (flag, attached) = match arg.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => {
                    (flag.to_owned(), Some(value.to_owned()))
                }
                _ => (arg.clone(), None),
            };
            match flag.as_str() {
                "-h" | "--help" => return None,
                "--set" => {
                    let value = attached.or_else(|| args.next())?;
                    let (key, value) = value.split_once('=')?;
                    parsed.set.push((key.trim().to_owned(), unquoted(value)));
                }
                "--run" | "--seeds" if attached.is_none() => {
                    args.next();
                }
                flag if flag.starts_with('-') => {}
                _ => {
                    parsed.positional.push(PathBuf::from(arg));
                }
            }
        }
        Some(parsed)
    }

    /// The last `--set` of a key.
    fn overriding(&self, key: &str) -> Option<String> {
        self.set
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
    }
}

/// `"x"` and `x` are the same override.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|v| v.strip_suffix(quote))
        {
            return inner.to_owned();
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(config: &str, args: &[&str]) -> Option<Needed> {
        let dir = tempfile::tempdir().ok()?;
        fs::write(dir.path().join("c.toml"), config).ok()?;
        fs::create_dir_all(dir.path().join("mine")).ok()?;
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        by_training(&args, dir.path())
    }

    #[test]
    fn the_encoder_is_found_in_the_file_and_in_overrides() {
        let minilm = "[model]\nencoder = \"sentence-transformers/all-MiniLM-L6-v2\"\n";
        let bert = |source| {
            Some(Needed {
                id: "bert-base-uncased".into(),
                source,
            })
        };
        let expected = Some(Needed {
            id: super::super::MINILM.into(),
            source: Source::Pypi,
        });
        assert_eq!(needed(minilm, &["c.toml"]), expected);
        assert_eq!(
            needed(minilm, &["--run", "runs/x", "c.toml", "--resume"]),
            expected
        );
        assert_eq!(
            needed(
                minilm,
                &["c.toml", "--set", "model.encoder=bert-base-uncased"]
            ),
            bert(Source::Hub)
        );
        assert_eq!(
            needed(
                minilm,
                &["c.toml", "--set=model.encoder=\"models/bert-base-uncased\""]
            ),
            bert(Source::Hub)
        );
        let hub = format!("{minilm}encoder_source = \"hub\"\n");
        assert_eq!(
            needed(&hub, &["c.toml"]).map(|n| n.source),
            Some(Source::Hub)
        );
    }

    #[test]
    fn a_grid_needs_the_encoder_of_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, encoder: &str| {
            let text = format!("[model]\nencoder = \"{encoder}\"\n");
            fs::write(dir.path().join(name), text).unwrap();
        };
        fs::create_dir(dir.path().join("configs")).unwrap();
        write("configs/glue-base.toml", "bert-base-cased");
        write("c.toml", "bert-large-cased");
        let id = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            by_reproducing(&args, dir.path()).map(|needed| needed.id)
        };
        assert_eq!(id(&["ablation"]).as_deref(), Some("bert-base-cased"));
        assert_eq!(
            id(&["--seeds", "1,2", "ablation", "c.toml"]).as_deref(),
            Some("bert-large-cased")
        );
        assert_eq!(id(&["ablation", "missing.toml"]), None);
    }

    #[test]
    fn folders_and_unreadable_configurations_need_no_download() {
        assert_eq!(needed("[model]\nencoder = \"mine\"\n", &["c.toml"]), None);
        assert_eq!(
            needed("[model]\nencoder = \"../elsewhere/x\"\n", &["c.toml"]),
            None
        );
        assert_eq!(needed("not toml", &["c.toml"]), None);
        assert_eq!(needed("", &["missing.toml"]), None);
        assert_eq!(needed("[model]\nencoder = \"a/b\"\n", &["--help"]), None);
    }
}
