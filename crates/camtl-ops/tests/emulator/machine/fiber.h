// Threads that take turns on one core and switch only where they ask to.
#pragma once

#include <cstddef>

namespace emulator {

struct Fiber {
  void* stack_pointer = nullptr;
};

// A fiber that will run `entry(argument)` when first switched to. `entry` must
// never return: it switches away for good.
void prepare(Fiber& fiber, void* stack, std::size_t stack_bytes, void (*entry)(void*), void* argument);

// Leaves `from` here and goes on where `to` left.
void switch_fibers(Fiber& from, Fiber& to);

}  // namespace emulator
