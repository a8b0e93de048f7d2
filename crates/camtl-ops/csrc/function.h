// What the autograd functions share.
#pragma once
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "gradient_view.h"
#include "cpu_operations.h"
#include "guard.h"
#include "layout.h"

namespace camtl {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

inline int32_t dtype_of(const at::Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble,
              "the fused form takes float32 and float64, not ", x.scalar_type());
  return x.scalar_type() == at::kDouble ? CAMTL_FLOAT64 : CAMTL_FLOAT32;
}

inline const void* data(const at::Tensor& x) { return x.defined() ? x.const_data_ptr() : nullptr; }
inline void* mutable_data(const at::Tensor& x) { return x.defined() ? x.mutable_data_ptr() : nullptr; }

// Undefined stays undefined.
inline at::Tensor dense(const at::Tensor& x) { return x.defined() ? x.contiguous() : x; }

inline at::Tensor empty_if(bool wanted, const at::Tensor& like) {
  return wanted && like.defined() ? at::empty(like.sizes(), like.options()) : at::Tensor();
}

// Absent arguments reach a Function as std::optional, and then have no edge.
using MaybeTensor = std::optional<at::Tensor>;
inline MaybeTensor maybe(const at::Tensor* x) { return x ? MaybeTensor(*x) : MaybeTensor(); }
inline at::Tensor dense(const MaybeTensor& x) { return x ? x->contiguous() : at::Tensor(); }

// Whether each input wants a gradient; ask in the order of forward's arguments.
class Wanted {
 public:
  explicit Wanted(AutogradContext* ctx) : ctx_(ctx) {}
  bool next(bool present = true) { return present && ctx_->needs_input_grad(edge_++); }

 private:
  AutogradContext* ctx_;
  size_t edge_ = 0;
};

inline void check_single_backward() {
  TORCH_CHECK(!at::GradMode::is_enabled(),
              "fused operations have no second derivative; use set_fused(false) for it");
}

inline CamtlDropout dropout_of(const DropoutArguments& dropout) {
  return {dropout.seed, dropout.scale, dropout.threshold, dropout.on};
}

inline LayoutPtr layout_of(void* layout) {
  return c10::intrusive_ptr<Layout>::unsafe_reclaim_from_nonowning(static_cast<Layout*>(layout));
}

}  // namespace camtl
