// Streams, and what the run time permits while one of them is captured.
//
// Work is done at once where it is enqueued: a stream has no queue, and what is left of it are the
// rules. The rules' sources are named where they are applied:
//   [Prohibited]    CUDA C++ Programming Guide, "CUDA Graphs", "Prohibited and Unhandled Operations"
//   [Invalidation]  the same, "Invalidation"
//   [Cross-stream]  the same, "Cross-stream Dependencies and Events"
//   [Modes]         CUDA Runtime API, "Stream Management", cudaThreadExchangeStreamCaptureMode
//   [End]           CUDA Runtime API, "Stream Management", cudaStreamEndCapture
//   [Status]        CUDA Runtime API, "Stream Management", cudaStreamIsCapturing
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "errors.h"
#include "handles.h"

namespace stand_in {

// One lock for everything: calls are short, and most change what others look at. It is recursive
// because calls are made of calls.
class Lock {
 public:
  Lock();

 private:
  std::lock_guard<std::recursive_mutex> guard_;
};

// What a copy or memset does; kernels compute nothing and have none.
using Work = std::function<cudaError_t()>;

struct Node {
  std::vector<size_t> after;  // the nodes it waits for
  Work work;
};

struct Stream;

struct Capture {
  unsigned long long id = 0;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;             // that began it
  std::set<std::thread::id> threads;  // that put work into it
  std::vector<Stream*> streams;       // first the one it was begun on
  std::vector<Node> nodes;
  bool broken = false;
  bool ended = false;
};

struct Stream {
  bool blocking = true;  // waits for the legacy stream and is waited for
  std::shared_ptr<Capture> capture;
  std::vector<size_t> tail;  // the nodes that the next one waits for
};

using Streams = Handles<Stream, cudaStream_t>;
Streams& streams();

// The stream of a handle, the legacy stream for the null handle, or null.
Stream* find_stream(cudaStream_t handle);
bool is_legacy(const Stream& stream);

// Captures that have begun and not ended.
std::vector<std::shared_ptr<Capture>>& captures();

// A refusal that also breaks the capture.
cudaError_t break_capture(Capture& capture, cudaError_t error, std::string_view call, std::string_view why);

// Success, or the refusal of a call that a capture forbids:
// one that may synchronise or change what a captured graph relies on,
cudaError_t unless_unsafe(std::string_view call);
// one that waits for or asks about the whole device,
cudaError_t unless_capturing_anywhere(std::string_view call);
// one that waits for or asks about `stream`,
cudaError_t unless_capturing(const Stream& stream, std::string_view call);
// and one that uses the legacy stream.
cudaError_t unless_legacy_is_unusable(const Stream& stream, std::string_view call);

// Does `work` now, or puts it into the capture. Noted as `verb what`, or `captured what` for the
// verb "launch".
cudaError_t enqueue(std::string_view call, cudaStream_t handle, std::string_view verb, std::string_view what,
                    Work work = {});

// `more` added to `nodes`, each once.
void add_nodes(std::vector<size_t>& nodes, const std::vector<size_t>& more);

// The calling thread's mode.
cudaStreamCaptureMode& thread_mode();

}  // namespace stand_in
