//! Public data sets: where their official files are, and how they become the folders camtl reads.
//!
//! [`catalogue`] is the table (addresses, sizes, SHA-256, files); [`obtain`] does the work for any
//! row of it; [`mrpc`] makes MRPC's split as the official GLUE script does; [`record`] notes what
//! was fetched from where. [`parquet`] takes GLUE from the hub's Parquet files.

pub mod catalogue;
pub mod folder;
pub mod mrpc;
pub mod obtain;
pub mod parquet;
pub mod record;
