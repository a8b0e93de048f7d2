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
        DeviceChoice::Cuda | DeviceChoice::Auto if tch::Cuda::is_available() => Ok(Device::Cuda(0)),
        DeviceChoice::Auto => Ok(Device::Cpu),
        DeviceChoice::Cuda => Err(TrainError::Device {
            device: "cuda",
            problem:
                "libtorch sees no CUDA device; `cargo xtask doctor` says what is missing. Use \
                      train.device = \"cpu\", or \"auto\" to take what is there"
                    .to_owned(),
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
