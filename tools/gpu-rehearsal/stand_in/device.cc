// One made-up GPU of compute capability 9.0.
#include <cstdio>
#include <cstring>
#include <string>

#include "capability.h"
#include "device_memory.h"
#include "errors.h"
#include "log.h"

using namespace stand_in;

namespace {

cudaError_t unless_absent(int device, const char* call) {
  return device == 0 ? cudaSuccess : refuse(cudaErrorInvalidDevice, call, "there is only GPU 0");
}

}  // namespace

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
  *version = kCudaVersion;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kCudaVersion;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return unless_absent(device, "cudaSetDevice"); }

cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const auto error = unless_absent(device, "cudaGetDeviceProperties")) return error;
  std::memset(properties, 0, sizeof *properties);
  std::snprintf(properties->name, sizeof properties->name, "a stand-in for a GPU");
  properties->major = kMajor;
  properties->minor = kMinor;
  properties->totalGlobalMem = kTotalMemory;
  properties->multiProcessorCount = kMultiprocessors;
  properties->warpSize = kWarp;
  properties->l2CacheSize = kL2Bytes;
  properties->sharedMemPerBlock = kSharedPerBlock;
  properties->sharedMemPerBlockOptin = kSharedPerBlockOptIn;
  properties->sharedMemPerMultiprocessor = kSharedPerMultiprocessor;
  properties->regsPerBlock = kRegisters;
  properties->regsPerMultiprocessor = kRegisters;
  properties->maxThreadsPerBlock = static_cast<int>(kThreadsPerBlock);
  properties->maxThreadsPerMultiProcessor = static_cast<int>(kThreadsPerMultiprocessor);
  properties->maxBlocksPerMultiProcessor = static_cast<int>(kBlocksPerMultiprocessor);
  const dim3 block = kLargestBlock;
  const dim3 grid = kLargestGrid;
  const unsigned largest_block[] = {block.x, block.y, block.z};
  const unsigned largest_grid[] = {grid.x, grid.y, grid.z};
  for (int axis = 0; axis < 3; ++axis) {
    properties->maxThreadsDim[axis] = static_cast<int>(largest_block[axis]);
    properties->maxGridSize[axis] = static_cast<int>(largest_grid[axis]);
  }
  properties->textureAlignment = 512;
  properties->concurrentKernels = 1;
  properties->unifiedAddressing = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (const auto error = unless_absent(device, "cudaDeviceGetAttribute")) return error;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = kMajor; break;
    case cudaDevAttrComputeCapabilityMinor: *value = kMinor; break;
    case cudaDevAttrMultiProcessorCount: *value = kMultiprocessors; break;
    case cudaDevAttrWarpSize: *value = kWarp; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = static_cast<int>(kThreadsPerBlock); break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = static_cast<int>(kThreadsPerMultiprocessor); break;
    case cudaDevAttrMaxGridDimX: *value = static_cast<int>(dim3(kLargestGrid).x); break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(kSharedPerBlock); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(kSharedPerBlockOptIn); break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = static_cast<int>(kSharedPerMultiprocessor); break;
    default: end_program("cudaDeviceGetAttribute for attribute " + std::to_string(attribute));
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* out, int bytes, int device) {
  if (const auto error = unless_absent(device, "cudaDeviceGetPCIBusId")) return error;
  std::snprintf(out, static_cast<size_t>(bytes), "0000:00:00.0");
  return cudaSuccess;
}

}  // extern "C"
