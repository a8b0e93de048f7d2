// Dropout masks as tensors of 0 and 1, for the slow forms and for tests.
// The fused kernels call the same generator and never store a mask.
#include "kernels.h"
#include "philox.h"

namespace {

using camtl::DropoutKey;

// Elements 4*group .. of one row whose counter is (group, c1, c2, c3).
void mask_row(float* out, int64_t columns, uint32_t c1, uint32_t c2, uint32_t c3, const DropoutKey& key) {
  for (int64_t j = 0; j < columns; j += 4) {
    uint32_t word[4];
    camtl::philox4x32_10(uint32_t(j / 4), c1, c2, c3, key.k0, key.k1, word);
    const int64_t end = columns - j < 4 ? columns - j : 4;
    for (int64_t lane = 0; lane < end; ++lane) out[j + lane] = word[lane] >= key.threshold ? 1.0f : 0.0f;
  }
}

}  // namespace

extern "C" {

void camtl_dropout_flat(float* out, int64_t count, uint64_t seed, uint32_t threshold) {
  const DropoutKey key = DropoutKey::from(seed, threshold);
  const int64_t groups = (count + 3) / 4;
#pragma omp parallel for schedule(static)
  for (int64_t group = 0; group < groups; ++group) {
    uint32_t word[4];
    camtl::philox4x32_10(uint32_t(group), uint32_t(uint64_t(group) >> 32), 0, 0, key.k0, key.k1, word);
    const int64_t end = count - 4 * group < 4 ? count - 4 * group : 4;
    for (int64_t lane = 0; lane < end; ++lane) {
      out[4 * group + lane] = word[lane] >= threshold ? 1.0f : 0.0f;
    }
  }
}

void camtl_dropout_tokens(float* out, int64_t columns, const int64_t* cu_seqlens, int64_t sequences,
                          uint64_t seed, uint32_t threshold) {
  const DropoutKey key = DropoutKey::from(seed, threshold);
#pragma omp parallel for schedule(static)
  for (int64_t b = 0; b < sequences; ++b) {
    for (int64_t row = cu_seqlens[b]; row < cu_seqlens[b + 1]; ++row) {
      mask_row(out + row * columns, columns, uint32_t(row - cu_seqlens[b]), 0, uint32_t(b), key);
    }
  }
}

void camtl_dropout_attention(float* out, const int64_t* members, int64_t count, int64_t heads, int64_t queries,
                             int64_t keys, uint64_t seed, uint32_t threshold) {
  const DropoutKey key = DropoutKey::from(seed, threshold);
#pragma omp parallel for schedule(static) collapse(2)
  for (int64_t m = 0; m < count; ++m) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < queries; ++i) {
        mask_row(out + ((m * heads + h) * queries + i) * keys, keys, uint32_t(i), uint32_t(h),
                 uint32_t(members[m]), key);
      }
    }
  }
}

}  // extern "C"
