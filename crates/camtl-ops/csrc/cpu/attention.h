// What forward and backward attention share: where a sequence's rows lie, the
// softmax of a row of scores, the scratch memory of a thread.
#pragma once
#include "dropout_row.h"
#include "gemm.h"

namespace camtl {
namespace CAMTL_ISA {

// One head of one sequence.
template <typename T>
struct Unit {
  int64_t sequence, head, task;
  int64_t length, keys;   // rows; rows that are keys
  int64_t queries;        // length, or 1
  int64_t padded;         // keys, up to a multiple of the vector width
  const T *q, *k, *v;     // first element of the head in the sequence's first row
  int64_t query_row;      // row of the first query in out, lse (and dout)
  const T* band;          // [band_length, band_width] of the task, or null

  Unit(const CamtlAttention& a, int64_t b, int64_t h) : sequence(b), head(h) {
    const CamtlLayout& layout = *a.layout;
    const int64_t start = layout.cu_seqlens[b];
    task = layout.tasks[b];
    length = layout.cu_seqlens[b + 1] - start;
    keys = layout.key_lengths[b];
    queries = a.first_only ? (length > 0 ? 1 : 0) : length;
    padded = round_up(keys, Simd<T>::width);
    query_row = a.first_only ? b : start;
    const int64_t column = h * a.head_dim;
    q = static_cast<const T*>(a.q) + (a.q_per_sequence ? b : start) * a.q_row + column;
    k = static_cast<const T*>(a.k) + start * a.k_row + column;
    v = static_cast<const T*>(a.v) + start * a.v_row + column;
    band = a.band ? static_cast<const T*>(a.band) + task * a.band_length * a.band_width : nullptr;
  }
};

// Scratch of one thread. Sizes for the longest sequence; every buffer starts on
// a cache line.
template <typename T>
struct Scratch {
  int64_t length, padded, depth;  // longest sequence; padded; head_dim, padded
  int64_t used = 0;
  char* base;

  Scratch(const CamtlAttention& a, void* memory)
      : length(a.layout->max_len),
        padded(round_up(a.layout->max_len, Simd<T>::width)),
        depth(round_up(a.head_dim, Simd<T>::width)),
        base(static_cast<char*>(memory)) {}

  T* take(int64_t count) {
    T* p = reinterpret_cast<T*>(base + used);
    used += round_up(count * int64_t(sizeof(T)), 64);
    return p;
  }
};

// Buffers by purpose. With a null base only the sizes count.
template <typename T>
struct Buffers {
  T *k_t, *v_t, *p, *dp, *mask, *row, *right, *product;
  int64_t bytes;

  Buffers(const CamtlAttention& a, void* memory) {
    Scratch<T> s(a, memory);
    const int64_t square = (a.first_only ? 1 : s.length) * s.padded;
    const int64_t rows = (s.length > 0 ? s.length : 1) * s.depth;
    k_t = s.take(a.head_dim * s.padded);
    v_t = s.take(a.head_dim * s.padded);
    p = s.take(square);
    dp = s.take(square);
    mask = s.take(mask_room(s.padded));
    row = s.take(s.padded);
    right = s.take(rows);
    product = s.take(rows);
    bytes = s.used;
  }
};

// Adds the band's row to scaled scores: query i, keys from floor(i/w)*w on.
template <typename T>
CAMTL_INLINE void add_band(const CamtlAttention& a, const T* band, int64_t i, int64_t keys, T* scores) {
  const int64_t start = i / a.band_width * a.band_width;
  const int64_t end = keys - start < a.band_width ? keys - start : a.band_width;
  const T* row = band + i * a.band_width;
  for (int64_t c = 0; c < end; ++c) scores[start + c] += row[c];
}

// Scores to probabilities, in place; columns from `keys` to `padded` become
// zero. Returns the log of the denominator (of unshifted scores).
template <typename T>
CAMTL_INLINE T softmax_row(T* row, int64_t keys, int64_t padded) {
  constexpr int width = Simd<T>::width;
  const T least = -__builtin_inf();
  for (int64_t j = keys; j < padded; ++j) row[j] = least;
  Vec<T> top = splat<T>(least);
  for (int64_t j = 0; j < padded; j += width) top = vmax<T>(load<T>(row + j), top);
  const T shift = largest<T>(top);
  Vec<T> sum{};
  for (int64_t j = 0; j < padded; j += width) {
    const Vec<T> e = vexp(load<T>(row + j) - shift);
    store<T>(row + j, e);
    sum += e;
  }
  const T denominator = total<T>(sum);
  const T inverse = T(1) / denominator;
  for (int64_t j = 0; j < padded; j += width) store<T>(row + j, load<T>(row + j) * inverse);
  return shift + (sizeof(T) == 4 ? T(__builtin_logf(float(denominator))) : T(__builtin_log(double(denominator))));
}

template <typename T>
CAMTL_INLINE T dot(const T* a, const T* b, int64_t n) {
  constexpr int width = Simd<T>::width;
  Vec<T> sum{};
  int64_t j = 0;
  for (; j + width <= n; j += width) sum += load<T>(a + j) * load<T>(b + j);
  T rest = total<T>(sum);
  for (; j < n; ++j) rest += a[j] * b[j];
  return rest;
}

// Scores of all queries of a unit against all keys, scaled, with the band.
// One query alone goes by dot products: transposing the keys would not pay.
template <typename T>
CAMTL_INLINE void scores(const CamtlAttention& a, const Unit<T>& u, const Buffers<T>& m, T scale) {
  if (u.queries == 1) {
    for (int64_t j = 0; j < u.keys; ++j) m.p[j] = scale * dot<T>(u.q, u.k + j * a.k_row, a.head_dim);
  } else {
    transpose<T>(u.keys, a.head_dim, u.k, a.k_row, m.k_t, u.padded);
    gemm<T>(u.queries, u.padded, a.head_dim, u.q, a.q_row, 1, m.k_t, u.padded, m.p, u.padded, scale);
  }
  if (u.band) {
    for (int64_t i = 0; i < u.queries; ++i) add_band<T>(a, u.band, i, u.keys, m.p + i * u.padded);
  }
}

// c[rows, head_dim] = alpha * A b, where b's and c's rows may be narrower than
// whole vectors (then they go through the padded buffers).
template <typename T>
CAMTL_INLINE void product(const CamtlAttention& a, int64_t rows, int64_t depth, const T* left, int64_t left_row,
                          int64_t left_depth, const T* b, int64_t b_row, T* c, int64_t c_row, T alpha,
                          const Buffers<T>& m) {
  const int64_t columns = a.head_dim;
  const int64_t wide = round_up(columns, Simd<T>::width);
  if (wide == columns) {
    gemm<T>(rows, columns, depth, left, left_row, left_depth, b, b_row, c, c_row, alpha);
    return;
  }
  pack<T>(depth, columns, b, b_row, m.right, wide);
  gemm<T>(rows, wide, depth, left, left_row, left_depth, m.right, wide, m.product, wide, alpha);
  unpack<T>(rows, columns, m.product, wide, c, c_row);
}

template <typename T>
CAMTL_INLINE T score_scale(const CamtlAttention& a) {
  return T(1.0 / __builtin_sqrt(double(a.head_dim)));
}

}  // namespace CAMTL_ISA
}  // namespace camtl
