// Losses and entropies of the heads, and the selection of top scores, against float64.
#include <numeric>

#include "cases/rows.h"

namespace harness {
namespace {

template <typename T>
void heads(int sequences, const std::vector<int>& classes, std::uint64_t seed) {
  Random random(seed);
  const int num_tasks = static_cast<int>(classes.size());
  Batch batch;
  batch.num_tasks = num_tasks;
  std::vector<int> offsets{0}, regression, labels;
  for (int count : classes) {
    offsets.push_back(offsets.back() + std::max(count, 1));
    regression.push_back(count == 0);  // 0 classes stand for a regression
  }
  std::vector<float> scores;
  for (int b = 0; b < sequences; ++b) {
    batch.lengths.push_back(1);
    batch.tasks.push_back(random.below(num_tasks));
    const int count = classes[static_cast<std::size_t>(batch.tasks.back())];
    labels.push_back(count == 0 || b % 7 == 3 ? -100 : random.below(count));
    scores.push_back(b % 5 == 2 ? NAN : static_cast<float>(random.normal()));
  }
  const DeviceLayout layout(batch);
  const int columns = offsets.back();
  Array<T> logits(static_cast<std::size_t>(sequences * columns)), dlogits(logits.size());
  fill_normal(logits, random, 4.0);
  // One very sure row: its other classes have probability 0 in float32.
  for (int c = 0; c < columns; ++c) camtl::assign(logits[static_cast<std::size_t>(c)], c % 2 == 0 ? 300.0f : -300.0f);
  Array<int> offset_array(offsets), regression_array(regression), label_array(labels);
  Array<float> score_array(scores), loss(static_cast<std::size_t>(sequences)), entropy(loss.size()), dloss(loss.size());
  fill_normal(dloss, random);
  const CamtlHeads call{offset_array.data(), regression_array.data(), label_array.data(), score_array.data(), columns};
  expect(camtl_cuda_heads_forward(layout.get(), type_code<T>(), &call, logits.data(), loss.data(), entropy.data(),
                                  nullptr) == 0,
         "forward launch failed");
  expect(camtl_cuda_heads_backward(layout.get(), type_code<T>(), &call, logits.data(), dloss.data(), dlogits.data(),
                                   nullptr) == 0,
         "backward launch failed");
  const auto v = values(logits), vd = values(dloss);
  std::vector<double> eloss, eentropy, edlogits(v.size());
  for (int b = 0; b < sequences; ++b) {
    const auto at = static_cast<std::size_t>(b);
    const auto task = static_cast<std::size_t>(batch.tasks[at]);
    const std::size_t row = at * static_cast<std::size_t>(columns) + static_cast<std::size_t>(offsets[task]);
    if (regression[task]) {
      const double error = std::isnan(scores[at]) ? 0.0 : v[row] - static_cast<double>(scores[at]);
      eloss.push_back(error * error);
      eentropy.push_back(0.0);
      edlogits[row] = vd[at] * 2.0 * error;
      continue;
    }
    const auto count = static_cast<std::size_t>(classes[task]);
    const double largest = *std::max_element(v.begin() + static_cast<std::ptrdiff_t>(row),
                                             v.begin() + static_cast<std::ptrdiff_t>(row + count));
    double sum = 0.0, entropy_of_row = 0.0;
    for (std::size_t c = 0; c < count; ++c) sum += std::exp(v[row + c] - largest);
    const double log_sum = largest + std::log(sum);
    for (std::size_t c = 0; c < count; ++c) {
      const double log_p = v[row + c] - log_sum;
      entropy_of_row -= std::exp(log_p) * log_p;
      if (labels[at] != -100) {
        edlogits[row + c] = vd[at] * (std::exp(log_p) - (labels[at] == static_cast<int>(c) ? 1.0 : 0.0));
      }
    }
    eentropy.push_back(entropy_of_row);
    eloss.push_back(labels[at] == -100 ? 0.0 : log_sum - v[row + static_cast<std::size_t>(labels[at])]);
  }
  expect_close("heads loss", values(loss), eloss, 1e-5);
  expect_close("heads entropy", values(entropy), eentropy, 1e-5);
  expect_close("heads dlogits", values(dlogits), edlogits, Tolerance<T>::out);
  loss.check_guards("loss");
  entropy.check_guards("entropy");
  dlogits.check_guards("dlogits");
}

void top_scores(int count, int wanted, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> scores;
  // Few different values, so that ties are common.
  for (int i = 0; i < count; ++i) scores.push_back(i % 11 == 4 ? NAN : static_cast<float>(random.below(6)));
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const float x = scores[static_cast<std::size_t>(a)], y = scores[static_cast<std::size_t>(b)];
    return std::isnan(y) ? !std::isnan(x) : x > y;
  });
  Array<float> array(scores);
  Array<int> indices(static_cast<std::size_t>(wanted));
  expect(camtl_cuda_top_scores(array.data(), count, wanted, indices.data(), nullptr) == 0, "launch failed");
  for (int i = 0; i < wanted; ++i) {
    expect(indices[static_cast<std::size_t>(i)] == order[static_cast<std::size_t>(i)],
           "place " + std::to_string(i) + " went to " + std::to_string(indices[static_cast<std::size_t>(i)]) +
               ", expected " + std::to_string(order[static_cast<std::size_t>(i)]));
  }
  indices.check_guards("indices");
}

const bool registered = [] {
  add_case({"heads", "bf16", true, [] { heads<camtl::bf16>(37, {2, 3, 0, 2, 40}, 601); }});
  add_case({"heads", "float32", true, [] { heads<float>(29, {0, 2, 3, 70}, 602); }});
  add_case({"heads", "26 tasks", false, [] { heads<float>(60, std::vector<int>(26, 3), 603); }});
  add_case({"top_scores", "several blocks", true, [] { top_scores(300, 32, 604); }});
  add_case({"top_scores", "all", true, [] { top_scores(17, 17, 605); }});
  return true;
}();

}  // namespace
}  // namespace harness
