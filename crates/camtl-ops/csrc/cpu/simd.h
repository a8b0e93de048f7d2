// Vectors of the instruction set this file is compiled for (GCC's vector
// extension: plain arithmetic, no intrinsics), and the functions of them that
// the kernels need. Every kernel source is compiled once per instruction set,
// each time in a namespace of its own; dispatch.cc chooses at run time.
//
// Nothing here may be a function template or inline function of the standard
// library: the linker would merge the copies of the different sets.
#pragma once
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define CAMTL_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define CAMTL_VECTOR_BYTES 32
#else
#define CAMTL_VECTOR_BYTES 16
#endif

#define CAMTL_INLINE inline __attribute__((always_inline))

namespace camtl {
namespace CAMTL_ISA {

// Below this many elements one thread is faster than waking the others.
constexpr int64_t kSerialElements = 16384;

template <typename T>
struct Simd;

template <>
struct Simd<float> {
  static constexpr int width = CAMTL_VECTOR_BYTES / 4;
  typedef float vec __attribute__((vector_size(CAMTL_VECTOR_BYTES)));
  typedef float loose __attribute__((vector_size(CAMTL_VECTOR_BYTES), aligned(4), may_alias));
  typedef int32_t ints __attribute__((vector_size(CAMTL_VECTOR_BYTES)));
};

template <>
struct Simd<double> {
  static constexpr int width = CAMTL_VECTOR_BYTES / 8;
  typedef double vec __attribute__((vector_size(CAMTL_VECTOR_BYTES)));
  typedef double loose __attribute__((vector_size(CAMTL_VECTOR_BYTES), aligned(8), may_alias));
  typedef int64_t ints __attribute__((vector_size(CAMTL_VECTOR_BYTES)));
};

template <typename T>
using Vec = typename Simd<T>::vec;

template <typename T>
CAMTL_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename Simd<T>::loose*>(p);
}

template <typename T>
CAMTL_INLINE void store(T* p, Vec<T> x) {
  *reinterpret_cast<typename Simd<T>::loose*>(p) = x;
}

// x - 0 rather than 0 + x: keeps the sign of a zero.
template <typename T>
CAMTL_INLINE Vec<T> splat(T x) {
  return x - Vec<T>{};
}

// The first n lanes from memory, zero beyond.
template <typename T>
CAMTL_INLINE Vec<T> load_part(const T* p, int64_t n) {
  Vec<T> x{};
  for (int i = 0; i < Simd<T>::width; ++i) {
    if (i < n) x[i] = p[i];
  }
  return x;
}

template <typename T>
CAMTL_INLINE void store_part(T* p, Vec<T> x, int64_t n) {
  for (int i = 0; i < Simd<T>::width; ++i) {
    if (i < n) p[i] = x[i];
  }
}

// Sum of the lanes in a fixed, balanced order.
template <typename T>
CAMTL_INLINE T total(Vec<T> x) {
  T part[Simd<T>::width];
  store<T>(part, x);
  for (int half = Simd<T>::width / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) part[i] += part[i + half];
  }
  return part[0];
}

template <typename T>
CAMTL_INLINE T largest(Vec<T> x) {
  T part[Simd<T>::width];
  store<T>(part, x);
  for (int half = Simd<T>::width / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) part[i] = part[i] > part[i + half] ? part[i] : part[i + half];
  }
  return part[0];
}

template <typename T>
CAMTL_INLINE Vec<T> vmax(Vec<T> a, Vec<T> b) {
  return a > b ? a : b;
}

// Calls body(column, width) for whole vectors and once for what remains: a row
// kernel writes its arithmetic once, with LOAD/STORE below.
template <typename T, typename Body>
CAMTL_INLINE void for_row(int64_t columns, Body&& body) {
  constexpr int width = Simd<T>::width;
  int64_t j = 0;
  for (; j + width <= columns; j += width) {
    body(j, [](const T* p) __attribute__((always_inline)) { return load<T>(p); },
         [](T* p, Vec<T> x) __attribute__((always_inline)) { store<T>(p, x); });
  }
  if (j < columns) {
    const int64_t rest = columns - j;
    body(j, [rest](const T* p) __attribute__((always_inline)) { return load_part<T>(p, rest); },
         [rest](T* p, Vec<T> x) __attribute__((always_inline)) { store_part<T>(p, x, rest); });
  }
}

// e^x for x <= 88 (larger x count as 88), to 1 ulp or so; 0 where the result
// would be below the smallest normal number.
CAMTL_INLINE Simd<float>::vec vexp(Simd<float>::vec x) {
  typedef Simd<float>::vec V;
  const V low = splat<float>(-87.33654f), high = splat<float>(88.0f);
  const auto tiny = x < low;
  V y = x > high ? high : x;  // NaN stays
  y = tiny ? low : y;
  const float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const V n = (y * 1.44269504088896341f + shift) - shift;
  V r = y - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  V p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Simd<float>::ints power = (__builtin_convertvector(n, Simd<float>::ints) + 127) << 23;
  const V result = p * V(power);
  return tiny ? V{} : result;
}

CAMTL_INLINE Simd<double>::vec vexp(Simd<double>::vec x) {
  typedef Simd<double>::vec V;
  const V low = splat<double>(-708.0), high = splat<double>(88.0);
  const auto tiny = x < low;
  V y = x > high ? high : x;  // NaN stays
  y = tiny ? low : y;
  const double shift = 6755399441055744.0;  // 1.5 * 2^52
  const V n = (y * 1.4426950408889634 + shift) - shift;
  V r = y - n * 6.93147180369123816490e-01;
  r = r - n * 1.90821492927058770002e-10;
  // Taylor to the 13th power: |r| <= ln(2)/2 leaves 4e-18.
  V p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * (r * r) + r + 1.0;
  const Simd<double>::ints power = (__builtin_convertvector(n, Simd<double>::ints) + 1023) << 52;
  const V result = p * V(power);
  return tiny ? V{} : result;
}

// erf(x), at most 1 ulp or so.
CAMTL_INLINE Simd<float>::vec verf(Simd<float>::vec x) {
  typedef Simd<float>::vec V;
  const V t = x < 0.0f ? -x : x;
  const V s = x * x;
  // |x| above 0.93: 1 - exp(polynomial)
  V r = t * -1.72853470e-5f + 3.83197126e-4f;
  const V u = t * -3.88396438e-3f + 2.42546219e-2f;
  r = r * s + u;
  r = r * t - 1.06777877e-1f;
  r = r * t - 6.34846687e-1f;
  r = r * t - 1.28717512e-1f;
  r = r * t - t;
  const V far = 1.0f - vexp(r);
  // below: an odd polynomial
  V q = s * -5.96761703e-4f + 4.99119423e-3f;
  q = q * s - 2.67681349e-2f;
  q = q * s + 1.12819925e-1f;
  q = q * s - 3.76125336e-1f;
  q = q * s + 1.28379166e-1f;
  const V near = q * x + x;
  return t > 0.927734375f ? (x < 0.0f ? -far : far) : near;
}

// float64 serves tests and references: lane by lane through libm.
CAMTL_INLINE Simd<double>::vec verf(Simd<double>::vec x) {
  Simd<double>::vec y{};
  for (int i = 0; i < Simd<double>::width; ++i) y[i] = __builtin_erf(x[i]);
  return y;
}

}  // namespace CAMTL_ISA
}  // namespace camtl
