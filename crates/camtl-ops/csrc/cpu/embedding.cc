// Embeddings, layer norm, dropout and the task's FiLM in one pass over a row.
#include "dropout_row.h"
#include "partial.h"
#include "row_statistics.h"

namespace camtl {
namespace CAMTL_ISA {
namespace {

template <typename T>
CAMTL_INLINE void sum_row(const CamtlEmbedding& a, int64_t row, T* z) {
  const T* word = static_cast<const T*>(a.word) + a.input_ids[row] * a.columns;
  const T* type = static_cast<const T*>(a.token_type) + a.token_type_ids[row] * a.columns;
  const T* place = static_cast<const T*>(a.position) + a.position_ids[row] * a.columns;
  for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
    put(z + j, get(word + j) + get(type + j) + get(place + j));
  });
}

// The row's mask, ones without dropout.
template <typename T>
CAMTL_INLINE void mask_row(const CamtlEmbedding& a, int64_t row, T* mask) {
  const int64_t b = a.layout->row_sequence[row];
  dropout_row<T>(mask, a.columns, uint32_t(row - a.layout->cu_seqlens[b]), 0, uint32_t(b), a.dropout);
}

template <typename T>
void forward(const CamtlEmbedding& a) {
  const CamtlLayout& layout = *a.layout;
  const T* weight = static_cast<const T*>(a.weight);
  const T* bias = static_cast<const T*>(a.bias);
#pragma omp parallel if (layout.rows * a.columns >= kSerialElements)
  {
    RowBuffer<T> z_buffer(a.columns), mask_buffer(a.columns + 64);
    T *z = z_buffer.data, *mask = mask_buffer.data;
    for (int64_t j = 0; j < a.columns; ++j) mask[j] = T(1);
#pragma omp for schedule(static)
    for (int64_t row = 0; row < layout.rows; ++row) {
      sum_row<T>(a, row, z);
      T mean, rstd;
      statistics<T>(z, a.columns, a.eps, &mean, &rstd);
      if (a.mean) {
        static_cast<T*>(a.mean)[row] = mean;
        static_cast<T*>(a.rstd)[row] = rstd;
      }
      if (a.dropout.on) mask_row<T>(a, row, mask);
      T* y = static_cast<T*>(a.y) + row * a.columns;
      if (a.gamma) {
        const int64_t task = a.tasks == 1 ? 0 : layout.tasks[layout.row_sequence[row]];
        const T* gamma = static_cast<const T*>(a.gamma) + task * a.columns;
        const T* beta = static_cast<const T*>(a.beta) + task * a.columns;
        for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
          const Vec<T> e = ((get(z + j) - mean) * rstd * get(weight + j) + get(bias + j)) * get(mask + j);
          put(y + j, (get(gamma + j) + T(1)) * e + get(beta + j));
        });
      } else {
        for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
          put(y + j, ((get(z + j) - mean) * rstd * get(weight + j) + get(bias + j)) * get(mask + j));
        });
      }
    }
  }
}

template <typename T>
void backward(const CamtlEmbedding& a) {
  const CamtlLayout& layout = *a.layout;
  const T* weight = static_cast<const T*>(a.weight);
  const T* bias = static_cast<const T*>(a.bias);
  T* partial = static_cast<T*>(a.partial);
  const int64_t stride = 4 * a.columns;
#pragma omp parallel if (layout.rows * a.columns >= kSerialElements)
  {
    RowBuffer<T> z_buffer(a.columns), mask_buffer(a.columns + 64);
    T *z = z_buffer.data, *mask = mask_buffer.data;
    for (int64_t j = 0; j < a.columns; ++j) mask[j] = T(1);
#pragma omp for schedule(static)
    for (int64_t s = 0; s < layout.row_segments; ++s) {
      const int64_t* segment = layout.row_segment + 3 * s;
      const int64_t task = a.tasks == 1 ? 0 : segment[2];
      const T* gamma = a.gamma ? static_cast<const T*>(a.gamma) + task * a.columns : nullptr;
      T* dweight = partial + s * stride;
      T *dbias = dweight + a.columns, *dgamma = dbias + a.columns, *dbeta = dgamma + a.columns;
      clear<T>(dweight, stride);
      for (int64_t row = segment[0]; row < segment[1]; ++row) {
        sum_row<T>(a, row, z);
        if (a.dropout.on) mask_row<T>(a, row, mask);
        const T mean = static_cast<const T*>(a.mean)[row], rstd = static_cast<const T*>(a.rstd)[row];
        const T* dy = static_cast<const T*>(a.dy) + row * a.columns;
        Vec<T> sum{}, inner{};
        for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
          const Vec<T> unit = (get(z + j) - mean) * rstd, keep = get(mask + j), out = get(dy + j);
          Vec<T> d = out * keep;
          if (gamma) {
            const Vec<T> e = (unit * get(weight + j) + get(bias + j)) * keep;
            put(dgamma + j, get(dgamma + j) + out * e);
            put(dbeta + j, get(dbeta + j) + out);
            d = d * (get(gamma + j) + T(1));
          }
          put(dweight + j, get(dweight + j) + d * unit);
          put(dbias + j, get(dbias + j) + d);
          const Vec<T> g = d * get(weight + j);
          sum += g;
          inner += g * unit;
          put(z + j, unit);
        });
        if (!a.dsum) continue;
        const T c1 = total<T>(sum) / T(a.columns), c2 = total<T>(inner) / T(a.columns);
        T* dsum = static_cast<T*>(a.dsum) + row * a.columns;
        for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
          Vec<T> g = get(dy + j) * get(mask + j) * get(weight + j);
          if (gamma) g = g * (get(gamma + j) + T(1));
          put(dsum + j, (g - c1 - get(z + j) * c2) * rstd);
        });
      }
    }
    const int64_t n = a.columns;
    if (a.dweight) add_parts<T>(layout, partial, stride, n, 1, static_cast<T*>(a.dweight));
    if (a.dbias) add_parts<T>(layout, partial + n, stride, n, 1, static_cast<T*>(a.dbias));
    if (a.dgamma) add_parts<T>(layout, partial + 2 * n, stride, n, a.tasks, static_cast<T*>(a.dgamma));
    if (a.dbeta) add_parts<T>(layout, partial + 3 * n, stride, n, a.tasks, static_cast<T*>(a.dbeta));
  }
}

// Runs of one id in parallel, the rows of a run in order.
template <typename T>
void scatter(const CamtlScatter& a) {
#pragma omp parallel for schedule(dynamic, 8) if (a.starts[a.runs] * a.columns >= kSerialElements)
  for (int64_t run = 0; run < a.runs; ++run) {
    T* to = static_cast<T*>(a.dtable) + a.ids[a.order[a.starts[run]]] * a.columns;
    for (int64_t at = a.starts[run]; at < a.starts[run + 1]; ++at) {
      const T* from = static_cast<const T*>(a.dsum) + a.order[at] * a.columns;
      for (int64_t c = 0; c < a.columns; ++c) to[c] += from[c];
    }
  }
}

}  // namespace

void embedding_forward(const CamtlEmbedding& a) {
  a.dtype == CAMTL_FLOAT64 ? forward<double>(a) : forward<float>(a);
}
void embedding_backward(const CamtlEmbedding& a) {
  a.dtype == CAMTL_FLOAT64 ? backward<double>(a) : backward<float>(a);
}
void scatter_rows(const CamtlScatter& a) { a.dtype == CAMTL_FLOAT64 ? scatter<double>(a) : scatter<float>(a); }

}  // namespace CAMTL_ISA
}  // namespace camtl
