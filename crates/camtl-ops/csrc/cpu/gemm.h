// Small matrix products for attention: C = alpha * A B with all of B's row in
// registers' reach. A is read element by element (any strides, so a transposed A
// costs nothing), B and C by whole vectors.
#pragma once
#include "simd.h"

namespace camtl {
namespace CAMTL_ISA {

// Rows per tile: as many accumulators as the register file allows.
constexpr int kTileRows = CAMTL_VECTOR_BYTES == 16 ? 4 : 6;
constexpr int kTileVectors = CAMTL_VECTOR_BYTES == 64 ? 4 : 2;

template <typename T, int ROWS, int VECTORS>
CAMTL_INLINE void gemm_tile(int64_t depth, const T* a, int64_t a_row, int64_t a_depth, const T* b, int64_t b_depth,
                            T* c, int64_t c_row, T alpha) {
  constexpr int width = Simd<T>::width;
  Vec<T> sum[ROWS][VECTORS];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) sum[r][v] = Vec<T>{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vec<T> right[VECTORS];
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) right[v] = load<T>(b + k * b_depth + v * width);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const Vec<T> left = splat<T>(a[r * a_row + k * a_depth]);
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) store<T>(c + r * c_row + v * width, sum[r][v] * alpha);
  }
}

template <typename T, int VECTORS>
static void gemm_columns(int64_t rows, int64_t depth, const T* a, int64_t a_row, int64_t a_depth, const T* b,
                         int64_t b_depth, T* c, int64_t c_row, T alpha) {
  int64_t i = 0;
  for (; i + kTileRows <= rows; i += kTileRows) {
    gemm_tile<T, kTileRows, VECTORS>(depth, a + i * a_row, a_row, a_depth, b, b_depth, c + i * c_row, c_row, alpha);
  }
  a += i * a_row;
  c += i * c_row;
  switch (rows - i) {
    case 5: gemm_tile<T, 5, VECTORS>(depth, a, a_row, a_depth, b, b_depth, c, c_row, alpha); break;
    case 4: gemm_tile<T, 4, VECTORS>(depth, a, a_row, a_depth, b, b_depth, c, c_row, alpha); break;
    case 3: gemm_tile<T, 3, VECTORS>(depth, a, a_row, a_depth, b, b_depth, c, c_row, alpha); break;
    case 2: gemm_tile<T, 2, VECTORS>(depth, a, a_row, a_depth, b, b_depth, c, c_row, alpha); break;
    case 1: gemm_tile<T, 1, VECTORS>(depth, a, a_row, a_depth, b, b_depth, c, c_row, alpha); break;
    default: break;
  }
}

// columns is a multiple of the vector width.
template <typename T>
static void gemm(int64_t rows, int64_t columns, int64_t depth, const T* a, int64_t a_row, int64_t a_depth, const T* b,
                 int64_t b_depth, T* c, int64_t c_row, T alpha) {
  constexpr int width = Simd<T>::width;
  int64_t vectors = columns / width;
  while (vectors > 0) {
    // 5 vectors go as 3 + 2, not 4 + 1: a single vector per row is latency-bound.
    const int64_t take = vectors >= kTileVectors + 2 || vectors == kTileVectors ? kTileVectors
                         : vectors > kTileVectors                               ? (vectors + 1) / 2
                                                                                : vectors;
    switch (take) {
      case 4: gemm_columns<T, (kTileVectors >= 4 ? 4 : 1)>(rows, depth, a, a_row, a_depth, b, b_depth, c, c_row, alpha); break;
      case 3: gemm_columns<T, (kTileVectors >= 3 ? 3 : 1)>(rows, depth, a, a_row, a_depth, b, b_depth, c, c_row, alpha); break;
      case 2: gemm_columns<T, 2>(rows, depth, a, a_row, a_depth, b, b_depth, c, c_row, alpha); break;
      default: gemm_columns<T, 1>(rows, depth, a, a_row, a_depth, b, b_depth, c, c_row, alpha); break;
    }
    b += take * width;
    c += take * width;
    vectors -= take;
  }
}

