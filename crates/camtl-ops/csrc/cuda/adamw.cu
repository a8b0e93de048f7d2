// Launches the flat AdamW step and the gradient norm.
#include <math.h>

#include "launch.h"
#include "optimizer/adamw.cuh"
#include "optimizer/norm.cuh"

using namespace camtl;

extern "C" size_t camtl_cuda_norm_workspace(void) { return sizeof(double) * NORM_BLOCKS; }

extern "C" int camtl_cuda_norm(const float* gradient, int64_t count, float max_norm, float* norm, float* coefficient,
                               void* workspace, void* stream) {
  double* const partial = static_cast<double*>(workspace);
  const int error = launch(square_sum_kernel, dim3(NORM_BLOCKS, 1, 1), NORM_THREADS, NORM_THREADS * sizeof(double),
                           stream, gradient, count, partial);
  if (error != 0) return error;
  return launch(norm_kernel, dim3(1, 1, 1), NORM_THREADS, NORM_THREADS * sizeof(double), stream,
                static_cast<const double*>(partial), NORM_BLOCKS, max_norm, norm, coefficient);
}

extern "C" void camtl_cuda_adamw_step(double lr, double beta1, double beta2, double weight_decay, int64_t step,
                                      int hugging_face, float out[4]) {
  const double correction1 = 1.0 - pow(beta1, static_cast<double>(step));
  const double correction2 = sqrt(1.0 - pow(beta2, static_cast<double>(step)));
  out[0] = static_cast<float>(hugging_face ? lr * correction2 / correction1 : lr / correction1);
  out[1] = static_cast<float>(hugging_face ? 1.0 : 1.0 / correction2);
  out[2] = static_cast<float>(1.0 - lr * weight_decay);
  out[3] = 0.0f;
}

extern "C" int camtl_cuda_adamw(const CamtlAdamW* a, void* stream) {
  AdamWOperation op;
  op.param = a->param;
  op.gradient = a->gradient;
  op.exp_avg = a->exp_avg;
  op.exp_avg_sq = a->exp_avg_sq;
  op.shadow = static_cast<bf16*>(a->shadow);
  op.clip = a->clip;
  op.step = reinterpret_cast<const AdamWStep*>(a->step);
  op.decay = a->decay;
  op.decay_ranges = a->decay_ranges;
  op.beta1 = static_cast<float>(a->beta1);
  op.one_minus_beta1 = static_cast<float>(1.0 - a->beta1);
  op.beta2 = static_cast<float>(a->beta2);
  op.one_minus_beta2 = static_cast<float>(1.0 - a->beta2);
  op.eps = static_cast<float>(a->eps);
  op.decay_first = !a->hugging_face;
  op.count = a->count;
  const int64_t per_block = 4 * ADAMW_THREADS;
  return launch(adamw_kernel, dim3(static_cast<unsigned>((a->count + per_block - 1) / per_block), 1, 1),
                ADAMW_THREADS, 0, stream, op);
}
