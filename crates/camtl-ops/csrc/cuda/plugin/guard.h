// The boundary to Rust: no exception crosses it. A function returns 0, or 1 after
// it has left its message in this thread's error text.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <string>

namespace camtl::plugin {

inline std::string& last_error() {
  thread_local std::string text;
  return text;
}

template <typename Body>
int guarded(Body&& body) {
  try {
    body();
    return 0;
  } catch (const c10::Error& error) {
    last_error() = error.what_without_backtrace();
  } catch (const std::exception& error) {
    last_error() = error.what();
  } catch (...) {
    last_error() = "an exception of unknown type";
  }
  return 1;
}

}  // namespace camtl::plugin
