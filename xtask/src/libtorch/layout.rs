//! What of which wheel goes where.
//!
//! The CPU set keeps what a program on the CPU loads: `libtorch_cpu.so` needs `libcudart.so.13` and
//! `libcupti.so.13` even there, and `libc10_cuda.so` (0.6 MB) is what a CUDA plugin refers to. The
//! wheel's own `libtorch.so` needs `libtorch_cuda.so`; a one-line linker script takes its place.

use std::path::{Path, PathBuf};

/// A set of wheels and the folder they become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Slim CPU libtorch, 499 MB: `.libtorch`.
    Cpu,
    /// Everything `libtorch_cuda.so` loads, 3.8 GB: `.libtorch-cuda`.
    Cuda,
    /// nvcc and what it needs to compile `.cu` files, 0.3 GB: `.cuda`.
    Toolkit,
}

/// Libraries of the torch wheel that the CPU set keeps.
const TORCH_CPU_LIBRARIES: [&str; 6] = [
    "libc10.so",
    "libc10_cuda.so",
    "libgomp.so.1",
    "libshm.so",
    "libtorch_cpu.so",
    "libtorch_global_deps.so",
];

/// Replaces the wheel's `libtorch.so` in the CPU set: `torch-sys` always links `-ltorch`.
pub const LINKER_SCRIPT: &str = "/* GNU ld script */ INPUT(libtorch_cpu.so)\n";

impl Set {
    /// The folder in the workspace's root.
    pub fn folder(self, root: &Path) -> PathBuf {
        root.join(match self {
            Self::Cpu => ".libtorch",
            Self::Cuda => ".libtorch-cuda",
            Self::Toolkit => ".cuda",
        })
    }

    /// The committed list of wheels with their hashes.
    pub fn lock_file(self, root: &Path) -> PathBuf {
        root.join("third_party").join(match self {
            Self::Cpu => "libtorch-cpu.txt",
            Self::Cuda => "libtorch-cuda.txt",
            Self::Toolkit => "cuda-toolkit.txt",
        })
    }

    /// For messages.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "libtorch 2.11.0 (CPU)",
            Self::Cuda => "libtorch 2.11.0 with CUDA 13.0",
            Self::Toolkit => "CUDA 13.0 compiler (nvcc)",
        }
    }

    /// Bytes needed while setting up: downloads and the unpacked set together.
    pub fn bytes_needed(self) -> u64 {
        match self {
            Self::Cpu => 1_100_000_000,
            Self::Cuda => 6_600_000_000,
            Self::Toolkit => 600_000_000,
        }
    }

    /// Files that must be there for the set to be usable.
    pub fn required(self) -> &'static [&'static str] {
        match self {
            Self::Cpu => &[
                "lib/libtorch.so",
                "lib/libtorch_cpu.so",
                "lib/libc10.so",
                "lib/libcudart.so.13",
                "lib/libcupti.so.13",
                "include/ATen/ATen.h",
            ],
            Self::Cuda => &[
                "lib/libtorch.so",
                "lib/libtorch_cpu.so",
                "lib/libtorch_cuda.so",
                "lib/libc10_cuda.so",
                "lib/libcudart.so.13",
                "include/ATen/ATen.h",
                "include/nccl.h",
            ],
            Self::Toolkit => &[
                "bin/nvcc",
                "bin/ptxas",
                "nvvm/bin/cicc",
                "include/cuda_runtime.h",
            ],
        }
    }

    /// True if the set is a libtorch (and thus gets `build-version`).
    pub fn is_libtorch(self) -> bool {
        self != Self::Toolkit
    }

    /// Where a wheel's entry goes, or `None` if it is left out.
    pub fn target(self, entry: &str) -> Option<PathBuf> {
        if self == Self::Toolkit {
            return entry
                .strip_prefix("nvidia/cu13/")
                .filter(|rest| !rest.is_empty())
                .map(PathBuf::from);
        }
        if let Some(rest) = entry.strip_prefix("torch/include/") {
            return Some(Path::new("include").join(rest));
        }
        if let Some(name) = entry.strip_prefix("torch/lib/") {
            let kept = match self {
                Self::Cpu => TORCH_CPU_LIBRARIES.contains(&name),
                _ => is_library(name) && name != "libtorch_python.so",
            };
            return kept.then(|| Path::new("lib").join(name));
        }
        // nvidia/cu13/lib/libcudart.so.13, nvidia/cudnn/lib/libcudnn.so.9, nvidia/nccl/include/nccl.h, ...
        let (_, inner) = entry.strip_prefix("nvidia/")?.split_once('/')?;
        if let Some(rest) = inner.strip_prefix("include/") {
            // Headers of NCCL, cuBLAS and so on, which ATen's CUDA headers and the plugin include.
            return (self == Self::Cuda).then(|| Path::new("include").join(rest));
        }
        let name = inner
            .strip_prefix("lib/")
            .filter(|name| !name.contains('/'))?;
        let kept = match self {
            Self::Cpu => matches!(name, "libcudart.so.13" | "libcupti.so.13"),
            _ => is_library(name),
        };
        kept.then(|| Path::new("lib").join(name))
    }
}

fn is_library(name: &str) -> bool {
    name.starts_with("lib") && (name.ends_with(".so") || name.contains(".so."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(set: Set, entry: &str) -> Option<String> {
        set.target(entry).map(|p| p.display().to_string())
    }

    #[test]
    fn the_cpu_set_keeps_what_a_cpu_program_loads() {
        assert_eq!(
            target(Set::Cpu, "torch/lib/libtorch_cpu.so").as_deref(),
            Some("lib/libtorch_cpu.so")
        );
        assert_eq!(target(Set::Cpu, "torch/lib/libtorch_cuda.so"), None);
        assert_eq!(target(Set::Cpu, "torch/lib/libtorch.so"), None);
        assert_eq!(
            target(Set::Cpu, "torch/include/ATen/ATen.h").as_deref(),
            Some("include/ATen/ATen.h")
        );
        assert_eq!(
            target(Set::Cpu, "nvidia/cu13/lib/libcupti.so.13").as_deref(),
            Some("lib/libcupti.so.13")
        );
        assert_eq!(target(Set::Cpu, "nvidia/cu13/lib/libnvperf_host.so"), None);
        assert_eq!(target(Set::Cpu, "torch/_C.py"), None);
    }

    #[test]
    fn the_cuda_set_keeps_every_library_but_pythons() {
        assert_eq!(
            target(Set::Cuda, "torch/lib/libtorch_cuda.so").as_deref(),
            Some("lib/libtorch_cuda.so")
        );
        assert_eq!(target(Set::Cuda, "torch/lib/libtorch_python.so"), None);
        assert_eq!(
            target(Set::Cuda, "nvidia/cudnn/lib/libcudnn.so.9").as_deref(),
            Some("lib/libcudnn.so.9")
        );
        assert_eq!(
            target(Set::Cuda, "nvidia/nccl/include/nccl.h").as_deref(),
            Some("include/nccl.h")
        );
        assert_eq!(target(Set::Cpu, "nvidia/cu13/include/cuda.h"), None);
        assert_eq!(
            target(Set::Cuda, "nvidia/cu13/lib/libcudart_static.a"),
            None
        );
        assert_eq!(
            target(Set::Toolkit, "nvidia/cu13/bin/nvcc").as_deref(),
            Some("bin/nvcc")
        );
        assert_eq!(
            target(Set::Toolkit, "nvidia/cu13/lib/libcudart_static.a").as_deref(),
            Some("lib/libcudart_static.a")
        );
    }
}
