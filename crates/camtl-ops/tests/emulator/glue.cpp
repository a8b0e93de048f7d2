// The plugin's autograd functions over emulated kernels, against compositions of
// libtorch's own operations in float64.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <vector>

#include "plugin/layout.h"
#include "plugin/table.h"
#include "plugin/guard.h"
#include "plugin/seeds.h"
#include "tape.h"

namespace {

using at::Tensor;
namespace plugin = camtl::plugin;

int failures = 0;

Tensor owned(Tensor* pointer) {
  Tensor value = *pointer;
  delete pointer;
  return value;
}

void done(int code) { TORCH_CHECK(code == 0, plugin::last_error()); }

void close(const char* name, const Tensor& got, const Tensor& expected, double tolerance) {
  if (!got.defined() || got.sizes() != expected.sizes()) {
    std::printf("FAILED %s: shape\n", name);
    ++failures;
    return;
  }
  const double scale = expected.norm().item<double>();
  const double error = (got.to(at::kDouble) - expected).norm().item<double>() / (scale > 0 ? scale : 1.0);
  const bool good = error <= tolerance;
  std::printf("%s %-34s %.2e\n", good ? "ok    " : "FAILED", name, error);
  failures += !good;
}

struct Batch {
  std::vector<int64_t> starts, keys, tasks;
  void* layout = nullptr;
  // `fixed`: the layout's sizes are made for this many tasks and this longest sequence.
  explicit Batch(const std::vector<int64_t>& lengths, std::vector<int64_t> of_task,
                 std::pair<int64_t, int64_t> fixed = {0, 0})
      : tasks(std::move(of_task)) {
    starts.push_back(0);
    for (int64_t length : lengths) {
      starts.push_back(starts.back() + length);
      keys.push_back(length);
    }
    done(plugin::layout_new(&layout, starts.data(), keys.data(), tasks.data(), static_cast<int64_t>(tasks.size()),
                            fixed.first, fixed.second, 0));
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  ~Batch() { plugin::layout_free(layout); }
  int64_t rows() const { return starts.back(); }
  Tensor row_tasks() const {
    std::vector<int64_t> out;
    for (size_t b = 0; b < tasks.size(); ++b) out.insert(out.end(), static_cast<size_t>(keys[b]), tasks[b]);
    return at::tensor(out, at::kLong);
  }
};

const camtl::DropoutArguments kNone{0, 1.0, 0, 0};

// Leaves of the two computations: the same numbers, in the type under test and in float64.
struct Leaf {
  Tensor tested, exact;
  Leaf(at::IntArrayRef shape, at::ScalarType type, double scale = 1.0) {
    tested = (at::randn(shape) * scale).to(type).detach().set_requires_grad(true);
    exact = tested.detach().to(at::kDouble).set_requires_grad(true);
  }
};

void compare(const char* name, const Tensor& got, const Tensor& expected, const std::vector<std::pair<const char*, Leaf*>>& leaves,
             double tolerance) {
  close(name, got.detach(), expected.detach(), tolerance);
  const Tensor dy = at::randn(got.sizes()).to(got.scalar_type());
  torch::autograd::backward({got}, {dy});
  torch::autograd::backward({expected}, {dy.to(at::kDouble)});
  for (const auto& [leaf_name, leaf] : leaves) {
    close((std::string(name) + " d" + leaf_name).c_str(), leaf->tested.grad(), leaf->exact.grad(), 2 * tolerance);
  }
}

Tensor reference_attention(const Batch& batch, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& band,
                           int64_t heads, bool first_only) {
  const int64_t columns = k.size(1), d = columns / heads, width = band.size(2);
  std::vector<Tensor> out;
  for (size_t b = 0; b < batch.tasks.size(); ++b) {
    const int64_t begin = batch.starts[b], length = batch.keys[b];
    if (length == 0) {
      if (first_only) out.push_back(at::zeros({1, columns}, q.options()));
      continue;
    }
    const int64_t queries = first_only ? 1 : length;
    const auto split = [&](const Tensor& x, int64_t rows) { return x.narrow(0, begin, rows).view({rows, heads, d}).transpose(0, 1); };
    Tensor bias = at::zeros({queries, length}, q.options());
    std::vector<Tensor> rows;
    for (int64_t i = 0; i < queries; ++i) {
      const int64_t start = i / width * width, count = std::min(width, length - start);
      rows.push_back(at::cat({at::zeros({start}, q.options()), band[batch.tasks[b]][i].narrow(0, 0, count),
                              at::zeros({length - start - count}, q.options())}));
    }
    bias = at::stack(rows);
    const Tensor scores = at::matmul(split(q, queries), split(k, length).transpose(1, 2)) / std::sqrt(double(d)) + bias;
    out.push_back(at::matmul(scores.softmax(-1), split(v, length)).transpose(0, 1).reshape({queries, columns}));
  }
  return at::cat(out);
}

void attention_case(const char* name, const std::vector<int64_t>& lengths, bool joint, bool first_only) {
  const Batch batch(lengths, {0, 0, 2, 1});
  const int64_t heads = 2, columns = 128;
  Leaf band({4, 300, 22}, at::kFloat);
  Tensor* out = nullptr;
  if (joint) {
    Leaf qkv({batch.rows(), 3 * columns}, at::kBFloat16);
    done(plugin::attention(&out, &qkv.tested, nullptr, nullptr, &band.tested, heads, first_only, &kNone, batch.layout));
    const auto part = [&](int64_t i) { return qkv.exact.narrow(1, i * columns, columns); };
    compare(name, owned(out), reference_attention(batch, part(0), part(1), part(2), band.exact, heads, first_only),
            {{"qkv", &qkv}, {"band", &band}}, 4e-3);
  } else {
    Leaf q({batch.rows(), columns}, at::kBFloat16), k({batch.rows(), columns}, at::kBFloat16),
        v({batch.rows(), columns}, at::kBFloat16);
    done(plugin::attention(&out, &q.tested, &k.tested, &v.tested, &band.tested, heads, first_only, &kNone, batch.layout));
    compare(name, owned(out), reference_attention(batch, q.exact, k.exact, v.exact, band.exact, heads, first_only),
            {{"q", &q}, {"k", &k}, {"v", &v}, {"band", &band}}, 4e-3);
  }
}

void rows_cases() {
  const Batch batch({5, 0, 7, 3}, {1, 1, 0, 2});
  const Tensor tasks = batch.row_tasks();
  const int64_t n = batch.rows(), d = 64;
  {
    Leaf x({n, d}, at::kFloat), gamma({3, d}, at::kFloat), beta({3, d}, at::kFloat);
    Tensor* out = nullptr;
    done(plugin::film(&out, &x.tested, &gamma.tested, &beta.tested, batch.layout));
    compare("film", owned(out), (1 + gamma.exact.index_select(0, tasks)) * x.exact + beta.exact.index_select(0, tasks),
            {{"x", &x}, {"gamma", &gamma}, {"beta", &beta}}, 1e-5);
  }
  for (const bool shared : {false, true}) {
    Leaf x({n, d}, at::kFloat), r({n, d}, at::kFloat), w({4, d}, at::kFloat), b({d}, at::kFloat);
    Tensor* out = nullptr;
    done(plugin::layer_norm(&out, &x.tested, shared ? nullptr : &r.tested, &w.tested, &b.tested, 1e-6, &kNone, batch.layout));
    const Tensor z = shared ? x.exact : x.exact + r.exact;
    const Tensor normed = at::layer_norm(z, {d}, {}, {}, 1e-6);
    std::vector<std::pair<const char*, Leaf*>> leaves = {{"x", &x}, {"weight", &w}, {"bias", &b}};
    if (!shared) leaves.push_back({"residual", &r});
    compare(shared ? "layer norm" : "layer norm, residual", owned(out),
            normed * w.exact.index_select(0, tasks) + b.exact, leaves, 1e-5);
  }
  {
    // With a mask: the forward pass shows which elements were kept.
    Leaf x({n, d}, at::kFloat), w({d}, at::kFloat), b({3, d}, at::kFloat);
    const camtl::DropoutArguments half{99, 2.0, 1u << 31, 1};
    const Tensor ones = at::ones({n, d}), residual = at::zeros({n, d}), unit = at::ones({d}), zero = at::zeros({d});
    Tensor* out = nullptr;
    done(plugin::layer_norm(&out, &ones, &residual, &unit, &zero, 0.0, &half, batch.layout));
    const Tensor mask = (owned(out) > 0).to(at::kDouble) * 2;
    done(plugin::layer_norm(&out, &x.tested, nullptr, &w.tested, &b.tested, 1e-6, &half, batch.layout));
    compare("layer norm, dropout", owned(out),
            at::layer_norm(x.exact * mask, {d}, {}, {}, 1e-6) * w.exact + b.exact.index_select(0, tasks),
            {{"x", &x}, {"weight", &w}, {"bias", &b}}, 1e-5);
  }
  {
    Leaf x({n, d}, at::kFloat), b({d}, at::kFloat);
    Tensor* out = nullptr;
    done(plugin::gelu(&out, &x.tested, &b.tested));
    compare("gelu", owned(out), at::gelu(x.exact + b.exact), {{"x", &x}, {"bias", &b}}, 1e-5);
  }
  for (const bool with_film : {true, false}) {
    Leaf word({11, d}, at::kFloat), type({2, d}, at::kFloat), position({9, d}, at::kFloat), w({d}, at::kFloat),
        b({d}, at::kFloat), gamma({3, d}, at::kFloat), beta({3, d}, at::kFloat);
    const Tensor ids = at::randint(11, {n}, at::kLong), types = at::randint(2, {n}, at::kLong), positions = at::randint(9, {n}, at::kLong);
    const Tensor* id_list[3] = {&ids, &types, &positions};
    const Tensor* tables[7] = {&word.tested, &type.tested, &position.tested, &w.tested, &b.tested,
                               with_film ? &gamma.tested : nullptr, with_film ? &beta.tested : nullptr};
    Tensor* out = nullptr;
    done(plugin::embedding(&out, id_list, tables, 1e-6, &kNone, batch.layout));
    const Tensor sum = word.exact.index_select(0, ids) + type.exact.index_select(0, types) + position.exact.index_select(0, positions);
    Tensor y = at::layer_norm(sum, {d}, w.exact, b.exact, 1e-6);
    std::vector<std::pair<const char*, Leaf*>> leaves = {{"word", &word}, {"type", &type}, {"position", &position}, {"weight", &w}, {"bias", &b}};
    if (with_film) {
      y = (1 + gamma.exact.index_select(0, tasks)) * y + beta.exact.index_select(0, tasks);
      leaves.push_back({"gamma", &gamma});
      leaves.push_back({"beta", &beta});
    }
    compare(with_film ? "embedding, film" : "embedding", owned(out), y, leaves, 1e-5);
  }
}

// The gradient of a table whose own lies in a larger buffer is added there.
void flat_case() {
  const Batch batch({5, 7}, {0, 0});
  const int64_t n = batch.rows(), d = 64;
  Leaf word({11, d}, at::kFloat), type({2, d}, at::kFloat), position({9, d}, at::kFloat), w({d}, at::kFloat), b({d}, at::kFloat);
  const Tensor ids = at::randint(11, {n}, at::kLong), types = at::zeros({n}, at::kLong), positions = at::randint(9, {n}, at::kLong);
  const Tensor flat = at::full({40 * d}, 0.25);
  word.tested.mutable_grad() = flat.narrow(0, 8 * d, 11 * d).view({11, d});
  const Tensor* id_list[3] = {&ids, &types, &positions};
  const Tensor* tables[7] = {&word.tested, &type.tested, &position.tested, &w.tested, &b.tested, nullptr, nullptr};
  Tensor* out = nullptr;
  done(plugin::embedding(&out, id_list, tables, 1e-6, &kNone, batch.layout));
  const Tensor sum = word.exact.index_select(0, ids) + type.exact.index_select(0, types) + position.exact.index_select(0, positions);
  const Tensor y = owned(out), expected = at::layer_norm(sum, {d}, w.exact, b.exact, 1e-6), dy = at::randn({n, d});
  torch::autograd::backward({y}, {dy});
  torch::autograd::backward({expected}, {dy.to(at::kDouble)});
  close("embedding, flat gradient", flat.narrow(0, 8 * d, 11 * d).view({11, d}), word.exact.grad() + 0.25, 1e-5);
  close("embedding, beside the flat gradient", at::cat({flat.narrow(0, 0, 8 * d), flat.narrow(0, 19 * d, 21 * d)}),
        at::full({29 * d}, 0.25, at::kDouble), 0);
}

void dropout_case() {
  const Batch batch({5, 0, 7, 3}, {1, 1, 0, 2});
  const camtl::DropoutArguments half{99, 2.0, 1u << 31, 1};
  const Tensor ones = at::ones({batch.rows(), 64});
  Tensor* out = nullptr;
  done(plugin::dropout(&out, &ones, &half, batch.layout));
  const Tensor mask = owned(out);
  close("dropout, kept", mask.mean(), at::ones({}, at::kDouble), 0.1);
  Leaf x({batch.rows(), 64}, at::kFloat);
  done(plugin::dropout(&out, &x.tested, &half, batch.layout));
  compare("dropout", owned(out), x.exact * mask.to(at::kDouble), {{"x", &x}}, 1e-6);
}

// A step of a small model, from tokens to gradients, as a captured graph would do it.
struct Step {
  static constexpr int64_t d = 64, heads = 2, tasks = 4, length = 64, classes = 3;
  std::vector<Tensor> parameters, gradients;
  Tensor word, type, position, w, b, gamma, beta, qkv, out, norm_w, norm_b, up, up_b, band;
  std::vector<Tensor> heads_w, heads_b;

