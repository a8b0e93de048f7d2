// Dropout masks a row at a time: the counters of one row differ only in their
// first word, so a vector of them runs through Philox at once.
#pragma once
#include "../kernels.h"
#include "simd.h"

namespace camtl {
namespace CAMTL_ISA {

typedef uint32_t Words __attribute__((vector_size(CAMTL_VECTOR_BYTES)));
typedef uint64_t Longs __attribute__((vector_size(CAMTL_VECTOR_BYTES)));
constexpr int kWords = CAMTL_VECTOR_BYTES / 4;

// Products of the even 32-bit lanes, as 64-bit lanes.
CAMTL_INLINE Longs multiply_even(Longs a, uint32_t m) {
#if defined(__AVX512F__)
  return Longs(_mm512_mul_epu32(__m512i(a), _mm512_set1_epi64(m)));
#elif defined(__AVX2__)
  return Longs(_mm256_mul_epu32(__m256i(a), _mm256_set1_epi64x(m)));
#elif defined(__SSE2__)
  return Longs(_mm_mul_epu32(__m128i(a), _mm_set1_epi64x(m)));
#else
  return (a & 0xffffffffu) * uint64_t(m);
#endif
}

struct Product {
  Words low, high;
};

CAMTL_INLINE Product multiply(Words a, uint32_t m) {
  const Longs upper = Longs{} + 0xffffffff00000000u;
  const Longs even = multiply_even(Longs(a), m);
  const Longs odd = multiply_even(Longs(a) >> 32, m);
  return {Words((even & ~upper) | (odd << 32)), Words((even >> 32) | (odd & upper))};
}

// mask[0..columns] = 0 or scale for the row with counter words c1, c2, c3. The
// buffer must have room up to the next multiple of 4 * kWords.
template <typename T>
CAMTL_INLINE void dropout_row(T* mask, int64_t columns, uint32_t c1, uint32_t c2, uint32_t c3,
                              const CamtlDropout& dropout) {
  const T scale = T(dropout.scale);
  Words lane{};
  for (int i = 0; i < kWords; ++i) lane[i] = uint32_t(i);
  for (int64_t j = 0; j < columns; j += 4 * kWords) {
    Words a = lane + uint32_t(j / 4), b = Words{} + c1, c = Words{} + c2, d = Words{} + c3;
    uint32_t k0 = uint32_t(dropout.seed), k1 = uint32_t(dropout.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const Product p0 = multiply(a, 0xD2511F53u), p1 = multiply(c, 0xCD9E8D57u);
      a = p1.high ^ b ^ k0;
      b = p1.low;
      c = p0.high ^ d ^ k1;
      d = p0.low;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    uint32_t words[4][kWords] __attribute__((aligned(64)));
    *reinterpret_cast<Words*>(words[0]) = a;
    *reinterpret_cast<Words*>(words[1]) = b;
    *reinterpret_cast<Words*>(words[2]) = c;
    *reinterpret_cast<Words*>(words[3]) = d;
    T* out = mask + j;
    for (int i = 0; i < kWords; ++i) {
      for (int word = 0; word < 4; ++word) {
        out[4 * i + word] = words[word][i] >= dropout.threshold ? scale : T(0);
      }
    }
  }
}

// Room a mask row needs.
CAMTL_INLINE int64_t mask_room(int64_t columns) { return (columns + 63) / 64 * 64; }

}  // namespace CAMTL_ISA
}  // namespace camtl
