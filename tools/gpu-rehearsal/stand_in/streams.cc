// Streams: made, destroyed, waited for, asked about their capture.
#include <memory>
#include <utility>

#include "capture.h"
#include "log.h"

using namespace stand_in;

namespace {

constexpr const char* kNoStream = "there is no such stream";

}  // namespace

extern "C" {

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  // Those of a GPU of compute capability 9.0; libtorch makes a pool of streams for each.
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* out, unsigned flags, int) {
  const Lock lock;
  auto stream = std::make_unique<Stream>();
  stream->blocking = (flags & cudaStreamNonBlocking) == 0;
  *out = streams().give(stream.release());
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const Lock lock;
  Stream* stream = streams().find(handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, "cudaStreamDestroy", kNoStream);
  // The documentation is silent about this; a graph whose stream is gone could not be ended.
  if (const auto error = unless_capturing(*stream, "cudaStreamDestroy")) return error;
  streams().destroy(handle);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const Lock lock;
  const Stream* stream = find_stream(handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, "cudaStreamSynchronize", kNoStream);
  if (const auto error = unless_capturing(*stream, "cudaStreamSynchronize")) return error;
  if (const auto error = unless_legacy_is_unusable(*stream, "cudaStreamSynchronize")) return error;
  if (const auto error = unless_unsafe("cudaStreamSynchronize")) return error;
  note("wait", "cudaStreamSynchronize");
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Lock lock;
  const Stream* stream = find_stream(handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, "cudaStreamQuery", kNoStream);
  if (const auto error = unless_capturing(*stream, "cudaStreamQuery")) return error;
  if (const auto error = unless_legacy_is_unusable(*stream, "cudaStreamQuery")) return error;
  return unless_unsafe("cudaStreamQuery");
}

cudaError_t cudaDeviceSynchronize() {
  const Lock lock;
  if (const auto error = unless_capturing_anywhere("cudaDeviceSynchronize")) return error;
  note("wait", "cudaDeviceSynchronize");
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return cudaStreamGetCaptureInfo(handle, status, nullptr, nullptr, nullptr, nullptr, nullptr);
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* count) {
  const Lock lock;
  const Stream* stream = find_stream(handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, "cudaStreamGetCaptureInfo", kNoStream);
  if (is_legacy(*stream)) {
    for (const auto& capture : captures()) {
      for (const Stream* captured : capture->streams) {
        // [Status]: refused, and the capture goes on.
        if (captured->blocking) {
          return refuse(cudaErrorStreamCaptureImplicit, "cudaStreamGetCaptureInfo",
                        "the default stream waits for a capturing one");
        }
      }
    }
  }
  if (!stream->capture) {
    *status = cudaStreamCaptureStatusNone;
    return cudaSuccess;
  }
  if (stream->capture->broken) {
    *status = cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  }
  // A graph under construction can be added to by hand; nothing here could follow.
  if (graph != nullptr || dependencies != nullptr || edges != nullptr || count != nullptr) {
    end_program("cudaStreamGetCaptureInfo for the nodes of a capture");
  }
  *status = cudaStreamCaptureStatusActive;
  if (id != nullptr) *id = stream->capture->id;
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, thread_mode());
  return cudaSuccess;
}

}  // extern "C"
