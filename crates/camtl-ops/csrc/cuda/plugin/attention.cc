// Autograd function of conditional attention on the GPU.
#include "plugin/table.h"

#include <ATen/ops/zeros.h>

#include "plugin/function.h"

namespace camtl::plugin {
namespace {

struct AttentionOptions {
  int64_t heads;
  bool first_only;
  CamtlDropout dropout;
};

struct Projections {
  at::Tensor q, k, v;
};

// Rows may have any stride that keeps them 16-byte aligned; columns lie side by side.
at::Tensor rows(const at::Tensor& x) {
  const bool aligned = reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0 && x.stride(0) % 8 == 0;
  if (x.stride(1) == 1 && aligned) return x;
  const at::Tensor copy = x.contiguous();
  // A contiguous view can still start at an odd address.
  return reinterpret_cast<uintptr_t>(copy.const_data_ptr()) % 16 == 0 ? copy : copy.clone();
}

Projections split(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  if (k.defined()) return {rows(q), rows(k), rows(v)};
  const at::Tensor joint = rows(q);
  const int64_t columns = joint.size(1) / 3;
  return {joint.narrow(1, 0, columns), joint.narrow(1, columns, columns), joint.narrow(1, 2 * columns, columns)};
}

CamtlAttention arguments(const Projections& p, const at::Tensor& band, const AttentionOptions& options) {
  CamtlAttention a{};
  a.q = data(p.q);
  a.k = data(p.k);
  a.v = data(p.v);
  a.q_stride = p.q.stride(0);
  a.kv_stride = p.k.stride(0);
  TORCH_CHECK(p.k.stride(0) == p.v.stride(0), "keys and values must have the same row stride");
  a.band = floats(band);
  a.band_rows = band.defined() ? static_cast<int>(band.size(1)) : 0;
  a.band_width = band.defined() ? static_cast<int>(band.size(2)) : 0;
  a.heads = static_cast<int>(options.heads);
  a.head_dim = static_cast<int>(p.k.size(1) / options.heads);
  a.first_only = options.first_only;
  a.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim)));
  a.dropout = options.dropout;
  return a;
}

struct Attention : torch::autograd::Function<Attention> {
  // k and v undefined: q holds all three side by side, one row per token.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const MaybeTensor& k_, const MaybeTensor& v_,
                            const MaybeTensor& band_, const AttentionOptions& options, const LayoutPtr& layout) {
    const at::Tensor k = value(k_), v = value(v_), band = dense(value(band_));
    const Launch launch(q);
    const Projections p = split(q, k, v);
    const CamtlAttention a = arguments(p, band, options);
    const CamtlLayout view = layout->with_tasks(band.defined() ? band.size(0) : layout->view.num_tasks);
    const int64_t queries = options.first_only ? view.num_sequences : view.num_rows;
    const at::Tensor out = at::empty({queries, p.k.size(1)}, p.k.options());
    at::Tensor log_sums;
    if (camtl_cuda_attention_saves_log_sums(view.max_length)) {
      log_sums = at::empty({queries, options.heads}, p.k.options().dtype(at::kFloat));
    }
    Launch::check(camtl_cuda_attention_forward(&a, &view, mutable_data(out), out.stride(0), mutable_floats(log_sums),
                                               launch.stream()),
                  "conditional attention, forward");
    // The single-pass form recomputes everything; the blocked one reads its output.
    ctx->save_for_backward({q, k, v, band, log_sums.defined() ? out : at::Tensor(), log_sums});
    keep(ctx, options, layout);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &band = saved[3], &out = saved[4];
    const auto held = kept<AttentionOptions>(ctx);
    const Launch launch(q);
    const Projections p = split(q, k, v);
    const CamtlAttention a = arguments(p, band, held->arguments);
    const CamtlLayout view = held->layout->with_tasks(band.defined() ? band.size(0) : held->layout->view.num_tasks);
    const at::Tensor dout = rows(grads[0]);
    const at::Tensor dq = at::empty(q.sizes(), q.options());
    const at::Tensor dk = k.defined() ? at::empty(k.sizes(), k.options()) : at::Tensor();
    const at::Tensor dv = v.defined() ? at::empty(v.sizes(), v.options()) : at::Tensor();
    const Projections d = split(dq, dk, dv);
    Wanted wanted(ctx);
    wanted.next();
    wanted.next(k.defined());
    wanted.next(v.defined());
    const at::Tensor dband = empty_if(wanted.next(band.defined()), band);
    const at::Tensor memory =
        workspace(camtl_cuda_attention_backward_workspace(&a, &view, dband.defined()), q);
    CamtlAttentionGradients g{};
    g.dout = data(dout);
    g.dout_stride = dout.stride(0);
    g.out = data(out);
    g.out_stride = out.defined() ? out.stride(0) : 0;
    g.log_sums = floats(saved[5]);
    g.dq = mutable_data(d.q);
    g.dq_stride = d.q.stride(0);
    g.dk = mutable_data(d.k);
    g.dv = mutable_data(d.v);
    g.dkv_stride = d.k.stride(0);
    g.dband = mutable_floats(dband);
    g.workspace = mutable_data(memory);
    Launch::check(camtl_cuda_attention_backward(&a, &view, &g, launch.stream()), "conditional attention, backward");
    return {dq, dk, dv, dband, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

int attention(at::Tensor** out, const at::Tensor* q, const at::Tensor* k, const at::Tensor* v, const at::Tensor* band,
              int64_t heads, int first_only, const DropoutArguments* dropout, void* layout_pointer) {
  return guarded([&] {
    const LayoutPtr layout = layout_of(layout_pointer);
    const AttentionOptions options{heads, first_only != 0, dropout_of(*dropout)};
    at::Tensor query = q->to(at::kBFloat16);
    MaybeTensor key = k ? MaybeTensor(k->to(at::kBFloat16)) : MaybeTensor();
    MaybeTensor values = v ? MaybeTensor(v->to(at::kBFloat16)) : MaybeTensor();
    if (options.first_only) {
      if (!key) {
        const int64_t columns = query.size(1) / 3;
        key = query.narrow(1, columns, columns);
        values = query.narrow(1, 2 * columns, columns);
        query = query.narrow(1, 0, columns);
      }
      if (query.size(0) != layout->view.num_sequences || query.size(0) == layout->view.num_rows) {
        // Queries per token: each sequence's first row. An empty sequence takes any row; nothing reads it.
        const int64_t sequences = layout->view.num_sequences;
        const at::Tensor first = layout->arrays.narrow(0, 0, sequences).to(at::kLong).clamp(0, query.size(0) - 1);
        query = query.index_select(0, first);
      }
    }
    *out = new at::Tensor(Attention::apply(query, key, values, as_float(band), options, layout));
  });
}

}  // namespace camtl::plugin
