// What the autograd functions of the plugin share.
#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <plugin_device.h>
#include <torch/csrc/autograd/custom_function.h>

#include "plugin/guard.h"
#include "plugin/layout.h"
#include "plugin/seeds.h"

namespace camtl::plugin {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using MaybeTensor = std::optional<at::Tensor>;

inline MaybeTensor maybe(const at::Tensor* x) { return x ? MaybeTensor(*x) : MaybeTensor(); }
inline at::Tensor value(const MaybeTensor& x) { return x.value_or(at::Tensor()); }
inline at::Tensor dense(const at::Tensor& x) { return x.defined() ? x.contiguous() : x; }

inline const void* data(const at::Tensor& x) { return x.defined() ? x.const_data_ptr() : nullptr; }
inline void* mutable_data(const at::Tensor& x) { return x.defined() ? x.mutable_data_ptr() : nullptr; }
inline const float* floats(const at::Tensor& x) { return x.defined() ? x.const_data_ptr<float>() : nullptr; }
inline float* mutable_floats(const at::Tensor& x) { return x.defined() ? x.mutable_data_ptr<float>() : nullptr; }

// The table's own type for parameters; casts stay outside the functions, so that
// their gradients are cast back by autograd.
inline at::Tensor as_float(const at::Tensor& x) { return x.defined() ? x.to(at::kFloat) : x; }
inline MaybeTensor as_float(const at::Tensor* x) { return x ? MaybeTensor(x->to(at::kFloat)) : MaybeTensor(); }

// float32 stays float32 unless autocast is on; bf16 stays; everything else is refused.
inline at::Tensor as_activation(const at::Tensor& x) {
  const bool autocast = at::autocast::is_autocast_enabled(at::kCUDA) &&
                        at::autocast::get_autocast_dtype(at::kCUDA) == at::kBFloat16;
  if (autocast && x.scalar_type() == at::kFloat) return x.to(at::kBFloat16);
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16,
              "the GPU kernels take float32 and bfloat16, not ", x.scalar_type());
  return x;
}

inline int type_of(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16 ? CAMTL_BF16 : CAMTL_FLOAT32; }

inline at::Tensor empty_if(bool wanted, const at::Tensor& like) {
  return wanted && like.defined() ? at::empty(like.sizes(), like.options()) : at::Tensor();
}

// Memory that only lives for a launch: from libtorch's allocator, which keeps it
// until the stream is past it.
inline at::Tensor workspace(size_t bytes, const at::Tensor& like) {
  return at::empty({static_cast<int64_t>(bytes)}, like.options().dtype(at::kByte));
}

// Host memory for a few words on their way to the device. Page-locked, so that the copy
// is put in the stream and nobody waits: an ordinary one would hold the host until the
// device has done everything before it.
inline at::Tensor host_words(int64_t count, at::ScalarType type, const at::Device& device) {
  return at::empty({count}, at::TensorOptions().dtype(type).pinned_memory(device.is_cuda()));
}

inline void check_single_backward() {
  TORCH_CHECK(!at::GradMode::is_enabled(), "fused operations have no second derivative; use set_fused(false) for it");
}

// Arguments of an operation, kept on an autograd node between the passes.
template <typename Arguments>
struct Kept : torch::CustomClassHolder {
  Arguments arguments{};
  LayoutPtr layout;
};

template <typename Arguments>
void keep(AutogradContext* ctx, const Arguments& arguments, const LayoutPtr& layout) {
  auto kept = c10::make_intrusive<Kept<Arguments>>();
  kept->arguments = arguments;
  kept->layout = layout;
  ctx->saved_data["kept"] = c10::IValue::make_capsule(std::move(kept));
}

template <typename Arguments>
c10::intrusive_ptr<Kept<Arguments>> kept(AutogradContext* ctx) {
  return c10::static_intrusive_pointer_cast<Kept<Arguments>>(ctx->saved_data["kept"].toCapsule());
}

// Whether each input wants a gradient; ask in the order of forward's arguments.
// Absent inputs have no edge.
class Wanted {
 public:
  explicit Wanted(AutogradContext* ctx) : ctx_(ctx) {}
  bool next(bool present = true) { return present && ctx_->needs_input_grad(edge_++); }

 private:
  AutogradContext* ctx_;
  size_t edge_ = 0;
};

}  // namespace camtl::plugin
