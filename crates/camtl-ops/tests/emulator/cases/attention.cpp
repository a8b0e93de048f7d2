// Conditional attention, forward and backward, against float64.
#include "cases.h"
#include "check.h"
#include "layout.h"
#include "reference/attention.h"

namespace harness {
namespace {

struct Shape {
  std::string name;
  std::vector<int> lengths;
  int head_dim = 64, heads = 2, band_rows = 128, band_width = 22, num_tasks = 2;
  double dropout = 0.0;
  bool first_only = false, short_keys = false, unsorted = false;
  std::vector<std::string> groups{};
};

// q, k and v as slices of one matrix, as a fused projection gives them; out,
// gradients and band poisoned.
struct Problem {
  Random random;
  reference::Attention a;
  int kv_stride, q_stride, query_rows, rows;
  Array<camtl::bf16> q, kv, dout;
  Array<float> band;
  DeviceLayout layout;
  CamtlAttention call{};
  reference::AttentionResult expected;

  static Batch batch_of(const Shape& shape, Random& random) {
    Batch batch;
    batch.lengths = shape.lengths;
    batch.num_tasks = shape.num_tasks;
    for (std::size_t b = 0; b < shape.lengths.size(); ++b) {
      batch.tasks.push_back(random.below(shape.num_tasks));
      if (shape.short_keys) {
        batch.key_lengths.push_back(shape.lengths[b] == 0 ? 0 : 1 + random.below(shape.lengths[b]));
      }
    }
    if (!shape.unsorted) std::sort(batch.tasks.begin(), batch.tasks.end());
    return batch;
  }

  static reference::Attention attention_of(const Shape& shape, Random& random) {
    reference::Attention a;
    a.batch = batch_of(shape, random);
    a.heads = shape.heads;
    a.head_dim = shape.head_dim;
    a.band_rows = shape.band_width > 0 ? shape.band_rows : 0;
    a.band_width = shape.band_width;
    a.first_only = shape.first_only;
    a.scale = static_cast<float>(1.0 / std::sqrt(shape.head_dim));
    a.dropout = {shape.dropout, random.next()};
    return a;
  }

