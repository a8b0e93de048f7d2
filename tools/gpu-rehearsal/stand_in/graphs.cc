// Captures from begin to end, and the graphs they become.
#include <algorithm>
#include <memory>

#include "capture.h"
#include "log.h"

using namespace stand_in;

namespace {

struct Graph {
  std::shared_ptr<const std::vector<Node>> nodes;
};
// Of its own type, as the run time's are: one cannot be taken for the other.
struct Executable {
  std::shared_ptr<const std::vector<Node>> nodes;
};

Handles<Graph, cudaGraph_t>& graphs() {
  static auto& all = *new Handles<Graph, cudaGraph_t>;
  return all;
}

Handles<Executable, cudaGraphExec_t>& executables() {
  static auto& all = *new Handles<Executable, cudaGraphExec_t>;
  return all;
}

constexpr const char* kNoStream = "there is no such stream";
constexpr const char* kNoGraph = "there is no such graph";

// [Cross-stream]: all streams must have been joined to the first one, which then waits, directly
// or through others, for the last node of each.
bool is_joined(const Capture& capture) {
  std::vector<bool> waited_for(capture.nodes.size(), false);
  std::vector<size_t> open = capture.streams.front()->tail;
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    if (waited_for[node]) continue;
    waited_for[node] = true;
    open.insert(open.end(), capture.nodes[node].after.begin(), capture.nodes[node].after.end());
  }
  return std::all_of(capture.streams.begin(), capture.streams.end(), [&](const Stream* stream) {
    return std::all_of(stream->tail.begin(), stream->tail.end(), [&](size_t node) { return waited_for[node]; });
  });
}

// [Invalidation]: also a capture that ends badly gives its streams back.
void release(const std::shared_ptr<Capture>& capture) {
  capture->ended = true;
  for (Stream* stream : capture->streams) {
    stream->capture.reset();
    stream->tail.clear();
  }
  auto& open = captures();
  open.erase(std::remove(open.begin(), open.end(), capture), open.end());
}

}  // namespace

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  constexpr const char* kCall = "cudaStreamBeginCapture";
  static unsigned long long ids = 0;
  const Lock lock;
  Stream* stream = find_stream(handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, kCall, kNoStream);
  if (is_legacy(*stream)) {
    return refuse(cudaErrorStreamCaptureUnsupported, kCall, "the default stream cannot be captured");
  }
  if (stream->capture) return refuse(cudaErrorIllegalState, kCall, "the stream is capturing already");
  auto capture = std::make_shared<Capture>();
  capture->id = ++ids;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->threads.insert(capture->thread);
  capture->streams.push_back(stream);
  stream->capture = capture;
  stream->tail.clear();
  captures().push_back(std::move(capture));
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* out) {
  constexpr const char* kCall = "cudaStreamEndCapture";
  const Lock lock;
  *out = nullptr;
  Stream* stream = find_stream(handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, kCall, kNoStream);
  const std::shared_ptr<Capture> capture = stream->capture;
  if (!capture) return refuse(cudaErrorIllegalState, kCall, "the stream is not capturing");
  if (capture->streams.front() != stream) {
    return break_capture(*capture, cudaErrorStreamCaptureUnmatched, kCall, "the capture was begun on another stream");
  }
  // [End]
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
    return break_capture(*capture, cudaErrorStreamCaptureWrongThread, kCall, "another thread began the capture");
  }
  const bool joined = is_joined(*capture);
  release(capture);
  if (capture->broken) return refuse(cudaErrorStreamCaptureInvalidated, kCall, "the capture is broken");
  if (!joined) return refuse(cudaErrorStreamCaptureUnjoined, kCall, "a stream of the capture was not joined");
  auto graph = std::make_unique<Graph>();
  graph->nodes = std::make_shared<const std::vector<Node>>(std::move(capture->nodes));
  note("graph", "", graph->nodes->size());
  *out = graphs().give(graph.release());
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* out, cudaGraph_t handle, unsigned long long) {
  const Lock lock;
  const Graph* graph = graphs().find(handle);
  if (graph == nullptr) return refuse(cudaErrorInvalidValue, "cudaGraphInstantiate", kNoGraph);
  auto executable = std::make_unique<Executable>();
  executable->nodes = graph->nodes;
  *out = executables().give(executable.release());
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, size_t* count) {
  const Lock lock;
  const Graph* graph = graphs().find(handle);
  if (graph == nullptr) return refuse(cudaErrorInvalidValue, "cudaGraphGetNodes", kNoGraph);
  if (nodes != nullptr) end_program("cudaGraphGetNodes for the nodes themselves");
  *count = graph->nodes->size();
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  constexpr const char* kCall = "cudaGraphLaunch";
  const Lock lock;
  const Executable* executable = executables().find(handle);
  if (executable == nullptr) return refuse(cudaErrorInvalidValue, kCall, kNoGraph);
  const Stream* stream = find_stream(stream_handle);
  if (stream == nullptr) return refuse(cudaErrorInvalidResourceHandle, kCall, kNoStream);
  if (const auto error = unless_capturing(*stream, kCall)) return error;
  if (const auto error = unless_legacy_is_unusable(*stream, kCall)) return error;
  note("replay", "", executable->nodes->size());
  // In the order of capture, which every node's dependencies precede it in.
  for (const Node& node : *executable->nodes) {
    if (!node.work) continue;
    if (const auto error = node.work()) return error;
  }
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Lock lock;
  return graphs().destroy(graph) ? cudaSuccess : refuse(cudaErrorInvalidValue, "cudaGraphDestroy", kNoGraph);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const Lock lock;
  return executables().destroy(executable) ? cudaSuccess
                                           : refuse(cudaErrorInvalidValue, "cudaGraphExecDestroy", kNoGraph);
}

}  // extern "C"
