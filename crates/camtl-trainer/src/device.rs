//! The device a run computes on.

use tch::Device;

use crate::config::DeviceChoice;
use crate::error::TrainError;

/// The device that `choice` means on this machine.
///
/// ```
/// use camtl_trainer::{DeviceChoice, resolve_device};
/// assert_eq!(resolve_device(DeviceChoice::Cpu)?, tch::Device::Cpu);
/// # Ok::<(), camtl_trainer::TrainError>(())
/// ```
///
/// # Errors
/// `cuda` is asked for and there is none; nothing is computed on another device instead.
pub fn resolve_device(choice: DeviceChoice) -> Result<Device, TrainError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        // Opened before anything else asks libtorch about GPUs.
        DeviceChoice::Auto => Ok(camtl_ops::open_cuda(0).unwrap_or(Device::Cpu)),
        DeviceChoice::Cuda => camtl_ops::open_cuda(0).map_err(|error| TrainError::Device {
            device: "cuda",
            problem: format!(
                "{error}. `cargo xtask doctor` checks all of it; train.device = \"cpu\" computes without a GPU, \
                 \"auto\" takes what is there"
            ),
        }),
    }
}

/// `cpu` or `cuda`.
pub(crate) fn device_name(device: Device) -> &'static str {
    match device {
        Device::Cuda(_) => "cuda",
        _ => "cpu",
    }
}
