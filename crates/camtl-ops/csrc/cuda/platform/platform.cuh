// The machine as the kernels see it: everything that is not plain C++ is behind
// a function of this file. The emulator of the tests has a file of the same name
// with the same functions, so that it runs the kernels' text unchanged.
#pragma once

#include <cuda_runtime.h>

#include <stddef.h>
#include <stdint.h>

namespace camtl {

// The one shared-memory block of a kernel; its size is a launch argument.
__device__ __forceinline__ unsigned char* dynamic_shared() {
  extern __shared__ uint4 camtl_dynamic_shared[];
  return reinterpret_cast<unsigned char*>(camtl_dynamic_shared);
}

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Copies 16 bytes to shared memory in the background; writes zeros instead where
// `valid` is false (`global` must still be an address, but is not read).
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}

// Closes the group of the copies issued since the last one.
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }

// Waits until at most `PENDING` of this thread's groups are still under way.
template <int PENDING>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(PENDING) : "memory");
}

// Four 8x8 matrices of 16-bit elements; lane l names row l % 8 of matrix l / 8.
// Lane l receives elements 2 * (l % 4), + 1 of row l / 4 of each.
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// The same with each matrix transposed.
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// c[16, 8] += a[16, 16] b[16, 8], bf16 operands, fp32 accumulators. With
// g = lane / 4 and t = lane % 4: c holds (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1);
// a holds pairs (g, 2t), (g+8, 2t), (g, 2t+8), (g+8, 2t+8); b pairs (2t, g), (2t+8, g).
__device__ __forceinline__ void multiply_accumulate(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Value of the lane whose number differs by `mask`.
__device__ __forceinline__ float shuffle_xor(float value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
__device__ __forceinline__ uint32_t shuffle_xor(uint32_t value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// Bit l of the result is lane l's predicate.
__device__ __forceinline__ uint32_t ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }

__device__ __forceinline__ void sync_warp() { __syncwarp(); }
__device__ __forceinline__ void sync_block() { __syncthreads(); }

__device__ __forceinline__ int thread_index() { return static_cast<int>(threadIdx.x); }
__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x & 31); }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x >> 5); }
__device__ __forceinline__ int block_threads() { return static_cast<int>(blockDim.x); }
__device__ __forceinline__ int block_x() { return static_cast<int>(blockIdx.x); }
__device__ __forceinline__ int block_y() { return static_cast<int>(blockIdx.y); }
__device__ __forceinline__ int block_z() { return static_cast<int>(blockIdx.z); }
__device__ __forceinline__ int grid_x() { return static_cast<int>(gridDim.x); }

// 2^x; one instruction, relative error about 2^-22.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float log2_fast(float x) { return __log2f(x); }
// 1 / x; one instruction, relative error below 2^-23.
__device__ __forceinline__ float reciprocal_fast(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float reciprocal_sqrt(float x) { return rsqrtf(x); }

// (low, high) rounded to nearest even, low in the lower half.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

__device__ __forceinline__ float bits_to_float(uint32_t bits) { return __uint_as_float(bits); }

// Read-only global loads through the texture path.
template <typename T>
__device__ __forceinline__ T load_readonly(const T* pointer) {
  return __ldg(pointer);
}
// Global loads and stores of data that is used once: kept out of the way in the caches.
template <typename T>
__device__ __forceinline__ T load_streaming(const T* pointer) {
  return __ldcs(pointer);
}
template <typename T>
__device__ __forceinline__ void store_streaming(T* pointer, T value) {
  __stcs(pointer, value);
}

// Launches `kernel`; the result is a cudaError_t as int.
template <typename... Parameters, typename... Arguments>
inline int launch(void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared_bytes, void* stream,
                  Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return 0;
  // Above 48 KB a kernel must ask; asking costs nothing when it was done before.
  if (shared_bytes > 48 * 1024) {
    cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return static_cast<int>(error);
  }
  kernel<<<grid, static_cast<unsigned>(threads), shared_bytes, static_cast<cudaStream_t>(stream)>>>(
      static_cast<Parameters>(arguments)...);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace camtl