CAMTL_INLINE int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Interleaves two vectors: low gets a0 b0 a1 b1 ..., high the upper halves.
#define CAMTL_INTERLEAVE(TYPE, LOW, HIGH)                  \
  CAMTL_INLINE void interleave(TYPE& a, TYPE& b) {         \
    const TYPE low = __builtin_shufflevector LOW;          \
    const TYPE high = __builtin_shufflevector HIGH;        \
    a = low;                                               \
    b = high;                                              \
  }
#define CAMTL_L2 (a, b, 0, 2)
#define CAMTL_H2 (a, b, 1, 3)
#define CAMTL_L4 (a, b, 0, 4, 1, 5)
#define CAMTL_H4 (a, b, 2, 6, 3, 7)
#define CAMTL_L8 (a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define CAMTL_H8 (a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define CAMTL_L16 (a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define CAMTL_H16 (a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#if CAMTL_VECTOR_BYTES == 64
CAMTL_INTERLEAVE(Simd<float>::vec, CAMTL_L16, CAMTL_H16)
CAMTL_INTERLEAVE(Simd<double>::vec, CAMTL_L8, CAMTL_H8)
#elif CAMTL_VECTOR_BYTES == 32
CAMTL_INTERLEAVE(Simd<float>::vec, CAMTL_L8, CAMTL_H8)
CAMTL_INTERLEAVE(Simd<double>::vec, CAMTL_L4, CAMTL_H4)
#else
CAMTL_INTERLEAVE(Simd<float>::vec, CAMTL_L4, CAMTL_H4)
CAMTL_INTERLEAVE(Simd<double>::vec, CAMTL_L2, CAMTL_H2)
#endif

// out[c * out_row + r] = in[r * in_row + c]; columns r beyond `rows` up to
// out_row (a multiple of the vector width) become zero.
template <typename T>
static void transpose(int64_t rows, int64_t columns, const T* in, int64_t in_row, T* out, int64_t out_row) {
  constexpr int width = Simd<T>::width;
  for (int64_t r = 0; r < out_row; r += width) {
    const int64_t have = rows - r < width ? rows - r : width;
    int64_t c = 0;
    for (; c + width <= columns; c += width) {
      Vec<T> x[width];
#pragma GCC unroll 16
      for (int i = 0; i < width; ++i) x[i] = i < have ? load<T>(in + (r + i) * in_row + c) : Vec<T>{};
      // log2(width) rounds of interleaving row i with row i + width/2.
#pragma GCC unroll 4
      for (int round = 1; round < width; round *= 2) {
        Vec<T> y[width];
#pragma GCC unroll 8
        for (int i = 0; i < width / 2; ++i) {
          Vec<T> low = x[i], high = x[i + width / 2];
          interleave(low, high);
          y[2 * i] = low;
          y[2 * i + 1] = high;
        }
#pragma GCC unroll 16
        for (int i = 0; i < width; ++i) x[i] = y[i];
      }
#pragma GCC unroll 16
      for (int i = 0; i < width; ++i) store<T>(out + (c + i) * out_row + r, x[i]);
    }
    for (; c < columns; ++c) {
      for (int64_t i = 0; i < width; ++i) out[c * out_row + r + i] = i < have ? in[(r + i) * in_row + c] : T(0);
    }
  }
}

// Copies rows into a buffer whose rows are padded with zeros.
template <typename T>
static void pack(int64_t rows, int64_t columns, const T* in, int64_t in_row, T* out, int64_t out_row) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) out[r * out_row + c] = in[r * in_row + c];
    for (int64_t c = columns; c < out_row; ++c) out[r * out_row + c] = T(0);
  }
}

template <typename T>
static void unpack(int64_t rows, int64_t columns, const T* in, int64_t in_row, T* out, int64_t out_row) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) out[r * out_row + c] = in[r * in_row + c];
  }
}

}  // namespace CAMTL_ISA
}  // namespace camtl
