// y = LN(dropout(x) + residual) * w_t + b_t, forward and backward.
//
// Statistics in two passes over a row that lies in the first-level cache. The
// inputs are kept for the backward pass, not their sum: the residual is alive
// anyway, and the mask is computed again.
#include "dropout_row.h"
#include "partial.h"
#include "row_statistics.h"

namespace camtl {
namespace CAMTL_ISA {
namespace {

// z = dropout(x) + residual of one row; returns its sum.
template <typename T>
CAMTL_INLINE void sum_row(const CamtlLayerNorm& a, int64_t row, T* mask, T* z) {
  const CamtlLayout& layout = *a.layout;
  const T* x = static_cast<const T*>(a.x) + row * a.columns;
  const T* r = a.residual ? static_cast<const T*>(a.residual) + row * a.columns : nullptr;
  if (a.dropout.on) {
    const int64_t b = layout.row_sequence[row];
    dropout_row<T>(mask, a.columns, uint32_t(row - layout.cu_seqlens[b]), 0, uint32_t(b), a.dropout);
  }
  if (a.dropout.on && r) {
    for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
      put(z + j, get(x + j) * get(mask + j) + get(r + j));
    });
  } else if (a.dropout.on) {
    for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
      put(z + j, get(x + j) * get(mask + j));
    });
  } else if (r) {
    for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
      put(z + j, get(x + j) + get(r + j));
    });
  } else {
    for_row<T>(a.columns,
               [&](int64_t j, auto get, auto put) __attribute__((always_inline)) { put(z + j, get(x + j)); });
  }
}

template <typename T>
void forward(const CamtlLayerNorm& a) {
  const CamtlLayout& layout = *a.layout;
#pragma omp parallel if (layout.rows * a.columns >= kSerialElements)
  {
    RowBuffer<T> z_buffer(a.columns), mask_buffer(a.columns + 64);
    T* z = z_buffer.data;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < layout.rows; ++row) {
      sum_row<T>(a, row, mask_buffer.data, z);
      T mean, rstd;
      statistics<T>(z, a.columns, a.eps, &mean, &rstd);
      if (a.mean) {
        static_cast<T*>(a.mean)[row] = mean;
        static_cast<T*>(a.rstd)[row] = rstd;
      }
      const int64_t task = layout.tasks[layout.row_sequence[row]];
      const T* weight = static_cast<const T*>(a.weight) + (a.weight_tasks == 1 ? 0 : task) * a.columns;
      const T* bias = static_cast<const T*>(a.bias) + (a.bias_tasks == 1 ? 0 : task) * a.columns;
      T* y = static_cast<T*>(a.y) + row * a.columns;
      for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
        put(y + j, (get(z + j) - mean) * rstd * get(weight + j) + get(bias + j));
      });
    }
  }
}

template <typename T>
void backward(const CamtlLayerNorm& a) {
  const CamtlLayout& layout = *a.layout;
  T* partial = static_cast<T*>(a.partial);
  const bool tables = a.dweight || a.dbias;
  // dropout(x) + residual passes one gradient on; with a mask x's differs.
  T* dz_out = static_cast<T*>(a.dresidual ? a.dresidual : (a.dropout.on ? nullptr : a.dx));
  T* dx_out = static_cast<T*>(a.dx);
#pragma omp parallel if (layout.rows * a.columns >= kSerialElements)
  {
    RowBuffer<T> z_buffer(a.columns), mask_buffer(a.columns + 64);
    T *z = z_buffer.data, *mask = mask_buffer.data;
#pragma omp for schedule(static)
    for (int64_t s = 0; s < layout.row_segments; ++s) {
      const int64_t* segment = layout.row_segment + 3 * s;
      const T* weight = static_cast<const T*>(a.weight) + (a.weight_tasks == 1 ? 0 : segment[2]) * a.columns;
      T* dweight = partial + 2 * s * a.columns;
      T* dbias = dweight + a.columns;
      if (tables) clear<T>(dweight, 2 * a.columns);
      for (int64_t row = segment[0]; row < segment[1]; ++row) {
        sum_row<T>(a, row, mask, z);
        const T mean = static_cast<const T*>(a.mean)[row], rstd = static_cast<const T*>(a.rstd)[row];
        const T* dy = static_cast<const T*>(a.dy) + row * a.columns;
        Vec<T> sum{}, inner{};
        for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
          const Vec<T> d = get(dy + j), g = d * get(weight + j), unit = (get(z + j) - mean) * rstd;
          // Lanes beyond the row hold no gradient: dy is zero there.
          sum += g;
          inner += g * unit;
          put(z + j, unit);
          if (tables) {
            put(dweight + j, get(dweight + j) + d * unit);
            put(dbias + j, get(dbias + j) + d);
          }
        });
        const T c1 = total<T>(sum) / T(a.columns), c2 = total<T>(inner) / T(a.columns);
        T* dz = dz_out ? dz_out + row * a.columns : nullptr;
        T* dx = dx_out && dx_out != dz_out ? dx_out + row * a.columns : nullptr;
        const bool dropped = a.dropout.on;
        for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
          const Vec<T> d = (get(dy + j) * get(weight + j) - c1 - get(z + j) * c2) * rstd;
          if (dz) put(dz + j, d);
          if (dx) put(dx + j, dropped ? d * get(mask + j) : d);
        });
      }
    }
    const int64_t stride = 2 * a.columns;
    if (a.dweight) add_parts<T>(layout, partial, stride, a.columns, a.weight_tasks, static_cast<T*>(a.dweight));
    if (a.dbias) {
      add_parts<T>(layout, partial + a.columns, stride, a.columns, a.bias_tasks, static_cast<T*>(a.dbias));
    }
  }
}

}  // namespace

void layer_norm_forward(const CamtlLayerNorm& a) {
  a.dtype == CAMTL_FLOAT64 ? forward<double>(a) : forward<float>(a);
}

void layer_norm_backward(const CamtlLayerNorm& a) {
  a.dtype == CAMTL_FLOAT64 ? backward<double>(a) : backward<float>(a);
}

}  // namespace CAMTL_ISA
}  // namespace camtl
