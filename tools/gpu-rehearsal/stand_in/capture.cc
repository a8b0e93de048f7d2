#include "capture.h"

#include <algorithm>
#include <string>

#include "log.h"

namespace stand_in {
namespace {

std::recursive_mutex& everything() {
  static auto& mutex = *new std::recursive_mutex;
  return mutex;
}

Stream& legacy() {
  static auto& stream = *new Stream;
  return stream;
}

bool has_blocking_stream(const Capture& capture) {
  return std::any_of(capture.streams.begin(), capture.streams.end(), [](const Stream* s) { return s->blocking; });
}

}  // namespace

Lock::Lock() : guard_(everything()) {}

// What is kept for the program's whole life is never destroyed: libtorch calls until the end.
Streams& streams() {
  static auto& all = *new Streams;
  return all;
}

std::vector<std::shared_ptr<Capture>>& captures() {
  static auto& all = *new std::vector<std::shared_ptr<Capture>>;
  return all;
}

Stream* find_stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return &legacy();
  return streams().find(handle);
}

bool is_legacy(const Stream& stream) { return &stream == &legacy(); }

cudaStreamCaptureMode& thread_mode() {
  thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  return mode;
}

// [Invalidation]: an invalid operation invalidates the captures it is associated with.
cudaError_t break_capture(Capture& capture, cudaError_t error, std::string_view call, std::string_view why) {
  capture.broken = true;
  return refuse(error, call, why);
}

// [Modes]: whose captures count depends on this thread's mode and on how each capture was begun.
cudaError_t unless_unsafe(std::string_view call) {
  const Lock lock;
  const cudaStreamCaptureMode mine = thread_mode();
  if (mine == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  for (const auto& capture : captures()) {
    const bool own = capture->thread == std::this_thread::get_id();
    const bool counts = own ? capture->mode != cudaStreamCaptureModeRelaxed
                            : mine == cudaStreamCaptureModeGlobal && capture->mode == cudaStreamCaptureModeGlobal;
    if (counts) {
      return break_capture(*capture, cudaErrorStreamCaptureUnsupported, call, "not permitted during a capture");
    }
  }
  return cudaSuccess;
}

// [Prohibited]: the device encompasses every stream that is captured, whatever the modes.
cudaError_t unless_capturing_anywhere(std::string_view call) {
  const Lock lock;
  if (captures().empty()) return cudaSuccess;
  for (const auto& capture : captures()) capture->broken = true;
  return refuse(cudaErrorStreamCaptureUnsupported, call, "the device has a capturing stream");
}

// [Prohibited]: neither a capturing stream's status nor its end can be asked for.
cudaError_t unless_capturing(const Stream& stream, std::string_view call) {
  const Lock lock;
  if (!stream.capture) return cudaSuccess;
  return break_capture(*stream.capture, cudaErrorStreamCaptureUnsupported, call, "the stream is capturing");
}

// [Prohibited]: the legacy stream would come to depend on capturing streams that it waits for.
//
// Streams made with cudaStreamNonBlocking, as libtorch's are, do not wait for it, so that the run
// time lets work pass which their capture leaves out. Replays would lack that work, hence it is
// refused here as well, for threads that have a part in the capture.
cudaError_t unless_legacy_is_unusable(const Stream& stream, std::string_view call) {
  const Lock lock;
  if (!is_legacy(stream)) return cudaSuccess;
  for (const auto& capture : captures()) {
    if (has_blocking_stream(*capture)) {
      return break_capture(*capture, cudaErrorStreamCaptureImplicit, call,
                           "the default stream waits for a capturing one");
    }
    if (capture->threads.count(std::this_thread::get_id()) != 0) {
      return break_capture(*capture, cudaErrorStreamCaptureImplicit, call,
                           "on the default stream during a capture, whose graph would lack it");
    }
  }
  return cudaSuccess;
}

cudaError_t enqueue(std::string_view call, cudaStream_t handle, std::string_view verb, std::string_view what,
                    Work work) {
  const Lock lock;
  Stream* stream = find_stream(handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, call, "there is no such stream");
  if (const auto error = unless_legacy_is_unusable(*stream, call)) return error;
  if (!stream->capture) {
    note(verb, what);
    return work ? work() : cudaSuccess;
  }
  Capture& capture = *stream->capture;
  // [Invalidation]: the streams of a broken capture are of no use until it is ended.
  if (capture.broken) return refuse(cudaErrorStreamCaptureInvalidated, call, "the capture is broken");
  capture.threads.insert(std::this_thread::get_id());
  capture.nodes.push_back({stream->tail, std::move(work)});
  stream->tail = {capture.nodes.size() - 1};
  if (verb == "launch") {
    note("captured", what);
  } else {
    note("captured", std::string(verb).append(" ").append(what));
  }
  return cudaSuccess;
}

void add_nodes(std::vector<size_t>& nodes, const std::vector<size_t>& more) {
  for (const size_t node : more) {
    if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
  }
}

}  // namespace stand_in
