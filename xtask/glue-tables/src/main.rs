//! `glue-tables SET TABLE PARQUET OUT`: writes one of GLUE's official tables from a Parquet file of the hub.
//!
//! A program of its own because the Parquet reader takes longer to build than all of `xtask`, which builds
//! and starts it when `download glue --source hub` needs it. Failures are one line on standard error.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [set, table, parquet, out] = arguments.as_slice() else {
        eprintln!(
            "usage: glue-tables SET TABLE PARQUET OUT, e.g. glue-tables CoLA dev.tsv cola/validation-00000-of-00001.parquet dev.tsv"
        );
        return ExitCode::from(2);
    };
    match glue_tables::convert(set, table, Path::new(parquet), Path::new(out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
