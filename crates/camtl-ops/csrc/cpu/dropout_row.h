// Dropout masks a row at a time: the counters of one row differ only in their
// first word, so a vector of them runs through Philox at once.
//
// Every 64-bit lane holds one counter's word in its lower half. The multiplier
// reads nothing else, so what the upper halves hold does not matter until the
// words are put together at the end.
#pragma once
#include "../kernels.h"
#include "simd.h"

namespace camtl {
namespace CAMTL_ISA {

typedef uint32_t Words __attribute__((vector_size(CAMTL_VECTOR_BYTES)));
typedef uint64_t Longs __attribute__((vector_size(CAMTL_VECTOR_BYTES)));
constexpr int kWords = CAMTL_VECTOR_BYTES / 4;
constexpr int kCounters = CAMTL_VECTOR_BYTES / 8;

// Products of the lower halves of the lanes.
CAMTL_INLINE Longs multiply(Longs a, uint32_t m) {
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

// The upper halves of the lanes, in their lower halves. A shuffle, since shifts
// wait for the unit that multiplies.
CAMTL_INLINE Longs upper(Longs a) {
#if defined(__AVX512F__)
  return Longs(_mm512_shuffle_epi32(__m512i(a), _MM_PERM_ENUM(0xf5)));
#elif defined(__AVX2__)
  return Longs(_mm256_shuffle_epi32(__m256i(a), 0xf5));
#elif defined(__SSE2__)
  return Longs(_mm_shuffle_epi32(__m128i(a), 0xf5));
#else
  return a >> 32;
#endif
}

// Lanes of even number of two vectors in turn, and of odd number.
#if CAMTL_VECTOR_BYTES == 64
#define CAMTL_EVEN(a, b) __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define CAMTL_ODD(a, b) __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#elif CAMTL_VECTOR_BYTES == 32
#define CAMTL_EVEN(a, b) __builtin_shufflevector(a, b, 0, 4, 2, 6)
#define CAMTL_ODD(a, b) __builtin_shufflevector(a, b, 1, 5, 3, 7)
#else
#define CAMTL_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2)
#define CAMTL_ODD(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

CAMTL_INLINE void store_kept(float* out, Words word, uint32_t threshold, float scale) {
  typedef Simd<float>::vec V;
  store<float>(out, word >= threshold ? splat<float>(scale) : V{});
}

CAMTL_INLINE void store_kept(double* out, Words word, uint32_t threshold, double scale) {
  for (int i = 0; i < kWords; ++i) out[i] = word[i] >= threshold ? scale : 0.0;
}

// mask[0..columns] = 0 or scale for the row with counter words c1, c2, c3. The
// buffer must have room up to the next multiple of 2 * kWords.
template <typename T>
CAMTL_INLINE void dropout_row(T* mask, int64_t columns, uint32_t c1, uint32_t c2, uint32_t c3,
                              const CamtlDropout& dropout) {
  constexpr int rounds = 10;
  uint64_t k0[rounds], k1[rounds];
  for (int round = 0; round < rounds; ++round) {
    k0[round] = uint32_t(uint32_t(dropout.seed) + uint32_t(round) * 0x9E3779B9u);
    k1[round] = uint32_t(uint32_t(dropout.seed >> 32) + uint32_t(round) * 0xBB67AE85u);
  }
  // Even lanes hold the first half of the counters: so the words come out in order.
  Longs order{};
  for (int i = 0; i < kCounters; ++i) order[i] = uint64_t(i % 2 == 0 ? i / 2 : kCounters / 2 + i / 2);
  for (int64_t j = 0; j < columns; j += 4 * kCounters) {
    Longs a = order + uint64_t(j / 4), b = Longs{} + c1, c = Longs{} + c2, d = Longs{} + c3;
#pragma GCC unroll 10
    for (int round = 0; round < rounds; ++round) {
      const Longs p0 = multiply(a, 0xD2511F53u), p1 = multiply(c, 0xCD9E8D57u);
      a = upper(p1) ^ b ^ k0[round];
      b = p1;
      c = upper(p0) ^ d ^ k1[round];
      d = p0;
    }
    const Longs ab = (a & 0xffffffffu) | (b << 32), cd = (c & 0xffffffffu) | (d << 32);
    store_kept(mask + j, Words(CAMTL_EVEN(ab, cd)), dropout.threshold, T(dropout.scale));
    store_kept(mask + j + kWords, Words(CAMTL_ODD(ab, cd)), dropout.threshold, T(dropout.scale));
  }
}

// Room a mask row needs.
CAMTL_INLINE int64_t mask_room(int64_t columns) { return (columns + 63) / 64 * 64; }

}  // namespace CAMTL_ISA
}  // namespace camtl
