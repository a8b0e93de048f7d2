// A dropout of the C interface as the kernels take it.
#pragma once

#include "launch.h"
#include "philox.cuh"

namespace camtl {

// What launchers answer to shapes that no kernel serves.
constexpr int UNSUPPORTED = -1;

inline DropoutCall dropout_call(const CamtlDropout& dropout) {
  return {dropout.seed, dropout.device_seed, dropout.threshold, static_cast<float>(dropout.scale)};
}

}  // namespace camtl
