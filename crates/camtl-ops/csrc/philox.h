// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy
// as 1, 2, 3", 2011): a counter in, four random words out, no state.
#pragma once
#include <cstdint>

namespace camtl {

// Ten rounds on one counter. Written so that a loop over counters vectorises.
static inline void philox4x32_10(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                                 uint32_t k1, uint32_t out[4]) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t n0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
    c0 = n0;
    c1 = uint32_t(p1);
    c2 = n2;
    c3 = uint32_t(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

// A dropout as the kernels take it. threshold = round(p * 2^32), scale = 1/(1-p).
struct DropoutKey {
  uint32_t k0, k1;
  uint32_t threshold;

  static DropoutKey from(uint64_t seed, uint32_t threshold) {
    return {uint32_t(seed), uint32_t(seed >> 32), threshold};
  }
};

}  // namespace camtl
