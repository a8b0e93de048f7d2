// Eight neighbouring elements of a row at a time: one 16-byte access of bf16, two
// of float32.
#pragma once

#include "bf16.cuh"

namespace camtl {

// As they lie in memory: what a row that waits for its turn is kept as.
template <typename T>
struct Packed8;

template <>
struct Packed8<bf16> {
  uint4 words;
  __device__ __forceinline__ void load(const bf16* p) { words = load_streaming(reinterpret_cast<const uint4*>(p)); }
  __device__ __forceinline__ void unpack(float (&x)[8]) const {
    x[0] = low_float(words.x);
    x[1] = high_float(words.x);
    x[2] = low_float(words.y);
    x[3] = high_float(words.y);
    x[4] = low_float(words.z);
    x[5] = high_float(words.z);
    x[6] = low_float(words.w);
    x[7] = high_float(words.w);
  }
};

template <>
struct Packed8<float> {
  float4 low, high;
  __device__ __forceinline__ void load(const float* p) {
    low = load_streaming(reinterpret_cast<const float4*>(p));
    high = load_streaming(reinterpret_cast<const float4*>(p) + 1);
  }
  __device__ __forceinline__ void unpack(float (&x)[8]) const {
    x[0] = low.x;
    x[1] = low.y;
    x[2] = low.z;
    x[3] = low.w;
    x[4] = high.x;
    x[5] = high.y;
    x[6] = high.z;
    x[7] = high.w;
  }
};

template <typename T>
__device__ __forceinline__ void load8(float (&x)[8], const T* p) {
  Packed8<T> packed;
  packed.load(p);
  packed.unpack(x);
}

// The same for tables that many rows read: kept in the caches.
__device__ __forceinline__ void load8_shared(float (&x)[8], const float* p) {
  const float4 a = load_readonly(reinterpret_cast<const float4*>(p));
  const float4 b = load_readonly(reinterpret_cast<const float4*>(p) + 1);
  x[0] = a.x;
  x[1] = a.y;
  x[2] = a.z;
  x[3] = a.w;
  x[4] = b.x;
  x[5] = b.y;
  x[6] = b.z;
  x[7] = b.w;
}

__device__ __forceinline__ void store8(bf16* p, const float (&x)[8]) {
  *reinterpret_cast<uint4*>(p) =
      make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7]));
}
__device__ __forceinline__ void store8(float* p, const float (&x)[8]) {
  reinterpret_cast<float4*>(p)[0] = make_float4(x[0], x[1], x[2], x[3]);
  reinterpret_cast<float4*>(p)[1] = make_float4(x[4], x[5], x[6], x[7]);
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
  return x;
}

}  // namespace camtl
