// Autograd function of the embedding layer.
#include <algorithm>
#include <numeric>
#include <vector>

#include "function.h"

namespace camtl {
namespace {

// Dense gradient of one table: rows of `dsum` added by id, in row order. A table
// has far more rows than a batch has tokens: where the gradient is kept in a flat
// buffer, rows are added there and no second table is cleared and added.
at::Tensor scattered(bool wanted, const at::Tensor& table, const at::Tensor& ids, const at::Tensor& dsum) {
  if (!wanted) return {};
  const at::Tensor kept = gradient_view(table);
  const at::Tensor dtable = kept.defined() ? kept : at::zeros(table.sizes(), table.options());
  const int64_t count = ids.numel();
  const int64_t* id = ids.const_data_ptr<int64_t>();
  std::vector<int64_t> order(count), starts;
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [id](int64_t a, int64_t b) { return id[a] < id[b]; });
  for (int64_t at = 0; at < count; ++at) {
    if (at == 0 || id[order[at]] != id[order[at - 1]]) starts.push_back(at);
  }
  CamtlScatter a{};
  a.dtype = dtype_of(dsum);
  a.columns = dsum.size(1);
  a.runs = int64_t(starts.size());
  starts.push_back(count);
  a.ids = id;
  a.order = order.data();
  a.starts = starts.data();
  a.dsum = data(dsum);
  a.dtable = mutable_data(dtable);
  camtl_scatter_rows(&a);
  return kept.defined() ? at::Tensor() : dtable;
}

struct EmbeddingOptions {
  at::Tensor input_ids, token_type_ids, position_ids;
  double eps;
  CamtlDropout dropout;
};

struct Embedding : torch::autograd::Function<Embedding> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& word_, const at::Tensor& token_type_,
                            const at::Tensor& position_, const at::Tensor& weight_, const at::Tensor& bias_,
                            const MaybeTensor& gamma_, const MaybeTensor& beta_, const EmbeddingOptions& options,
                            const LayoutPtr& layout) {
    const variable_list tables = {dense(word_), dense(token_type_), dense(position_), dense(weight_),
                                  dense(bias_), dense(gamma_),      dense(beta_)};
    const int64_t rows = layout->view.rows;
    at::Tensor y = at::empty({rows, tables[0].size(1)}, tables[0].options());
    const at::Tensor mean = at::empty({rows}, y.options()), rstd = at::empty({rows}, y.options());
    const at::Tensor ids = dense(options.input_ids), types = dense(options.token_type_ids),
                     positions = dense(options.position_ids);
    CamtlEmbedding a{};
    a.dtype = dtype_of(y);
    a.columns = y.size(1);
    a.tasks = tables[5].defined() ? tables[5].size(0) : 1;
    a.eps = options.eps;
    a.dropout = options.dropout;
    a.layout = &layout->view;
    read(a, tables, ids, types, positions);
    a.y = mutable_data(y);
    a.mean = mutable_data(mean);
    a.rstd = mutable_data(rstd);
    camtl_embedding_forward(&a);
    ctx->save_for_backward({tables[0], tables[1], tables[2], tables[3], tables[4], tables[5], tables[6], mean, rstd,
                            ids, types, positions});
    ctx->saved_data["args"] = keep(a, layout);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const auto held = kept<CamtlEmbedding>(ctx->saved_data["args"]);
    CamtlEmbedding a = held->args;
    const at::Tensor dy = dense(grads[0]);
    Wanted asked(ctx);
    bool wanted[7];
    for (int i = 0; i < 7; ++i) wanted[i] = asked.next(saved[i].defined());
    const bool sums = wanted[0] || wanted[1] || wanted[2];
    const at::Tensor dsum = empty_if(sums, dy);
    at::Tensor d[7];
    for (int i = 3; i < 7; ++i) d[i] = empty_if(wanted[i], saved[i]);
    const at::Tensor partial = at::empty({a.layout->row_segments * 4 * a.columns}, dy.options());
    read(a, saved, saved[9], saved[10], saved[11]);
    a.mean = mutable_data(saved[7]);
    a.rstd = mutable_data(saved[8]);
    a.dy = data(dy);
    a.dsum = mutable_data(dsum);
    a.dweight = mutable_data(d[3]);
    a.dbias = mutable_data(d[4]);
    a.dgamma = mutable_data(d[5]);
    a.dbeta = mutable_data(d[6]);
    a.partial = mutable_data(partial);
    camtl_embedding_backward(&a);
    for (int i = 0; i < 3; ++i) d[i] = scattered(wanted[i], saved[i], saved[9 + i], dsum);
    return {d[0], d[1], d[2], d[3], d[4], d[5], d[6], at::Tensor(), at::Tensor()};
  }

  static void read(CamtlEmbedding& a, const variable_list& tables, const at::Tensor& ids, const at::Tensor& types,
                   const at::Tensor& positions) {
    a.word = data(tables[0]);
    a.token_type = data(tables[1]);
    a.position = data(tables[2]);
    a.weight = data(tables[3]);
    a.bias = data(tables[4]);
    a.gamma = data(tables[5]);
    a.beta = data(tables[6]);
    a.input_ids = ids.const_data_ptr<int64_t>();
    a.token_type_ids = types.const_data_ptr<int64_t>();
    a.position_ids = positions.const_data_ptr<int64_t>();
  }
};

}  // namespace

int cpu::embedding(at::Tensor** out, const at::Tensor* const* ids, const at::Tensor* const* tables, double eps,
                   const DropoutArguments* dropout, void* layout) {
  return guarded([&] {
    const EmbeddingOptions options{*ids[0], *ids[1], *ids[2], eps, dropout_of(*dropout)};
    *out = new at::Tensor(Embedding::apply(*tables[0], *tables[1], *tables[2], *tables[3], *tables[4],
                                           maybe(tables[5]), maybe(tables[6]), options, layout_of(layout)));
  });
}

}  // namespace camtl
