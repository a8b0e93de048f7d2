// A captured graph without a GPU: everything that a piece of work asks of libtorch and
// of the emulated kernels is recorded with the addresses of its operands, and can be
// done again on whatever lies there by then. What a GPU's graph would refuse is
// refused: reading a number on the host.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "machine/machine.h"

namespace tape {

// Lies below autograd, so that backward passes are seen as well, and nothing else uses it.
constexpr c10::DispatchKey KEY = c10::DispatchKey::Fake;

class Tape {
 public:
  // Does `work` and records it.
  template <typename Work>
  auto record(Work work) {
    current() = this;
    emulator::on_launch = [this](std::function<void()> again) { entries_.push_back(std::move(again)); };
    const c10::impl::IncludeDispatchKeyGuard include(KEY);
    auto result = work();
    emulator::on_launch = nullptr;
    current() = nullptr;
    return result;
  }

  void replay() const {
    const at::NoGradGuard no_grad;
    for (const auto& entry : entries_) entry();
  }

  size_t size() const { return entries_.size(); }

  static Tape*& current() {
    static Tape* tape = nullptr;
    return tape;
  }

  static void intercept(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
    const std::string name = op.operator_name().name;
    TORCH_CHECK(name != "aten::_local_scalar_dense", "a captured graph cannot give a number to the host");
    const size_t count = op.schema().arguments().size();
    torch::jit::Stack inputs(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
    {
      const c10::impl::ExcludeDispatchKeyGuard exclude(KEY);
      op.redispatchBoxed(keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, KEY), stack);
    }
    // Memory is there for good; what it holds is another entry's business.
    if (name.rfind("aten::empty", 0) == 0) {
      current()->kept_.push_back(stack->back());
      return;
    }
    const size_t results = op.schema().returns().size();
    const torch::jit::Stack outputs(stack->end() - static_cast<std::ptrdiff_t>(results), stack->end());
    current()->entries_.push_back([op, inputs, outputs] { again(op, inputs, outputs); });
  }

 private:
  using Tensors = std::vector<at::Tensor>;

  static Tensors tensors_of(const torch::jit::Stack& values) {
    Tensors all;
    for (const c10::IValue& value : values) {
      if (value.isTensor() && value.toTensor().defined()) all.push_back(value.toTensor());
      if (value.isTensorList()) {
        for (const at::Tensor& tensor : value.toTensorVector()) all.push_back(tensor);
      }
    }
    return all;
  }

  static void again(const c10::OperatorHandle& op, const torch::jit::Stack& inputs, const torch::jit::Stack& outputs) {
    std::set<const void*> read;
    for (const at::Tensor& tensor : tensors_of(inputs)) read.insert(tensor.storage().unsafeGetStorageImpl());
    torch::jit::Stack stack = inputs;
    op.callBoxed(&stack);
    const Tensors before = tensors_of(outputs), now = tensors_of(stack);
    for (size_t i = 0; i < before.size(); ++i) {
      // Views and operations in place have written where they should.
      if (read.count(before[i].storage().unsafeGetStorageImpl()) == 0) before[i].detach().copy_(now[i]);
    }
  }

  std::vector<std::function<void()>> entries_;
  std::vector<c10::IValue> kept_;
};

}  // namespace tape

TORCH_LIBRARY_IMPL(_, Fake, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&tape::Tape::intercept>());
}
