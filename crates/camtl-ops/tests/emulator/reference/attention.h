// Conditional attention and its gradients in float64, from the definition.
#pragma once

#include <cmath>
#include <vector>

#include "layout.h"
#include "reference/dropout.h"

namespace reference {

struct Attention {
  harness::Batch batch;
  int heads = 1, head_dim = 64, band_rows = 0, band_width = 0;  // band_width 0: no band
  bool first_only = false;
  double scale = 1.0;
  Dropout dropout;
  std::vector<double> q, k, v, band;  // rows of heads * head_dim

  int width() const { return heads * head_dim; }
  int query_rows() const { return first_only ? batch.sequences() : batch.rows(); }
};

struct AttentionResult {
  std::vector<double> out, dq, dk, dv, dband;
};

inline AttentionResult attention(const Attention& a, const std::vector<double>& dout) {
  const auto width = static_cast<std::size_t>(a.width());
  const auto size = [](int x) { return static_cast<std::size_t>(x); };
  AttentionResult r;
  r.out.assign(size(a.query_rows()) * width, 0.0);
  r.dq = r.out;
  r.dk.assign(size(a.batch.rows()) * width, 0.0);
  r.dv = r.dk;
  r.dband.assign(a.band.size(), 0.0);
  for (int b = 0; b < a.batch.sequences(); ++b) {
    const int begin = a.batch.begin(b), length = a.batch.lengths[size(b)], keys = a.batch.keys(b);
    const int queries = a.first_only ? std::min(length, 1) : length;
    for (int head = 0; head < a.heads; ++head) {
      const std::size_t column = size(head * a.head_dim);
      for (int i = 0; i < queries; ++i) {
        const std::size_t query = size(a.first_only ? b : begin + i) * width + column;
        std::vector<double> p(size(keys)), dp(size(keys)), mask(size(keys));
        std::vector<std::size_t> entry(size(keys), a.band.size());
        double largest = -1e300;
        for (int j = 0; j < keys; ++j) {
          double s = 0.0;
          for (std::size_t d = 0; d < size(a.head_dim); ++d) s += a.q[query + d] * a.k[size(begin + j) * width + column + d];
          s *= a.scale;
          if (a.band_width > 0 && j / a.band_width == i / a.band_width) {
            entry[size(j)] = size((a.batch.tasks[size(b)] * a.band_rows + i) * a.band_width + j % a.band_width);
            s += a.band[entry[size(j)]];
          }
          p[size(j)] = s;
          largest = std::max(largest, s);
        }
        double sum = 0.0;
        for (double& s : p) sum += s = std::exp(s - largest);
        for (double& s : p) s /= sum;
        double delta = 0.0;
        for (int j = 0; j < keys; ++j) {
          mask[size(j)] = a.dropout.factor(b, head, i, j);
          for (std::size_t d = 0; d < size(a.head_dim); ++d) {
            const std::size_t at = size(begin + j) * width + column + d;
            r.out[query + d] += p[size(j)] * mask[size(j)] * a.v[at];
            dp[size(j)] += dout[query + d] * a.v[at] * mask[size(j)];
            r.dv[at] += p[size(j)] * mask[size(j)] * dout[query + d];
          }
          delta += p[size(j)] * dp[size(j)];
        }
        for (int j = 0; j < keys; ++j) {
          const double ds = p[size(j)] * (dp[size(j)] - delta);
          if (entry[size(j)] < a.band.size()) r.dband[entry[size(j)]] += ds;
          for (std::size_t d = 0; d < size(a.head_dim); ++d) {
            const std::size_t at = size(begin + j) * width + column + d;
            r.dq[query + d] += a.scale * ds * a.k[at];
            r.dk[at] += a.scale * ds * a.q[query + d];
          }
        }
      }
    }
  }
  return r;
}

}  // namespace reference
