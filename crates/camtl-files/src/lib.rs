//! Files and folders that appear whole or not at all, locks, and the nearest known word.
//!
#![doc = include_str!("../README.md")]

mod file;
mod folder;
mod lock;
mod place;
mod suggest;

pub use file::{OutputFile, write, write_with};
pub use folder::{
    StagedFolder, place_folder, remove_folder, remove_if_there, remove_leftovers, sync_folder,
};
pub use lock::{FileLock, LockError};
pub use suggest::{did_you_mean, nearest};
