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
/// `cuda` is asked for and cannot be used, or `auto` and there is a GPU that cannot be used; nothing is
/// computed on another device instead. `auto` computes on the CPU only where there is no GPU.
pub fn resolve_device(choice: DeviceChoice) -> Result<Device, TrainError> {
    // Opened before anything else asks libtorch about GPUs.
    let open = |asked: &str| {
        camtl_ops::open_cuda(0).map_err(|error| TrainError::Device {
            device: "cuda",
            problem: format!(
                "{error}. {asked}`cargo xtask doctor` checks all of it; train.device = \"cpu\" computes without a GPU"
            ),
        })
    };
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda => open(""),
        DeviceChoice::Auto => match camtl_ops::no_gpu() {
            None => open("There is a GPU, so train.device = \"auto\" asks for it. "),
            Some(reason) => {
                tracing::info!(reason, "train.device = \"auto\": computing on the CPU");
                Ok(Device::Cpu)
            }
        },
    }
}

/// Why a run that asked for `choice` computes on `device`, where that is not plain.
pub(crate) fn device_reason(choice: DeviceChoice, device: Device) -> Option<String> {
    match (choice, device) {
        (DeviceChoice::Auto, Device::Cpu) => camtl_ops::no_gpu(),
        _ => None,
    }
}

/// `cpu` or `cuda`.
pub(crate) fn device_name(device: Device) -> &'static str {
    match device {
        Device::Cuda(_) => "cuda",
        _ => "cpu",
    }
}
