// A packed batch and its device layout for the C interface.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include "launch.h"
#include "memory.h"

namespace harness {

// A dropout as the C interface takes it; p = 0 for none.
inline CamtlDropout dropout_of(double p, std::uint64_t seed) {
  return {seed, 1.0 / (1.0 - p), static_cast<std::uint32_t>(std::nearbyint(p * 4294967296.0)), p > 0.0, nullptr};
}

struct Batch {
  std::vector<int> lengths, key_lengths, tasks;  // key_lengths empty: all rows are keys
  int num_tasks = 1;

  int sequences() const { return static_cast<int>(lengths.size()); }
  int rows() const { return std::accumulate(lengths.begin(), lengths.end(), 0); }
  int max_length() const { return lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end()); }
  int begin(int b) const { return std::accumulate(lengths.begin(), lengths.begin() + b, 0); }
  int keys(int b) const {
    return key_lengths.empty() ? lengths[static_cast<std::size_t>(b)] : key_lengths[static_cast<std::size_t>(b)];
  }
  // Sequence and position of a row.
  std::pair<int, int> place(int row) const {
    int b = 0;
    while (row >= lengths[static_cast<std::size_t>(b)]) row -= lengths[static_cast<std::size_t>(b++)];
    return {b, row};
  }
};

// Rows of one task in pieces of at most `rows_per_segment`, by task.
class DeviceLayout {
 public:
  explicit DeviceLayout(const Batch& batch, int rows_per_segment = 8)
      : cu_seqlens_(starts(batch)), key_lengths_(batch.key_lengths), tasks_(batch.tasks), order_(order(batch)),
        offsets_(offsets(batch)), row_sequences_(row_sequences(batch)), segment_list_(segments(batch, rows_per_segment)),
        segments_(flat(segment_list_)), segment_offsets_(segment_offsets(batch, segment_list_)) {
    layout_.cu_seqlens = cu_seqlens_.data();
    layout_.key_lengths = batch.key_lengths.empty() ? nullptr : key_lengths_.data();
    layout_.tasks = tasks_.data();
    layout_.task_order = order_.data();
    layout_.task_offsets = offsets_.data();
    layout_.row_sequences = row_sequences_.data();
    layout_.segments = segments_.data();
    layout_.segment_offsets = segment_offsets_.data();
    layout_.num_sequences = batch.sequences();
    layout_.num_tasks = batch.num_tasks;
    layout_.num_rows = batch.rows();
    layout_.num_segments = static_cast<int>(segment_list_.size());
    layout_.max_length = batch.max_length();
  }
  const CamtlLayout* get() const { return &layout_; }

 private:
  struct Segment {
    int begin, end, task;
  };
  static std::vector<int> starts(const Batch& batch) {
    std::vector<int> out{0};
    for (int length : batch.lengths) out.push_back(out.back() + length);
    return out;
  }
  static std::vector<int> order(const Batch& batch) {
    std::vector<int> out(batch.tasks.size());
    std::iota(out.begin(), out.end(), 0);
    std::stable_sort(out.begin(), out.end(), [&](int a, int b) {
      return batch.tasks[static_cast<std::size_t>(a)] < batch.tasks[static_cast<std::size_t>(b)];
    });
    return out;
  }
  static std::vector<int> offsets(const Batch& batch) {
    std::vector<int> out(static_cast<std::size_t>(batch.num_tasks) + 1, 0);
    for (int task : batch.tasks) ++out[static_cast<std::size_t>(task) + 1];
    std::partial_sum(out.begin(), out.end(), out.begin());
    return out;
  }
  static std::vector<int> row_sequences(const Batch& batch) {
    std::vector<int> out;
    for (int b = 0; b < batch.sequences(); ++b) {
      out.insert(out.end(), static_cast<std::size_t>(batch.lengths[static_cast<std::size_t>(b)]), b);
    }
    return out;
  }
  static std::vector<Segment> segments(const Batch& batch, int rows_per_segment) {
    std::vector<Segment> out;
    for (int task = 0; task < batch.num_tasks; ++task) {
      for (int b = 0; b < batch.sequences(); ++b) {
        if (batch.tasks[static_cast<std::size_t>(b)] != task) continue;
        int row = batch.begin(b);
        const int end = row + batch.lengths[static_cast<std::size_t>(b)];
        while (row < end) {
          if (!out.empty() && out.back().task == task && out.back().end == row &&
              out.back().end - out.back().begin < rows_per_segment) {
            ++out.back().end;
            ++row;
          } else {
            out.push_back({row, row + 1, task});
            ++row;
          }
        }
      }
    }
    return out;
  }
  static std::vector<int> flat(const std::vector<Segment>& segments) {
    std::vector<int> out;
    for (const Segment& s : segments) out.insert(out.end(), {s.begin, s.end, s.task, 0});
    return out;
  }
  static std::vector<int> segment_offsets(const Batch& batch, const std::vector<Segment>& segments) {
    std::vector<int> out(static_cast<std::size_t>(batch.num_tasks) + 1, 0);
    for (const Segment& s : segments) ++out[static_cast<std::size_t>(s.task) + 1];
    std::partial_sum(out.begin(), out.end(), out.begin());
    return out;
  }

  CamtlLayout layout_{};
  Array<int> cu_seqlens_, key_lengths_, tasks_, order_, offsets_, row_sequences_;
  std::vector<Segment> segment_list_;
  Array<int> segments_, segment_offsets_;
};

}  // namespace harness
