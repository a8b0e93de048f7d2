// The list of cases; each file of cases/ registers its own.
#pragma once

#include <functional>
#include <string>

namespace harness {

// `quick` cases are the ones that planted bugs are tried on.
struct Case {
  std::string group;
  std::string name;
  bool quick;
  std::function<void()> run;
};

void add_case(Case c);

}  // namespace harness
