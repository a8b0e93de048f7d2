// Conditional attention, backward. Probabilities are computed again from q, k
// and the saved denominators, so that nothing of size length^2 is kept between
// the passes:
//
//   P = exp(s - lse)   dP = m * (dO v')   delta = rowsum(P dP)   dS = P (dP - delta)
//   dq = dS k / sqrt(d)   dk = dS' q / sqrt(d)   dv = (m P)' dO
//
// and the band's gradient is the sum over heads and over the sequences of a
// task of dS's band. Each attention segment and group of heads sums its own
// part; the parts are added in order.
#include <omp.h>

#include "attention.h"

namespace camtl {
namespace CAMTL_ISA {
namespace {

template <typename T>
CAMTL_INLINE void collect_band(const CamtlAttention& a, const T* ds, int64_t i, int64_t keys, T* band) {
  const int64_t start = i / a.band_width * a.band_width;
  const int64_t end = keys - start < a.band_width ? keys - start : a.band_width;
  T* row = band + i * a.band_width;
  for (int64_t c = 0; c < end; ++c) row[c] += ds[start + c];
}

template <typename T>
void clear_rows(T* first, int64_t rows, int64_t row, int64_t columns) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) first[r * row + c] = T(0);
  }
}

template <typename T>
void backward_unit(const CamtlAttention& a, const Unit<T>& u, const Buffers<T>& m, T* band) {
  constexpr int width = Simd<T>::width;
  const int64_t columns = a.heads * a.head_dim, column = u.head * a.head_dim;
  const T scale = score_scale<T>(a);
  const int64_t start = a.layout->cu_seqlens[u.sequence];
  T* dq = static_cast<T*>(a.dq) + (a.q_per_sequence ? u.sequence : start) * a.dq_row + column;
  T* dk = static_cast<T*>(a.dk) + start * a.dk_row + column;
  T* dv = static_cast<T*>(a.dv) + start * a.dv_row + column;
  if (u.length == 0) {
    if (a.q_per_sequence) clear_rows<T>(dq, 1, a.dq_row, a.head_dim);
    return;
  }
  const T* dout = static_cast<const T*>(a.dout) + u.query_row * columns + column;
  const int64_t query_rows = a.first_only ? a.layout->sequences : a.layout->rows;
  const T* lse = static_cast<const T*>(a.lse) + u.head * query_rows + u.query_row;

  scores<T>(a, u, m, scale);
  if (u.queries == 1) {
    for (int64_t j = 0; j < u.keys; ++j) m.dp[j] = dot<T>(dout, u.v + j * a.v_row, a.head_dim);
  } else {
    transpose<T>(u.keys, a.head_dim, u.v, a.v_row, m.v_t, u.padded);
    gemm<T>(u.queries, u.padded, a.head_dim, dout, columns, 1, m.v_t, u.padded, m.dp, u.padded, T(1));
  }
  for (int64_t i = 0; i < u.queries; ++i) {
    T *p = m.p + i * u.padded, *dp = m.dp + i * u.padded;
    // Columns beyond the keys: probability zero, whatever stands there.
    for (int64_t j = u.keys; j < u.padded; ++j) {
      p[j] = -__builtin_inf();
      dp[j] = T(0);
    }
    // dS needs P where the mask dropped it too, dv needs the masked P.
    Vec<T> delta{};
    if (a.dropout.on) {
      dropout_row<T>(m.mask, u.padded, uint32_t(i), uint32_t(u.head), uint32_t(u.sequence), a.dropout);
      for (int64_t j = 0; j < u.padded; j += width) {
        const Vec<T> x = vexp(load<T>(p + j) - lse[i]), keep = load<T>(m.mask + j);
        const Vec<T> dx = load<T>(dp + j) * keep;
        store<T>(m.row + j, x);
        store<T>(p + j, x * keep);
        store<T>(dp + j, dx);
        delta += x * dx;
      }
    } else {
      for (int64_t j = 0; j < u.padded; j += width) {
        const Vec<T> x = vexp(load<T>(p + j) - lse[i]);
        store<T>(p + j, x);
        delta += x * load<T>(dp + j);
      }
    }
    const T sum = total<T>(delta);
    const T* probability = a.dropout.on ? m.row : p;
    for (int64_t j = 0; j < u.padded; j += width) {
      store<T>(dp + j, (load<T>(dp + j) - sum) * load<T>(probability + j));
    }
    if (band) collect_band<T>(a, dp, i, u.keys, band);
  }
  if (!a.dq) return;
  // A sequence's rows that ask nothing have no query gradient.
  if (a.first_only && !a.q_per_sequence) clear_rows<T>(dq + a.dq_row, u.length - 1, a.dq_row, a.head_dim);
  clear_rows<T>(dk + u.keys * a.dk_row, u.length - u.keys, a.dk_row, a.head_dim);
  clear_rows<T>(dv + u.keys * a.dv_row, u.length - u.keys, a.dv_row, a.head_dim);
  product<T>(a, u.keys, u.queries, m.p, 1, u.padded, dout, columns, dv, a.dv_row, T(1), m);
  product<T>(a, u.queries, u.keys, m.dp, u.padded, 1, u.k, a.k_row, dq, a.dq_row, scale, m);
  product<T>(a, u.keys, u.queries, m.dp, 1, u.padded, u.q, a.q_row, dk, a.dk_row, scale, m);
}

template <typename T>
void backward(const CamtlAttention& a) {
  const CamtlLayout& layout = *a.layout;
  const int64_t groups = camtl_attention_head_groups(a.heads);
  const int64_t parts = layout.attention_segments * groups;
  const int64_t size = layout.max_len * a.band_width;
  const int64_t bytes = Buffers<T>(a, nullptr).bytes;
  T* partial = a.dband ? static_cast<T*>(a.partial) : nullptr;
#pragma omp parallel if (a.layout->rows * a.heads * a.head_dim >= kSerialElements)
  {
    const Buffers<T> memory(a, static_cast<char*>(a.workspace) + omp_get_thread_num() * bytes);
#pragma omp for schedule(dynamic, 1)
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t* segment = layout.attention_segment + 3 * (part / groups);
      const int64_t group = part % groups;
      T* band = partial ? partial + part * size : nullptr;
      if (band) {
        for (int64_t e = 0; e < size; ++e) band[e] = T(0);
      }
      for (int64_t b = segment[0]; b < segment[1]; ++b) {
        for (int64_t h = group * a.heads / groups; h < (group + 1) * a.heads / groups; ++h) {
          backward_unit<T>(a, Unit<T>(a, b, h), memory, band);
        }
      }
    }
    if (partial) {
      // Rows of the band in parallel; the parts of a row in order.
      T* dband = static_cast<T*>(a.dband);
#pragma omp for schedule(static)
      for (int64_t i = 0; i < layout.max_len; ++i) {
        for (int64_t part = 0; part < parts; ++part) {
          const int64_t task = layout.attention_segment[3 * (part / groups) + 2];
          T* row = dband + (task * a.band_length + i) * a.band_width;
          const T* from = partial + part * size + i * a.band_width;
          for (int64_t c = 0; c < a.band_width; ++c) row[c] += from[c];
        }
      }
    }
  }
}

}  // namespace

void attention_backward(const CamtlAttention& a) {
  if (a.dtype == CAMTL_FLOAT64) {
    backward<double>(a);
  } else {
    backward<float>(a);
  }
}

}  // namespace CAMTL_ISA
}  // namespace camtl
