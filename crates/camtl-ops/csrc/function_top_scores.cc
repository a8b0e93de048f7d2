// The most uncertain of a number of candidates.
#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "function.h"

namespace camtl {
namespace {

template <typename T>
void choose(const T* scores, int64_t count, int64_t wanted, int64_t* out) {
  // NaN counts as the least there is.
  const auto rank = [&](int64_t i) { return scores[i] == scores[i] ? scores[i] : -std::numeric_limits<T>::infinity(); };
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::partial_sort_copy(order.begin(), order.end(), out, out + wanted, [&](int64_t a, int64_t b) {
    return rank(a) != rank(b) ? rank(a) > rank(b) : a < b;
  });
}

}  // namespace

int cpu::top_scores(at::Tensor** out, const at::Tensor* scores, int64_t wanted) {
  return guarded([&] {
    const at::NoGradGuard no_grad;
    const at::Tensor x = scores->contiguous();
    TORCH_CHECK(wanted >= 0 && wanted <= x.numel(), wanted, " of ", x.numel(), " scores wanted");
    const at::Tensor indices = at::empty({wanted}, x.options().dtype(at::kLong));
    int64_t* const to = indices.mutable_data_ptr<int64_t>();
    if (dtype_of(x) == CAMTL_FLOAT64) {
      choose(x.const_data_ptr<double>(), x.numel(), wanted, to);
    } else {
      choose(x.const_data_ptr<float>(), x.numel(), wanted, to);
    }
    *out = new at::Tensor(indices);
  });
}

}  // namespace camtl
