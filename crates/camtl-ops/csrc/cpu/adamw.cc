// AdamW over a flat buffer in one pass: clipping, moments, update and decay
// read and write every element once. And the norm that clipping needs.
#include "../kernels.h"
#include "simd.h"

namespace camtl {
namespace CAMTL_ISA {
namespace {

constexpr int64_t kBlock = 16384;  // elements a thread takes at a time
constexpr int64_t kPiece = 256;    // elements looked at together

// Numbers too small for a normal float count as zero while this lives. Without a
// gradient a moment decays into that range and stays there, where every operation
// on it takes a hundred times as long: a word that no longer occurs would slow
// all later steps.
class TinyIsZero {
 public:
#if defined(__SSE2__)
  TinyIsZero() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  ~TinyIsZero() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  TinyIsZero() {}
#endif
};

CAMTL_INLINE float root(float x) { return __builtin_sqrtf(x); }
CAMTL_INLINE double root(double x) { return __builtin_sqrt(x); }

template <typename T>
struct Step {
  T beta1, one_beta1, beta2, one_beta2, eps, rate, root_correction, clip;
};

template <typename T, bool HF>
void piece(const Step<T>& s, T keep, int64_t n, const T* __restrict__ grad, T* __restrict__ p, T* __restrict__ m,
          T* __restrict__ v) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T g = grad[i] * s.clip;
    const T mi = m[i] * s.beta1 + g * s.one_beta1;
    const T vi = v[i] * s.beta2 + g * g * s.one_beta2;
    m[i] = mi;
    v[i] = vi;
    if (HF) {
      p[i] = (p[i] - s.rate * (mi / (root(vi) + s.eps))) * keep;
    } else {
      p[i] = p[i] * keep - s.rate * (mi / (root(vi) / s.root_correction + s.eps));
    }
  }
}

// Elements that share one decay factor `keep` = 1 - lr wd. Where neither gradient
// nor first moment is left, as in the rows of words that do not occur, the update
// is zero and half of the memory need not be touched.
template <typename T, bool HF>
void span(const Step<T>& s, T keep, int64_t n, const T* grad, T* p, T* m, T* v) {
  const bool finite = s.clip - s.clip == T(0);
  for (int64_t at = 0; at < n; at += kPiece) {
    const int64_t count = n - at < kPiece ? n - at : kPiece;
    int moves = !finite;
#pragma omp simd reduction(| : moves)
    for (int64_t i = at; i < at + count; ++i) moves |= (grad[i] != T(0)) | (m[i] != T(0));
    if (moves) {
      piece<T, HF>(s, keep, count, grad + at, p + at, m + at, v + at);
      continue;
    }
    int large = 0;
#pragma omp simd reduction(| : large)
    for (int64_t i = at; i < at + count; ++i) large |= v[i] != T(0);
    if (large) {
      for (int64_t i = at; i < at + count; ++i) v[i] *= s.beta2;
    }
    if (keep != T(1)) {
      for (int64_t i = at; i < at + count; ++i) p[i] *= keep;
    }
  }
}

template <typename T>
void step(const CamtlAdamW& a) {
  Step<T> s;
  s.beta1 = T(a.beta1);
  s.one_beta1 = T(1.0 - a.beta1);
  s.beta2 = T(a.beta2);
  s.one_beta2 = T(1.0 - a.beta2);
  s.eps = T(a.eps);
  s.rate = T(a.rate);
  s.root_correction = T(a.root_correction);
  s.clip = a.clip ? *static_cast<const T*>(a.clip) : T(1);
  const T* grad = static_cast<const T*>(a.grad);
  T *p = static_cast<T*>(a.param), *m = static_cast<T*>(a.exp_avg), *v = static_cast<T*>(a.exp_avg_sq);
  const int64_t blocks = (a.count + kBlock - 1) / kBlock;
#pragma omp parallel if (a.count >= kSerialElements)
  {
    const TinyIsZero tiny;
#pragma omp for schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
      int64_t at = block * kBlock;
      const int64_t end = at + kBlock < a.count ? at + kBlock : a.count;
      int64_t range = 0;
      while (at < end) {
        // The next stretch that decays alike.
        while (range < a.decay_ranges && a.decay_range[2 * range + 1] <= at) ++range;
        const bool inside = range < a.decay_ranges && a.decay_range[2 * range] <= at;
        int64_t stop = end;
        if (range < a.decay_ranges) {
          const int64_t edge = a.decay_range[2 * range + (inside ? 1 : 0)];
          stop = edge < end ? edge : end;
        }
        const T keep = inside ? T(1.0 - a.decay) : T(1);
        if (a.huggingface) {
          span<T, true>(s, keep, stop - at, grad + at, p + at, m + at, v + at);
        } else {
          span<T, false>(s, keep, stop - at, grad + at, p + at, m + at, v + at);
        }
        at = stop;
      }
    }
  }
}

// Sum of squares in float64, in blocks of fixed size.
template <typename T>
void sum_squares(const CamtlNorm& a) {
  constexpr int64_t size = 65536;
  constexpr int lanes = 16;
  const int64_t blocks = (a.count + size - 1) / size;
  const T* x = static_cast<const T*>(a.x);
#pragma omp parallel for schedule(static) if (a.count >= kSerialElements)
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t begin = block * size, end = begin + size < a.count ? begin + size : a.count;
    double sum[lanes] = {};
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      for (int l = 0; l < lanes; ++l) sum[l] += double(x[i + l]) * double(x[i + l]);
    }
    for (; i < end; ++i) sum[0] += double(x[i]) * double(x[i]);
    for (int l = 1; l < lanes; ++l) sum[0] += sum[l];
    a.partial[block] = sum[0];
  }
  double sum = 0;
  for (int64_t block = 0; block < blocks; ++block) sum += a.partial[block];
  *a.norm = __builtin_sqrt(sum);
}

}  // namespace

void adamw(const CamtlAdamW& a) { a.dtype == CAMTL_FLOAT64 ? step<double>(a) : step<float>(a); }
void norm(const CamtlNorm& a) { a.dtype == CAMTL_FLOAT64 ? sum_squares<double>(a) : sum_squares<float>(a); }

}  // namespace CAMTL_ISA
}  // namespace camtl
