#include "machine/machine.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "machine/fiber.h"

namespace emulator {

Current current;

namespace {

constexpr int WARP = 32;
constexpr std::size_t STACK_BYTES = 128 * 1024;
constexpr std::size_t GUARD = 4096;
constexpr unsigned char GUARD_BYTE = 0xA5;

enum class Operation : std::uint8_t { none, load_matrices, load_transposed, multiply, shuffle, ballot, sync };
enum class Wait : std::uint8_t { runnable, warp, block, done };

struct Copy {
  unsigned char* to;
  const unsigned char* from;  // null: zeros
};

struct Thread {
  Fiber fiber;
  Wait wait = Wait::runnable;
  Operation operation = Operation::none;
  // Operands and result of the warp-wide instruction the thread stands at.
  std::uint32_t words[6];
  float accumulators[4];
  const void* address = nullptr;
  int mask = 0;
  std::vector<std::vector<Copy>> groups;
  std::vector<Copy> open;
};

std::vector<Thread> threads_of_block;
std::vector<unsigned char> stacks;
std::vector<unsigned char> shared_memory;
std::size_t shared_size = 0;
Fiber scheduler;
void (*kernel_entry)(void*) = nullptr;
void* kernel_arguments = nullptr;
std::uint64_t schedule = 1;
std::uint64_t conflicts = 0;

[[noreturn]] void fail(const char* message) {
  std::fprintf(stderr, "emulator: %s (block %u,%u,%u thread %d)\n", message, current.block.x, current.block.y,
               current.block.z, current.thread);
  std::exit(3);
}

std::uint64_t draw(std::uint64_t below) {
  schedule ^= schedule << 13;
  schedule ^= schedule >> 7;
  schedule ^= schedule << 17;
  return schedule % below;
}

template <typename T>
void shuffle_order(std::vector<T>& order) {
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[draw(i)]);
}

Thread& self() { return threads_of_block[static_cast<std::size_t>(current.thread)]; }

unsigned char* checked_shared(const void* pointer, std::size_t bytes) {
  auto* p = static_cast<unsigned char*>(const_cast<void*>(pointer));
  if (p < current.shared || p + bytes > current.shared + shared_size) fail("address outside shared memory");
  if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0) fail("unaligned address");
  return p;
}

// Goes on with another lane of this warp, or with the scheduler if none can run.
void leave() {
  const int me = current.thread;
  const int first = me / WARP * WARP;
  for (int step = 1; step < WARP; ++step) {
    const int other = first + (me - first + step) % WARP;
    if (other < current.threads && threads_of_block[static_cast<std::size_t>(other)].wait == Wait::runnable) {
      current.thread = other;
      switch_fibers(threads_of_block[static_cast<std::size_t>(me)].fiber,
                    threads_of_block[static_cast<std::size_t>(other)].fiber);
      return;
    }
  }
  switch_fibers(threads_of_block[static_cast<std::size_t>(me)].fiber, scheduler);
}

float bf16_value(std::uint32_t word, int half) {
  const std::uint32_t bits = half == 0 ? word << 16 : word & 0xffff0000u;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

void perform_load(Thread* lanes, bool transposed) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    const unsigned char* row[8];
    unsigned seen = 0;
    for (int r = 0; r < 8; ++r) {
      row[r] = static_cast<const unsigned char*>(lanes[matrix * 8 + r].address);
      seen |= 1u << (static_cast<std::size_t>(row[r] - current.shared) / 16 % 8);
    }
    if (seen != 0xff) ++conflicts;
    for (int lane = 0; lane < WARP; ++lane) {
      const int g = lane / 4, t = lane % 4;
      std::uint16_t low, high;
      if (transposed) {
        std::memcpy(&low, row[2 * t] + 2 * g, 2);
        std::memcpy(&high, row[2 * t + 1] + 2 * g, 2);
      } else {
        std::memcpy(&low, row[g] + 4 * t, 2);
        std::memcpy(&high, row[g] + 4 * t + 2, 2);
      }
      lanes[lane].words[matrix] = low | static_cast<std::uint32_t>(high) << 16;
    }
  }
}

