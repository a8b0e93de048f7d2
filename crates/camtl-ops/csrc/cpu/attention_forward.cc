// Conditional attention, forward: one head of one sequence at a time, exact
// softmax over its own keys only, bias from the task's band.
#include <omp.h>

#include "attention.h"

namespace camtl {
namespace CAMTL_ISA {
namespace {

template <typename T>
void forward_unit(const CamtlAttention& a, const Unit<T>& u, const Buffers<T>& m) {
  const int64_t columns = a.heads * a.head_dim;
  T* out = static_cast<T*>(a.out) + u.query_row * columns + u.head * a.head_dim;
  if (u.length == 0) {
    // Only with one query per sequence: its output is zero.
    if (a.first_only) {
      for (int64_t c = 0; c < a.head_dim; ++c) out[c] = T(0);
    }
    return;
  }
  scores<T>(a, u, m, score_scale<T>(a));
  const int64_t query_rows = a.first_only ? a.layout->sequences : a.layout->rows;
  T* lse = static_cast<T*>(a.lse) + u.head * query_rows + u.query_row;
  for (int64_t i = 0; i < u.queries; ++i) {
    T* row = m.p + i * u.padded;
    const T denominator = softmax_row<T>(row, u.keys, u.padded);
    if (a.lse) lse[i] = denominator;
    if (a.dropout.on) {
      dropout_row<T>(m.mask, u.keys, uint32_t(i), uint32_t(u.head), uint32_t(u.sequence), a.dropout);
      for (int64_t j = 0; j < u.keys; ++j) row[j] *= m.mask[j];
    }
  }
  product<T>(a, u.queries, u.keys, m.p, u.padded, 1, u.v, a.v_row, out, columns, T(1), m);
}

template <typename T>
void forward(const CamtlAttention& a) {
  const int64_t units = a.layout->sequences * a.heads;
  const int64_t bytes = Buffers<T>(a, nullptr).bytes;
#pragma omp parallel if (a.layout->rows * a.heads * a.head_dim >= kSerialElements)
  {
    const Buffers<T> memory(a, static_cast<char*>(a.workspace) + omp_get_thread_num() * bytes);
#pragma omp for schedule(dynamic, 4)
    for (int64_t n = 0; n < units; ++n) {
      forward_unit<T>(a, Unit<T>(a, n / a.heads, n % a.heads), memory);
    }
  }
}

}  // namespace

void attention_forward(const CamtlAttention& a) {
  if (a.dtype == CAMTL_FLOAT64) {
    forward<double>(a);
  } else {
    forward<float>(a);
  }
}

int64_t attention_workspace(const CamtlAttention& a) {
  return a.dtype == CAMTL_FLOAT64 ? Buffers<double>(a, nullptr).bytes : Buffers<float>(a, nullptr).bytes;
}

}  // namespace CAMTL_ISA
}  // namespace camtl
