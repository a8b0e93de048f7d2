// What tch does not bind of libtorch's run time: gradients as views, generator
// state, determinism, autocast, threads.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <cstring>

#include "guard.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace camtl {

std::string& last_error() {
  thread_local std::string text;
  return text;
}

}  // namespace camtl

extern "C" {

const char* camtl_last_error() { return camtl::last_error().c_str(); }

// param.grad = grad (no copy). The gradient may be a view of a flat buffer.
int camtl_set_grad(at::Tensor* param, const at::Tensor* grad) {
  return camtl::guarded([&] {
    TORCH_CHECK(param->requires_grad() && param->is_leaf(), "parameter is no leaf that requires a gradient");
    param->mutable_grad() = camtl::optional(grad);
  });
}

// `count` numbers on GPU number `device`, by page-locked memory: the copy is put in the
// stream and nobody waits. From ordinary memory it would hold the host until the GPU
// has done everything before it.
int camtl_upload(at::Tensor** out, const void* values, int64_t count, int dtype, int64_t device) {
  return camtl::guarded([&] {
    const auto type = at::ScalarType(dtype);
    const at::Tensor host = at::empty({count}, at::TensorOptions().dtype(type).pinned_memory(true));
    if (count > 0) std::memcpy(host.mutable_data_ptr(), values, host.nbytes());
    *out = new at::Tensor(host.to(at::Device(at::kCUDA, at::DeviceIndex(device)), /*non_blocking=*/true));
  });
}

// to = from, in place; from host memory to a GPU as camtl_upload does it.
int camtl_overwrite(at::Tensor* to, const at::Tensor* from) {
  return camtl::guarded([&] {
    // copy_ would stretch a single number.
    TORCH_CHECK(to->sizes() == from->sizes(), "shape ", from->sizes(), " in the place of shape ", to->sizes());
    const at::NoGradGuard no_grad;
    if (to->is_cuda() && from->is_cpu()) {
      const at::Tensor host = at::empty(from->sizes(), from->options().pinned_memory(true));
      host.copy_(*from);
      to->copy_(host, /*non_blocking=*/true);
    } else {
      to->copy_(*from);
    }
  });
}

int camtl_rng_state(at::Tensor** out) {
  return camtl::guarded([&] {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    std::lock_guard<std::mutex> lock(generator.mutex());
    *out = new at::Tensor(generator.get_state());
  });
}

int camtl_set_rng_state(const at::Tensor* state) {
  return camtl::guarded([&] {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(*state);
  });
}

int camtl_set_deterministic(int on) {
  return camtl::guarded([&] {
    at::globalContext().setDeterministicAlgorithms(on != 0, /*warn_only=*/false);
    at::globalContext().setBenchmarkCuDNN(false);
  });
}

int camtl_deterministic(int* on) {
  return camtl::guarded([&] { *on = at::globalContext().deterministicAlgorithms() ? 1 : 0; });
}

int camtl_set_num_threads(int threads) {
  return camtl::guarded([&] { at::set_num_threads(threads); });
}

int camtl_num_threads(int* threads) {
  return camtl::guarded([&] { *threads = at::get_num_threads(); });
}

// Keeps freed memory in the process instead of handing every large block back.
int camtl_keep_freed_memory() {
#if defined(__GLIBC__)
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 ? 1 : 0;
#else
  return 0;
#endif
}

// Starts autocast for a device type on this thread and gives what was set before.
int camtl_begin_autocast(int cuda, int dtype, int* was_on, int* was_dtype) {
  return camtl::guarded([&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    *was_on = at::autocast::is_autocast_enabled(device) ? 1 : 0;
    *was_dtype = int(at::autocast::get_autocast_dtype(device));
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::set_autocast_dtype(device, at::ScalarType(dtype));
    at::autocast::increment_nesting();
  });
}

// Restores it. The cache of converted weights ends with the outermost guard.
int camtl_end_autocast(int cuda, int was_on, int was_dtype) {
  return camtl::guarded([&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device, was_on != 0);
    at::autocast::set_autocast_dtype(device, at::ScalarType(was_dtype));
  });
}

}  // extern "C"