void perform_multiply(Thread* lanes) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < WARP; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const std::uint32_t* w = lanes[lane].words;
    for (int half = 0; half < 2; ++half) {
      a[g][2 * t + half] = bf16_value(w[0], half);
      a[g + 8][2 * t + half] = bf16_value(w[1], half);
      a[g][2 * t + 8 + half] = bf16_value(w[2], half);
      a[g + 8][2 * t + 8 + half] = bf16_value(w[3], half);
      b[2 * t + half][g] = bf16_value(w[4], half);
      b[2 * t + 8 + half][g] = bf16_value(w[5], half);
    }
  }
  for (int i = 0; i < 16; ++i) {
    float sum[8] = {};
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) sum[j] += a[i][k] * b[k][j];
    }
    for (int j = 0; j < 8; ++j) lanes[i % 8 * 4 + j / 2].accumulators[i / 8 * 2 + j % 2] += sum[j];
  }
}

void perform(Operation operation, Thread* lanes) {
  switch (operation) {
    case Operation::load_matrices: perform_load(lanes, false); break;
    case Operation::load_transposed: perform_load(lanes, true); break;
    case Operation::multiply: perform_multiply(lanes); break;
    case Operation::shuffle: {
      std::uint32_t values[WARP];
      for (int lane = 0; lane < WARP; ++lane) values[lane] = lanes[lane].words[0];
      for (int lane = 0; lane < WARP; ++lane) lanes[lane].words[0] = values[(lane ^ lanes[lane].mask) % WARP];
      break;
    }
    case Operation::ballot: {
      std::uint32_t bits = 0;
      for (int lane = 0; lane < WARP; ++lane) bits |= lanes[lane].words[0] << lane;
      for (int lane = 0; lane < WARP; ++lane) lanes[lane].words[0] = bits;
      break;
    }
    case Operation::sync:
    case Operation::none: break;
  }
}

// Waits for the other 31 lanes; the last one to arrive does the work for all.
void warp_wide(Operation operation) {
  Thread& me = self();
  Thread* lanes = &threads_of_block[static_cast<std::size_t>(current.thread / WARP * WARP)];
  me.operation = operation;
  me.wait = Wait::warp;
  int arrived = 0;
  for (int lane = 0; lane < WARP; ++lane) {
    if (lanes[lane].wait == Wait::warp) {
      if (lanes[lane].operation != operation) fail("lanes of a warp stand at different warp-wide instructions");
      ++arrived;
    } else if (lanes[lane].wait != Wait::runnable) {
      fail("a warp-wide instruction is missing lanes that exited or wait at a barrier");
    }
  }
  if (arrived < WARP) {
    leave();
    return;
  }
  perform(operation, lanes);
  for (int lane = 0; lane < WARP; ++lane) lanes[lane].wait = Wait::runnable;
}

void thread_main(void*) {
  kernel_entry(kernel_arguments);
  self().wait = Wait::done;
  leave();
  fail("a finished thread was resumed");
}

void run_block(int threads) {
  const auto count = static_cast<std::size_t>(threads);
  for (std::size_t i = 0; i < count; ++i) {
    Thread& thread = threads_of_block[i];
    thread.wait = Wait::runnable;
    thread.groups.clear();
    thread.open.clear();
    prepare(thread.fiber, stacks.data() + i * STACK_BYTES, STACK_BYTES, thread_main, nullptr);
  }
  std::vector<int> order;
  for (int warp = 0; warp < threads / WARP; ++warp) order.push_back(warp);
  for (;;) {
    shuffle_order(order);
    for (int warp : order) {
      // Any lane that can run starts the warp; its lanes hand over to each other.
      for (int lane = 0; lane < WARP; ++lane) {
        const int thread = warp * WARP + lane;
        if (threads_of_block[static_cast<std::size_t>(thread)].wait == Wait::runnable) {
          current.thread = thread;
          switch_fibers(scheduler, threads_of_block[static_cast<std::size_t>(thread)].fiber);
          lane = -1;
        }
      }
    }
    bool all_done = true;
    for (std::size_t i = 0; i < count; ++i) {
      Thread& thread = threads_of_block[i];
      if (thread.wait == Wait::warp) fail("lanes wait for a warp-wide instruction that others never reach");
      if (thread.wait == Wait::block) {
        all_done = false;
        thread.wait = Wait::runnable;
      }
    }
    if (all_done) return;
  }
}

}  // namespace

