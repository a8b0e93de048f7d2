#include "matrix.h"

#include <string>
#include <vector>

#include "capture.h"
#include "device_memory.h"
#include "log.h"

namespace stand_in {
namespace {

size_t bytes_of(cudaDataType type) {
  switch (type) {
    case CUDA_R_32F: return 4;
    case CUDA_R_16BF: return 2;
    case CUDA_R_16F: return 2;
    default: end_program("a matrix product of elements of type " + std::to_string(type));
  }
}

cudaError_t check_places(const char* call, const std::vector<Matrix>& matrices) {
  for (const Matrix& matrix : matrices) {
    if (matrix.rows == 0 || matrix.columns == 0 || matrix.count == 0) continue;
    const int64_t elements =
        (matrix.count - 1) * matrix.stride + (matrix.columns - 1) * matrix.leading + matrix.rows;
    if (!is_on_device(matrix.data, static_cast<size_t>(elements) * bytes_of(matrix.type))) {
      return refuse(cudaErrorIllegalAddress, call, "a matrix does not lie in the device's memory");
    }
  }
  return cudaSuccess;
}

}  // namespace

Matrix operand(cublasOperation_t operation, const void* data, cudaDataType type, int64_t rows, int64_t columns,
               int64_t leading, int64_t count, int64_t stride) {
  if (operation == CUBLAS_OP_N) return {data, type, rows, columns, leading, count, stride};
  return {data, type, columns, rows, leading, count, stride};
}

cublasStatus_t multiply(const char* call, cudaStream_t stream, std::initializer_list<Matrix> matrices) {
  const Lock lock;
  for (const Matrix& matrix : matrices) {
    // cuBLAS documentation, "cublas<t>gemm", return values.
    const bool fits = matrix.rows >= 0 && matrix.columns >= 0 && matrix.count >= 0 && matrix.stride >= 0 &&
                      matrix.leading >= (matrix.rows > 1 ? matrix.rows : 1);
    if (!fits) {
      refuse(cudaErrorInvalidValue, call,
             std::to_string(matrix.rows) + " x " + std::to_string(matrix.columns) + " with a leading dimension of " +
                 std::to_string(matrix.leading));
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  const std::vector<Matrix> all(matrices);
  const auto error = enqueue(call, stream, "launch", call, [call, all] { return check_places(call, all); });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace stand_in
