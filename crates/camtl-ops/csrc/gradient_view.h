// Gradients that lie in a larger buffer, for the autograd functions of every device.
#pragma once
#include <ATen/core/Tensor.h>

namespace camtl {

// Where a backward pass may add the gradient of `leaf` itself: its gradient, if
// that is a view of a larger buffer (camtl_set_grad). Undefined otherwise. What
// was added there is not returned to autograd.
inline at::Tensor gradient_view(const at::Tensor& leaf) {
  if (!leaf.is_leaf() || !leaf.requires_grad()) return {};
  const at::Tensor& grad = leaf.grad();
  const bool usable = grad.defined() && grad.is_contiguous() && grad.scalar_type() == leaf.scalar_type() &&
                      grad.sizes() == leaf.sizes() && grad.device() == leaf.device();
  return usable && grad.storage().nbytes() > grad.nbytes() ? grad : at::Tensor();
}

}  // namespace camtl
