// Autograd functions of the row-wise operations.
#include "function.h"

namespace camtl {
namespace {

struct Film : torch::autograd::Function<Film> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_, const at::Tensor& gamma_,
                            const at::Tensor& beta_, const LayoutPtr& layout) {
    const at::Tensor x = dense(x_), gamma = dense(gamma_), beta = dense(beta_);
    at::Tensor y = at::empty_like(x);
    CamtlFilm a{};
    a.dtype = dtype_of(x);
    a.columns = x.size(1);
    a.tasks = gamma.size(0);
    a.layout = &layout->view;
    a.x = data(x);
    a.gamma = data(gamma);
    a.beta = data(beta);
    a.y = mutable_data(y);
    camtl_film_forward(&a);
    ctx->save_for_backward({x, gamma});
    ctx->saved_data["args"] = keep(a, layout);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &gamma = saved[1], dy = dense(grads[0]);
    const auto held = kept<CamtlFilm>(ctx->saved_data["args"]);
    CamtlFilm a = held->args;
    const at::Tensor dx = empty_if(ctx->needs_input_grad(0), x), dgamma = empty_if(ctx->needs_input_grad(1), gamma),
                     dbeta = empty_if(ctx->needs_input_grad(2), gamma);
    const at::Tensor partial = at::empty({a.layout->row_segments * 2 * a.columns}, x.options());
    a.x = data(x);
    a.gamma = data(gamma);
    a.dy = data(dy);
    a.dx = mutable_data(dx);
    a.dgamma = mutable_data(dgamma);
    a.dbeta = mutable_data(dbeta);
    a.partial = mutable_data(partial);
    camtl_film_backward(&a);
    return {dx, dgamma, dbeta, at::Tensor()};
  }
};

struct LayerNorm : torch::autograd::Function<LayerNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_, const MaybeTensor& residual_,
                            const at::Tensor& weight_, const at::Tensor& bias_, double eps,
                            const CamtlDropout& dropout, const LayoutPtr& layout) {
    const at::Tensor x = dense(x_), residual = dense(residual_), weight = dense(weight_), bias = dense(bias_);
    at::Tensor y = at::empty_like(x);
    const at::Tensor mean = at::empty({x.size(0)}, x.options()), rstd = at::empty({x.size(0)}, x.options());
    CamtlLayerNorm a{};
    a.dtype = dtype_of(x);
    a.columns = x.size(1);
    a.weight_tasks = weight.dim() == 1 ? 1 : weight.size(0);
    a.bias_tasks = bias.dim() == 1 ? 1 : bias.size(0);
    a.eps = eps;
    a.dropout = dropout;
    a.layout = &layout->view;
    a.x = data(x);
    a.residual = data(residual);
    a.weight = data(weight);
    a.bias = data(bias);
    a.y = mutable_data(y);
    a.mean = mutable_data(mean);
    a.rstd = mutable_data(rstd);
    camtl_layer_norm_forward(&a);
    ctx->save_for_backward({x, residual, weight, bias, mean, rstd});
    ctx->saved_data["args"] = keep(a, layout);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &residual = saved[1], &weight = saved[2], &bias = saved[3];
    const at::Tensor dy = dense(grads[0]);
    const auto held = kept<CamtlLayerNorm>(ctx->saved_data["args"]);
    CamtlLayerNorm a = held->args;
    Wanted wanted(ctx);
    const bool wants_x = wanted.next(), wants_residual = wanted.next(residual.defined());
    // Without a mask the two gradients are one tensor.
    const bool shared = wants_residual && !a.dropout.on;
    const at::Tensor dresidual = empty_if(wants_residual, x);
    const at::Tensor dx = shared ? (wants_x ? dresidual : at::Tensor()) : empty_if(wants_x, x);
    const at::Tensor dweight = empty_if(wanted.next(), weight), dbias = empty_if(wanted.next(), bias);
    const at::Tensor partial = at::empty({a.layout->row_segments * 2 * a.columns}, x.options());
    a.x = data(x);
    a.residual = data(residual);
    a.weight = data(weight);
    a.mean = mutable_data(saved[4]);
    a.rstd = mutable_data(saved[5]);
    a.dy = data(dy);
    a.dx = mutable_data(dx);
    a.dresidual = mutable_data(dresidual);
    a.dweight = mutable_data(dweight);
    a.dbias = mutable_data(dbias);
    a.partial = mutable_data(partial);
    camtl_layer_norm_backward(&a);
    return {dx, dresidual, dweight, dbias, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct Gelu : torch::autograd::Function<Gelu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_, const at::Tensor& bias_) {
    const at::Tensor x = dense(x_), bias = dense(bias_);
    at::Tensor y = at::empty_like(x);
    CamtlGelu a = arguments(x, bias);
    a.y = mutable_data(y);
    camtl_gelu_forward(&a);
    ctx->save_for_backward({x, bias});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &bias = saved[1], dy = dense(grads[0]);
    const at::Tensor dx = empty_if(ctx->needs_input_grad(0), x), dbias = empty_if(ctx->needs_input_grad(1), bias);
    CamtlGelu a = arguments(x, bias);
    const at::Tensor partial = at::empty({(a.rows + 31) / 32 * a.columns}, x.options());
    a.dy = data(dy);
    a.dx = mutable_data(dx);
    a.dbias = mutable_data(dbias);
    a.partial = mutable_data(partial);
    camtl_gelu_backward(&a);
    return {dx, dbias};
  }

  static CamtlGelu arguments(const at::Tensor& x, const at::Tensor& bias) {
    CamtlGelu a{};
    a.dtype = dtype_of(x);
    a.rows = x.size(0);
    a.columns = x.size(1);
    a.x = data(x);
    a.bias = data(bias);
    return a;
  }
};

}  // namespace

int cpu::film(at::Tensor** out, const at::Tensor* x, const at::Tensor* gamma, const at::Tensor* beta, void* layout) {
  return guarded([&] { *out = new at::Tensor(Film::apply(*x, *gamma, *beta, layout_of(layout))); });
}

int cpu::layer_norm(at::Tensor** out, const at::Tensor* x, const at::Tensor* residual, const at::Tensor* weight,
                    const at::Tensor* bias, double eps, const DropoutArguments* dropout, void* layout) {
  return guarded([&] {
    *out = new at::Tensor(
        LayerNorm::apply(*x, maybe(residual), *weight, *bias, eps, dropout_of(*dropout), layout_of(layout)));
  });
}

int cpu::gelu(at::Tensor** out, const at::Tensor* x, const at::Tensor* bias) {
  return guarded([&] { *out = new at::Tensor(Gelu::apply(*x, *bias)); });
}

}  // namespace camtl
