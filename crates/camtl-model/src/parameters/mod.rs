//! The parameters: their list, their memory, where they start, how many there are.

mod group;
pub(crate) mod init;
mod report;
mod spec;
mod store;

pub use group::ParameterGroup;
pub use report::{ModuleCount, ParameterReport};
pub use spec::Module;
pub(crate) use spec::{Block, Init, LayerNames, ParameterSpec, parameter_specs};
pub use store::{ParameterEntry, ParameterStore};
