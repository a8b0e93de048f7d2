// The made-up GPU's memory: pages of the host, known by where they begin.
#pragma once

#include <cstddef>

#include "interfaces.h"

namespace stand_in {

// As much as an H100 has. Kernels write nothing, so pages that no copy touches cost nothing.
constexpr size_t kTotalMemory = size_t{80} << 30;

// True if all of `bytes` from `start` lie in one block of device memory. The caller holds the lock.
bool is_on_device(const void* start, size_t bytes);

// A variable of a kernel's file on the device, known by its place on the host.
struct Symbol {
  void* device = nullptr;
  size_t bytes = 0;
};
void add_symbol(const void* host, size_t bytes);

}  // namespace stand_in
