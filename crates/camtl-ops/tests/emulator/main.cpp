// Runs the kernels in the emulator: all cases, or those of the groups named.
//
//   kernels [--quick] [GROUP...]
//
// Exit code 0: all right; 1: a case failed; 3: the emulator stopped the kernel.
#include <cstdio>
#include <cstring>
#include <map>
#include <vector>

#include "cases.h"
#include "check.h"
#include "machine/machine.h"

namespace harness {
namespace {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
struct Worst {
  double error = 0.0, tolerance = 0.0;
};
std::map<std::string, Worst>& worst() {
  static std::map<std::string, Worst> all;
  return all;
}

}  // namespace

void add_case(Case c) { cases().push_back(std::move(c)); }

void record(const char* name, double error, double tolerance) {
  Worst& w = worst()[name];
  if (error / tolerance >= w.error / (w.tolerance > 0.0 ? w.tolerance : 1.0)) w = {error, tolerance};
}

int run(bool quick, const std::vector<std::string>& groups) {
  int failed = 0, done = 0;
  for (const Case& c : cases()) {
    bool wanted = groups.empty();
    for (const std::string& group : groups) wanted = wanted || group == c.group;
    if (!wanted || (quick && !c.quick)) continue;
    ++done;
    emulator::seed_schedule(static_cast<std::uint64_t>(done));
    try {
      c.run();
    } catch (const Failure& failure) {
      std::printf("FAILED %s, %s: %s\n", c.group.c_str(), c.name.c_str(), failure.message.c_str());
      ++failed;
      if (quick) return 1;
    }
  }
  for (const auto& [name, w] : worst()) {
    std::printf("%-28s worst relative error %.2e, tolerance %.0e\n", name.c_str(), w.error, w.tolerance);
  }
  std::printf("%d cases, %d failed, %llu bank conflicts of matrix loads\n", done, failed,
              static_cast<unsigned long long>(emulator::bank_conflicts()));
  if (emulator::bank_conflicts() != 0) ++failed;
  if (done == 0) {
    std::printf("no such group\n");
    return 2;
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace harness

int main(int argc, char** argv) {
  bool quick = false;
  std::vector<std::string> groups;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      quick = true;
    } else {
      groups.emplace_back(argv[i]);
    }
  }
  return harness::run(quick, groups);
}
