//! The parameters: their list, their memory, where they start, what learning rate they take.

pub(crate) mod build;
mod group;
pub(crate) mod init;
pub(crate) mod spec;
pub(crate) mod store;

pub use group::ParameterGroup;
pub use spec::Module;
pub use store::{ParameterEntry, ParameterStore};
