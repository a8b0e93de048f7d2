// bf16 as plain bits. Converting by hand keeps cuda_bf16.h, whose operators differ
// between host compilers and nvcc, out of the kernels.
#pragma once

#include <platform.cuh>

namespace camtl {

struct bf16 {
  uint16_t bits;
};

__device__ __forceinline__ float low_float(uint32_t packed) { return bits_to_float(packed << 16); }
__device__ __forceinline__ float high_float(uint32_t packed) { return bits_to_float(packed & 0xffff0000u); }
__device__ __forceinline__ float to_float(bf16 x) { return bits_to_float(static_cast<uint32_t>(x.bits) << 16); }
__device__ __forceinline__ float to_float(float x) { return x; }

__device__ __forceinline__ void assign(bf16& to, float x) { to.bits = static_cast<uint16_t>(pack_bf16(x, 0.0f)); }
__device__ __forceinline__ void assign(float& to, float x) { to = x; }

}  // namespace camtl