  Problem(const Shape& shape, std::uint64_t seed)
      : random(seed), a(attention_of(shape, random)), kv_stride(2 * a.width() + 8), q_stride(a.width() + 16),
        query_rows(a.query_rows()), rows(a.batch.rows()), q(static_cast<std::size_t>(query_rows * q_stride)),
        kv(static_cast<std::size_t>(rows * kv_stride)), dout(static_cast<std::size_t>(query_rows * a.width())),
        band(static_cast<std::size_t>(a.batch.num_tasks * a.band_rows * a.band_width)), layout(a.batch) {
    fill_normal(q, random, 1.5);
    fill_normal(kv, random);
    fill_normal(dout, random);
    fill_normal(band, random);
    const auto width = static_cast<std::size_t>(a.width());
    for (std::size_t r = 0; r < static_cast<std::size_t>(query_rows); ++r) {
      for (std::size_t d = 0; d < width; ++d) a.q.push_back(value(q[r * static_cast<std::size_t>(q_stride) + d]));
    }
    for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
      for (std::size_t d = 0; d < width; ++d) {
        a.k.push_back(value(kv[r * static_cast<std::size_t>(kv_stride) + d]));
        a.v.push_back(value(kv[r * static_cast<std::size_t>(kv_stride) + width + d]));
      }
    }
    a.band = values(band);
    call.q = q.data();
    call.k = kv.data();
    call.v = kv.data() + width;
    call.q_stride = q_stride;
    call.kv_stride = kv_stride;
    call.band = a.band_width > 0 ? band.data() : nullptr;
    call.band_rows = a.band_rows;
    call.band_width = a.band_width;
    call.heads = a.heads;
    call.head_dim = a.head_dim;
    call.first_only = a.first_only;
    call.scale = static_cast<float>(a.scale);
    call.dropout = dropout_of(a.dropout.p, a.dropout.seed);
    expected = reference::attention(a, values(dout));
  }
};

void run(const Shape& shape, std::uint64_t seed, bool backward) {
  Problem problem(shape, seed);
  const auto width = static_cast<std::size_t>(problem.a.width());
  const auto queries = static_cast<std::size_t>(problem.query_rows), rows = static_cast<std::size_t>(problem.rows);
  const bool logs = camtl_cuda_attention_saves_log_sums(problem.layout.get()->max_length) != 0;
  Array<camtl::bf16> out(queries * width);
  Array<float> log_sums(logs ? queries * static_cast<std::size_t>(problem.a.heads) : 0);
  int error = camtl_cuda_attention_forward(&problem.call, problem.layout.get(), out.data(), problem.a.width(),
                                           log_sums.data(), nullptr);
  expect(error == 0, "forward launch failed");
  expect_close("attention out", values(out), problem.expected.out, 4e-3);
  out.check_guards("out");
  log_sums.check_guards("log_sums");
  if (!backward) return;

  Array<camtl::bf16> dq(queries * width), dk(rows * width), dv(rows * width);
  Array<float> dband(problem.band.size());
  const bool with_band = problem.a.band_width > 0;
  Array<unsigned char> workspace(
      camtl_cuda_attention_backward_workspace(&problem.call, problem.layout.get(), with_band));
  CamtlAttentionGradients gradients{};
  gradients.dout = problem.dout.data();
  gradients.dout_stride = problem.a.width();
  // Only the blocked form may look at these.
  gradients.out = logs ? out.data() : nullptr;
  gradients.out_stride = problem.a.width();
  gradients.log_sums = log_sums.data();
  gradients.dq = dq.data();
  gradients.dq_stride = problem.a.width();
  gradients.dk = dk.data();
  gradients.dv = dv.data();
  gradients.dkv_stride = problem.a.width();
  gradients.dband = with_band ? dband.data() : nullptr;
  gradients.workspace = workspace.data();
  error = camtl_cuda_attention_backward(&problem.call, problem.layout.get(), &gradients, nullptr);
  expect(error == 0, "backward launch failed");
  expect_close("attention dq", values(dq), problem.expected.dq, 8e-3);
  expect_close("attention dk", values(dk), problem.expected.dk, 8e-3);
  expect_close("attention dv", values(dv), problem.expected.dv, 8e-3);
  // Beyond 128 rows delta comes from the rounded output.
  if (with_band) expect_close("attention dband", values(dband), problem.expected.dband, logs ? 2e-3 : 1e-4);
  dq.check_guards("dq");
  dk.check_guards("dk");
  dv.check_guards("dv");
  dband.check_guards("dband");
  workspace.check_guards("workspace");
}

void add(const Shape& shape, bool quick) {
  static std::uint64_t seed = 0;
  ++seed;
  const bool blocked = *std::max_element(shape.lengths.begin(), shape.lengths.end()) > 128;
  const std::string prefix = blocked ? "attention_blocked_" : "attention_";
  add_case({prefix + "forward", shape.name, quick, [shape, s = seed] { run(shape, s, false); }});
  add_case({prefix + "backward", shape.name, quick, [shape, s = seed] { run(shape, s, true); }});
}

const bool registered = [] {
  // Each instance at the lengths where tiles begin and end.
  add({"up to 128", {16, 128, 17}, 64, 1, 128, 22, 2}, true);
  add({"up to 128, dropout", {33, 0, 127, 1}, 64, 2, 128, 43, 2, 0.1}, true);
  add({"up to 64, short keys", {15, 64, 1, 48}, 64, 2, 64, 16, 3, 0.0, false, true}, true);
  add({"up to 32", {32, 17, 0, 16, 15, 1, 2}, 64, 2, 128, 22, 1}, true);
  add({"head 32, up to 128, dropout", {127, 16, 100}, 32, 3, 128, 43, 2, 0.25}, true);
  add({"head 32, up to 64", {64, 33, 0, 17}, 32, 2, 64, 22, 2}, false);
  add({"head 32, up to 32, dropout", {31, 5, 16}, 32, 2, 32, 16, 2, 0.1}, false);
  add({"first rows, up to 64, dropout", {15, 0, 64, 17}, 64, 2, 64, 22, 2, 0.1, true}, true);
  add({"first rows, up to 128", {128, 0, 3}, 64, 1, 128, 22, 2, 0.0, true}, false);
  add({"no band", {40, 7, 90}, 64, 2, 0, 0, 1}, false);
  add({"26 tasks", std::vector<int>(30, 5), 32, 1, 32, 22, 26}, false);
  add({"tasks not sorted", {20, 9, 31, 4, 12}, 64, 1, 32, 16, 3, 0.1, false, false, true}, false);
  add({"wide band", {128, 70}, 64, 2, 128, 64, 2}, false);
  add({"empty batch rows", {0, 0}, 64, 1, 32, 22, 2}, false);
  Random random(77);
  for (int i = 0; i < 4; ++i) {
    Shape shape;
    shape.name = "random " + std::to_string(i);
    for (int b = 0; b < 3; ++b) shape.lengths.push_back(random.below(100));
    shape.head_dim = i % 2 == 0 ? 64 : 32;
    shape.band_width = 5 + random.below(40);
    shape.dropout = i < 2 ? 0.0 : 0.1 * (1 + random.below(5));
    add(shape, false);
  }
  add({"up to 256, dropout", {129, 0, 255}, 64, 1, 256, 43, 2, 0.1}, true);
  add({"up to 512", {256, 17, 320}, 64, 1, 512, 86, 2, 0.0}, false);
  add({"head 32, short keys", {255, 130, 1}, 32, 2, 256, 22, 2, 0.0, false, true}, true);
  add({"first rows, up to 256, dropout", {200, 0, 65}, 32, 1, 256, 22, 2, 0.2, true}, true);
  return true;
}();

}  // namespace
}  // namespace harness
