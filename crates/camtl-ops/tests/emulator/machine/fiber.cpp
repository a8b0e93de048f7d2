#include "machine/fiber.h"

#include <cstdint>

#if defined(__x86_64__)

// swapcontext makes two system calls a switch; a block of 128 threads switches a
// million times, so the six saved registers are swapped by hand.
asm(R"(
.text
.type camtl_switch_stacks, @function
camtl_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.type camtl_fiber_start, @function
camtl_fiber_start:
  movq %r12, %rdi
  callq *%rbx
  ud2
)");
extern "C" void camtl_switch_stacks(void** save, void* load) asm("camtl_switch_stacks");
extern "C" void camtl_fiber_start() asm("camtl_fiber_start");

namespace emulator {

void prepare(Fiber& fiber, void* stack, std::size_t stack_bytes, void (*entry)(void*), void* argument) {
  auto top = (reinterpret_cast<std::uintptr_t>(stack) + stack_bytes) & ~std::uintptr_t{15};
  auto* slots = reinterpret_cast<void**>(top);
  // The switch pops r15 r14 r13 r12 rbx rbp, then returns into the start code
  // with the stack aligned for its call.
  *--slots = nullptr;
  *--slots = nullptr;
  *--slots = reinterpret_cast<void*>(&camtl_fiber_start);
  *--slots = nullptr;
  *--slots = reinterpret_cast<void*>(entry);
  *--slots = argument;
  *--slots = nullptr;
  *--slots = nullptr;
  *--slots = nullptr;
  fiber.stack_pointer = slots;
}

void switch_fibers(Fiber& from, Fiber& to) { camtl_switch_stacks(&from.stack_pointer, to.stack_pointer); }

}  // namespace emulator

#else

#include <ucontext.h>

#include <vector>

namespace emulator {
namespace {
struct Started {
  void (*entry)(void*);
  void* argument;
};
void start(unsigned high, unsigned low) {
  auto* started = reinterpret_cast<Started*>((std::uintptr_t{high} << 32) | low);
  started->entry(started->argument);
}
}  // namespace

void prepare(Fiber& fiber, void* stack, std::size_t stack_bytes, void (*entry)(void*), void* argument) {
  // The context and its argument live at the low end of the stack, far from the frames.
  auto* context = static_cast<ucontext_t*>(stack);
  auto* started = reinterpret_cast<Started*>(context + 1);
  *started = {entry, argument};
  getcontext(context);
  const std::size_t used = sizeof(ucontext_t) + sizeof(Started) + 64;
  context->uc_stack.ss_sp = static_cast<char*>(stack) + used;
  context->uc_stack.ss_size = stack_bytes - used;
  context->uc_link = nullptr;
  const auto bits = reinterpret_cast<std::uintptr_t>(started);
  makecontext(context, reinterpret_cast<void (*)()>(start), 2, static_cast<unsigned>(bits >> 32),
              static_cast<unsigned>(bits));
  fiber.stack_pointer = context;
}

void switch_fibers(Fiber& from, Fiber& to) {
  static ucontext_t scheduler;
  if (from.stack_pointer == nullptr) from.stack_pointer = &scheduler;
  swapcontext(static_cast<ucontext_t*>(from.stack_pointer), static_cast<ucontext_t*>(to.stack_pointer));
}

}  // namespace emulator

#endif
