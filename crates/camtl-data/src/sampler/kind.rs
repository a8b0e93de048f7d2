//! What makes a kind of sampler, and the list of kinds as a configuration.
//!
//! A kind is one file: a structure with its options (`#[serde(deny_unknown_fields)]`), which implements [`SamplerKind`],
//! and the [`Sampler`] that it builds. One line of `samplers!` makes it a `kind` of `[sampler]`.

use serde::de::value::Error as NoValue;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::state::Setup;
use super::{Sampler, SamplerError, TaskInfo};

/// The options of one kind of sampler.
pub(super) trait SamplerKind {
    /// Checks the options' ranges.
    fn check(&self) -> Result<(), SamplerError> {
        Ok(())
    }

    /// Steps that count as one epoch: by default one pass over as many examples as there are. 0 counts as 1.
    fn steps_per_epoch(&self, tasks: &[TaskInfo], batch_size: usize) -> u64 {
        one_pass(tasks, batch_size)
    }

    /// Whether the sampler keeps scores from step to step. Random numbers in their place (`train.exploration`) would
    /// stay with it, so it does without them.
    fn keeps_scores(&self) -> bool {
        false
    }

    /// The sampler at its start.
    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError>;
}

/// Steps over as many examples as there are.
pub(super) fn one_pass(tasks: &[TaskInfo], batch_size: usize) -> u64 {
    let examples: usize = tasks.iter().map(|task| task.train_size).sum();
    examples.div_ceil(batch_size) as u64
}

/// A structure that a [`SamplerKind`] reads its options from, whatever their type.
pub(super) struct Reader<C> {
    pub(super) name: &'static str,
    pub(super) read: fn(toml::Table) -> Result<C, toml::de::Error>,
    pub(super) options: fn() -> &'static [&'static str],
}

/// Reads a `[sampler]` block with one of these kinds.
///
/// # Errors
/// serde's own texts where they say enough, else what [`SamplerError::ForeignOption`] says.
pub(super) fn read<C>(mut block: toml::Table, kinds: &[Reader<C>]) -> Result<C, String> {
    let names = || {
        let quoted: Vec<String> = kinds
            .iter()
            .map(|kind| format!("`{}`", kind.name))
            .collect();
        quoted.join(", ")
    };
    let name = match block.remove("kind") {
        Some(toml::Value::String(name)) => name,
        Some(other) => return Err(format!("`kind` is {other}, expected one of {}", names())),
        None => return Err("missing field `kind`".to_owned()),
    };
    let Some(kind) = kinds.iter().find(|kind| kind.name == name) else {
        return Err(format!(
            "unknown variant `{name}`, expected one of {}",
            names()
        ));
    };
    let known = (kind.options)();
    // An option of another kind is left over from it; anything else is misspelt.
    let foreign = block.keys().find(|option| {
        let has = |kind: &Reader<C>| (kind.options)().contains(&option.as_str());
        !known.contains(&option.as_str()) && kinds.iter().any(has)
    });
    if let Some(option) = foreign {
        let error = SamplerError::ForeignOption {
            sampler: kind.name,
            option: option.clone(),
            allowed: match known {
                [] => "none".to_owned(),
                known => known.join(", "),
            },
        };
        return Err(error.to_string());
    }
    // The text of a value's error ends with its key.
    (kind.read)(block).map_err(|error| match error.message().starts_with("unknown field") {
        true => error.message().to_owned(),
        false => error.to_string(),
    })
}

/// The names of the fields of `T`, a structure.
pub(super) fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Names<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = NoValue;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NoValue> {
            Err(NoValue::custom("only structures have names of fields"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, NoValue> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut names: &'static [&'static str] = &[];
    // There is no value to be had: the names are all that was wanted.
    let _ = T::deserialize(Names(&mut names));
    names
}

/// A saved configuration in today's form, with what it leaves out at its default.
pub(super) fn in_todays_form<C: DeserializeOwned + serde::Serialize>(
    saved: &Value,
) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<C>(saved.clone())?)
}

/// The list of kinds: `"name" => module::Structure,` each. Makes the enum of their configurations, which reads and writes
/// a `[sampler]` block.
macro_rules! samplers {
    ($(#[$attribute:meta])* $vis:vis enum $Config:ident { $($name:literal => $module:ident::$Kind:ident,)+ }) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(tag = "kind")]
        #[non_exhaustive]
        $vis enum $Config {
            $(
                #[doc = concat!("`kind = \"", $name, "\"`.")]
                #[serde(rename = $name)]
                $Kind($module::$Kind),
            )+
        }

        $(
            impl From<$module::$Kind> for $Config {
                fn from(options: $module::$Kind) -> Self {
                    Self::$Kind(options)
                }
            }
        )+

        impl<'de> serde::Deserialize<'de> for $Config {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error as _;
                let kinds = [$(crate::sampler::kind::Reader {
                    name: $name,
                    read: |block| Ok(Self::$Kind(<$module::$Kind>::deserialize(block)?)),
                    options: crate::sampler::kind::fields_of::<$module::$Kind>,
                }),+];
                let block = toml::Table::deserialize(deserializer)?;
                let config = crate::sampler::kind::read(block, &kinds).map_err(D::Error::custom)?;
                config.check().map_err(D::Error::custom)?;
                Ok(config)
            }
        }

        impl $Config {
            /// The `kind`, as spelled in the configuration.
            $vis fn name(&self) -> &'static str {
                match self {
                    $(Self::$Kind(_) => $name,)+
                }
            }

            /// Checks the options' ranges.
            ///
            /// # Errors
            /// [`SamplerError`](crate::sampler::SamplerError), naming the option.
            $vis fn check(&self) -> Result<(), crate::sampler::SamplerError> {
                self.kind().check()
            }

            fn kind(&self) -> &dyn crate::sampler::kind::SamplerKind {
                match self {
                    $(Self::$Kind(options) => options,)+
                }
            }

            /// What the sampler is built from, after all checks.
            fn setup(
                &self,
                tasks: &[crate::sampler::TaskInfo],
                batch_size: usize,
                total_epochs: f64,
                seed: u64,
            ) -> Result<crate::sampler::state::Setup, crate::sampler::SamplerError> {
                crate::sampler::check_tasks(tasks, batch_size)?;
                self.check()?;
                Ok(crate::sampler::state::Setup {
                    kind: self.name(),
                    config: serde_json::to_value(self).unwrap_or_default(),
                    in_todays_form: crate::sampler::kind::in_todays_form::<Self>,
                    tasks: tasks.to_vec(),
                    batch_size,
                    steps_per_epoch: self.kind().steps_per_epoch(tasks, batch_size).max(1),
                    total_epochs,
                    seed,
                })
            }
        }
    };
}
pub(super) use samplers;
