// Errors as the run time returns them: each is remembered by its thread until it is asked for.
#pragma once

#include <string_view>

#include "interfaces.h"

namespace stand_in {

// Notes that `call` is refused and why, and gives `error` for it to return.
cudaError_t refuse(cudaError_t error, std::string_view call, std::string_view why);

}  // namespace stand_in