void seed_schedule(std::uint64_t seed) { schedule = seed * 2 + 1; }

std::uint64_t bank_conflicts() { return conflicts; }

std::function<void(std::function<void()>)> on_launch;

void run_grid(Dim grid, int threads, std::size_t shared_bytes, void (*kernel)(void*), void* arguments) {
  if (threads <= 0 || threads % WARP != 0 || threads > 1024) fail("block size is no multiple of 32 up to 1024");
  if (shared_bytes > 227 * 1024) fail("more shared memory than a Hopper block may have");
  if (grid.y > 65535 || grid.z > 65535) fail("grid too large");
  const auto count = static_cast<std::size_t>(threads);
  if (threads_of_block.size() < count) threads_of_block.resize(count);
  if (stacks.size() < count * STACK_BYTES) stacks.resize(count * STACK_BYTES);
  shared_memory.assign(shared_bytes + 2 * GUARD + 16, GUARD_BYTE);
  auto start = reinterpret_cast<std::uintptr_t>(shared_memory.data()) + GUARD;
  start = (start + 127) & ~std::uintptr_t{127};
  current.shared = reinterpret_cast<unsigned char*>(start);
  shared_size = shared_bytes;
  current.grid = grid;
  current.threads = threads;
  kernel_entry = kernel;
  kernel_arguments = arguments;

  std::vector<Dim> blocks;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) blocks.push_back({x, y, z});
    }
  }
  shuffle_order(blocks);
  for (const Dim& block : blocks) {
    current.block = block;
    // All ones is a NaN in every floating-point type.
    std::memset(current.shared, 0xff, shared_bytes);
    run_block(threads);
    for (const unsigned char* p = shared_memory.data(); p < current.shared; ++p) {
      if (*p != GUARD_BYTE) fail("write before shared memory");
    }
    for (const unsigned char* p = current.shared + shared_bytes; p < shared_memory.data() + shared_memory.size(); ++p) {
      if (*p != GUARD_BYTE) fail("write beyond shared memory");
    }
  }
}

void copy_async(void* shared, const void* global, bool valid) {
  if (reinterpret_cast<std::uintptr_t>(global) % 16 != 0) fail("unaligned background copy");
  unsigned char* const to = checked_shared(shared, 16);
  // From here to the wait the copy may land at any moment: who still reads the old
  // contents, or reads the new ones too early, finds NaN.
  std::memset(to, 0xff, 16);
  self().open.push_back({to, valid ? static_cast<const unsigned char*>(global) : nullptr});
}

void copy_async_commit() {
  self().groups.push_back(self().open);
  self().open.clear();
}

// The data arrives here and not earlier, so that a missing wait is seen.
void copy_async_wait(int pending) {
  auto& groups = self().groups;
  while (groups.size() > static_cast<std::size_t>(pending)) {
    for (const Copy& copy : groups.front()) {
      if (copy.from == nullptr) {
        std::memset(copy.to, 0, 16);
      } else {
        std::memcpy(copy.to, copy.from, 16);
      }
    }
    groups.erase(groups.begin());
  }
}

void load_matrices(std::uint32_t* r, const void* row, bool transposed) {
  self().address = checked_shared(row, 16);
  warp_wide(transposed ? Operation::load_transposed : Operation::load_matrices);
  std::memcpy(r, self().words, 16);
}

void multiply_accumulate(float* c, const std::uint32_t* a, std::uint32_t b0, std::uint32_t b1) {
  Thread& me = self();
  std::memcpy(me.words, a, 16);
  me.words[4] = b0;
  me.words[5] = b1;
  std::memcpy(me.accumulators, c, 16);
  warp_wide(Operation::multiply);
  std::memcpy(c, self().accumulators, 16);
}

std::uint32_t shuffle_xor(std::uint32_t value, int mask) {
  self().words[0] = value;
  self().mask = mask;
  warp_wide(Operation::shuffle);
  return self().words[0];
}

std::uint32_t ballot(bool predicate) {
  self().words[0] = predicate ? 1u : 0u;
  warp_wide(Operation::ballot);
  return self().words[0];
}

void sync_warp() { warp_wide(Operation::sync); }

void sync_block() {
  self().wait = Wait::block;
  leave();
}

}  // namespace emulator
