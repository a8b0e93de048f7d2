// y = u Phi(u), u = x + bias, and its gradients. Phi(u) = (1 + erf(u/sqrt 2))/2.
#include "partial.h"

namespace camtl {
namespace CAMTL_ISA {
namespace {

constexpr int64_t kRows = 32;  // rows whose bias gradient is summed together

template <typename T>
CAMTL_INLINE Vec<T> normal_distribution(Vec<T> u) {
  return (verf(u * T(0.70710678118654752440)) + T(1)) * T(0.5);
}

template <typename T>
void forward(const CamtlGelu& a) {
#pragma omp parallel for schedule(static) if (a.rows * a.columns >= kSerialElements)
  for (int64_t row = 0; row < a.rows; ++row) {
    const T* x = static_cast<const T*>(a.x) + row * a.columns;
    const T* bias = static_cast<const T*>(a.bias);
    T* y = static_cast<T*>(a.y) + row * a.columns;
    for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
      const Vec<T> u = get(x + j) + get(bias + j);
      put(y + j, u * normal_distribution<T>(u));
    });
  }
}

template <typename T>
void backward(const CamtlGelu& a) {
  const int64_t blocks = (a.rows + kRows - 1) / kRows;
  T* partial = static_cast<T*>(a.partial);
#pragma omp parallel if (a.rows * a.columns >= kSerialElements)
  {
#pragma omp for schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
      T* part = partial + block * a.columns;
      if (a.dbias) clear<T>(part, a.columns);
      const int64_t end = (block + 1) * kRows < a.rows ? (block + 1) * kRows : a.rows;
      for (int64_t row = block * kRows; row < end; ++row) {
        const T* x = static_cast<const T*>(a.x) + row * a.columns;
        const T* bias = static_cast<const T*>(a.bias);
        const T* dy = static_cast<const T*>(a.dy) + row * a.columns;
        T* dx = a.dx ? static_cast<T*>(a.dx) + row * a.columns : nullptr;
        for_row<T>(a.columns, [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
          const Vec<T> u = get(x + j) + get(bias + j);
          const Vec<T> density = vexp(u * u * T(-0.5)) * T(0.39894228040143267794);
          const Vec<T> d = get(dy + j) * (normal_distribution<T>(u) + u * density);
          if (dx) put(dx + j, d);
          if (a.dbias) put(part + j, get(part + j) + d);
        });
      }
    }
    if (a.dbias) {
      T* dbias = static_cast<T*>(a.dbias);
#pragma omp for schedule(static)
      for (int64_t group = 0; group < (a.columns + 63) / 64; ++group) {
        const int64_t from = group * 64, to = from + 64 < a.columns ? from + 64 : a.columns;
        clear<T>(dbias + from, to - from);
        for (int64_t block = 0; block < blocks; ++block) {
          for (int64_t c = from; c < to; ++c) dbias[c] += partial[block * a.columns + c];
        }
      }
    }
  }
}

}  // namespace

void gelu_forward(const CamtlGelu& a) { a.dtype == CAMTL_FLOAT64 ? forward<double>(a) : forward<float>(a); }
void gelu_backward(const CamtlGelu& a) { a.dtype == CAMTL_FLOAT64 ? backward<double>(a) : backward<float>(a); }

}  // namespace CAMTL_ISA
}  // namespace camtl
