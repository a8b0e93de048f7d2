//! Writes the synthetic suite as TSV files with task files and a vocabulary beside them, to look at or to train on.
//!
//! ```text
//! cargo run -p camtl-quickstart --example synthetic_suite -- OUT_DIR [SEED]
//! ```

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use camtl_data::{Label, SplitSource};
use camtl_quickstart::synthetic::{suite, vocab};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let out: PathBuf = arguments
        .next()
        .ok_or("usage: synthetic_suite OUT_DIR [SEED]")?
        .into();
    let seed = match arguments.next() {
        Some(seed) => seed.to_string_lossy().parse()?,
        None => 12,
    };
    for task in suite(seed) {
        let mut spec = task.spec;
        let folder = out.join(&spec.name);
        fs::create_dir_all(&folder)?;
        for (split, examples) in &task.splits {
            let mut text = if spec.is_pair() {
                "sentence1\tsentence2\tlabel\n"
            } else {
                "sentence\tlabel\n"
            }
            .to_owned();
            for example in examples {
                text.push_str(&example.text_a);
                if let Some(second) = &example.text_b {
                    text.push('\t');
                    text.push_str(second);
                }
                text.push('\t');
                match example.label {
                    Some(Label::Class(class)) => {
                        text.push_str(spec.label_name(class).ok_or("unknown class")?)
                    }
                    Some(Label::Score(score)) => text.push_str(&format!("{score:.1}")),
                    _ => return Err("every example has a label".into()),
                }
                text.push('\n');
            }
            fs::write(folder.join(format!("{split}.tsv")), text)?;
            let path = format!("{}/{split}.tsv", spec.name);
            spec.files.insert(split.clone(), SplitSource::new(path));
        }
        fs::write(
            out.join(format!("{}.toml", spec.name)),
            toml::to_string(&spec)?,
        )?;
    }
    fs::write(out.join("vocab.txt"), vocab())?;
    Ok(())
}
