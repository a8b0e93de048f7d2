//! From text to a checked configuration, collecting every problem on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use camtl_data::suggest::{TomlProblem, nearest};
use camtl_data::task::TaskSpec;
use camtl_model::MethodConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::problem::{ConfigError, ConfigProblem};
use super::{EncoderSource, ModelOptions, RunConfig, check, overrides};

const BLOCKS: [&str; 8] = [
    "data",
    "model",
    "sampler",
    "train",
    "eval",
    "checkpoint",
    "early_stopping",
    "ops",
];

/// Reads, overrides, checks.
pub(super) fn load<S: AsRef<str>>(
    text: &str,
    origin: &str,
    folder: Option<&Path>,
    changes: &[S],
) -> Result<RunConfig, ConfigError> {
    let mut table: Table = toml::from_str(text).map_err(|error| {
        let problem = TomlProblem::new(text, origin, &error);
        ConfigError {
            origin: origin.to_owned(),
            problems: vec![ConfigProblem {
                location: problem.line.map(|line| format!("{origin}:{line}")),
                key: String::new(),
                message: format!("not TOML: {}", problem.message),
            }],
        }
    })?;
    let mut reader = Reader {
        places: places(text, origin),
        problems: Vec::new(),
    };
    for change in changes {
        let applied = overrides::parse(change.as_ref())
            .and_then(|change| overrides::apply(&mut table, &change).map(|()| change));
        match applied {
            Ok(change) => {
                reader.places.insert(
                    change.path.join("."),
                    (usize::MAX, format!("--set {}", change.text)),
                );
            }
            Err(problem) => reader.problems.push(problem),
        }
    }
    reader.unknown_blocks(&table);
    let config = reader.config(&table);
    let mut problems = reader.problems;
    if let Some(mut config) = config {
        let mut found = check::check(&config);
        if config.data.dir.as_os_str().is_empty() {
            found.push(ConfigProblem::new(
                "data.dir",
                "is missing; name the folder of the data (`.` for this one)",
            ));
        }
        if config.data.tasks.is_empty() {
            found.push(ConfigProblem::new(
                "data.tasks",
                "is missing or empty; name at least one task file",
            ));
        }
        for mut problem in found {
            problem.location = locate(&reader.places, &problem.key);
            problems.push(problem);
        }
        if problems.is_empty() {
            for task in &mut config.data.tasks {
                *task = task_path(task, folder);
            }
            return Ok(config);
        }
    }
    let order =
        |problem: &ConfigProblem| reader.places.get(&problem.key).map_or(0, |place| place.0);
    problems.sort_by_key(order);
    Err(ConfigError {
        origin: origin.to_owned(),
        problems,
    })
}

/// `cola` → `tasks/cola.toml`; both below `folder`.
fn task_path(task: &Path, folder: Option<&Path>) -> PathBuf {
    let is_name = task.extension().is_none() && task.components().count() == 1;
    let path = if is_name {
        Path::new("tasks").join(task).with_extension("toml")
    } else {
        task.to_path_buf()
    };
    match folder {
        Some(folder) => folder.join(path),
        None => path,
    }
}

/// Reads every task file; see [`RunConfig::task_specs`].
pub(super) fn task_specs(paths: &[PathBuf]) -> Result<Vec<TaskSpec>, ConfigError> {
    let mut specs: Vec<TaskSpec> = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match TaskSpec::from_file(path) {
            Ok(spec) if specs.iter().any(|other| other.name == spec.name) => {
                let message = format!("{}: a second task called `{}`", path.display(), spec.name);
                problems.push(ConfigProblem::new("data.tasks", message));
            }
            Ok(spec) => specs.push(spec),
            Err(error) => problems.push(ConfigProblem::new("data.tasks", error.to_string())),
        }
    }
    match problems.is_empty() {
        true => Ok(specs),
        false => Err(ConfigError {
            origin: "task files".to_owned(),
            problems,
        }),
    }
}

/// Line (for sorting) and location text of every key.
type Places = BTreeMap<String, (usize, String)>;

fn locate(places: &Places, key: &str) -> Option<String> {
    places.get(key).map(|place| place.1.clone())
}

/// Where every key of the text stands.
fn places(text: &str, origin: &str) -> Places {
    let mut places = Places::new();
    if let Ok(table) = DeTable::parse(text) {
        collect(table.get_ref(), "", text, origin, &mut places);
    }
    places
}

fn collect(table: &DeTable<'_>, prefix: &str, text: &str, origin: &str, places: &mut Places) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        let line = text
            .get(..Spanned::span(key).start)
            .map_or(0, |before| before.matches('\n').count())
            + 1;
        places.insert(path.clone(), (line, format!("{origin}:{line}")));
        if let DeValue::Table(inner) = value.get_ref() {
            collect(inner, &format!("{path}."), text, origin, places);
        }
    }
}

struct Reader {
    places: Places,
    problems: Vec<ConfigProblem>,
}

/// The keys of `[model]` that are not switches of the method.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelKeys {
    #[serde(default)]
    encoder: String,
    #[serde(default)]
    encoder_source: EncoderSource,
    #[serde(default)]
    freeze: camtl_model::Freeze,
    #[serde(default)]
    dropout: Option<f64>,
}

const MODEL_KEYS: [&str; 4] = ["encoder", "encoder_source", "freeze", "dropout"];

impl Reader {
    fn push(&mut self, key: String, message: String) {
        self.problems.push(ConfigProblem {
            location: locate(&self.places, &key),
            key,
            message,
        });
    }

