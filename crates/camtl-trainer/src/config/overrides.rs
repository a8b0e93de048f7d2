//! `--set a.b=value`: one key of the configuration, replaced before it is checked. A block as a
//! whole is replaced by a table: `--set 'sampler={kind = "uniform"}'`.

use toml::{Table, Value};

use super::problem::ConfigProblem;

/// One override, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Override {
    /// The key's parts.
    pub(super) path: Vec<String>,
    /// The value.
    pub(super) value: Value,
    /// As the user wrote it.
    pub(super) text: String,
}

/// Takes `a.b=value` apart. The value is TOML where it is TOML, else plain text.
pub(super) fn parse(text: &str) -> Result<Override, ConfigProblem> {
    let fail = |message: &str| ConfigProblem {
        location: Some(format!("--set {text}")),
        key: String::new(),
        message: format!("{message}; write KEY=VALUE, for example train.max_steps=300"),
    };
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| fail("there is no `=`"))?;
    let path: Vec<String> = key
        .trim()
        .split('.')
        .map(|part| part.trim().to_owned())
        .collect();
    if path.iter().any(String::is_empty) {
        return Err(fail("a part of the key is empty"));
    }
    let value = value_of(value.trim());
    if path.len() < 2 && !value.is_table() {
        return Err(fail("the key has no block"));
    }
    Ok(Override {
        path,
        value,
        text: text.to_owned(),
    })
}

/// A TOML value; text that is none, or would be a date, is a string.
fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    match parsed
        .ok()
        .and_then(|mut table| (table.len() == 1).then(|| table.remove("value")).flatten())
    {
        Some(Value::Datetime(_)) | None => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

/// Puts the value into the table, making blocks on the way.
pub(super) fn apply(table: &mut Table, change: &Override) -> Result<(), ConfigProblem> {
    let Some((last, blocks)) = change.path.split_last() else {
        return Ok(());
    };
    let mut place = table;
    for (depth, block) in blocks.iter().enumerate() {
        let entry = place
            .entry(block.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        place = match entry {
            Value::Table(inner) => inner,
            other => {
                return Err(ConfigProblem {
                    location: Some(format!("--set {}", change.text)),
                    key: change.path[..=depth].join("."),
                    message: format!("is a {}, not a block, and has no keys", other.type_str()),
                });
            }
        };
    }
    place.insert(last.clone(), change.value.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_type_they_look_like() {
        for (text, value) in [
            ("3", Value::Integer(3)),
            ("5e-5", Value::Float(5e-5)),
            ("true", Value::Boolean(true)),
            ("\"x\"", Value::String("x".into())),
            ("../data/glue", Value::String("../data/glue".into())),
            ("cuda", Value::String("cuda".into())),
            ("", Value::String(String::new())),
            ("2020-01-02", Value::String("2020-01-02".into())),
            ("[\"a\", \"b\"]", Value::Array(vec!["a".into(), "b".into()])),
            ("1\nother = 2", Value::String("1\nother = 2".into())),
        ] {
            assert_eq!(
                parse(&format!("a.b={text}")).unwrap().value,
                value,
                "{text}"
            );
        }
    }

    #[test]
    fn shapes_that_are_no_override_are_explained() {
        for (text, part) in [
            ("train.seed", "no `=`"),
            ("=1", "empty"),
            ("train.=1", "empty"),
            ("seed=1", "no block"),
        ] {
            assert!(
                parse(text).unwrap_err().to_string().contains(part),
                "{text}"
            );
        }
        let mut table: Table = toml::from_str("train = 3").unwrap();
        let problem = apply(&mut table, &parse("train.seed=1").unwrap()).unwrap_err();
        assert!(
            problem
                .to_string()
                .contains("train: is a integer, not a block"),
            "{problem}"
        );
    }
}
