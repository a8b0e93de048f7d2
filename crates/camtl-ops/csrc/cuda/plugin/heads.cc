// Autograd function of the heads' losses and entropies on the GPU.
#include "plugin/table.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>

#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "plugin/function.h"

namespace camtl::plugin {
namespace {

struct HeadArguments {
  // [T + 1] column offsets, then [T] whether a head is a regression.
  at::Tensor words;
  int64_t heads;

  CamtlHeads view(const at::Tensor& classes, const at::Tensor& scores, const at::Tensor& logits) const {
    const int* const at = words.const_data_ptr<int>();
    return {at, at + heads + 1, classes.defined() ? classes.const_data_ptr<int>() : nullptr, floats(scores),
            static_cast<int>(logits.size(1))};
  }
};

// [T + 1] offsets, then [T] whether a head is a regression, on the device. A model's heads are the same in every
// step: their words are brought over once and kept for good, as captured graphs hold their address.
at::Tensor words_of(const std::vector<int64_t>& offsets, const int32_t* regression, const at::Device& device) {
  using Key = std::pair<std::vector<int64_t>, int>;
  static std::mutex mutex;
  // Never destroyed: at the end of the process libtorch may be gone before it.
  static auto& kept = *new std::map<Key, at::Tensor>;
  Key key;
  key.first = offsets;
  key.first.insert(key.first.end(), regression, regression + offsets.size() - 1);
  key.second = device.index();
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = kept.find(key);
  if (found != kept.end()) return found->second;
  TORCH_CHECK(seed_places() == nullptr, "a graph is captured before its work was done once: nothing may be copied to the "
                                        "GPU meanwhile");
  at::Tensor words = host_words(static_cast<int64_t>(key.first.size()), at::kInt, device);
  int* const to = words.mutable_data_ptr<int>();
  for (size_t i = 0; i < key.first.size(); ++i) to[i] = static_cast<int>(key.first[i]);
  words = words.to(device, /*non_blocking=*/true);
  kept.emplace(std::move(key), words);
  return words;
}

struct HeadsFunction : torch::autograd::Function<HeadsFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& logits_, const MaybeTensor& classes_,
                               const MaybeTensor& scores_, const HeadArguments& arguments, const LayoutPtr& layout) {
    const at::Tensor logits = dense(logits_), classes = value(classes_), scores = value(scores_);
    const Launch launch(logits);
    const auto options = logits.options().dtype(at::kFloat);
    const at::Tensor loss = classes.defined() ? at::empty({logits.size(0)}, options) : at::Tensor();
    const at::Tensor entropy = at::empty({logits.size(0)}, options);
    const CamtlHeads view = arguments.view(classes, scores, logits);
    Launch::check(camtl_cuda_heads_forward(&layout->view, type_of(logits), &view, data(logits), mutable_floats(loss),
                                           mutable_floats(entropy), launch.stream()),
                  "heads, forward");
    ctx->save_for_backward({logits, classes, scores});
    keep(ctx, arguments, layout);
    ctx->mark_non_differentiable({entropy});
    // Without targets there is one result, which has no gradient.
    return loss.defined() ? variable_list{entropy, loss} : variable_list{entropy};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor& logits = saved[0];
    const auto held = kept<HeadArguments>(ctx);
    if (grads.size() < 2 || !grads[1].defined()) return variable_list(5);
    const at::Tensor dloss = dense(grads[1].to(at::kFloat));
    const Launch launch(logits);
    const at::Tensor dlogits = at::empty_like(logits);
    const CamtlHeads view = held->arguments.view(saved[1], saved[2], logits);
    Launch::check(camtl_cuda_heads_backward(&held->layout->view, type_of(logits), &view, data(logits), floats(dloss),
                                            mutable_data(dlogits), launch.stream()),
                  "heads, backward");
    return {dlogits, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

int heads(at::Tensor** out, const at::Tensor* pooled, const at::Tensor* const* weights,
          const at::Tensor* const* biases, const int32_t* regression, int64_t heads, const at::Tensor* classes,
          const at::Tensor* scores, void* layout) {
  return guarded([&] {
    variable_list weight, bias;
    std::vector<int64_t> offsets = {0};
    for (int64_t h = 0; h < heads; ++h) {
      weight.push_back(*weights[h]);
      bias.push_back(*biases[h]);
      offsets.push_back(offsets.back() + biases[h]->numel());
    }
    // One product for all heads: that most of it is of no use costs less than a launch for each.
    const at::Tensor logits = at::linear(*pooled, at::cat(weight), at::cat(bias));
    const HeadArguments arguments{words_of(offsets, regression, logits.device()), heads};
    const MaybeTensor labels = classes ? MaybeTensor(classes->to(at::kInt).contiguous()) : MaybeTensor();
    const MaybeTensor targets = scores ? MaybeTensor(scores->to(at::kFloat).contiguous()) : MaybeTensor();
    const variable_list results = HeadsFunction::apply(logits, labels, targets, arguments, layout_of(layout));
    out[0] = new at::Tensor(logits);
    out[1] = new at::Tensor(results[0]);
    out[2] = results.size() > 1 ? new at::Tensor(results[1]) : nullptr;
  });
}

}  // namespace camtl::plugin
