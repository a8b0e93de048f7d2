// Layout of a packed batch on the device, shared by the Packing in Rust and by
// every autograd node that still needs it.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include "launch.h"

namespace camtl::plugin {

struct Layout : torch::CustomClassHolder {
  // All index arrays in one allocation, so that one copy brings them over.
  at::Tensor arrays;
  CamtlLayout view{};
  int64_t task_capacity = 0;

  // `fixed_tasks` and `fixed_length` not 0: all sizes are made to depend on the number of sequences, of rows and on
  // these two alone, as a captured graph needs. No batch may then have more tasks or a longer sequence.
  Layout(const int64_t* starts, const int64_t* keys, const int64_t* tasks, int64_t sequences, int64_t fixed_tasks,
         int64_t fixed_length, int64_t device);

  // Takes over the contents of a layout of the same sizes; the addresses stay.
  void assign(const Layout& other);

  // The view for tables with `tasks` rows: tasks the batch lacks have empty ranges.
  CamtlLayout with_tasks(int64_t tasks) const;
};

using LayoutPtr = c10::intrusive_ptr<Layout>;

inline LayoutPtr layout_of(void* layout) {
  return c10::intrusive_ptr<Layout>::unsafe_reclaim_from_nonowning(static_cast<Layout*>(layout));
}

}  // namespace camtl::plugin