    fn unknown_blocks(&mut self, table: &Table) {
        for (key, value) in table {
            if BLOCKS.contains(&key.as_str()) {
                if !value.is_table() {
                    self.push(
                        key.clone(),
                        format!("expected the block [{key}], found a {}", value.type_str()),
                    );
                }
                continue;
            }
            let hint = match nearest(key, BLOCKS) {
                Some(block) => format!("did you mean [{block}]?"),
                None => format!(
                    "the blocks are {}",
                    BLOCKS.map(|block| format!("[{block}]")).join(", ")
                ),
            };
            let what = if value.is_table() {
                "unknown block"
            } else {
                "a key outside the blocks"
            };
            self.push(key.clone(), format!("{what}; {hint}"));
        }
    }

    fn config(&mut self, table: &Table) -> Option<RunConfig> {
        let block = |name: &str| {
            table
                .get(name)
                .and_then(Value::as_table)
                .cloned()
                .unwrap_or_default()
        };
        let model = self.model(block("model"));
        let data = self.block("data", block("data"), &[]);
        let mut sampler_table = block("sampler");
        if !sampler_table.contains_key("kind") {
            sampler_table.insert(
                "kind".to_owned(),
                Value::String("mt-uncertainty".to_owned()),
            );
        }
        let sampler = self.block("sampler", sampler_table, &[]);
        let train = self.block("train", block("train"), &[]);
        let eval = self.block("eval", block("eval"), &[]);
        let checkpoint = self.block("checkpoint", block("checkpoint"), &[]);
        let early_stopping = self.block("early_stopping", block("early_stopping"), &[]);
        let ops = self.block("ops", block("ops"), &[]);
        Some(RunConfig {
            data: data?,
            model: model?,
            sampler: sampler?,
            train: train?,
            eval: eval?,
            checkpoint: checkpoint?,
            early_stopping: early_stopping?,
            ops: ops?,
        })
    }

    /// `[model]` holds two structures: the trainer's keys and the method's switches.
    fn model(&mut self, table: Table) -> Option<ModelOptions> {
        let (keys, switches): (Table, Table) = table
            .into_iter()
            .partition(|(key, _)| MODEL_KEYS.contains(&key.as_str()));
        let keys: Option<ModelKeys> = self.block("model", keys, &[]);
        let method: Option<MethodConfig> = self.block("model", switches, &MODEL_KEYS);
        let (keys, method) = (keys?, method?);
        Some(ModelOptions {
            encoder: keys.encoder,
            encoder_source: keys.encoder_source,
            freeze: keys.freeze,
            dropout: keys.dropout,
            method,
        })
    }

    /// Reads one block. serde stops at the first problem, so the key at fault is taken out and the
    /// rest read again until nothing is left to say. `also` are keys of the block that `T` does not have.
    fn block<T: DeserializeOwned>(
        &mut self,
        name: &str,
        mut table: Table,
        also: &[&str],
    ) -> Option<T> {
        let mut sound = true;
        loop {
            let error = match T::deserialize(Value::Table(table.clone())) {
                Ok(value) => return sound.then_some(value),
                Err(error) => error,
            };
            sound = false;
            // A block that is read by its own code has the key at the end of the text.
            let (message, own_key) = match error.message().trim().rsplit_once("\nin `") {
                Some((message, key)) => (message.trim(), key.strip_suffix('`').map(str::to_owned)),
                None => (error.message().trim(), None),
            };
            let (key, text) = match unknown_field(message) {
                Some((key, known)) => {
                    let known = known.into_iter().chain(also.iter().copied());
                    let hint = match nearest(key, known.clone()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => match block_of(key) {
                            Some(other) => format!("`{key}` belongs into [{other}]"),
                            None => {
                                format!("the keys are {}", known.collect::<Vec<_>>().join(", "))
                            }
                        },
                    };
                    (Some(key.to_owned()), format!("unknown key; {hint}"))
                }
                None => match missing_field(message) {
                    Some(key) => {
                        self.push(
                            format!("{name}.{key}"),
                            "is missing and has no default".to_owned(),
                        );
                        return None;
                    }
                    None => (own_key.or_else(|| key_of(&error)), with_hint(message)),
                },
            };
            let Some(key) =
                key.filter(|key| table.contains_key(key.split('.').next().unwrap_or(key)))
            else {
                self.push(name.to_owned(), text);
                return None;
            };
            self.push(format!("{name}.{key}"), text);
            table.remove(key.split('.').next().unwrap_or(&key));
        }
    }
}

/// The message, and for an option that the chosen sampler does not have the way to replace the
/// whole block: a `--set sampler.kind=...` leaves the options of the former kind behind.
fn with_hint(message: &str) -> String {
    match message.starts_with("the sampler ") {
        true => format!(
            "{message}; remove it, or replace the whole block, for example by \
             --set 'sampler={{kind = \"uniform\"}}'"
        ),
        false => message.to_owned(),
    }
}

/// The block that has a key called `key`, for keys that stand in the wrong block.
fn block_of(key: &str) -> Option<String> {
    let config = Value::try_from(RunConfig::new("x")).ok()?;
    let blocks = config.as_table()?;
    blocks
        .iter()
        .find(|(_, block)| block.get(key).is_some())
        .map(|(name, _)| name.clone())
}

/// The name and the known names in serde's "unknown field `x`, expected one of `a`, `b`". That
/// text is the only place where the known names of a structure can be had without a second list.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut quoted = message
        .strip_prefix("unknown field ")?
        .split('`')
        .skip(1)
        .step_by(2);
    Some((quoted.next()?, quoted.collect()))
}

fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

/// The path of the value at fault, from the last line of the error's text.
fn key_of(error: &toml::de::Error) -> Option<String> {
    let text = error.to_string();
    let line = text.trim_end().lines().last()?;
    Some(line.strip_prefix("in `")?.strip_suffix('`')?.to_owned())
}
