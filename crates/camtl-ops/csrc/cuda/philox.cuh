// Philox4x32-10 (Salmon et al., 2011): dropout masks as a pure function of a seed
// and of an element's place. The CPU operations use the same counters, so a mask
// does not depend on the device, the layout or the kernel that draws it.
//
//   rows:      sequence b, position i, column j         counter (j/4, i, 0, b), word j%4
//   attention: sequence b, head h, query i, key j       counter (j/4, i, h, b), word j%4
#pragma once

#include <platform.cuh>

namespace camtl {

struct PhiloxWords {
  uint32_t w[4];
};

__device__ __forceinline__ PhiloxWords philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                                              uint32_t k1) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
    const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// One dropout call. A word below `threshold` = round(p * 2^32) drops its element;
// kept elements are multiplied by `scale` = 1 / (1 - p).
struct DropoutCall {
  uint64_t seed;
  // When not null, the seed is read from here: a captured graph must draw a new
  // mask at every replay although its launch arguments are fixed.
  const uint64_t* device_seed;
  uint32_t threshold;
  float scale;
};

struct DropoutKey {
  uint32_t k0, k1;
};

__device__ __forceinline__ DropoutKey dropout_key(const DropoutCall& call) {
  const uint64_t seed = call.device_seed != nullptr ? *call.device_seed : call.seed;
  return {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
}

// Keep bits of the four columns `4 * block`.., bit k for column 4 * block + k.
__device__ __forceinline__ uint32_t keep_nibble(const DropoutKey& key, uint32_t threshold, int block, int position,
                                                int head, int sequence) {
  const PhiloxWords words = philox(static_cast<uint32_t>(block), static_cast<uint32_t>(position),
                                   static_cast<uint32_t>(head), static_cast<uint32_t>(sequence), key.k0, key.k1);
  uint32_t keep = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k) keep |= (words.w[k] >= threshold ? 1u : 0u) << k;
  return keep;
}

}  // namespace camtl
