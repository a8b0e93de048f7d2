// Matrix products: what cuBLAS would find wrong with one, and its place in a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "interfaces.h"

namespace stand_in {

// Columns lie one behind the other, `leading` elements apart; matrices of a batch `stride` elements.
struct Matrix {
  const void* data;
  cudaDataType type;
  int64_t rows;
  int64_t columns;
  int64_t leading;
  int64_t count = 1;
  int64_t stride = 0;
};

// `rows` x `columns` after `operation`.
Matrix operand(cublasOperation_t operation, const void* data, cudaDataType type, int64_t rows, int64_t columns,
               int64_t leading, int64_t count = 1, int64_t stride = 0);

// Checks the matrices' shapes now and, whenever the product would run, that they lie on the device.
cublasStatus_t multiply(const char* call, cudaStream_t stream, std::initializer_list<Matrix> matrices);

}  // namespace stand_in
