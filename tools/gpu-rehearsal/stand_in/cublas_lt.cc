// cublasLt: products with a bias or an activation behind them.
#include <cstring>
#include <string>

#include "capture.h"
#include "log.h"
#include "matrix.h"

using namespace stand_in;

namespace {

struct Product {
  cublasOperation_t op_a = CUBLAS_OP_N;
  cublasOperation_t op_b = CUBLAS_OP_N;
};

struct Layout {
  cudaDataType type;
  int64_t rows;
  int64_t columns;
  int64_t leading;
  int32_t count = 1;
  int64_t stride = 0;
};

struct Preference {};

Handles<Product, cublasLtMatmulDesc_t>& products() {
  static auto& all = *new Handles<Product, cublasLtMatmulDesc_t>;
  return all;
}

Handles<Layout, cublasLtMatrixLayout_t>& layouts() {
  static auto& all = *new Handles<Layout, cublasLtMatrixLayout_t>;
  return all;
}

Handles<Preference, cublasLtMatmulPreference_t>& preferences() {
  static auto& all = *new Handles<Preference, cublasLtMatmulPreference_t>;
  return all;
}

cublasStatus_t no_such(const char* call) {
  refuse(cudaErrorInvalidValue, call, "there is no such description");
  return CUBLAS_STATUS_INVALID_VALUE;
}

// False if the attribute has another size.
template <typename Value>
bool take(Value& value, const void* from, size_t bytes) {
  if (bytes != sizeof value) return false;
  std::memcpy(&value, from, bytes);
  return true;
}

Matrix matrix_of(const Layout& layout, const void* data) {
  return {data, layout.type, layout.rows, layout.columns, layout.leading, layout.count, layout.stride};
}

// Rows and columns of a layout after the operation.
int64_t rows_of(const Layout& layout, cublasOperation_t op) { return op == CUBLAS_OP_N ? layout.rows : layout.columns; }
int64_t columns_of(const Layout& layout, cublasOperation_t op) {
  return op == CUBLAS_OP_N ? layout.columns : layout.rows;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* out, cublasComputeType_t, cudaDataType_t) {
  const Lock lock;
  *out = products().give(new Product);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
  const Lock lock;
  return products().destroy(product) ? CUBLAS_STATUS_SUCCESS : no_such("cublasLtMatmulDescDestroy");
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  constexpr const char* kCall = "cublasLtMatmulDescSetAttribute";
  const Lock lock;
  Product* product = products().find(handle);
  if (product == nullptr) return no_such(kCall);
  bool fits = true;
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSA) fits = take(product->op_a, value, bytes);
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSB) fits = take(product->op_b, value, bytes);
  // What comes behind the product, as its bias, changes numbers only.
  return fits ? CUBLAS_STATUS_SUCCESS : no_such(kCall);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* out, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  const Lock lock;
  *out = layouts().give(new Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), leading});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  const Lock lock;
  return layouts().destroy(layout) ? CUBLAS_STATUS_SUCCESS : no_such("cublasLtMatrixLayoutDestroy");
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t handle,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  constexpr const char* kCall = "cublasLtMatrixLayoutSetAttribute";
  const Lock lock;
  Layout* layout = layouts().find(handle);
  if (layout == nullptr) return no_such(kCall);
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return take(layout->count, value, bytes) ? CUBLAS_STATUS_SUCCESS : no_such(kCall);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return take(layout->stride, value, bytes) ? CUBLAS_STATUS_SUCCESS : no_such(kCall);
    // Rows one behind the other, say: the checks here are for columns.
    default: end_program("cublasLtMatrixLayoutSetAttribute for attribute " + std::to_string(attribute));
  }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* out) {
  const Lock lock;
  *out = preferences().give(new Preference);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  const Lock lock;
  return preferences().destroy(preference) ? CUBLAS_STATUS_SUCCESS : no_such("cublasLtMatmulPreferenceDestroy");
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t, const void*, size_t) {
  const Lock lock;
  return preferences().find(preference) != nullptr ? CUBLAS_STATUS_SUCCESS
                                                   : no_such("cublasLtMatmulPreferenceSetAttribute");
}

// One way to compute is always found, and takes no workspace.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int, cublasLtMatmulHeuristicResult_t* found,
                                              int* count) {
  std::memset(found, 0, sizeof *found);
  found->state = CUBLAS_STATUS_SUCCESS;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t handle, const void*, const void* a,
                              cublasLtMatrixLayout_t layout_a, const void* b, cublasLtMatrixLayout_t layout_b,
                              const void*, const void* c, cublasLtMatrixLayout_t layout_c, void* d,
                              cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t*, void*, size_t,
                              cudaStream_t stream) {
  constexpr const char* kCall = "cublasLtMatmul";
  const Lock lock;
  const Product* product = products().find(handle);
  const Layout* of_a = layouts().find(layout_a);
  const Layout* of_b = layouts().find(layout_b);
  const Layout* of_c = layouts().find(layout_c);
  const Layout* of_d = layouts().find(layout_d);
  if (product == nullptr || of_a == nullptr || of_b == nullptr || of_c == nullptr || of_d == nullptr) {
    return no_such(kCall);
  }
  if (rows_of(*of_a, product->op_a) != of_d->rows || columns_of(*of_b, product->op_b) != of_d->columns ||
      columns_of(*of_a, product->op_a) != rows_of(*of_b, product->op_b)) {
    refuse(cudaErrorInvalidValue, kCall, "the matrices' shapes do not fit together");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return multiply(kCall, stream, {matrix_of(*of_a, a), matrix_of(*of_b, b), matrix_of(*of_c, c), matrix_of(*of_d, d)});
}

}  // extern "C"
