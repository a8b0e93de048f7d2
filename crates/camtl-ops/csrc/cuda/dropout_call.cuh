// A dropout of the C interface as the kernels take it.
#pragma once

#include <math.h>

#include "launch.h"
#include "philox.cuh"

namespace camtl {

// What launchers answer to shapes that no kernel serves.
constexpr int UNSUPPORTED = -1;

inline DropoutCall dropout_call(const CamtlDropout& dropout) {
  // Halves away from zero and saturation as on the other devices, so that masks agree.
  const double threshold = round(dropout.probability * 4294967296.0);
  return {dropout.seed, dropout.device_seed,
          threshold >= 4294967295.0 ? 4294967295u : static_cast<uint32_t>(threshold),
          static_cast<float>(1.0 / (1.0 - dropout.probability))};
}

}  // namespace camtl
