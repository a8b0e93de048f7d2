// cuBLAS in float32, bfloat16 and float16: what models of camtl call. Other types are unanswered.
#include "capture.h"
#include "log.h"
#include "matrix.h"

using namespace stand_in;

namespace {

struct Context {
  cudaStream_t stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
};

Handles<Context, cublasHandle_t>& contexts() {
  static auto& all = *new Handles<Context, cublasHandle_t>;
  return all;
}

// Does `use` with the handle's context.
template <typename Use>
cublasStatus_t with(cublasHandle_t handle, const char* call, Use use) {
  const Lock lock;
  Context* context = contexts().find(handle);
  if (context == nullptr) {
    refuse(cudaErrorInvalidResourceHandle, call, "there is no such cuBLAS handle");
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  return use(*context);
}

// c = a b, or a batch of such products.
cublasStatus_t product(cublasHandle_t handle, const char* call, int m, int n, int k, const Matrix& a, const Matrix& b,
                       const Matrix& c) {
  if (m < 0 || n < 0 || k < 0) {
    refuse(cudaErrorInvalidValue, call, "a negative size");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return with(handle, call, [&](Context& context) { return multiply(call, context.stream, {a, b, c}); });
}

// A vector as a matrix of one row, whose elements are `step` apart.
Matrix vector_of(const void* data, cudaDataType type, int64_t count, int64_t step) {
  // A negative step goes through the same elements backwards.
  return {data, type, 1, count, step < 0 ? -step : step};
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* out) {
  const Lock lock;
  // It takes memory of the device.
  if (unless_unsafe("cublasCreate") != cudaSuccess) return CUBLAS_STATUS_ALLOC_FAILED;
  *out = contexts().give(new Context);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  return with(handle, "cublasDestroy", [&](Context&) {
    contexts().destroy(handle);
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return with(handle, "cublasSetStream", [&](Context& context) {
    context.stream = stream;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void*, size_t) {
  return with(handle, "cublasSetWorkspace", [](Context&) { return CUBLAS_STATUS_SUCCESS; });
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t math) {
  return with(handle, "cublasSetMathMode", [&](Context& context) {
    context.math = math;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* math) {
  return with(handle, "cublasGetMathMode", [&](Context& context) {
    *math = context.math;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  return with(handle, "cublasSetPointerMode", [&](Context& context) {
    context.pointers = mode;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t* mode) {
  return with(handle, "cublasGetPointerMode", [&](Context& context) {
    *mode = context.pointers;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                            const void*, const void* a, cudaDataType type_a, int lda, const void* b,
                            cudaDataType type_b, int ldb, const void*, void* c, cudaDataType type_c, int ldc,
                            cublasComputeType_t, cublasGemmAlgo_t) {
  return product(handle, "cublasGemmEx", m, n, k, operand(op_a, a, type_a, m, k, lda),
                 operand(op_b, b, type_b, k, n, ldb), {c, type_c, m, n, ldc});
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,
                              int k, const float*, const float* a, int lda, const float* b, int ldb, const float*,
                              float* c, int ldc) {
  return product(handle, "cublasSgemm", m, n, k, operand(op_a, a, CUDA_R_32F, m, k, lda),
                 operand(op_b, b, CUDA_R_32F, k, n, ldb), {c, CUDA_R_32F, m, n, ldc});
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                          int n, int k, const void*, const void* a, cudaDataType type_a, int lda,
                                          long long stride_a, const void* b, cudaDataType type_b, int ldb,
                                          long long stride_b, const void*, void* c, cudaDataType type_c, int ldc,
                                          long long stride_c, int count, cublasComputeType_t, cublasGemmAlgo_t) {
  return product(handle, "cublasGemmStridedBatchedEx", m, n, k, operand(op_a, a, type_a, m, k, lda, count, stride_a),
                 operand(op_b, b, type_b, k, n, ldb, count, stride_b), {c, type_c, m, n, ldc, count, stride_c});
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                         int n, int k, const float*, const float* a, int lda, long long stride_a,
                                         const float* b, int ldb, long long stride_b, const float*, float* c, int ldc,
                                         long long stride_c, int count) {
  return product(handle, "cublasSgemmStridedBatched", m, n, k,
                 operand(op_a, a, CUDA_R_32F, m, k, lda, count, stride_a),
                 operand(op_b, b, CUDA_R_32F, k, n, ldb, count, stride_b), {c, CUDA_R_32F, m, n, ldc, count, stride_c});
}

cublasStatus_t cublasSgemv_v2(cublasHandle_t handle, cublasOperation_t op, int m, int n, const float*, const float* a,
                              int lda, const float* x, int step_x, const float*, float* y, int step_y) {
  const bool plain = op == CUBLAS_OP_N;
  return product(handle, "cublasSgemv", m, n, 1, {a, CUDA_R_32F, m, n, lda},
                 vector_of(x, CUDA_R_32F, plain ? n : m, step_x), vector_of(y, CUDA_R_32F, plain ? m : n, step_y));
}

cublasStatus_t cublasDotEx(cublasHandle_t handle, int count, const void* x, cudaDataType type_x, int step_x,
                           const void* y, cudaDataType type_y, int step_y, void* out, cudaDataType type,
                           cudaDataType) {
  return with(handle, "cublasDotEx", [&](Context& context) {
    // cuBLAS documentation, "Scalar Parameters": the host waits for a result that it gets.
    if (context.pointers == CUBLAS_POINTER_MODE_HOST) end_program("cublasDotEx with its result on the host");
    return multiply("cublasDotEx", context.stream,
                    {vector_of(x, type_x, count, step_x), vector_of(y, type_y, count, step_y), {out, type, 1, 1, 1}});
  });
}

cublasStatus_t cublasSdot_v2(cublasHandle_t handle, int count, const float* x, int step_x, const float* y, int step_y,
                             float* out) {
  return cublasDotEx(handle, count, x, CUDA_R_32F, step_x, y, CUDA_R_32F, step_y, out, CUDA_R_32F, CUDA_R_32F);
}

}  // extern "C"
