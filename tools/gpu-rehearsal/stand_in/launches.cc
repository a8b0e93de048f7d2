// Kernels: registered when their library is loaded, checked for their launch's shape, never run.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "capability.h"
#include "capture.h"
#include "device_memory.h"
#include "log.h"

using namespace stand_in;

namespace {

struct Kernel {
  const char* name;  // mangled; lives as long as its library
  size_t dynamic_shared = kSharedPerBlock;
};

// By the host function that stands for the kernel.
std::unordered_map<const void*, Kernel>& kernels() {
  static auto& all = *new std::unordered_map<const void*, Kernel>;
  return all;
}

// What `<<<...>>>` leaves for the function that launches.
struct Configuration {
  dim3 grid;
  dim3 block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

bool is_within(dim3 size, dim3 limit) {
  return size.x >= 1 && size.y >= 1 && size.z >= 1 && size.x <= limit.x && size.y <= limit.y && size.z <= limit.z;
}

std::string text_of(dim3 size) {
  return std::to_string(size.x) + " x " + std::to_string(size.y) + " x " + std::to_string(size.z);
}

// CUDA C++ Programming Guide, "Compute Capabilities", "Features and Technical Specifications".
cudaError_t launch(const void* function, dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  const Lock lock;
  const auto found = kernels().find(function);
  if (found == kernels().end()) {
    return refuse(cudaErrorInvalidDeviceFunction, "cudaLaunchKernel", "there is no such kernel");
  }
  const Kernel& kernel = found->second;
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (!is_within(grid, kLargestGrid) || !is_within(block, kLargestBlock) || threads > kThreadsPerBlock) {
    return refuse(cudaErrorInvalidConfiguration, "cudaLaunchKernel",
                  std::string(kernel.name) + " with a grid of " + text_of(grid) + " and blocks of " + text_of(block));
  }
  // The same, "Shared Memory" of 9.x: above 48 KB only for kernels that have asked for it.
  if (shared > kernel.dynamic_shared) {
    return refuse(cudaErrorInvalidValue, "cudaLaunchKernel",
                  std::string(kernel.name) + " with " + std::to_string(shared) + " bytes of dynamic shared memory of " +
                      std::to_string(kernel.dynamic_shared) + " allowed");
  }
  return enqueue("cudaLaunchKernel", stream, "launch", kernel.name);
}

}  // namespace

extern "C" {

// The compiler's half of the run time: called by what nvcc puts into every object.

void** __cudaRegisterFatBinary(void*) { return static_cast<void**>(std::calloc(1, sizeof(void*))); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void** handle) { std::free(handle); }
char __cudaInitModule(void**) { return 1; }

void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  const Lock lock;
  kernels()[host] = Kernel{name};
}

void __cudaRegisterVar(void**, char* host, char*, const char*, int, size_t bytes, int, int) { add_symbol(host, bytes); }

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (configurations.empty()) {
    return refuse(cudaErrorMissingConfiguration, "__cudaPopCallConfiguration", "no launch has begun");
  }
  const Configuration last = configurations.back();
  configurations.pop_back();
  *grid = last.grid;
  *block = last.block;
  *shared = last.shared;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void**, size_t shared, cudaStream_t stream) {
  return launch(kernel, grid, block, shared, stream);
}

// The public half.

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void**, size_t shared, cudaStream_t stream) {
  return launch(function, grid, block, shared, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void**) {
  // Clusters, cooperative launches and launches that overlap have rules of their own.
  if (config->numAttrs != 0) end_program("cudaLaunchKernelExC with attributes");
  return launch(function, config->gridDim, config->blockDim, config->dynamicSmemBytes, config->stream);
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  constexpr const char* kCall = "cudaFuncSetAttribute";
  const Lock lock;
  const auto found = kernels().find(function);
  if (found == kernels().end()) return refuse(cudaErrorInvalidDeviceFunction, kCall, "there is no such kernel");
  switch (attribute) {
    case cudaFuncAttributeMaxDynamicSharedMemorySize:
      if (value < 0 || static_cast<size_t>(value) > kSharedPerBlockOptIn) {
        return refuse(cudaErrorInvalidValue, kCall,
                      std::string(found->second.name) + " wants " + std::to_string(value) + " bytes of shared memory");
      }
      found->second.dynamic_shared = std::max(kSharedPerBlock, static_cast<size_t>(value));
      return cudaSuccess;
    // A hint.
    case cudaFuncAttributePreferredSharedMemoryCarveout: return cudaSuccess;
    default: end_program("cudaFuncSetAttribute with attribute " + std::to_string(attribute));
  }
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  const Lock lock;
  const auto found = kernels().find(function);
  if (found == kernels().end()) {
    return refuse(cudaErrorInvalidDeviceFunction, "cudaFuncGetAttributes", "there is no such kernel");
  }
  std::memset(attributes, 0, sizeof *attributes);
  attributes->maxThreadsPerBlock = static_cast<int>(kThreadsPerBlock);
  // What a kernel takes is in its machine code, which is not read here.
  attributes->numRegs = 32;
  attributes->ptxVersion = attributes->binaryVersion = 10 * kMajor + kMinor;
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(found->second.dynamic_shared);
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int threads,
                                                                   size_t shared, unsigned) {
  const Lock lock;
  if (kernels().count(function) == 0) {
    return refuse(cudaErrorInvalidDeviceFunction, "cudaOccupancyMaxActiveBlocksPerMultiprocessor",
                  "there is no such kernel");
  }
  const size_t by_threads = kThreadsPerMultiprocessor / std::max<size_t>(1, static_cast<size_t>(threads));
  // The system takes 1 KB for each block.
  const size_t by_shared = kSharedPerMultiprocessor / (shared + 1024);
  *blocks = static_cast<int>(std::min({by_threads, by_shared, kBlocksPerMultiprocessor}));
  return cudaSuccess;
}

}  // extern "C"
