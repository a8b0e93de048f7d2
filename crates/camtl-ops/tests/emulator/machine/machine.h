// One thread block at a time, in lock step where the hardware is: lanes run alone
// between warp-wide instructions, and each such instruction waits for all 32.
//
// What it finds: wrong indices, masks, fragment layouts and swizzles; reads of
// shared memory that nothing wrote, or that a background copy under way may change;
// missing barriers (lanes and warps run far apart, in an order drawn from a seed);
// divergence at a barrier or shuffle; writes outside shared memory; bank
// conflicts of matrix loads. What it cannot find: weak memory ordering, races that
// need two warps inside one instruction, and anything about speed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace emulator {

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

// The block that runs now.
struct Current {
  Dim grid, block;
  int threads = 0;
  int thread = 0;
  unsigned char* shared = nullptr;
};
extern Current current;

// Runs `kernel(arguments)` once per thread of every block of the grid.
void run_grid(Dim grid, int threads, std::size_t shared_bytes, void (*kernel)(void*), void* arguments);

// If set, is told of every launch after it ran: a function that does it again.
extern std::function<void(std::function<void()>)> on_launch;

// Order in which blocks and warps take turns.
void seed_schedule(std::uint64_t seed);

// Conflicts seen since the program started: matrix loads of eight rows of which
// two lie in the same banks.
std::uint64_t bank_conflicts();

void copy_async(void* shared, const void* global, bool valid);
void copy_async_commit();
void copy_async_wait(int pending);
void load_matrices(std::uint32_t* r, const void* row, bool transposed);
void multiply_accumulate(float* c, const std::uint32_t* a, std::uint32_t b0, std::uint32_t b1);
std::uint32_t shuffle_xor(std::uint32_t value, int mask);
std::uint32_t ballot(bool predicate);
void sync_warp();
void sync_block();

}  // namespace emulator
