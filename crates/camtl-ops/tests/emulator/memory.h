// Memory as a kernel must leave it: poisoned before, guarded on both sides.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "bf16.cuh"
#include "random.h"

namespace harness {

// Raised by a check; the runner reports it with the case's name.
struct Failure {
  std::string message;
};

// An array that starts 256-byte aligned, full of NaN, between guard bytes.
template <typename T>
class Array {
 public:
  explicit Array(std::size_t count) : count_(count), bytes_(count * sizeof(T) + 2 * GUARD + 256, GUARD_BYTE) {
    auto start = (reinterpret_cast<std::uintptr_t>(bytes_.data()) + GUARD + 255) & ~std::uintptr_t{255};
    data_ = reinterpret_cast<T*>(start);
    std::fill_n(reinterpret_cast<unsigned char*>(data_), count * sizeof(T), 0xff);
  }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    if (!values.empty()) std::memcpy(static_cast<void*>(data_), values.data(), values.size() * sizeof(T));
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return data_[i]; }

  void check_guards(const char* name) const {
    auto* first = reinterpret_cast<const unsigned char*>(data_);
    auto* last = first + count_ * sizeof(T);
    for (const unsigned char* p = bytes_.data(); p < first; ++p) {
      if (*p != GUARD_BYTE) throw Failure{std::string(name) + ": bytes before the array were written"};
    }
    for (const unsigned char* p = last; p < bytes_.data() + bytes_.size(); ++p) {
      if (*p != GUARD_BYTE) throw Failure{std::string(name) + ": bytes beyond the array were written"};
    }
  }

 private:
  static constexpr std::size_t GUARD = 1024;
  // As bf16 or float32 this is an ordinary small number, so reads of it are seen as wrong results, not as NaN.
  static constexpr unsigned char GUARD_BYTE = 0x3c;
  std::size_t count_;
  std::vector<unsigned char> bytes_;
  T* data_;
};

inline double value(camtl::bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
inline double value(float x) { return x; }

template <typename T>
std::vector<double> values(Array<T>& array) {
  std::vector<double> out(array.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = value(array[i]);
  return out;
}

// Normal draws, rounded to the array's type, and what they became.
template <typename T>
void fill_normal(Array<T>& array, Random& random, double scale = 1.0, double mean = 0.0) {
  for (std::size_t i = 0; i < array.size(); ++i) {
    camtl::assign(array[i], static_cast<float>(mean + scale * random.normal()));
  }
}

}  // namespace harness
