#include "log.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace stand_in {
namespace {

// Templates have names of thousands of letters; this much tells kernels apart.
constexpr size_t kLongestName = 200;

// Never closed: libtorch still calls while the process ends, and the C library flushes what is
// open as the very last thing.
FILE* file() {
  static FILE* const opened = [] {
    const char* path = std::getenv("CAMTL_STAND_IN_LOG");
    return path != nullptr && *path != 0 ? std::fopen(path, "a") : nullptr;
  }();
  return opened;
}

std::mutex& writing() {
  static auto& mutex = *new std::mutex;
  return mutex;
}

void put(std::string_view text) { std::fwrite(text.data(), 1, text.size(), file()); }

}  // namespace

void note(std::string_view event, std::string_view what) {
  if (file() == nullptr) return;
  const std::lock_guard<std::mutex> guard(writing());
  put(event);
  std::fputc(' ', file());
  // Reasons for refusals are for people, and worth their length.
  put(event == "refused" ? what : what.substr(0, kLongestName));
  std::fputc('\n', file());
  // A program that gives up on an error may do so without ending well.
  if (event == "refused") std::fflush(file());
}

void note(std::string_view event, std::string_view what, size_t amount) {
  if (file() == nullptr) return;
  const std::lock_guard<std::mutex> guard(writing());
  put(event);
  if (!what.empty()) {
    std::fputc(' ', file());
    put(what);
  }
  std::fprintf(file(), " %zu\n", amount);
}

void end_program(std::string_view call) {
  note("unanswered", call);
  if (file() != nullptr) std::fflush(file());
  std::fprintf(stderr,
               "the stand-in for a GPU does not answer %.*s: add the call to benches/gpu/stand_in, or do without it\n",
               static_cast<int>(call.size()), call.data());
  // Without the destructors of libtorch, which would call again.
  std::_Exit(70);
}

}  // namespace stand_in
