// Events, and the dependencies between streams that they make.
#include <memory>

#include "capture.h"
#include "log.h"

using namespace stand_in;

namespace {

struct Event {
  bool recorded = false;
  bool timing = true;
  std::shared_ptr<Capture> capture;  // of the stream it was last recorded in
  std::vector<size_t> after;         // the nodes it stands for
};

Handles<Event, cudaEvent_t>& events() {
  static auto& all = *new Handles<Event, cudaEvent_t>;
  return all;
}

constexpr const char* kNoEvent = "there is no such event";
constexpr const char* kNoStream = "there is no such stream";

// [Prohibited]: an event of a capture stands for work that has not been done.
cudaError_t unless_captured(const Event& event, const char* call) {
  if (!event.capture) return cudaSuccess;
  if (!event.capture->ended) event.capture->broken = true;
  return refuse(cudaErrorCapturedEvent, call, "the event was last recorded during a capture");
}

}  // namespace

extern "C" {

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned flags) {
  const Lock lock;
  auto event = std::make_unique<Event>();
  event->timing = (flags & cudaEventDisableTiming) == 0;
  *out = events().give(event.release());
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* out) { return cudaEventCreateWithFlags(out, cudaEventDefault); }

// Also during a capture: the graph keeps the dependencies, not the event.
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  const Lock lock;
  if (!events().destroy(handle)) return refuse(cudaErrorInvalidResourceHandle, "cudaEventDestroy", kNoEvent);
  return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream_handle, unsigned flags) {
  const Lock lock;
  if (flags != cudaEventRecordDefault) end_program("cudaEventRecordWithFlags with cudaEventRecordExternal");
  Event* event = events().find(handle);
  if (event == nullptr) return refuse(cudaErrorInvalidResourceHandle, "cudaEventRecord", kNoEvent);
  const Stream* stream = find_stream(stream_handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, "cudaEventRecord", kNoStream);
  if (const auto error = unless_legacy_is_unusable(*stream, "cudaEventRecord")) return error;
  if (stream->capture && stream->capture->broken) {
    return refuse(cudaErrorStreamCaptureInvalidated, "cudaEventRecord", "the capture is broken");
  }
  event->recorded = true;
  event->capture = stream->capture;
  event->after = stream->tail;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t handle, unsigned flags) {
  constexpr const char* kCall = "cudaStreamWaitEvent";
  const Lock lock;
  if (flags != cudaEventWaitDefault) end_program("cudaStreamWaitEvent with cudaEventWaitExternal");
  const Event* event = events().find(handle);
  if (event == nullptr) return refuse(cudaErrorInvalidResourceHandle, kCall, kNoEvent);
  Stream* stream = find_stream(stream_handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, kCall, kNoStream);
  if (const auto error = unless_legacy_is_unusable(*stream, kCall)) return error;
  const auto& theirs = event->capture;
  if (stream->capture) {
    Capture& ours = *stream->capture;
    if (ours.broken) return refuse(cudaErrorStreamCaptureInvalidated, kCall, "the capture is broken");
    // [Prohibited]: waiting for an event that was not captured.
    if (!theirs) {
      return break_capture(ours, cudaErrorStreamCaptureIsolation, kCall, "a capturing stream waits for work outside");
    }
    // [Prohibited]: merging two captures.
    if (theirs != stream->capture) {
      if (!theirs->ended) theirs->broken = true;
      return break_capture(ours, cudaErrorStreamCaptureMerge, kCall, "the event belongs to another capture");
    }
    add_nodes(stream->tail, event->after);
    return cudaSuccess;
  }
  if (!theirs) return cudaSuccess;
  // Its work has become a graph's, of which no stream knows when it runs.
  if (theirs->ended) return refuse(cudaErrorCapturedEvent, kCall, "the event was last recorded during a capture");
  if (theirs->broken) return refuse(cudaErrorStreamCaptureInvalidated, kCall, "the capture is broken");
  if (is_legacy(*stream)) {
    return break_capture(*theirs, cudaErrorStreamCaptureImplicit, kCall, "the default stream would be captured");
  }
  // [Cross-stream]: a stream that waits for a captured event joins the capture.
  stream->capture = theirs;
  stream->tail = event->after;
  theirs->streams.push_back(stream);
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const Lock lock;
  const Event* event = events().find(handle);
  if (event == nullptr) return refuse(cudaErrorInvalidResourceHandle, "cudaEventQuery", kNoEvent);
  if (const auto error = unless_captured(*event, "cudaEventQuery")) return error;
  return unless_unsafe("cudaEventQuery");
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  const Lock lock;
  const Event* event = events().find(handle);
  if (event == nullptr) return refuse(cudaErrorInvalidResourceHandle, "cudaEventSynchronize", kNoEvent);
  if (const auto error = unless_captured(*event, "cudaEventSynchronize")) return error;
  if (const auto error = unless_unsafe("cudaEventSynchronize")) return error;
  note("wait", "cudaEventSynchronize");
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Lock lock;
  for (const auto handle : {start, end}) {
    const Event* event = events().find(handle);
    if (event == nullptr || !event->recorded || !event->timing) {
      return refuse(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime", "an event was not recorded with its time");
    }
    if (const auto error = unless_captured(*event, "cudaEventElapsedTime")) return error;
  }
  // Nothing takes time here; not zero, by which programs divide.
  *milliseconds = 1;
  return cudaSuccess;
}

}  // extern "C"
