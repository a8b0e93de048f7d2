// Autograd function of a linear map on the GPU. Both products are libtorch's; what it
// adds is that weights may be there in bf16 already, and that gradients go straight
// into the flat buffer, in float32: a launch each, where libtorch converts the weight,
// the bias and both their gradients and adds the latter to what is there.
#include <ATen/ops/addmm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>

#include "../../gradient_view.h"
#include "plugin/function.h"
#include "plugin/table.h"

namespace camtl::plugin {
namespace {

// Types have been chosen: nothing is converted behind our back.
struct TypesAreChosen {
  c10::impl::ExcludeDispatchKeyGuard no_autocast{at::autocast::get_autocast_dispatch_key_from_device_type(at::kCUDA)};
};

struct Lowered {
  at::Tensor weight, bias;  // undefined: the parameters themselves
};

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const MaybeTensor& bias, const Lowered& lowered) {
    const TypesAreChosen guard;
    const at::Tensor& factor = lowered.weight.defined() ? lowered.weight : weight;
    ctx->save_for_backward({x, weight, value(bias), factor});
    if (!bias) return at::mm(x, factor.t());
    return at::addmm(lowered.bias.defined() ? lowered.bias : *bias, x, factor.t());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const TypesAreChosen guard;
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], dy = dense(grads[0]);
    Wanted wanted(ctx);
    at::Tensor dx, dweight, dbias;
    if (wanted.next()) dx = at::mm(dy, saved[3]);
    if (wanted.next()) {
      const at::Tensor place = gradient_view(weight);
      if (place.defined()) {
        add_product(place, dy.t(), x);
      } else {
        dweight = product(dy.t(), x);
      }
    }
    if (wanted.next(bias.defined())) {
      dbias = at::sum(dy, 0, /*keepdim=*/false, at::kFloat);
      const at::Tensor place = gradient_view(bias);
      if (place.defined()) {
        place.add_(dbias);
        dbias = at::Tensor();
      }
    }
    return {dx, dweight, dbias, at::Tensor()};
  }

  // Float32 of bf16 factors: cuBLAS writes its sums as they are. The CPU, where the tests
  // come by, has no such product.
  static at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
    if (a.scalar_type() == at::kFloat) return at::mm(a, b);
    return a.is_cuda() ? at::mm(a, b, at::kFloat) : at::mm(a.to(at::kFloat), b.to(at::kFloat));
  }

  static void add_product(at::Tensor to, const at::Tensor& a, const at::Tensor& b) {
    if (to.size(0) == 1) {
      // libtorch takes a single row for a bias that its product is to add, and stumbles over
      // the factor's leading dimension.
      to.add_(product(a, b));
    } else if (a.is_cuda() && a.scalar_type() != at::kFloat) {
      at::addmm_out(to, to, a, b, at::kFloat);
    } else {
      to.addmm_(a.to(at::kFloat), b.to(at::kFloat));
    }
  }
};

}  // namespace

int linear(at::Tensor** out, const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias,
           const at::Tensor* const* lowered) {
  return guarded([&] {
    const bool same = x->scalar_type() == at::kFloat && weight->scalar_type() == at::kFloat && !autocast();
    if (lowered == nullptr && !same) {
      // Mixed types: autocast and autograd convert.
      *out = new at::Tensor(at::linear(*x, *weight, maybe(bias)));
      return;
    }
    Lowered factors;
    if (lowered != nullptr) {
      factors.weight = *lowered[0];
      if (lowered[1] != nullptr) factors.bias = *lowered[1];
    }
    const at::Tensor input = lowered != nullptr ? x->to(factors.weight.scalar_type()) : *x;
    *out = new at::Tensor(LinearFunction::apply(dense(input), *weight, maybe(bias), factors));
  });
}

}  // namespace camtl::plugin
