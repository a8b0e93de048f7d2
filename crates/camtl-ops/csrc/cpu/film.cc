// y = (1 + gamma_t) x + beta_t and its gradients.
#include "partial.h"

namespace camtl {
namespace CAMTL_ISA {
namespace {

template <typename T>
void forward(const CamtlFilm& a) {
  const CamtlLayout& layout = *a.layout;
#pragma omp parallel for schedule(static) if (layout.rows * a.columns >= kSerialElements)
  for (int64_t row = 0; row < layout.rows; ++row) {
    const int64_t task = a.tasks == 1 ? 0 : layout.tasks[layout.row_sequence[row]];
    const T* gamma = static_cast<const T*>(a.gamma) + task * a.columns;
    const T* beta = static_cast<const T*>(a.beta) + task * a.columns;
    const T* x = static_cast<const T*>(a.x) + row * a.columns;
    T* y = static_cast<T*>(a.y) + row * a.columns;
    for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
      put(y + j, (get(gamma + j) + T(1)) * get(x + j) + get(beta + j));
    });
  }
}

template <typename T>
void backward(const CamtlFilm& a) {
  const CamtlLayout& layout = *a.layout;
  T* partial = static_cast<T*>(a.partial);
  const bool tables = a.dgamma || a.dbeta;
#pragma omp parallel if (layout.rows * a.columns >= kSerialElements)
  {
#pragma omp for schedule(static)
    for (int64_t s = 0; s < layout.row_segments; ++s) {
      const int64_t* segment = layout.row_segment + 3 * s;
      const int64_t task = a.tasks == 1 ? 0 : segment[2];
      const T* gamma = static_cast<const T*>(a.gamma) + task * a.columns;
      T* dgamma = partial + 2 * s * a.columns;
      T* dbeta = dgamma + a.columns;
      if (tables) clear<T>(dgamma, 2 * a.columns);
      for (int64_t row = segment[0]; row < segment[1]; ++row) {
        const T* x = static_cast<const T*>(a.x) + row * a.columns;
        const T* dy = static_cast<const T*>(a.dy) + row * a.columns;
        T* dx = a.dx ? static_cast<T*>(a.dx) + row * a.columns : nullptr;
        for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
          const Vec<T> g = get(dy + j);
          if (dx) put(dx + j, (get(gamma + j) + T(1)) * g);
          if (tables) {
            put(dgamma + j, get(dgamma + j) + g * get(x + j));
            put(dbeta + j, get(dbeta + j) + g);
          }
        });
      }
    }
    if (a.dgamma) add_parts<T>(layout, partial, 2 * a.columns, a.columns, a.tasks, static_cast<T*>(a.dgamma));
    if (a.dbeta) {
      add_parts<T>(layout, partial + a.columns, 2 * a.columns, a.columns, a.tasks, static_cast<T*>(a.dbeta));
    }
  }
}

}  // namespace

void film_forward(const CamtlFilm& a) { a.dtype == CAMTL_FLOAT64 ? forward<double>(a) : forward<float>(a); }
void film_backward(const CamtlFilm& a) { a.dtype == CAMTL_FLOAT64 ? backward<double>(a) : backward<float>(a); }

}  // namespace CAMTL_ISA
}  // namespace camtl
