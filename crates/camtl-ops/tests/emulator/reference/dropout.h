// Dropout masks from the published algorithm, written apart from the kernels'.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace reference {

// Philox4x32-10 (Salmon et al., 2011, section 4.3).
inline std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    if (round > 0) {
      key[0] += 0x9E3779B9u;
      key[1] += 0xBB67AE85u;
    }
    const std::uint64_t a = 0xD2511F53ull * counter[0], b = 0xCD9E8D57ull * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
  }
  return counter;
}

struct Dropout {
  double p = 0.0;
  std::uint64_t seed = 0;

  // Factor on element `column` of (sequence, head, position): 0 or 1 / (1 - p). Rows use head 0.
  double factor(int sequence, int head, int position, int column) const {
    if (p == 0.0) return 1.0;
    const auto words = philox4x32_10({static_cast<std::uint32_t>(column / 4), static_cast<std::uint32_t>(position),
                                      static_cast<std::uint32_t>(head), static_cast<std::uint32_t>(sequence)},
                                     {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
    const double threshold = std::nearbyint(p * 4294967296.0);
    return words[static_cast<std::size_t>(column % 4)] >= threshold ? 1.0 / (1.0 - p) : 0.0;
  }
};

}  // namespace reference
