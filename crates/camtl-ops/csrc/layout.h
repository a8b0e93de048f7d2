// Layout of a packed batch as the kernels read it, shared by the Packing in Rust
// and by every autograd node that still needs it.
#pragma once
#include <ATen/core/ivalue.h>

#include <vector>

#include "kernels.h"

namespace camtl {

struct Layout : torch::CustomClassHolder {
  std::vector<int64_t> cu_seqlens, key_lengths, tasks, row_segment, attention_segment;
  std::vector<int32_t> row_sequence;
  CamtlLayout view{};

  Layout(const int64_t* starts, const int64_t* keys, const int64_t* sequence_tasks, int64_t sequences);
};

using LayoutPtr = c10::intrusive_ptr<Layout>;

// Arguments of a kernel, kept on an autograd node between the passes.
template <typename Args>
struct Kept : torch::CustomClassHolder {
  Args args{};
  LayoutPtr layout;
};

template <typename Args>
c10::IValue keep(const Args& args, const LayoutPtr& layout) {
  auto kept = c10::make_intrusive<Kept<Args>>();
  kept->args = args;
  kept->layout = layout;
  return c10::IValue::make_capsule(std::move(kept));
}

template <typename Args>
c10::intrusive_ptr<Kept<Args>> kept(const c10::IValue& value) {
  return c10::static_intrusive_pointer_cast<Kept<Args>>(value.toCapsule());
}

}  // namespace camtl
