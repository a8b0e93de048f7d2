// Autograd function of the tasks' heads.
#include <algorithm>
#include <vector>

#include "function.h"

namespace camtl {
namespace {

// The heads that a batch uses, and where their logits lie in [B, columns].
struct HeadsLayout : torch::CustomClassHolder {
  std::vector<int64_t> outputs, head, offset;
  std::vector<int32_t> regression;
  int64_t columns = 0;
};

struct HeadsOptions {
  c10::intrusive_ptr<HeadsLayout> layout;
  at::Tensor classes, scores;  // undefined: no targets
};

struct Heads : torch::autograd::Function<Heads> {
  // tables: pooled, then the weights of the heads in use, then their biases.
  static variable_list forward(AutogradContext* ctx, at::TensorList tables_, const HeadsOptions& options) {
    variable_list tables;
    for (const at::Tensor& table : tables_) tables.push_back(dense(table));
    const at::Tensor& pooled = tables[0];
    const auto& layout = *options.layout;
    const int64_t sequences = pooled.size(0);
    // Zeros: nothing is computed of the other heads' logits.
    at::Tensor logits = at::zeros({sequences, layout.columns}, pooled.options());
    at::Tensor entropy = at::empty({sequences}, pooled.options());
    at::Tensor loss = at::empty({options.classes.defined() ? sequences : 0}, pooled.options());
    const at::Tensor classes = dense(options.classes),
                     scores = options.scores.defined() ? options.scores.to(pooled.scalar_type()).contiguous()
                                                       : at::Tensor();
    std::vector<const void*> weight, bias;
    CamtlHeads a = arguments(layout, tables, classes, scores, weight, bias);
    a.logits = mutable_data(logits);
    a.entropy = mutable_data(entropy);
    a.loss = classes.defined() ? mutable_data(loss) : nullptr;
    camtl_heads_forward(&a);
    variable_list saved = tables;
    saved.insert(saved.end(), {logits, classes, scores});
    ctx->save_for_backward(saved);
    ctx->saved_data["layout"] = c10::IValue::make_capsule(options.layout);
    ctx->mark_non_differentiable({entropy});
    ctx->set_materialize_grads(false);
    return {logits, entropy, loss};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const size_t count = saved.size() - 3;
    const variable_list tables(saved.begin(), saved.begin() + count);
    const auto held = c10::static_intrusive_pointer_cast<HeadsLayout>(ctx->saved_data["layout"].toCapsule());
    const at::Tensor& logits = saved[count];
    const at::Tensor dlogits = dense(grads[0]), dloss = dense(grads[2]);
    std::vector<const void*> weight, bias;
    CamtlHeads a = arguments(*held, tables, saved[count + 1], saved[count + 2], weight, bias);
    variable_list d(count + 1);
    for (size_t i = 0; i < count; ++i) d[i] = empty_if(ctx->needs_input_grad(i), tables[i]);
    std::vector<void*> dweight, dbias;
    for (int64_t h = 0; h < a.heads; ++h) {
      dweight.push_back(mutable_data(d[1 + h]));
      dbias.push_back(mutable_data(d[1 + a.heads + h]));
    }
    const at::Tensor dsaid = at::empty(logits.sizes(), logits.options());
    a.logits = mutable_data(logits);
    a.dlogits = data(dlogits);
    a.dloss = dloss.defined() && dloss.numel() > 0 ? data(dloss) : nullptr;
    a.dsaid = mutable_data(dsaid);
    a.dpooled = mutable_data(d[0]);
    a.dweight = dweight.data();
    a.dbias = dbias.data();
    camtl_heads_backward(&a);
    return d;
  }

  static CamtlHeads arguments(const HeadsLayout& layout, const variable_list& tables, const at::Tensor& classes,
                              const at::Tensor& scores, std::vector<const void*>& weight,
                              std::vector<const void*>& bias) {
    CamtlHeads a{};
    const at::Tensor& pooled = tables[0];
    a.dtype = dtype_of(pooled);
    a.sequences = pooled.size(0);
    a.columns = pooled.size(1);
    a.heads = int64_t(layout.outputs.size());
    for (int64_t h = 0; h < a.heads; ++h) {
      weight.push_back(data(tables[1 + h]));
      bias.push_back(data(tables[1 + a.heads + h]));
    }
    a.outputs = layout.outputs.data();
    a.regression = layout.regression.data();
    a.weight = weight.data();
    a.bias = bias.data();
    a.head = layout.head.data();
    a.offset = layout.offset.data();
    a.classes = classes.defined() ? classes.const_data_ptr<int64_t>() : nullptr;
    a.scores = data(scores);
    a.pooled = data(pooled);
    return a;
  }
};

}  // namespace

int cpu::heads(at::Tensor** out, const at::Tensor* pooled, const at::Tensor* const* weights,
               const at::Tensor* const* biases, const int32_t* regression, int64_t heads, const at::Tensor* classes,
               const at::Tensor* scores, void* layout) {
  return guarded([&] {
    const LayoutPtr batch = layout_of(layout);
    auto used = c10::make_intrusive<HeadsLayout>();
    std::vector<int64_t> first_column;
    for (int64_t h = 0; h < heads; ++h) {
      first_column.push_back(used->columns);
      used->columns += biases[h]->numel();
    }
    // Only heads that the batch uses get a gradient; they are numbered as they appear.
    std::vector<int64_t> tasks;
    for (size_t b = 0; b < batch->tasks.size(); ++b) {
      const int64_t task = batch->tasks[b];
      const auto found = std::find(tasks.begin(), tasks.end(), task);
      used->head.push_back(found - tasks.begin());
      used->offset.push_back(int64_t(b) * used->columns + first_column[size_t(task)]);
      if (found == tasks.end()) tasks.push_back(task);
    }
    variable_list tables = {*pooled};
    for (const int64_t task : tasks) {
      tables.push_back(*weights[task]);
      used->outputs.push_back(biases[task]->numel());
      used->regression.push_back(regression[task]);
    }
    for (const int64_t task : tasks) tables.push_back(*biases[task]);
    const HeadsOptions options{used, optional(classes), optional(scores)};
    const auto results = Heads::apply(at::TensorList(tables), options);
    out[0] = new at::Tensor(results[0]);
    out[1] = new at::Tensor(results[1]);
    out[2] = classes != nullptr ? new at::Tensor(results[2]) : nullptr;
  });
}

}  // namespace camtl
