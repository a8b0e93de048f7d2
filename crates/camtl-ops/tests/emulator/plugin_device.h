// Stands in for the plugin's plugin_device.h: emulated kernels work on host memory.
#pragma once

#include <ATen/core/Tensor.h>

namespace camtl::plugin {

inline at::Device gpu(int64_t) { return at::kCPU; }

class Launch {
 public:
  explicit Launch(const at::Tensor&) {}
  void* stream() const { return nullptr; }
  static void check(int code, const char* what) { TORCH_CHECK(code == 0, what, ": error ", code); }
};

}  // namespace camtl::plugin
