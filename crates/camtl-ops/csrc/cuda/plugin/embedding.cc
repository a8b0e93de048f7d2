// Autograd function of the embedding layer on the GPU.
#include "plugin/table.h"

#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>

#include "../../gradient_view.h"
#include "plugin/function.h"

namespace camtl::plugin {
namespace {

struct EmbeddingOptions {
  at::Tensor input_ids, token_type_ids, position_ids;
  double eps;
  CamtlDropout dropout;
};

struct EmbeddingConstants {
  double eps;
  CamtlDropout dropout;
};

CamtlEmbedding arguments(const variable_list& tables, const at::Tensor* ids, const EmbeddingConstants& constants) {
  CamtlEmbedding a{};
  a.input_ids = ids[0].const_data_ptr<int>();
  a.token_type_ids = ids[1].const_data_ptr<int>();
  a.position_ids = ids[2].const_data_ptr<int>();
  a.word = floats(tables[0]);
  a.token_type = floats(tables[1]);
  a.position = floats(tables[2]);
  a.weight = floats(tables[3]);
  a.bias = floats(tables[4]);
  a.gamma = floats(tables[5]);
  a.beta = floats(tables[6]);
  a.eps = static_cast<float>(constants.eps);
  a.dropout = constants.dropout;
  return a;
}

// Dense gradient of one table, undefined if it was added where it belongs. The order of a stable sort, not the GPU's,
// decides the order of additions.
at::Tensor scattered(const at::Tensor& table, const at::Tensor& ids, const at::Tensor& dz, const Launch& launch) {
  const at::Tensor kept = gradient_view(table);
  const at::Tensor dtable = kept.defined() ? kept : at::zeros(table.sizes(), table.options());
  const auto [sorted, order] = at::sort(ids, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  const auto count = static_cast<int>(ids.numel()), columns = static_cast<int>(table.size(1));
  const at::Tensor memory = workspace(camtl_cuda_table_gradient_workspace(count, columns), table);
  Launch::check(camtl_cuda_table_gradient(sorted.const_data_ptr<int>(), order.const_data_ptr<int64_t>(), count, columns,
                                          floats(dz), mutable_floats(dtable), mutable_data(memory), launch.stream()),
                "embedding, table gradient");
  return kept.defined() ? at::Tensor() : dtable;
}

struct Embedding : torch::autograd::Function<Embedding> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& word, const at::Tensor& token_type,
                            const at::Tensor& position, const at::Tensor& weight, const at::Tensor& bias,
                            const MaybeTensor& gamma, const MaybeTensor& beta, const EmbeddingOptions& options,
                            at::ScalarType type, const LayoutPtr& layout) {
    const variable_list tables = {dense(word), dense(token_type),   dense(position),   dense(weight),
                                  dense(bias), dense(value(gamma)), dense(value(beta))};
    const Launch launch(word);
    const at::Tensor ids[3] = {options.input_ids, options.token_type_ids, options.position_ids};
    const auto statistics = tables[0].options();
    const int64_t rows = layout->view.num_rows, columns = word.size(1);
    const at::Tensor y = at::empty({rows, columns}, statistics.dtype(type)), z = at::empty_like(y);
    const at::Tensor mean = at::empty({rows}, statistics), rstd = at::empty({rows}, statistics);
    const EmbeddingConstants constants{options.eps, options.dropout};
    const CamtlEmbedding a = arguments(tables, ids, constants);
    Launch::check(camtl_cuda_embedding_forward(&layout->view, type_of(y), static_cast<int>(columns), &a,
                                               mutable_data(y), mutable_data(z), mutable_floats(mean),
                                               mutable_floats(rstd), launch.stream()),
                  "embedding, forward");
    variable_list saved = tables;
    saved.insert(saved.end(), {z, mean, rstd, ids[0], ids[1], ids[2]});
    ctx->save_for_backward(saved);
    keep(ctx, constants, layout);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const variable_list tables(saved.begin(), saved.begin() + 7);
    const at::Tensor &z = saved[7], dy = dense(grads[0]);
    const at::Tensor ids[3] = {saved[10], saved[11], saved[12]};
    const auto held = kept<EmbeddingConstants>(ctx);
    const Launch launch(z);
    const auto columns = static_cast<int>(z.size(1));
    const bool film = tables[5].defined();
    const CamtlLayout view = held->layout->with_tasks(film ? tables[5].size(0) : held->layout->view.num_tasks);
    const CamtlEmbedding a = arguments(tables, ids, held->arguments);
    Wanted asked(ctx);
    bool wanted[7];
    for (size_t i = 0; i < 7; ++i) wanted[i] = asked.next(tables[i].defined());
    variable_list d(7);
    for (size_t i = 3; i < 7; ++i) d[i] = empty_if(wanted[i], tables[i]);
    const at::Tensor dz = at::empty(z.sizes(), z.options().dtype(at::kFloat));
    const at::Tensor memory = workspace(camtl_cuda_embedding_backward_workspace(&view, columns, film), z);
    Launch::check(camtl_cuda_embedding_backward(&view, type_of(z), columns, &a, data(dy), data(z), floats(saved[8]),
                                                floats(saved[9]), mutable_floats(dz), mutable_floats(d[3]),
                                                mutable_floats(d[4]), mutable_floats(d[5]), mutable_floats(d[6]),
                                                mutable_data(memory), launch.stream()),
                  "embedding, backward");
    for (size_t i = 0; i < 3; ++i) {
      if (wanted[i]) d[i] = scattered(tables[i], ids[i], dz, launch);
    }
    return {d[0], d[1], d[2], d[3], d[4], d[5], d[6], at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

int embedding(at::Tensor** out, const at::Tensor* const* ids, const at::Tensor* const* tables, double eps,
              const DropoutArguments* dropout, void* layout) {
  return guarded([&] {
    const auto index = [](const at::Tensor& x) { return x.to(at::kInt).contiguous(); };
    const EmbeddingOptions options{index(*ids[0]), index(*ids[1]), index(*ids[2]), eps, dropout_of(*dropout)};
    // The tables are float32 masters; what the layers read is bf16 when autocast asks for it.
    const bool half = tables[0]->scalar_type() == at::kBFloat16 ||
                      (at::autocast::is_autocast_enabled(at::kCUDA) &&
                       at::autocast::get_autocast_dtype(at::kCUDA) == at::kBFloat16);
    *out = new at::Tensor(Embedding::apply(as_float(*tables[0]), as_float(*tables[1]), as_float(*tables[2]),
                                           as_float(*tables[3]), as_float(*tables[4]), as_float(tables[5]),
                                           as_float(tables[6]), options, half ? at::kBFloat16 : at::kFloat,
                                           layout_of(layout)));
  });
}

}  // namespace camtl::plugin
