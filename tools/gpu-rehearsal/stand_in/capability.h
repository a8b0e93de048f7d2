// What a GPU of compute capability 9.0 has and allows: CUDA C++ Programming Guide, "Compute
// Capabilities", "Features and Technical Specifications"; sizes as an H100 reports them.
#pragma once

#include <cstddef>

#include "interfaces.h"

namespace stand_in {

constexpr int kMajor = 9;
constexpr int kMinor = 0;
constexpr int kCudaVersion = 13000;
constexpr int kMultiprocessors = 132;
constexpr int kWarp = 32;
constexpr int kL2Bytes = 50 << 20;
constexpr int kRegisters = 65536;

constexpr size_t kThreadsPerBlock = 1024;
constexpr size_t kThreadsPerMultiprocessor = 2048;
constexpr size_t kBlocksPerMultiprocessor = 32;
constexpr dim3 kLargestGrid{0x7fffffff, 65535, 65535};
constexpr dim3 kLargestBlock{1024, 1024, 64};

constexpr size_t kSharedPerBlock = 48 << 10;
constexpr size_t kSharedPerBlockOptIn = 227 << 10;
constexpr size_t kSharedPerMultiprocessor = 228 << 10;

}  // namespace stand_in
