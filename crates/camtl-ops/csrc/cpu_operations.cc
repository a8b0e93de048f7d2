// The one name under which Rust finds the CPU's operations.
#include "cpu_operations.h"

#include "guard.h"

extern "C" const camtl::Operations* camtl_cpu_operations() {
  namespace cpu = camtl::cpu;
  static constexpr camtl::Operations operations = {
      [] { return camtl::last_error().c_str(); },
      cpu::layout_new, cpu::layout_free, cpu::film,      cpu::layer_norm, cpu::gelu,  cpu::linear,
      cpu::attention,  cpu::embedding,   cpu::heads,     cpu::adamw,      cpu::norm,  cpu::top_scores,
  };
  return &operations;
}
