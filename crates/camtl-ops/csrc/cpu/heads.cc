// The tasks' decoders: logits, cross-entropy or squared error, entropy.
#include "simd.h"
#include "../kernels.h"

namespace camtl {
namespace CAMTL_ISA {
namespace {

constexpr int64_t kIgnored = -100;

template <typename T>
CAMTL_INLINE T exponential(T x) {
  return sizeof(T) == 4 ? T(__builtin_expf(float(x))) : T(__builtin_exp(double(x)));
}

template <typename T>
CAMTL_INLINE T dot(const T* a, const T* b, int64_t n) {
  Vec<T> sum{};
  for_row<T>(n, [&](int64_t j, auto get, auto) __attribute__((always_inline)) { sum += get(a + j) * get(b + j); });
  return total<T>(sum);
}

// log of the softmax's denominator of one sequence's logits.
template <typename T>
CAMTL_INLINE T log_denominator(const T* z, int64_t outputs) {
  T top = z[0];
  for (int64_t c = 1; c < outputs; ++c) top = z[c] > top ? z[c] : top;
  T sum = T(0);
  for (int64_t c = 0; c < outputs; ++c) sum += exponential<T>(z[c] - top);
  return top + (sizeof(T) == 4 ? T(__builtin_logf(float(sum))) : T(__builtin_log(double(sum))));
}

template <typename T>
void forward(const CamtlHeads& a) {
#pragma omp parallel for schedule(static) if (a.sequences * a.columns >= kSerialElements)
  for (int64_t b = 0; b < a.sequences; ++b) {
    const int64_t head = a.head[b], outputs = a.outputs[head];
    const T* pooled = static_cast<const T*>(a.pooled) + b * a.columns;
    const T* weight = static_cast<const T*>(a.weight[head]);
    const T* bias = static_cast<const T*>(a.bias[head]);
    T* z = static_cast<T*>(a.logits) + a.offset[b];
    for (int64_t c = 0; c < outputs; ++c) z[c] = dot<T>(pooled, weight + c * a.columns, a.columns) + bias[c];
    T entropy = T(0), loss = T(0);
    if (a.regression[head]) {
      const T score = a.classes ? static_cast<const T*>(a.scores)[b] : T(0);
      loss = score == score ? (z[0] - score) * (z[0] - score) : T(0);  // NaN: no score
    } else {
      const T denominator = log_denominator<T>(z, outputs);
      for (int64_t c = 0; c < outputs; ++c) {
        const T log_p = z[c] - denominator, p = exponential<T>(log_p);
        if (p > T(0)) entropy -= p * log_p;
        if (p != p) entropy = p;
      }
      if (a.classes && a.classes[b] != kIgnored) loss = denominator - z[a.classes[b]];
    }
    static_cast<T*>(a.entropy)[b] = entropy;
    if (a.loss) static_cast<T*>(a.loss)[b] = loss;
  }
}

template <typename T>
void backward(const CamtlHeads& a) {
  T* dsaid = static_cast<T*>(a.dsaid);
#pragma omp parallel if (a.sequences * a.columns >= kSerialElements)
  {
#pragma omp for schedule(static)
    for (int64_t b = 0; b < a.sequences; ++b) {
      const int64_t head = a.head[b], outputs = a.outputs[head];
      const T* z = static_cast<const T*>(a.logits) + a.offset[b];
      T* d = dsaid + a.offset[b];
      for (int64_t c = 0; c < outputs; ++c) {
        d[c] = a.dlogits ? static_cast<const T*>(a.dlogits)[a.offset[b] + c] : T(0);
      }
      if (a.dloss && a.classes) {
        const T factor = static_cast<const T*>(a.dloss)[b];
        if (a.regression[head]) {
          const T score = static_cast<const T*>(a.scores)[b];
          if (score == score) d[0] += factor * T(2) * (z[0] - score);
        } else if (a.classes[b] != kIgnored) {
          const T denominator = log_denominator<T>(z, outputs);
          for (int64_t c = 0; c < outputs; ++c) {
            d[c] += factor * (exponential<T>(z[c] - denominator) - (c == a.classes[b] ? T(1) : T(0)));
          }
        }
      }
      if (a.dpooled) {
        T* dpooled = static_cast<T*>(a.dpooled) + b * a.columns;
        const T* weight = static_cast<const T*>(a.weight[head]);
        for (int64_t j = 0; j < a.columns; ++j) dpooled[j] = T(0);
        for (int64_t c = 0; c < outputs; ++c) {
          for (int64_t j = 0; j < a.columns; ++j) dpooled[j] += d[c] * weight[c * a.columns + j];
        }
      }
    }
    // Columns in parallel, sequences in order.
#pragma omp for schedule(static)
    for (int64_t block = 0; block < (a.columns + 63) / 64; ++block) {
      const int64_t from = block * 64, to = from + 64 < a.columns ? from + 64 : a.columns;
      for (int64_t head = 0; head < a.heads; ++head) {
        T* dweight = static_cast<T*>(a.dweight[head]);
        if (!dweight) continue;
        for (int64_t c = 0; c < a.outputs[head]; ++c) {
          for (int64_t j = from; j < to; ++j) dweight[c * a.columns + j] = T(0);
        }
      }
      for (int64_t b = 0; b < a.sequences; ++b) {
        const int64_t head = a.head[b];
        T* dweight = static_cast<T*>(a.dweight[head]);
        if (!dweight) continue;
        const T* pooled = static_cast<const T*>(a.pooled) + b * a.columns;
        for (int64_t c = 0; c < a.outputs[head]; ++c) {
          const T d = dsaid[a.offset[b] + c];
          for (int64_t j = from; j < to; ++j) dweight[c * a.columns + j] += d * pooled[j];
        }
      }
    }
#pragma omp single
    {
      for (int64_t head = 0; head < a.heads; ++head) {
        T* dbias = static_cast<T*>(a.dbias[head]);
        for (int64_t c = 0; dbias && c < a.outputs[head]; ++c) dbias[c] = T(0);
      }
      for (int64_t b = 0; b < a.sequences; ++b) {
        T* dbias = static_cast<T*>(a.dbias[a.head[b]]);
        for (int64_t c = 0; dbias && c < a.outputs[a.head[b]]; ++c) dbias[c] += dsaid[a.offset[b] + c];
      }
    }
  }
}

}  // namespace

void heads_forward(const CamtlHeads& a) { a.dtype == CAMTL_FLOAT64 ? forward<double>(a) : forward<float>(a); }
void heads_backward(const CamtlHeads& a) { a.dtype == CAMTL_FLOAT64 ? backward<double>(a) : backward<float>(a); }

}  // namespace CAMTL_ISA
}  // namespace camtl
