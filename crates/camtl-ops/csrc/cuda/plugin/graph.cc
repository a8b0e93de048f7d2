// Captured graphs: the launches of a step, recorded once and replayed by one call, for
// steps so short that the GPU would wait for the host.
//
// All captures happen on one stream per thread, other than the default one, and so does
// the run before them that makes libtorch load kernels and allocate what must not be
// allocated while a capture is on. A replay goes to the current stream.
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "plugin/function.h"

namespace camtl::plugin {
namespace {

// Dropouts of one graph: 24 layers have three each.
constexpr int64_t kSeeds = 512;

using c10::cuda::CUDAStream;

// The stream of captures.
CUDAStream capture_stream(int64_t device) {
  thread_local std::map<int64_t, CUDAStream> streams;
  const auto found = streams.find(device);
  if (found != streams.end()) return found->second;
  const CUDAStream made = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, static_cast<c10::DeviceIndex>(device));
  streams.emplace(device, made);
  return made;
}

// `later` waits for what is in `earlier` now.
void follow(const CUDAStream& later, const CUDAStream& earlier) {
  at::cuda::CUDAEvent event;
  event.record(earlier);
  event.block(later);
}

// The stream this thread was on before graph_enter.
std::optional<CUDAStream>& outer_stream() {
  thread_local std::optional<CUDAStream> stream;
  return stream;
}

struct Graph {
  at::cuda::CUDAGraph graph;
  SeedPlaces seeds;
  bool capturing = false;

  explicit Graph(int64_t device)
      : seeds(at::empty({kSeeds}, at::TensorOptions().dtype(at::kLong).device(gpu(device)))) {}

  // A capture that was given up must be closed: until then the stream is of no use.
  ~Graph() {
    if (!capturing) return;
    seed_places() = nullptr;
    try {
      graph.capture_end();
    } catch (const std::exception&) {
      // The capture had failed already, and its error has been told.
    }
  }

  void end() {
    capturing = false;
    seed_places() = nullptr;
    graph.capture_end();
  }
};

Graph& graph_of(void* pointer) { return *static_cast<Graph*>(pointer); }

}  // namespace

int graph_enter(int64_t device) {
  return guarded([&] {
    TORCH_CHECK(!outer_stream().has_value(), "this thread is on the stream of captures already");
    const CUDAStream outer = c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device));
    const CUDAStream inner = capture_stream(device);
    follow(inner, outer);
    outer_stream() = outer;
    c10::cuda::setCurrentCUDAStream(inner);
  });
}

int graph_leave() {
  return guarded([&] {
    TORCH_CHECK(outer_stream().has_value(), "this thread is not on the stream of captures");
    const CUDAStream outer = *outer_stream();
    outer_stream().reset();
    const CUDAStream inner = capture_stream(outer.device_index());
    c10::cuda::setCurrentCUDAStream(outer);
    follow(outer, inner);
  });
}

int graph_begin(void** out, int64_t device, void* shared) {
  return guarded([&] {
    auto graph = std::make_unique<Graph>(device);
    const auto pool = shared != nullptr ? graph_of(shared).graph.pool() : at::cuda::graph_pool_handle();
    // Other threads may go on using the GPU: a sampler's, a server's.
    graph->graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    graph->capturing = true;
    seed_places() = &graph->seeds;
    *out = graph.release();
  });
}

int graph_end(void* graph) {
  return guarded([&] { graph_of(graph).end(); });
}

int graph_seeds(void* graph, uint64_t* seeds, int64_t* count) {
  return guarded([&] {
    const auto& drawn = graph_of(graph).seeds.drawn();
    if (seeds != nullptr) std::copy(drawn.begin(), drawn.end(), seeds);
    *count = static_cast<int64_t>(drawn.size());
  });
}

int graph_replay(void* pointer, const uint64_t* seeds, int64_t count) {
  return guarded([&] {
    Graph& graph = graph_of(pointer);
    const auto drawn = static_cast<int64_t>(graph.seeds.drawn().size());
    TORCH_CHECK(count == drawn, count, " seeds for a graph of ", drawn, " dropouts");
    if (count > 0) {
      const at::NoGradGuard no_grad;
      const at::Tensor& places = graph.seeds.places();
      const at::Tensor words = host_words(count, at::kLong, places.device());
      std::copy(seeds, seeds + count, reinterpret_cast<uint64_t*>(words.mutable_data_ptr<int64_t>()));
      places.narrow(0, 0, count).copy_(words, /*non_blocking=*/true);
    }
    graph.graph.replay();
  });
}

void graph_free(void* graph) { delete static_cast<Graph*>(graph); }

}  // namespace camtl::plugin