  Step() {
    const auto parameter = [&](at::IntArrayRef shape) {
      Tensor value = (at::randn(shape) * 0.2).set_requires_grad(true);
      value.mutable_grad() = at::zeros(shape);
      parameters.push_back(value);
      gradients.push_back(value.grad());
      return value;
    };
    word = parameter({50, d}), type = parameter({2, d}), position = parameter({length, d});
    w = parameter({d}), b = parameter({d}), gamma = parameter({tasks, d}), beta = parameter({tasks, d});
    qkv = parameter({3 * d, d}), out = parameter({d, d}), norm_w = parameter({tasks, d}), norm_b = parameter({d});
    up = parameter({d, d}), up_b = parameter({d}), band = parameter({tasks, length, 22});
    for (int64_t task = 0; task < tasks; ++task) {
      heads_w.push_back(parameter({classes, d}));
      heads_b.push_back(parameter({classes}));
    }
  }

  // What changes from batch to batch.
  struct Data {
    Batch batch, first;
    Tensor ids, types, positions, first_rows, labels, scores, weights;
    static std::vector<int64_t> ones(size_t count) { return std::vector<int64_t>(count, 1); }

    Data(const std::vector<int64_t>& lengths, const std::vector<int64_t>& of_task, bool fixed)
        : batch(lengths, of_task, fixed ? std::pair{tasks, length} : std::pair{int64_t{0}, int64_t{0}}),
          first(ones(lengths.size()), of_task, fixed ? std::pair{tasks, int64_t{1}} : std::pair{int64_t{0}, int64_t{0}}) {
      const int64_t n = batch.rows(), sequences = static_cast<int64_t>(lengths.size());
      std::vector<int64_t> places;
      for (int64_t l : lengths) {
        for (int64_t i = 0; i < l; ++i) places.push_back(i);
      }
      ids = at::randint(50, {n}, at::kLong), types = at::randint(2, {n}, at::kLong), positions = at::tensor(places, at::kLong);
      first_rows = at::tensor(std::vector<int64_t>(batch.starts.begin(), batch.starts.end() - 1), at::kLong);
      labels = at::randint(classes, {sequences}, at::kLong);
      scores = at::randn({sequences}), weights = at::rand({sequences});
    }

