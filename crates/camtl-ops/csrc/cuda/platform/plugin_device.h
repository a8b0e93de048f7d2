// The GPU as the plugin's glue sees it. The tests have a file of the same name for
// emulated kernels on tensors in host memory.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

namespace camtl::plugin {

inline at::Device gpu(int64_t index) { return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index)); }

// Makes the tensor's device and libtorch's current stream those of the launches below.
class Launch {
 public:
  explicit Launch(const at::Tensor& on)
      : guard_(on.device()), stream_(c10::cuda::getCurrentCUDAStream(on.device().index())) {
    // The kernels' static CUDA runtime has a current device of its own.
    check(cudaSetDevice(on.device().index()), "choosing the GPU");
  }
  void* stream() const { return stream_.stream(); }

  static void check(int code, const char* what) {
    if (code == 0) return;
    TORCH_CHECK(code != -1, what, ": no GPU kernel for these shapes");
    const auto error = static_cast<cudaError_t>(code);
    TORCH_CHECK(error != cudaErrorNoKernelImageForDevice, what,
                ": the plugin has no code for this GPU (it is built for compute capability 8.0 and newer); build it "
                "again with `cargo xtask kernels`");
    TORCH_CHECK(false, what, ": ", cudaGetErrorString(error));
  }

 private:
  c10::cuda::CUDAGuard guard_;
  c10::cuda::CUDAStream stream_;
};

}  // namespace camtl::plugin
