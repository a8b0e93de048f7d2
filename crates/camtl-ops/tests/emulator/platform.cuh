// Stands in for the kernels' platform.cuh: the same functions on the emulated
// block. The kernels' text is compiled as plain C++ on top of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>

#include "machine/machine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline uint4 make_uint4(std::uint32_t x, std::uint32_t y, std::uint32_t z, std::uint32_t w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace camtl {

using std::max;
using std::min;

inline unsigned char* dynamic_shared() { return emulator::current.shared; }

inline void copy_async_16(void* shared, const void* global, bool valid) { emulator::copy_async(shared, global, valid); }
inline void copy_async_commit() { emulator::copy_async_commit(); }
template <int PENDING>
inline void copy_async_wait() {
  emulator::copy_async_wait(PENDING);
}
inline void load_matrices(std::uint32_t (&r)[4], const void* row) { emulator::load_matrices(r, row, false); }
inline void load_matrices_transposed(std::uint32_t (&r)[4], const void* row) { emulator::load_matrices(r, row, true); }
inline void multiply_accumulate(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  emulator::multiply_accumulate(c, a, b0, b1);
}

inline float bits_to_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline std::uint32_t float_to_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

inline std::uint32_t shuffle_xor(std::uint32_t value, int mask) { return emulator::shuffle_xor(value, mask); }
inline float shuffle_xor(float value, int mask) {
  return bits_to_float(emulator::shuffle_xor(float_to_bits(value), mask));
}
inline std::uint32_t ballot(bool predicate) { return emulator::ballot(predicate); }
inline void sync_warp() { emulator::sync_warp(); }
inline void sync_block() { emulator::sync_block(); }

inline int thread_index() { return emulator::current.thread; }
inline int lane_index() { return emulator::current.thread % 32; }
inline int warp_index() { return emulator::current.thread / 32; }
inline int block_threads() { return emulator::current.threads; }
inline int block_x() { return static_cast<int>(emulator::current.block.x); }
inline int block_y() { return static_cast<int>(emulator::current.block.y); }
inline int block_z() { return static_cast<int>(emulator::current.block.z); }
inline int grid_x() { return static_cast<int>(emulator::current.grid.x); }

inline float exp2_fast(float x) { return std::exp2(x); }
inline float log2_fast(float x) { return std::log2(x); }
inline float reciprocal_fast(float x) { return 1.0f / x; }
inline float reciprocal_sqrt(float x) { return 1.0f / std::sqrt(x); }

inline std::uint32_t round_bf16(float x) {
  const std::uint32_t bits = float_to_bits(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fffu;
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}
inline std::uint32_t pack_bf16(float low, float high) { return round_bf16(low) | round_bf16(high) << 16; }

template <typename T>
inline T load_readonly(const T* pointer) {
  return *pointer;
}
template <typename T>
inline T load_streaming(const T* pointer) {
  return *pointer;
}
template <typename T>
inline void store_streaming(T* pointer, T value) {
  *pointer = value;
}

template <typename... Parameters, typename... Arguments>
inline int launch(void (*kernel)(Parameters...), dim3 grid, int threads, std::size_t shared_bytes, void*,
                  Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return 0;
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  } call{kernel, std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)};
  auto run = [call, grid, threads, shared_bytes]() mutable {
    emulator::run_grid({grid.x, grid.y, grid.z}, threads, shared_bytes,
                       [](void* pointer) {
                         auto* c = static_cast<Call*>(pointer);
                         std::apply(c->kernel, c->arguments);
                       },
                       &call);
  };
  run();
  if (emulator::on_launch) emulator::on_launch(run);
  return 0;
}

}  // namespace camtl
