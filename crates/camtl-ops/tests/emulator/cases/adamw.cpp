// Flat AdamW and the gradient norm against float64.
#include "cases.h"
#include "check.h"
#include "launch.h"

namespace harness {
namespace {

struct Options {
  std::size_t count = 1000;
  bool hugging_face = false, clipped = false, shadow = false;
  std::vector<std::int64_t> decay{};
  bool all_decays = false;
};

void adamw(const Options& options, std::uint64_t seed) {
  Random random(seed);
  const std::size_t n = options.count;
  Array<float> p(n), g(n), m(n), v(n), step(4), clip(1);
  Array<camtl::bf16> shadow(n);
  Array<std::int64_t> decay(options.decay);
  fill_normal(p, random);
  fill_normal(g, random);
  fill_normal(m, random, 0.1);
  fill_normal(v, random, 0.1);
  for (std::size_t i = 0; i < n; ++i) v[i] = v[i] * v[i];
  clip[0] = 0.37f;
  const double lr = 2e-2, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.1;
  auto ep = values(p), eg = values(g), em = values(m), ev = values(v);
  for (std::int64_t t = 3; t < 6; ++t) {
    camtl_cuda_adamw_step(lr, beta1, beta2, weight_decay, t, options.hugging_face, step.data());
    CamtlAdamW call{};
    call.param = p.data();
    call.gradient = g.data();
    call.exp_avg = m.data();
    call.exp_avg_sq = v.data();
    call.shadow = options.shadow ? shadow.data() : nullptr;
    call.clip = options.clipped ? clip.data() : nullptr;
    call.step = step.data();
    call.decay = options.all_decays ? nullptr : decay.data();
    call.decay_ranges = static_cast<int>(options.decay.size() / 2);
    call.beta1 = beta1;
    call.beta2 = beta2;
    call.eps = eps;
    call.hugging_face = options.hugging_face;
    call.count = static_cast<std::int64_t>(n);
    expect(camtl_cuda_adamw(&call, nullptr) == 0, "launch failed");
    const double c1 = 1.0 - std::pow(beta1, static_cast<double>(t)), c2 = 1.0 - std::pow(beta2, static_cast<double>(t));
    for (std::size_t i = 0; i < n; ++i) {
      bool decays = options.all_decays;
      for (std::size_t r = 0; r + 1 < options.decay.size(); r += 2) {
        const auto at = static_cast<std::int64_t>(i);
        decays = decays || (at >= options.decay[r] && at < options.decay[r + 1]);
      }
      const double gradient = eg[i] * (options.clipped ? static_cast<double>(clip[0]) : 1.0);
      em[i] = beta1 * em[i] + (1.0 - beta1) * gradient;
      ev[i] = beta2 * ev[i] + (1.0 - beta2) * gradient * gradient;
      const double factor = decays ? 1.0 - lr * weight_decay : 1.0;
      if (options.hugging_face) {
        ep[i] -= lr * std::sqrt(c2) / c1 * em[i] / (std::sqrt(ev[i]) + eps);
        ep[i] *= factor;
      } else {
        ep[i] *= factor;
        ep[i] -= lr / c1 * em[i] / (std::sqrt(ev[i]) / std::sqrt(c2) + eps);
      }
    }
  }
  expect_close("adamw param", values(p), ep, 1e-6);
  expect_close("adamw exp_avg", values(m), em, 1e-6);
  expect_close("adamw exp_avg_sq", values(v), ev, 1e-6);
  if (options.shadow) expect_close("adamw shadow", values(shadow), ep, 4e-3);
  p.check_guards("param");
  m.check_guards("exp_avg");
  shadow.check_guards("shadow");
}

void norm(std::size_t n, double scale, double max_norm, std::uint64_t seed) {
  Random random(seed);
  Array<float> g(n), out(1), coefficient(1);
  fill_normal(g, random, scale);
  Array<unsigned char> workspace(camtl_cuda_norm_workspace());
  expect(camtl_cuda_norm(g.data(), static_cast<std::int64_t>(n), static_cast<float>(max_norm), out.data(),
                         coefficient.data(), workspace.data(), nullptr) == 0,
         "launch failed");
  double sum = 0.0;
  for (double x : values(g)) sum += x * x;
  expect_close("gradient norm", values(out), {std::sqrt(sum)}, 1e-6);
  expect_close("clip coefficient", values(coefficient), {std::min(1.0, max_norm / (std::sqrt(sum) + 1e-6))}, 1e-6);
  workspace.check_guards("workspace");
  g[n / 2] = NAN;
  camtl_cuda_norm(g.data(), static_cast<std::int64_t>(n), 1.0f, out.data(), coefficient.data(), workspace.data(),
                  nullptr);
  expect(std::isnan(out[0]) && std::isnan(coefficient[0]), "a NaN gradient must give a NaN norm and coefficient");
}

const bool registered = [] {
  add_case({"adamw", "torch, everything decays", true, [] { adamw({1000, false, false, false, {}, true}, 501); }});
  add_case({"adamw", "torch, ranges, clip, bf16 copy", true,
            [] { adamw({2055, false, true, true, {0, 3, 10, 14, 1021, 1030, 2050, 2055}}, 502); }});
  add_case({"adamw", "Hugging Face, ranges", true, [] { adamw({517, true, true, true, {5, 300}}, 503); }});
  add_case({"adamw", "nothing decays", false, [] { adamw({7, false, false, true, {}}, 504); }});
  add_case({"norm", "clipped", true, [] { norm(700001, 1.0, 1.0, 505); }});
  add_case({"norm", "not clipped", true, [] { norm(13, 0.01, 1.0, 506); }});
  return true;
}();

}  // namespace
}  // namespace harness
