// What the cases over rows share: a batch, and inputs of either element type.
#pragma once

#include "cases.h"
#include "check.h"
#include "layout.h"
#include "reference/dropout.h"
#include "reference/rows.h"

namespace harness {

struct RowShape {
  std::string name;
  std::vector<int> lengths;
  int columns = 384, num_tasks = 2;
  double dropout = 0.0;
  bool option = true;  // residual, FiLM: what the operation may leave out
  bool per_task = true, unsorted = false;
};

inline std::vector<RowShape> row_shapes() {
  return {
      {"three tasks, dropout", {9, 0, 17, 1, 4}, 768, 3, 0.1, true},
      {"one task", {5, 12}, 384, 1, 0.0, true},
      {"no option, shared table", {7, 8, 9}, 256, 2, 0.25, false, false},
      {"26 tasks", std::vector<int>(40, 3), 64, 26, 0.0, true},
      {"widest, tasks not sorted", {6, 11, 2, 9}, 1024, 3, 0.3, true, true, true},
      {"narrow", {1}, 8, 1, 0.0, false},
      {"odd width", {3, 10}, 344, 2, 0.1, true},
  };
}

inline Batch row_batch(const RowShape& shape, Random& random) {
  Batch batch;
  batch.lengths = shape.lengths;
  batch.num_tasks = shape.num_tasks;
  for (std::size_t b = 0; b < shape.lengths.size(); ++b) batch.tasks.push_back(random.below(shape.num_tasks));
  if (!shape.unsorted) std::sort(batch.tasks.begin(), batch.tasks.end());
  return batch;
}

// Many short segments in some cases, several rows per warp in the others.
inline int rows_per_segment(const RowShape& shape) { return shape.dropout > 0.0 ? 2 : 9; }

template <typename T>
constexpr int type_code() {
  return sizeof(T) == 2 ? CAMTL_BF16 : CAMTL_FLOAT32;
}

// Tolerances of outputs, gradients and per-task sums for the element type.
template <typename T>
struct Tolerance {
  static constexpr double out = sizeof(T) == 2 ? 4e-3 : 1e-5;
  static constexpr double gradient = sizeof(T) == 2 ? 8e-3 : 1e-5;
  static constexpr double sums = sizeof(T) == 2 ? 4e-3 : 1e-5;
};

inline std::vector<double> slice(const std::vector<double>& all, std::size_t row, std::size_t columns) {
  return {all.begin() + static_cast<std::ptrdiff_t>(row * columns),
          all.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns)};
}

}  // namespace harness
