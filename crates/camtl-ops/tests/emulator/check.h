// Comparison with a float64 reference.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "memory.h"

namespace harness {

// Largest tolerated error used up by any check of this run, per output name.
void record(const char* name, double error, double tolerance);

// ||got - expected|| / ||expected|| must not exceed `tolerance`; NaN never passes,
// and neither does one element that is far off: a wrong element can hide in a norm.
inline void expect_close(const char* name, const std::vector<double>& got, const std::vector<double>& expected,
                         double tolerance) {
  if (got.size() != expected.size()) throw Failure{std::string(name) + ": sizes differ"};
  double difference = 0.0, norm = 0.0, largest = 0.0;
  std::size_t worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i])) {
      throw Failure{std::string(name) + ": element " + std::to_string(i) + " is " + std::to_string(got[i]) +
                    ", expected " + std::to_string(expected[i])};
    }
    const double d = got[i] - expected[i];
    difference += d * d;
    norm += expected[i] * expected[i];
    if (std::fabs(d) > largest) {
      largest = std::fabs(d);
      worst = i;
    }
  }
  if (got.empty()) return;
  const double rms = std::sqrt(norm / static_cast<double>(got.size()));
  const double error = norm > 0.0 ? std::sqrt(difference / norm) : std::sqrt(difference);
  record(name, error, tolerance);
  // Rounding scales with the element or with the typical element, whichever is larger.
  const double allowed = 24.0 * tolerance * std::max(std::fabs(expected[worst]), rms);
  if (!(error <= tolerance) || (norm > 0.0 && largest > allowed)) {
    throw Failure{std::string(name) + ": relative error " + std::to_string(error) + " (tolerance " +
                  std::to_string(tolerance) + "), worst element " + std::to_string(worst) + ": " +
                  std::to_string(got[worst]) + ", expected " + std::to_string(expected[worst])};
  }
}

inline void expect(bool condition, const std::string& message) {
  if (!condition) throw Failure{message};
}

}  // namespace harness
