// Index arrays of a packed batch: made on the host, copied once.
#include "plugin/layout.h"

#include <ATen/ops/empty.h>
#include <plugin_device.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "plugin/function.h"

namespace camtl::plugin {
namespace {

// Offsets are filled up to this many tasks, so that tables with more rows than the
// batch has tasks need no layout of their own.
constexpr int64_t kTaskCapacity = 256;
// Three segments per multiprocessor of a large GPU, but not shorter than a block
// needs to pay for its partial sums. Depends on the batch alone.
constexpr int64_t kSegments = 396;
constexpr int64_t kLeastRows = 16;

class Arrays {
 public:
  // Starts an array aligned to 16 bytes; gives its place.
  size_t begin() {
    values_.resize((values_.size() + 3) / 4 * 4);
    return values_.size();
  }
  void push(int64_t value) { values_.push_back(static_cast<int>(value)); }
  const std::vector<int>& values() const { return values_; }

 private:
  std::vector<int> values_;
};

}  // namespace

Layout::Layout(const int64_t* starts, const int64_t* keys, const int64_t* tasks, int64_t sequences, int64_t fixed_tasks,
               int64_t fixed_length, int64_t device) {
  const int64_t rows = starts[sequences];
  TORCH_CHECK(rows <= INT32_MAX, "a batch of ", rows, " tokens is more than the GPU kernels count");
  int64_t max_length = 0, largest_task = -1;
  bool short_keys = false;
  for (int64_t b = 0; b < sequences; ++b) {
    max_length = std::max(max_length, starts[b + 1] - starts[b]);
    largest_task = std::max(largest_task, tasks[b]);
    short_keys = short_keys || keys[b] != starts[b + 1] - starts[b];
  }
  const bool fixed = fixed_tasks > 0;
  if (fixed) {
    TORCH_CHECK(largest_task < fixed_tasks && max_length <= fixed_length && !short_keys, "a layout of ", fixed_tasks,
                " tasks and up to ", fixed_length, " rows a sequence is not for a batch with task ", largest_task,
                ", a sequence of ", max_length, " rows", short_keys ? " and rows that are no keys" : "");
    max_length = fixed_length;
  }
  task_capacity = std::max({kTaskCapacity, largest_task + 1, fixed_tasks});

  std::vector<int64_t> order(static_cast<size_t>(sequences));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [tasks](int64_t a, int64_t b) { return tasks[a] < tasks[b]; });

  Arrays a;
  const size_t at_starts = a.begin();
  for (int64_t b = 0; b <= sequences; ++b) a.push(starts[b]);
  const size_t at_keys = a.begin();
  for (int64_t b = 0; b < sequences; ++b) a.push(keys[b]);
  const size_t at_tasks = a.begin();
  for (int64_t b = 0; b < sequences; ++b) a.push(tasks[b]);
  const size_t at_order = a.begin();
  for (int64_t b : order) a.push(b);
  const size_t at_offsets = a.begin();
  for (int64_t task = 0, next = 0; task <= task_capacity; ++task) {
    while (next < sequences && tasks[order[static_cast<size_t>(next)]] < task) ++next;
    a.push(next);
  }
  const size_t at_rows = a.begin();
  for (int64_t b = 0; b < sequences; ++b) {
    for (int64_t row = starts[b]; row < starts[b + 1]; ++row) a.push(b);
  }
  // Runs of rows of one task that lie together, cut to equal length.
  struct Segment {
    int64_t begin, end, task;
  };
  std::vector<Segment> segments;
  const int64_t longest = std::max(kLeastRows, (rows + kSegments - 1) / kSegments);
  for (int64_t b : order) {
    const bool joined = !segments.empty() && segments.back().task == tasks[b] && segments.back().end == starts[b];
    if (joined) {
      segments.back().end = starts[b + 1];
    } else if (starts[b + 1] > starts[b]) {
      segments.push_back({starts[b], starts[b + 1], tasks[b]});
    }
  }
  const size_t at_segments = a.begin();
  std::vector<int64_t> counts(static_cast<size_t>(task_capacity) + 1, 0);
  int64_t num_segments = 0;
  for (const Segment& run : segments) {
    for (int64_t begin = run.begin; begin < run.end; begin += longest) {
      a.push(begin);
      a.push(std::min(begin + longest, run.end));
      a.push(run.task);
      a.push(0);
      ++counts[static_cast<size_t>(run.task) + 1];
      ++num_segments;
    }
  }
  if (fixed) {
    // Each run has at most one segment that is not of full length; one run for each task if the batch is sorted.
    const int64_t capacity = (rows + longest - 1) / longest + std::min(sequences, fixed_tasks);
    TORCH_CHECK(num_segments <= capacity, "a layout of fixed sizes is for sequences sorted by task");
    for (; num_segments < capacity; ++num_segments) {
      for (int word = 0; word < 4; ++word) a.push(0);
    }
  }
  const size_t at_segment_offsets = a.begin();
  std::partial_sum(counts.begin(), counts.end(), counts.begin());
  for (int64_t count : counts) a.push(count);

  const auto size = static_cast<int64_t>(a.values().size());
  const at::Tensor host = host_words(size, at::kInt, gpu(device));
  std::copy(a.values().begin(), a.values().end(), host.mutable_data_ptr<int>());
  arrays = host.to(gpu(device), /*non_blocking=*/true);
  const int* base = arrays.const_data_ptr<int>();
  view.cu_seqlens = base + at_starts;
  view.key_lengths = short_keys ? base + at_keys : nullptr;
  view.tasks = base + at_tasks;
  view.task_order = base + at_order;
  view.task_offsets = base + at_offsets;
  view.row_sequences = base + at_rows;
  view.segments = base + at_segments;
  view.segment_offsets = base + at_segment_offsets;
  view.num_sequences = static_cast<int>(sequences);
  view.num_tasks = static_cast<int>(fixed ? fixed_tasks : largest_task + 1);
  view.num_rows = static_cast<int>(rows);
  view.num_segments = static_cast<int>(num_segments);
  view.max_length = static_cast<int>(max_length);
}

void Layout::assign(const Layout& other) {
  const auto sizes = [](const Layout& of) {
    return std::array<int64_t, 7>{of.arrays.numel(),      of.view.num_sequences, of.view.num_tasks,
                                  of.view.num_rows,       of.view.num_segments,  of.view.max_length,
                                  of.view.key_lengths != nullptr};
  };
  TORCH_CHECK(sizes(*this) == sizes(other), "the layouts of two batches differ in their sizes");
  arrays.copy_(other.arrays, /*non_blocking=*/true);
}

CamtlLayout Layout::with_tasks(int64_t tasks) const {
  TORCH_CHECK(tasks <= task_capacity, "the GPU kernels take tables of up to ", task_capacity, " tasks, not ", tasks);
  CamtlLayout out = view;
  out.num_tasks = static_cast<int>(tasks);
  return out;
}

int layout_new(void** out, const int64_t* starts, const int64_t* keys, const int64_t* tasks, int64_t sequences,
               int64_t fixed_tasks, int64_t fixed_length, int64_t device) {
  return guarded([&] {
    *out = c10::make_intrusive<Layout>(starts, keys, tasks, sequences, fixed_tasks, fixed_length, device).release();
  });
}

int layout_assign(void* to, void* from) {
  return guarded([&] { layout_of(to)->assign(*layout_of(from)); });
}

void layout_free(void* layout) { c10::intrusive_ptr<Layout>::reclaim(static_cast<Layout*>(layout)).reset(); }

}  // namespace camtl::plugin
