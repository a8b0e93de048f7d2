// Autograd functions of the row-wise operations on the GPU.
#include "plugin/table.h"

#include "plugin/function.h"

namespace camtl::plugin {
namespace {

int columns_of(const at::Tensor& x) { return static_cast<int>(x.size(1)); }

struct Film : torch::autograd::Function<Film> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_, const at::Tensor& gamma_,
                            const at::Tensor& beta_, const LayoutPtr& layout) {
    const at::Tensor x = dense(x_), gamma = dense(gamma_), beta = dense(beta_);
    const Launch launch(x);
    const at::Tensor y = at::empty_like(x);
    const CamtlLayout view = layout->with_tasks(gamma.size(0));
    Launch::check(camtl_cuda_film_forward(&view, type_of(x), columns_of(x), data(x), floats(gamma), floats(beta),
                                          mutable_data(y), launch.stream()),
                  "FiLM, forward");
    ctx->save_for_backward({x, gamma});
    keep(ctx, 0, layout);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &gamma = saved[1], dy = dense(grads[0]);
    const auto held = kept<int>(ctx);
    const Launch launch(x);
    const CamtlLayout view = held->layout->with_tasks(gamma.size(0));
    const at::Tensor dx = at::empty_like(x), dgamma = at::empty_like(gamma), dbeta = at::empty_like(gamma);
    const at::Tensor memory = workspace(camtl_cuda_film_backward_workspace(&view, columns_of(x)), x);
    Launch::check(camtl_cuda_film_backward(&view, type_of(x), columns_of(x), data(dy), data(x), floats(gamma),
                                           mutable_data(dx), mutable_floats(dgamma), mutable_floats(dbeta),
                                           mutable_data(memory), launch.stream()),
                  "FiLM, backward");
    return {dx, dgamma, dbeta, at::Tensor()};
  }
};

struct NormOptions {
  double eps;
  CamtlDropout dropout;
};

CamtlTaskTable table(const at::Tensor& rows) {
  // One row serves all tasks.
  const bool per_task = rows.dim() == 2 && rows.size(0) > 1;
  return {floats(rows), per_task ? rows.size(1) : 0};
}

int64_t tasks_of(const at::Tensor& weight, const at::Tensor& bias, const LayoutPtr& layout) {
  int64_t tasks = layout->view.num_tasks;
  for (const at::Tensor* t : {&weight, &bias}) {
    if (table(*t).stride != 0) tasks = std::max(tasks, t->size(0));
  }
  return tasks;
}

struct LayerNorm : torch::autograd::Function<LayerNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_, const MaybeTensor& residual_,
                            const at::Tensor& weight_, const at::Tensor& bias_, const NormOptions& options,
                            const LayoutPtr& layout) {
    const at::Tensor x = dense(x_), residual = dense(value(residual_)), weight = dense(weight_), bias = dense(bias_);
    const Launch launch(x);
    const at::Tensor y = at::empty_like(x);
    // Without residual and dropout z is x itself.
    const at::Tensor z = residual.defined() || options.dropout.on ? at::empty_like(x) : at::Tensor();
    const auto statistics = x.options().dtype(at::kFloat);
    const at::Tensor mean = at::empty({x.size(0)}, statistics), rstd = at::empty({x.size(0)}, statistics);
    Launch::check(camtl_cuda_layer_norm_forward(&layout->view, type_of(x), columns_of(x), data(x), data(residual),
                                                table(weight), table(bias), static_cast<float>(options.eps),
                                                options.dropout, mutable_data(y), mutable_data(z),
                                                mutable_floats(mean), mutable_floats(rstd), launch.stream()),
                  "conditional layer norm, forward");
    ctx->save_for_backward({z.defined() ? z : x, weight, bias, mean, rstd});
    ctx->saved_data["residual"] = residual.defined();
    keep(ctx, options, layout);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &z = saved[0], &weight = saved[1], &bias = saved[2], dy = dense(grads[0]);
    const auto held = kept<NormOptions>(ctx);
    const NormOptions& options = held->arguments;
    const bool has_residual = ctx->saved_data["residual"].toBool();
    const Launch launch(z);
    const CamtlLayout view = held->layout->with_tasks(tasks_of(weight, bias, held->layout));
    Wanted wanted(ctx);
    const bool wants_x = wanted.next(), wants_residual = wanted.next(has_residual);
    const bool masked = options.dropout.on != 0;
    const at::Tensor dz = empty_if(wants_residual || (wants_x && !masked), z);
    const at::Tensor dx = masked ? at::empty_like(z) : dz;
    const at::Tensor dweight = empty_if(wanted.next(), weight), dbias = empty_if(wanted.next(), bias);
    const at::Tensor memory = workspace(camtl_cuda_layer_norm_backward_workspace(&view, columns_of(z), 0), z);
    const auto rows_of = [](const at::Tensor& t) { return table(t).stride != 0 ? static_cast<int>(t.size(0)) : 1; };
    Launch::check(
        camtl_cuda_layer_norm_backward(&view, type_of(z), columns_of(z), data(dy), data(z), floats(saved[3]),
                                       floats(saved[4]), table(weight), rows_of(weight), rows_of(bias),
                                       options.dropout, mutable_data(dz), masked ? mutable_data(dx) : nullptr,
                                       mutable_floats(dweight), mutable_floats(dbias), nullptr, mutable_data(memory),
                                       launch.stream()),
        "conditional layer norm, backward");
    return {wants_x ? dx : at::Tensor(), wants_residual ? dz : at::Tensor(), dweight, dbias, at::Tensor(),
            at::Tensor()};
  }
};

