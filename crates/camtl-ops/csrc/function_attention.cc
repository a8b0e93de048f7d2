// Autograd function of conditional attention.
#include <omp.h>

#include "function.h"

namespace camtl {
namespace {

struct AttentionOptions {
  int64_t heads;
  bool first_only;
  CamtlDropout dropout;
};

struct Projections {
  at::Tensor q, k, v;
};

// Rows may have any stride, columns lie side by side.
at::Tensor rows(const at::Tensor& x) { return x.stride(1) == 1 || x.size(1) <= 1 ? x : x.contiguous(); }

struct Attention : torch::autograd::Function<Attention> {
  // `k` and `v` undefined: `q` holds all three side by side.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const MaybeTensor& k_, const MaybeTensor& v_,
                            const MaybeTensor& band_, const AttentionOptions& options, const LayoutPtr& layout) {
    const at::Tensor k = k_.value_or(at::Tensor()), v = v_.value_or(at::Tensor());
    const Projections p = split(q, k, v);
    const at::Tensor band = dense(band_);
    CamtlAttention a{};
    a.dtype = dtype_of(p.k);
    a.first_only = options.first_only;
    a.q_per_sequence = options.first_only && p.q.size(0) != layout->view.rows;
    a.heads = options.heads;
    a.head_dim = p.k.size(1) / options.heads;
    a.dropout = options.dropout;
    a.layout = &layout->view;
    if (band.defined()) {
      a.band_length = band.size(1);
      a.band_width = band.size(2);
    }
    const int64_t queries = options.first_only ? layout->view.sequences : layout->view.rows;
    at::Tensor out = at::empty({queries, p.k.size(1)}, p.k.options());
    const at::Tensor lse = at::empty({a.heads, queries}, p.k.options());
    read(a, p, band);
    a.out = mutable_data(out);
    a.lse = mutable_data(lse);
    const at::Tensor memory = workspace(a);
    a.workspace = mutable_data(memory);
    camtl_attention_forward(&a);
    ctx->save_for_backward({q, k, v, band, lse});
    ctx->saved_data["args"] = keep(a, layout);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &band = saved[3], &lse = saved[4];
    const auto held = kept<CamtlAttention>(ctx->saved_data["args"]);
    CamtlAttention a = held->args;
    const Projections p = split(q, k, v);
    const at::Tensor dout = dense(grads[0]);
    const at::Tensor dq = at::empty(q.sizes(), q.options());
    const at::Tensor dk = k.defined() ? at::empty(k.sizes(), k.options()) : at::Tensor(),
                     dv = v.defined() ? at::empty(v.sizes(), v.options()) : at::Tensor();
    const Projections d = split(dq, dk, dv);
    at::Tensor dband, partial;
    Wanted wanted(ctx);
    wanted.next();
    wanted.next(k.defined());
    wanted.next(v.defined());
    if (wanted.next(band.defined())) {
      dband = at::zeros(band.sizes(), band.options());
      partial = at::empty({a.layout->attention_segments * camtl_attention_head_groups(a.heads) * a.layout->max_len *
                           a.band_width},
                          band.options());
    }
    read(a, p, band);
    a.lse = mutable_data(lse);
    a.dout = data(dout);
    a.dq = mutable_data(d.q);
    a.dk = mutable_data(d.k);
    a.dv = mutable_data(d.v);
    a.dq_row = d.q.stride(0);
    a.dk_row = d.k.stride(0);
    a.dv_row = d.v.stride(0);
    a.dband = mutable_data(dband);
    a.partial = mutable_data(partial);
    const at::Tensor memory = workspace(a);
    a.workspace = mutable_data(memory);
    camtl_attention_backward(&a);
    return {dq, dk, dv, dband, at::Tensor(), at::Tensor()};
  }

  static Projections split(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    if (k.defined()) return {rows(q), rows(k), rows(v)};
    const at::Tensor joint = rows(q);
    const int64_t columns = joint.size(1) / 3;
    return {joint.narrow(1, 0, columns), joint.narrow(1, columns, columns), joint.narrow(1, 2 * columns, columns)};
  }

  static void read(CamtlAttention& a, const Projections& p, const at::Tensor& band) {
    a.q = data(p.q);
    a.k = data(p.k);
    a.v = data(p.v);
    a.q_row = p.q.stride(0);
    a.k_row = p.k.stride(0);
    a.v_row = p.v.stride(0);
    a.band = data(band);
  }

  static at::Tensor workspace(const CamtlAttention& a) {
    const int64_t bytes = camtl_attention_workspace(&a) * omp_get_max_threads();
    return at::empty({bytes}, at::TensorOptions().dtype(at::kByte));
  }
};

}  // namespace

int cpu::attention(at::Tensor** out, const at::Tensor* q, const at::Tensor* k, const at::Tensor* v,
                   const at::Tensor* band, int64_t heads, int first_only, const DropoutArguments* dropout,
                   void* layout) {
  return guarded([&] {
    const AttentionOptions options{heads, first_only != 0, dropout_of(*dropout)};
    *out = new at::Tensor(Attention::apply(*q, maybe(k), maybe(v), maybe(band), options, layout_of(layout)));
  });
}

}  // namespace camtl