    void assign(const Data& other) {
      done(plugin::layout_assign(batch.layout, other.batch.layout));
      done(plugin::layout_assign(first.layout, other.first.layout));
      ids.copy_(other.ids), types.copy_(other.types), positions.copy_(other.positions);
      first_rows.copy_(other.first_rows), labels.copy_(other.labels), scores.copy_(other.scores);
      weights.copy_(other.weights);
    }
  };

  static Tensor linear(const Tensor& x, const Tensor& weight) {
    Tensor* result = nullptr;
    done(plugin::linear(&result, &x, &weight, nullptr, nullptr));
    return owned(result);
  }

  // Loss of each sequence and norm of the gradient, which is left in `gradients`. `seeds`: of four dropouts.
  std::vector<Tensor> operator()(const Data& data, const std::vector<uint64_t>& seeds) const {
    for (const Tensor& gradient : gradients) gradient.zero_();
    size_t drawn = 0;
    const auto drop = [&] { return camtl::DropoutArguments{seeds[drawn++], 1.0 / 0.9, 429496730u, 1}; };
    Tensor* result = nullptr;
    const camtl::DropoutArguments of_embedding = drop(), of_attention = drop(), of_norm = drop(), of_pooled = drop();
    const Tensor* id_list[3] = {&data.ids, &data.types, &data.positions};
    const Tensor* tables[7] = {&word, &type, &position, &w, &b, &gamma, &beta};
    done(plugin::embedding(&result, id_list, tables, 1e-6, &of_embedding, data.batch.layout));
    const Tensor x = owned(result), projected = linear(x, qkv);
    done(plugin::attention(&result, &projected, nullptr, nullptr, &band, heads, 0, &of_attention, data.batch.layout));
    const Tensor attended = linear(owned(result).to(at::kFloat), out);
    done(plugin::layer_norm(&result, &attended, &x, &norm_w, &norm_b, 1e-6, &of_norm, data.batch.layout));
    const Tensor before = linear(owned(result), up);
    done(plugin::gelu(&result, &before, &up_b));
    const Tensor pooled = owned(result).index_select(0, data.first_rows);
    done(plugin::dropout(&result, &pooled, &of_pooled, data.first.layout));
    const Tensor dropped = owned(result);
    done(plugin::film(&result, &dropped, &gamma, &beta, data.first.layout));
    const Tensor decoded = owned(result);
    const std::vector<const Tensor*> weights = {&heads_w[0], &heads_w[1], &heads_w[2], &heads_w[3]},
                                     biases = {&heads_b[0], &heads_b[1], &heads_b[2], &heads_b[3]};
    const std::vector<int32_t> regression = {0, 0, 1, 0};
    Tensor* said[3] = {nullptr, nullptr, nullptr};
    done(plugin::heads(said, &decoded, weights.data(), biases.data(), regression.data(), tasks, &data.labels, &data.scores,
                       data.first.layout));
    owned(said[0]);
    const Tensor entropy = owned(said[1]), loss = owned(said[2]);
    torch::autograd::backward({(loss * data.weights).sum()}, {});
    const Tensor flat = at::cat([&] {
      std::vector<Tensor> all;
      for (const Tensor& gradient : gradients) all.push_back(gradient.reshape({-1}));
      return all;
    }());
    done(plugin::norm(&result, &flat));
    return {loss.detach(), entropy, owned(result)};
  }
};

void equal(const char* name, const std::vector<Tensor>& got, const std::vector<Tensor>& expected) {
  bool good = got.size() == expected.size();
  for (size_t i = 0; good && i < got.size(); ++i) good = got[i].equal(expected[i]);
  std::printf("%s %s\n", good ? "ok    " : "FAILED", name);
  failures += !good;
}

void graph_case() {
  const Step step;
  const auto results = [&](const Step::Data& data, const std::vector<uint64_t>& seeds) {
    std::vector<Tensor> all = step(data, seeds);
    for (const Tensor& gradient : step.gradients) all.push_back(gradient.clone());
    return all;
  };
  // Batches of as many sequences and tokens, which have nothing else in common.
  const std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> shapes = {
      {{17, 30, 9, 40}, {0, 0, 2, 3}}, {{64, 1, 1, 30}, {1, 1, 1, 1}}, {{2, 47, 40, 7}, {0, 1, 2, 3}}};
  // Fixed sizes change sums over segments in their last bits at most.
  at::manual_seed(5);
  const Step::Data plain(shapes[1].first, shapes[1].second, false);
  at::manual_seed(5);
  const Step::Data fixed(shapes[1].first, shapes[1].second, true);
  const std::vector<uint64_t> first_seeds = {11, 12, 13, 14};
  const auto without = results(plain, first_seeds), with = results(fixed, first_seeds);
  for (size_t i = 0; i < with.size(); ++i) {
    close(("fixed sizes, result " + std::to_string(i)).c_str(), with[i], without[i].to(at::kDouble), 1e-5);
  }

  Step::Data data(shapes[0].first, shapes[0].second, true);
  step(data, first_seeds);
  plugin::SeedPlaces places(at::zeros({16}, at::kLong));
  tape::Tape tape;
  plugin::seed_places() = &places;
  const std::vector<Tensor> outputs = tape.record([&] { return step(data, first_seeds); });
  plugin::seed_places() = nullptr;
  if (places.drawn() != first_seeds) {
    std::printf("FAILED graph: seeds\n");
    ++failures;
  }
  for (size_t i = 0; i < shapes.size(); ++i) {
    const Step::Data fresh(shapes[i].first, shapes[i].second, true);
    const std::vector<uint64_t> seeds = {21 + i, 32 + i, 1000003 * i, 54 + i};
    const std::vector<Tensor> expected = results(fresh, seeds);
    data.assign(fresh);
    for (size_t k = 0; k < seeds.size(); ++k) places.places()[static_cast<int64_t>(k)] = static_cast<int64_t>(seeds[k]);
    tape.replay();
    std::vector<Tensor> got = outputs;
    got.insert(got.end(), step.gradients.begin(), step.gradients.end());
    equal(("graph replayed on batch " + std::to_string(i)).c_str(), got, expected);
  }

  const Step::Data other({17, 30, 9, 41}, {0, 0, 2, 3}, true);
  if (plugin::layout_assign(data.batch.layout, other.batch.layout) == 0) {
    std::printf("FAILED graph: a layout of other sizes was taken over\n");
    ++failures;
  }
}

void heads_case() {
  // Three heads: three classes, a score, two classes. One sequence each of no label.
  const Batch batch({1, 1, 1, 1, 1, 1}, {2, 0, 1, 0, 1, 2});
  const std::vector<int64_t> offsets = {0, 3, 4, 6};
  const std::vector<int32_t> regression = {0, 1, 0};
  const Tensor classes = at::tensor(std::vector<int64_t>{1, 2, 0, -100, 0, 0}, at::kLong);
  const Tensor scores = at::tensor({0.0f, 0.0f, 2.5f, 0.0f, NAN, 0.0f});
  Leaf pooled({6, 16}, at::kFloat), w0({3, 16}, at::kFloat), w1({1, 16}, at::kFloat), w2({2, 16}, at::kFloat),
      b0({3}, at::kFloat), b1({1}, at::kFloat), b2({2}, at::kFloat);
  const Tensor* const weights[3] = {&w0.tested, &w1.tested, &w2.tested};
  const Tensor* const biases[3] = {&b0.tested, &b1.tested, &b2.tested};
  Tensor* out[3] = {nullptr, nullptr, nullptr};
  done(plugin::heads(out, &pooled.tested, weights, biases, regression.data(), 3, &classes, &scores, batch.layout));
  const Tensor logits = owned(out[0]), entropy = owned(out[1]);
  const Tensor exact = at::linear(pooled.exact, at::cat({w0.exact, w1.exact, w2.exact}), at::cat({b0.exact, b1.exact, b2.exact}));
  close("heads, logits", logits.detach(), exact.detach(), 1e-6);
  std::vector<Tensor> losses, entropies;
  for (int64_t b = 0; b < 6; ++b) {
    const auto task = static_cast<size_t>(batch.tasks[static_cast<size_t>(b)]);
    const Tensor row = exact[b].narrow(0, offsets[task], offsets[task + 1] - offsets[task]);
    const double score = scores[b].item<float>();
    if (regression[task] != 0) {
      losses.push_back(std::isnan(score) ? row[0] * 0 : (row[0] - score).square());
      entropies.push_back(at::zeros({}, at::kDouble));
      continue;
    }
    const Tensor log_p = row.log_softmax(0);
    const int64_t label = classes[b].item<int64_t>();
    losses.push_back(label < 0 ? row[0] * 0 : -log_p[label]);
    entropies.push_back(-(log_p.exp() * log_p).sum());
  }
  compare("heads", owned(out[2]), at::stack(losses),
          {{"pooled", &pooled}, {"w0", &w0}, {"w1", &w1}, {"w2", &w2}, {"b0", &b0}, {"b1", &b1}, {"b2", &b2}}, 1e-5);
  close("heads entropy", entropy, at::stack(entropies).detach(), 1e-5);
  done(plugin::heads(out, &pooled.tested, weights, biases, regression.data(), 3, nullptr, nullptr, batch.layout));
  owned(out[0]);
  close("heads entropy, no targets", owned(out[1]), at::stack(entropies).detach(), 1e-5);
  if (out[2] != nullptr) {
    std::printf("FAILED heads: a loss without targets\n");
    ++failures;
  }
}

// Products with the parameters themselves and with copies in bf16; gradients in tensors of
// their own and added to a larger buffer, where nothing beside them may change.
void linear_case(int64_t m) {
  const int64_t n = 37, k = 24;
  for (const bool lower : {false, true}) {
    for (const bool flat : {false, true}) {
      Leaf x({n, k}, lower ? at::kBFloat16 : at::kFloat), w({m, k}, at::kFloat), b({m}, at::kFloat);
      const Tensor buffer = at::full({m * k + m + 48}, 0.25);
      if (flat) {
        w.tested.mutable_grad() = buffer.narrow(0, 16, m * k).view({m, k});
        b.tested.mutable_grad() = buffer.narrow(0, 32 + m * k, m);
      }
      Tensor w16 = w.tested.detach().to(at::kBFloat16), b16 = b.tested.detach().to(at::kBFloat16);
      if (lower) {
        // The reference has the factors that the product has.
        w.exact = w16.to(at::kDouble).set_requires_grad(true);
        b.exact = b16.to(at::kDouble).set_requires_grad(true);
      }
      const Tensor* const lowered[2] = {&w16, &b16};
      Tensor* out = nullptr;
      done(plugin::linear(&out, &x.tested, &w.tested, &b.tested, lower ? lowered : nullptr));
      const std::string name = "linear to " + std::to_string(m) + (lower ? ", bf16" : "") + (flat ? ", flat gradient" : "");
      const double tolerance = lower ? 4e-3 : 1e-6;
      const Tensor got = owned(out), expected = at::linear(x.exact, w.exact, b.exact), dy = at::randn({n, m}).to(got.scalar_type());
      close(name.c_str(), got.detach(), expected.detach(), tolerance);
      torch::autograd::backward({got}, {dy});
      torch::autograd::backward({expected}, {dy.to(at::kDouble)});
      close((name + " dx").c_str(), x.tested.grad(), x.exact.grad(), tolerance);
      // Sums in float32: bf16 factors cost these two nothing.
      const double before = flat ? 0.25 : 0.0;
      close((name + " dweight").c_str(), w.tested.grad(), w.exact.grad() + before, 1e-5);
      close((name + " dbias").c_str(), b.tested.grad(), b.exact.grad() + before, 1e-5);
      close((name + ", beside").c_str(), at::cat({buffer.narrow(0, 0, 16), buffer.narrow(0, 16 + m * k, 16), buffer.narrow(0, 32 + m * k + m, 16)}),
            at::full({48}, 0.25, at::kDouble), 0);
    }
  }
}

void optimiser_cases() {
  Tensor p = at::randn({1003}), g = at::randn({1003}), m = at::zeros({1003}), v = at::zeros({1003});
  Tensor expected = p.to(at::kDouble), em = m.to(at::kDouble), ev = em.clone();
  const std::vector<int64_t> decay = {3, 17, 900, 1003};
  Tensor lowered = at::zeros({1003}, at::kBFloat16);
  const Tensor clip = at::full({}, 0.5);
  Tensor mask = at::zeros({1003}, at::kDouble);
  mask.narrow(0, 3, 14).fill_(1);
  mask.narrow(0, 900, 103).fill_(1);
  const uint32_t version = static_cast<uint32_t>(p._version());
  for (int64_t step = 1; step <= 2; ++step) {
    done(plugin::adamw(&p, &g, &m, &v, &lowered, &clip, 0.1, 0.9, 0.99, 1e-8, 0.2, step, 0, decay.data(), 2));
    const Tensor gradient = g.to(at::kDouble) * 0.5;
    em = 0.9 * em + 0.1 * gradient;
    ev = 0.99 * ev + 0.01 * gradient * gradient;
    expected = expected * (1 - 0.02 * mask);
    expected = expected - 0.1 / (1 - std::pow(0.9, step)) * em / (ev.sqrt() / std::sqrt(1 - std::pow(0.99, step)) + 1e-8);
  }
  close("adamw", p, expected, 1e-6);
  close("adamw, lowered", lowered, p.to(at::kBFloat16).to(at::kDouble), 0);
  if (p._version() == version) {
    std::printf("FAILED adamw: version\n");
    ++failures;
  }
  Tensor* out = nullptr;
  done(plugin::norm(&out, &g));
  close("norm", owned(out), g.to(at::kDouble).norm(), 1e-6);
  const Tensor scores = at::tensor({1.0f, 3.0f, 3.0f, 2.0f});
  done(plugin::top_scores(&out, &scores, 3));
  if (!owned(out).equal(at::tensor({1, 2, 3}, at::kLong))) {
    std::printf("FAILED top scores\n");
    ++failures;
  }
}

}  // namespace

int main() {
  at::manual_seed(1);
  attention_case("attention, joint", {17, 0, 40, 5}, true, false);
  attention_case("attention, separate", {17, 3, 65, 1}, false, false);
  attention_case("attention, joint, first rows", {17, 0, 40, 5}, true, true);
  attention_case("attention, separate, first rows", {7, 0, 20, 5}, false, true);
  attention_case("attention, long", {150, 0, 130, 5}, true, false);
  rows_cases();
  flat_case();
  dropout_case();
  heads_case();
  linear_case(40);
  linear_case(1);
  graph_case();
  optimiser_cases();
  return failures == 0 ? 0 : 1;
}