struct DropoutFunction : torch::autograd::Function<DropoutFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const CamtlDropout& dropout,
                            const LayoutPtr& layout) {
    keep(ctx, dropout, layout);
    return masked(dense(x), dropout, layout);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto held = kept<CamtlDropout>(ctx);
    return {masked(dense(grads[0]), held->arguments, held->layout), at::Tensor(), at::Tensor()};
  }

  static at::Tensor masked(const at::Tensor& x, const CamtlDropout& dropout, const LayoutPtr& layout) {
    const Launch launch(x);
    const at::Tensor y = at::empty_like(x);
    Launch::check(camtl_cuda_dropout(&layout->view, type_of(x), columns_of(x), data(x), dropout, mutable_data(y),
                                     launch.stream()),
                  "dropout");
    return y;
  }
};

struct Gelu : torch::autograd::Function<Gelu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_, const at::Tensor& bias_) {
    const at::Tensor x = dense(x_), bias = dense(bias_);
    const Launch launch(x);
    const at::Tensor y = at::empty_like(x);
    Launch::check(camtl_cuda_gelu_bias_forward(type_of(x), static_cast<int>(x.size(0)), columns_of(x), data(x),
                                               floats(bias), mutable_data(y), launch.stream()),
                  "GELU, forward");
    ctx->save_for_backward({x, bias});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &bias = saved[1], dy = dense(grads[0]);
    const Launch launch(x);
    const int rows = static_cast<int>(x.size(0));
    const at::Tensor dx = at::empty_like(x), dbias = at::empty_like(bias);
    const at::Tensor memory = workspace(camtl_cuda_gelu_bias_backward_workspace(rows, columns_of(x)), x);
    Launch::check(camtl_cuda_gelu_bias_backward(type_of(x), rows, columns_of(x), data(dy), data(x), floats(bias),
                                                mutable_data(dx), mutable_floats(dbias), mutable_data(memory),
                                                launch.stream()),
                  "GELU, backward");
    return {dx, dbias};
  }
};

}  // namespace

int autocast() {
  return at::autocast::is_autocast_enabled(at::kCUDA) &&
         at::autocast::get_autocast_dtype(at::kCUDA) == at::kBFloat16;
}

int film(at::Tensor** out, const at::Tensor* x, const at::Tensor* gamma, const at::Tensor* beta, void* layout) {
  return guarded([&] {
    *out = new at::Tensor(Film::apply(as_activation(*x), as_float(*gamma), as_float(*beta), layout_of(layout)));
  });
}

int layer_norm(at::Tensor** out, const at::Tensor* x, const at::Tensor* residual, const at::Tensor* weight,
               const at::Tensor* bias, double eps, const DropoutArguments* dropout, void* layout) {
  return guarded([&] {
    const at::Tensor input = as_activation(*x);
    const MaybeTensor added = residual ? MaybeTensor(residual->to(input.scalar_type())) : MaybeTensor();
    const NormOptions options{eps, dropout_of(*dropout)};
    *out = new at::Tensor(
        LayerNorm::apply(input, added, as_float(*weight), as_float(*bias), options, layout_of(layout)));
  });
}

int dropout(at::Tensor** out, const at::Tensor* x, const DropoutArguments* dropout, void* layout) {
  return guarded([&] {
    TORCH_CHECK(x->scalar_type() == at::kFloat || x->scalar_type() == at::kBFloat16,
                "the GPU kernels take float32 and bfloat16, not ", x->scalar_type());
    *out = new at::Tensor(DropoutFunction::apply(*x, dropout_of(*dropout), layout_of(layout)));
  });
}

int gelu(at::Tensor** out, const at::Tensor* x, const at::Tensor* bias) {
  return guarded([&] { *out = new at::Tensor(Gelu::apply(as_activation(*x), as_float(*bias))); });
}

}  // namespace camtl::plugin
