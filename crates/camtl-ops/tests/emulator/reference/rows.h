// Layer norm with its surroundings, FiLM and GELU in float64, one row at a time.
#pragma once

#include <cmath>
#include <vector>

namespace reference {

using Vector = std::vector<double>;

struct Normed {
  Vector normed;  // (z - mean) / sqrt(variance + eps)
  double rstd;
};

inline Normed normalise(const Vector& z, double eps) {
  double mean = 0.0, variance = 0.0;
  for (double x : z) mean += x / static_cast<double>(z.size());
  for (double x : z) variance += (x - mean) * (x - mean) / static_cast<double>(z.size());
  Normed out{z, 1.0 / std::sqrt(variance + eps)};
  for (double& x : out.normed) x = (x - mean) * out.rstd;
  return out;
}

// Gradient of z from the gradient of the normed row.
inline Vector normalise_gradient(const Normed& n, const Vector& gradient) {
  const auto count = static_cast<double>(gradient.size());
  double sum = 0.0, dot = 0.0;
  for (std::size_t j = 0; j < gradient.size(); ++j) {
    sum += gradient[j] / count;
    dot += gradient[j] * n.normed[j] / count;
  }
  Vector out(gradient.size());
  for (std::size_t j = 0; j < out.size(); ++j) out[j] = n.rstd * (gradient[j] - sum - n.normed[j] * dot);
  return out;
}

inline double normal_distribution(double u) { return 0.5 * std::erfc(-u / std::sqrt(2.0)); }
inline double gelu(double u) { return u * normal_distribution(u); }
inline double gelu_slope(double u) {
  return normal_distribution(u) + u * std::exp(-0.5 * u * u) / std::sqrt(2.0 * 3.14159265358979323846);
}

}  // namespace reference
