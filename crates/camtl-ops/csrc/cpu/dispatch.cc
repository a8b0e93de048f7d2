// The C interface: each kernel in the best instruction set this processor has.
#include <atomic>

#include "../kernels.h"

namespace {

int best() {
#if defined(CAMTL_HAS_X86_VARIANTS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return 2;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) return 1;
#endif
  return 0;
}

const int kBest = best();
std::atomic<int> level{kBest};

}  // namespace

#if defined(CAMTL_HAS_X86_VARIANTS)
#define CAMTL_DISPATCH(RETURN, NAME, ARGS)                              \
  namespace camtl {                                                     \
  namespace base {                                                      \
  RETURN NAME(const ARGS&);                                             \
  }                                                                     \
  namespace v3 {                                                        \
  RETURN NAME(const ARGS&);                                             \
  }                                                                     \
  namespace v4 {                                                        \
  RETURN NAME(const ARGS&);                                             \
  }                                                                     \
  }                                                                     \
  extern "C" RETURN camtl_##NAME(const ARGS* args) {                    \
    switch (level.load(std::memory_order_relaxed)) {                    \
      case 2: return camtl::v4::NAME(*args);                            \
      case 1: return camtl::v3::NAME(*args);                            \
      default: return camtl::base::NAME(*args);                         \
    }                                                                   \
  }
#else
#define CAMTL_DISPATCH(RETURN, NAME, ARGS)                                          \
  namespace camtl {                                                                 \
  namespace base {                                                                  \
  RETURN NAME(const ARGS&);                                                         \
  }                                                                                 \
  }                                                                                 \
  extern "C" RETURN camtl_##NAME(const ARGS* args) { return camtl::base::NAME(*args); }
#endif

CAMTL_DISPATCH(void, film_forward, CamtlFilm)
CAMTL_DISPATCH(void, film_backward, CamtlFilm)
CAMTL_DISPATCH(void, layer_norm_forward, CamtlLayerNorm)
CAMTL_DISPATCH(void, layer_norm_backward, CamtlLayerNorm)
CAMTL_DISPATCH(void, gelu_forward, CamtlGelu)
CAMTL_DISPATCH(void, gelu_backward, CamtlGelu)
CAMTL_DISPATCH(void, embedding_forward, CamtlEmbedding)
CAMTL_DISPATCH(void, embedding_backward, CamtlEmbedding)
CAMTL_DISPATCH(void, scatter_rows, CamtlScatter)
CAMTL_DISPATCH(void, attention_forward, CamtlAttention)
CAMTL_DISPATCH(void, attention_backward, CamtlAttention)
CAMTL_DISPATCH(int64_t, attention_workspace, CamtlAttention)
CAMTL_DISPATCH(void, heads_forward, CamtlHeads)
CAMTL_DISPATCH(void, heads_backward, CamtlHeads)
CAMTL_DISPATCH(void, adamw, CamtlAdamW)
CAMTL_DISPATCH(void, norm, CamtlNorm)

extern "C" {

// Head groups of the attention's backward pass; fixed, so that results are.
int64_t camtl_attention_head_groups(int64_t heads) { return heads < 4 ? heads : 4; }

int camtl_isa() { return level.load(std::memory_order_relaxed); }

void camtl_limit_isa(int wanted) {
  level.store(wanted < 0 || wanted > kBest ? kBest : wanted, std::memory_order_relaxed);
}

}  // extern "C"
