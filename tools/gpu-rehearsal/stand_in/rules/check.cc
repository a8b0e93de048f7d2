// Breaks the rules that the stand-in knows, one after the other, and wants each refusal by its code:
// a rehearsal in which nothing is refused says something only if the stand-in would refuse.
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "interfaces.h"

extern "C" {
// What nvcc makes programs call before their first launch.
void __cudaRegisterFunction(void**, const char*, char*, const char*, int, uint3*, uint3*, dim3*, dim3*, int*);
}

namespace {

int failures = 0;

void expect(const std::string& what, int got, int wanted) {
  if (got == wanted) return;
  ++failures;
  std::fprintf(stderr, "%s: %d, and %d was expected\n", what.c_str(), got, wanted);
}

void fine(const std::string& what, cudaError_t got) { expect(what, got, cudaSuccess); }

// Stands for a kernel on the host's side.
const char kKernel = 0;

cudaError_t launch(cudaStream_t stream, dim3 grid = {1}, dim3 block = {32}, size_t shared = 0) {
  return cudaLaunchKernel(&kKernel, grid, block, nullptr, shared, stream);
}

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  fine("a stream", cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, 0));
  return stream;
}

cudaEvent_t new_event() {
  cudaEvent_t event = nullptr;
  fine("an event", cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return event;
}

float* new_memory(size_t bytes) {
  void* memory = nullptr;
  fine("memory", cudaMalloc(&memory, bytes));
  return static_cast<float*>(memory);
}

// Does `act` during a capture and wants `wanted` of it, and of the capture's end `end`.
void during_capture(const std::string& what, const std::function<cudaError_t(cudaStream_t)>& act, cudaError_t wanted,
                    cudaError_t end, cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
  const cudaStream_t stream = new_stream();
  fine(what + ", begin", cudaStreamBeginCapture(stream, mode));
  fine(what + ", launch", launch(stream));
  expect(what, act(stream), wanted);
  cudaGraph_t graph = nullptr;
  expect(what + ", end", cudaStreamEndCapture(stream, &graph), end);
  expect(what + ", graph", graph != nullptr, end == cudaSuccess);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
  fine(what + ", status", cudaStreamIsCapturing(stream, &status));
  expect(what + ", status", status, cudaStreamCaptureStatusNone);
  fine(what + ", after", launch(stream));
}

void check_launches() {
  expect("no threads", launch(nullptr, {1}, {0}), cudaErrorInvalidConfiguration);
  expect("1025 threads", launch(nullptr, {1}, {1025}), cudaErrorInvalidConfiguration);
  expect("2048 threads in two rows", launch(nullptr, {1}, {1024, 2}), cudaErrorInvalidConfiguration);
  expect("a grid of 65536 rows", launch(nullptr, {1, 65536}), cudaErrorInvalidConfiguration);
  expect("49 KB without asking", launch(nullptr, {1}, {32}, 49 << 10), cudaErrorInvalidValue);
  const auto allow = [](int bytes) {
    return cudaFuncSetAttribute(&kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  expect("228 KB asked for", allow(228 << 10), cudaErrorInvalidValue);
  fine("49 KB asked for", allow(49 << 10));
  fine("49 KB", launch(nullptr, {1}, {32}, 49 << 10));
  expect("50 KB", launch(nullptr, {1}, {32}, 50 << 10), cudaErrorInvalidValue);
  expect("no kernel", cudaLaunchKernel(&failures, {1}, {32}, nullptr, 0, nullptr), cudaErrorInvalidDeviceFunction);
  expect("the last error", cudaGetLastError(), cudaErrorInvalidDeviceFunction);
  fine("the error after it", cudaGetLastError());
}

void check_memory() {
  char host[64];
  float* device = new_memory(64);
  expect("freeing the host's", cudaFree(host), cudaErrorInvalidValue);
  expect("freeing a middle", cudaFree(device + 1), cudaErrorInvalidValue);
  fine("a copy", cudaMemcpy(device, host, 64, cudaMemcpyHostToDevice));
  expect("a copy beyond the end", cudaMemcpy(device + 1, host, 64, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  expect("a copy to the host as the device", cudaMemcpy(host, host, 64, cudaMemcpyHostToDevice),
         cudaErrorInvalidValue);
  expect("a memset of the host's", cudaMemsetAsync(host, 0, 64, nullptr), cudaErrorInvalidValue);
  std::memset(host, 1, sizeof host);
  fine("a copy back", cudaMemcpy(host, device, 64, cudaMemcpyDeviceToHost));
  expect("what is read", host[63], 0);
  fine("freeing", cudaFree(device));
  expect("freeing twice", cudaFree(device), cudaErrorInvalidValue);
  expect("a copy to freed memory", cudaMemcpy(device, host, 64, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
}

void check_forbidden_calls() {
  const auto unsupported = cudaErrorStreamCaptureUnsupported;
  const auto broken = cudaErrorStreamCaptureInvalidated;
  const auto allocate = [](cudaStream_t) {
    void* memory = nullptr;
    return cudaMalloc(&memory, 64);
  };
  during_capture("a launch", [](cudaStream_t s) { return launch(s); }, cudaSuccess, cudaSuccess);
  during_capture("cudaMalloc", allocate, unsupported, broken);
  during_capture("cudaMalloc in a relaxed capture", allocate, cudaSuccess, cudaSuccess, cudaStreamCaptureModeRelaxed);
  during_capture(
      "cudaMalloc in a relaxed thread",
      [&](cudaStream_t s) {
        auto mode = cudaStreamCaptureModeRelaxed;
        cudaThreadExchangeStreamCaptureMode(&mode);
        const auto error = allocate(s);
        cudaThreadExchangeStreamCaptureMode(&mode);
        return error;
      },
      cudaSuccess, cudaSuccess);
  const auto on_another_thread = [&](cudaStream_t s) {
    auto error = cudaSuccess;
    std::thread([&] { error = allocate(s); }).join();
    return error;
  };
  during_capture("cudaMalloc of another thread", on_another_thread, cudaSuccess, cudaSuccess);
  during_capture("cudaMalloc of another thread, global", on_another_thread, unsupported, broken,
                 cudaStreamCaptureModeGlobal);
  during_capture("waiting", [](cudaStream_t s) { return cudaStreamSynchronize(s); }, unsupported, broken);
  during_capture("asking", [](cudaStream_t s) { return cudaStreamQuery(s); }, unsupported, broken);
  during_capture("waiting, relaxed", [](cudaStream_t s) { return cudaStreamSynchronize(s); }, unsupported, broken,
                 cudaStreamCaptureModeRelaxed);
  during_capture("waiting for the device", [](cudaStream_t) { return cudaDeviceSynchronize(); }, unsupported, broken,
                 cudaStreamCaptureModeRelaxed);
  during_capture("the default stream", [](cudaStream_t) { return launch(nullptr); }, cudaErrorStreamCaptureImplicit,
                 broken);
  during_capture("going on when broken",
                 [&](cudaStream_t s) {
                   allocate(s);
                   return launch(s);
                 },
                 broken, broken);
  during_capture("destroying the stream", [](cudaStream_t s) { return cudaStreamDestroy(s); }, unsupported, broken);
  during_capture("a second begin",
                 [](cudaStream_t s) { return cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed); },
                 cudaErrorIllegalState, cudaSuccess);
  expect("capturing the default stream", cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed), unsupported);
  cudaGraph_t graph = nullptr;
  expect("an end without a begin", cudaStreamEndCapture(new_stream(), &graph), cudaErrorIllegalState);
  const auto end_elsewhere = [](cudaStream_t s) {
    auto error = cudaSuccess;
    std::thread([&] {
      cudaGraph_t unused = nullptr;
      error = cudaStreamEndCapture(s, &unused);
    }).join();
    return error;
  };
  during_capture("an end on another thread", end_elsewhere, cudaErrorStreamCaptureWrongThread, broken);
}

void check_dependencies() {
  const auto broken = cudaErrorStreamCaptureInvalidated;
  const cudaEvent_t outside = new_event();
  const cudaEvent_t inside = new_event();
  const cudaStream_t other = new_stream();
  fine("an event outside", cudaEventRecord(outside, other));
  during_capture("an event from outside", [&](cudaStream_t s) { return cudaStreamWaitEvent(s, outside, 0); },
                 cudaErrorStreamCaptureIsolation, broken);
  during_capture("asking a captured event",
                 [&](cudaStream_t s) {
                   cudaEventRecord(inside, s);
                   return cudaEventQuery(inside);
                 },
                 cudaErrorCapturedEvent, broken);
  const auto fork = [&](cudaStream_t s) {
    cudaEventRecord(inside, s);
    cudaStreamWaitEvent(other, inside, 0);
    return launch(other);
  };
  during_capture("a fork", fork, cudaSuccess, cudaErrorStreamCaptureUnjoined);
  during_capture("a fork that is joined",
                 [&](cudaStream_t s) {
                   fork(s);
                   cudaEventRecord(inside, other);
                   return cudaStreamWaitEvent(s, inside, 0);
                 },
                 cudaSuccess, cudaSuccess);
  during_capture("an end on the fork's stream",
                 [&](cudaStream_t s) {
                   fork(s);
                   cudaGraph_t graph = nullptr;
                   return cudaStreamEndCapture(other, &graph);
                 },
                 cudaErrorStreamCaptureUnmatched, broken);
  during_capture("two captures",
                 [&](cudaStream_t s) {
                   cudaStreamBeginCapture(other, cudaStreamCaptureModeThreadLocal);
                   cudaEventRecord(inside, other);
                   const auto error = cudaStreamWaitEvent(s, inside, 0);
                   cudaGraph_t graph = nullptr;
                   expect("the other capture", cudaStreamEndCapture(other, &graph), broken);
                   return error;
                 },
                 cudaErrorStreamCaptureMerge, broken);
}

void check_replays() {
  const cudaStream_t stream = new_stream();
  float* memory = new_memory(64);
  fine("begin", cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  fine("memset", cudaMemsetAsync(memory, 1, 64, stream));
  cudaGraph_t graph = nullptr;
  fine("end", cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t executable = nullptr;
  fine("instantiate", cudaGraphInstantiateWithFlags(&executable, graph, 0));
  fine("destroy", cudaGraphDestroy(graph));
  expect("destroying twice", cudaGraphDestroy(graph), cudaErrorInvalidValue);
  // The made-up device's memory can be looked into.
  const char* const first = reinterpret_cast<const char*>(memory);
  expect("before the replay", *first, 0);
  fine("replay", cudaGraphLaunch(executable, stream));
  expect("after the replay", *first, 1);
  fine("free", cudaFree(memory));
  expect("a replay into freed memory", cudaGraphLaunch(executable, stream), cudaErrorInvalidValue);
  fine("destroy", cudaGraphExecDestroy(executable));
  expect("a replay of nothing", cudaGraphLaunch(executable, stream), cudaErrorInvalidValue);
}

void check_products() {
  cublasHandle_t handle = nullptr;
  expect("a handle", cublasCreate_v2(&handle), CUBLAS_STATUS_SUCCESS);
  float* a = new_memory(6 * sizeof(float));
  const float one = 1;
  // 2 x 3 by 3 x 2, of one place: what is computed does not matter.
  const auto multiply = [&](const float* left, int leading) {
    return cublasSgemm_v2(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 3, &one, left, leading, a, 3, &one, a, 2);
  };
  float host[6];
  expect("a product", multiply(a, 2), CUBLAS_STATUS_SUCCESS);
  expect("columns that overlap", multiply(a, 1), CUBLAS_STATUS_INVALID_VALUE);
  expect("a matrix beyond its memory", multiply(a, 3), CUBLAS_STATUS_EXECUTION_FAILED);
  expect("a matrix of the host's", multiply(host, 2), CUBLAS_STATUS_EXECUTION_FAILED);
  expect("a handle's end", cublasDestroy_v2(handle), CUBLAS_STATUS_SUCCESS);
  expect("a handle that has ended", multiply(a, 2), CUBLAS_STATUS_NOT_INITIALIZED);
}

}  // namespace

int main() {
  __cudaRegisterFunction(nullptr, &kKernel, nullptr, "kernel", 0, nullptr, nullptr, nullptr, nullptr, nullptr);
  check_launches();
  check_memory();
  check_forbidden_calls();
  check_dependencies();
  check_replays();
  check_products();
  if (failures != 0) std::fprintf(stderr, "%d of the stand-in's rules are wrong\n", failures);
  return failures == 0 ? 0 : 1;
}
