// The plugin's one exported name, and what it says about the machine.
#include "plugin/table.h"

#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>
#include <torch/csrc/api/include/torch/version.h>

#include "plugin/guard.h"

namespace camtl::plugin {

namespace {

const char* error_text() { return last_error().c_str(); }

void check(cudaError_t error, const char* what) {
  TORCH_CHECK(error == cudaSuccess, what, ": ", cudaGetErrorString(error));
}

int devices(int64_t* count) {
  return guarded([&] {
    int found = 0;
    // Asked of the CUDA runtime, not of libtorch, whose answer to a missing driver is a plain 0.
    check(cudaGetDeviceCount(&found), "counting the GPUs");
    *count = found;
  });
}

int capability(int64_t device, int64_t* out) {
  return guarded([&] {
    int major = 0, minor = 0;
    const int at = static_cast<int>(device);
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, at), "asking the GPU");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, at), "asking the GPU");
    *out = major * 10 + minor;
  });
}

const Table kTable = {
    kTableVersion,
    sizeof(Table),
    TORCH_VERSION,
    {error_text, layout_new, layout_free, film, layer_norm, gelu, linear, attention, embedding, heads, adamw, norm,
     top_scores},
    devices,
    capability,
    autocast,
    layout_assign,
    dropout,
    graph_enter,
    graph_leave,
    graph_begin,
    graph_end,
    graph_seeds,
    graph_replay,
    graph_free,
};

}  // namespace
}  // namespace camtl::plugin

extern "C" const camtl::plugin::Table* camtl_cuda_table() { return &camtl::plugin::kTable; }
