// Exponentials are taken in base 2, which is one instruction.
#pragma once

#include <platform.cuh>

namespace camtl {

constexpr float LOG2_E = 1.4426950408889634f;
constexpr float LN_2 = 0.6931471805599453f;

}  // namespace camtl
