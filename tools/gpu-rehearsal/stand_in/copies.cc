// Copies and memsets. Each is done, and its places are checked, whenever it would run: at once, or
// at every replay of the graph that it became a part of.
#include <cstring>
#include <string>

#include "capture.h"
#include "device_memory.h"
#include "log.h"

using namespace stand_in;

namespace {

enum class Way { kHostToHost, kHostToDevice, kDeviceToHost, kDeviceToDevice };

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  Way way;
};

const char* name_of(Way way) {
  switch (way) {
    case Way::kHostToHost: return "host-to-host";
    case Way::kHostToDevice: return "host-to-device";
    case Way::kDeviceToHost: return "device-to-host";
    case Way::kDeviceToDevice: return "device-to-device";
  }
  return "";
}

Way way_of(const void* to, const void* from, cudaMemcpyKind kind) {
  switch (kind) {
    case cudaMemcpyHostToHost: return Way::kHostToHost;
    case cudaMemcpyHostToDevice: return Way::kHostToDevice;
    case cudaMemcpyDeviceToHost: return Way::kDeviceToHost;
    case cudaMemcpyDeviceToDevice: return Way::kDeviceToDevice;
    case cudaMemcpyDefault: break;
  }
  if (is_on_device(from, 1)) return is_on_device(to, 1) ? Way::kDeviceToDevice : Way::kDeviceToHost;
  return is_on_device(to, 1) ? Way::kHostToDevice : Way::kHostToHost;
}

// Kernels compute nothing, so that the device's memory holds what was there before: another
// tensor's values, where the host expects an index or a count. Zeros are small and finite.
cudaError_t perform(const Copy& copy) {
  const bool to_device = copy.way == Way::kHostToDevice || copy.way == Way::kDeviceToDevice;
  const bool from_device = copy.way == Way::kDeviceToHost || copy.way == Way::kDeviceToDevice;
  // The other side is whatever is no device memory: not all of the host's is known here.
  if (is_on_device(copy.to, to_device ? copy.bytes : 1) != to_device) {
    return refuse(cudaErrorInvalidValue, "cudaMemcpy", std::string("to the wrong side, ") + name_of(copy.way));
  }
  if (is_on_device(copy.from, from_device ? copy.bytes : 1) != from_device) {
    return refuse(cudaErrorInvalidValue, "cudaMemcpy", std::string("from the wrong side, ") + name_of(copy.way));
  }
  if (copy.way == Way::kDeviceToHost) {
    std::memset(copy.to, 0, copy.bytes);
  } else {
    std::memmove(copy.to, copy.from, copy.bytes);
  }
  return cudaSuccess;
}

cudaError_t set(void* to, int value, size_t bytes) {
  if (!is_on_device(to, bytes)) {
    return refuse(cudaErrorInvalidValue, "cudaMemset", "outside of the device's memory");
  }
  std::memset(to, value, bytes);
  return cudaSuccess;
}

std::string described(const Copy& copy) { return std::string(name_of(copy.way)) + " " + std::to_string(copy.bytes); }

}  // namespace

extern "C" {

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const Lock lock;
  if (bytes == 0) return cudaSuccess;
  const Copy copy{to, from, bytes, way_of(to, from, kind)};
  return enqueue("cudaMemcpyAsync", stream, "copy", described(copy), [copy] { return perform(copy); });
}

// [Prohibited]: copies without a stream use the legacy one and wait for it.
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const Lock lock;
  if (const auto error = unless_unsafe("cudaMemcpy")) return error;
  if (const auto error = cudaMemcpyAsync(to, from, bytes, kind, cudaStreamLegacy)) return error;
  note("wait", "cudaMemcpy");
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  const Lock lock;
  if (bytes == 0) return cudaSuccess;
  return enqueue("cudaMemsetAsync", stream, "memset", std::to_string(bytes), [=] { return set(to, value, bytes); });
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  const Lock lock;
  if (const auto error = unless_unsafe("cudaMemset")) return error;
  return cudaMemsetAsync(to, value, bytes, cudaStreamLegacy);
}

}  // extern "C"
