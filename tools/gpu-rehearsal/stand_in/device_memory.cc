#include "device_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <unordered_map>

#include "capture.h"
#include "log.h"

using namespace stand_in;

namespace {

using Blocks = std::map<const char*, size_t>;

// What cudaMalloc gave out.
Blocks& device_blocks() {
  static auto& blocks = *new Blocks;
  return blocks;
}

// What cudaHostAlloc gave out.
Blocks& pinned_blocks() {
  static auto& blocks = *new Blocks;
  return blocks;
}

// Variables of kernels' files; they have memory once something asks for it.
Blocks& symbol_blocks() {
  static auto& blocks = *new Blocks;
  return blocks;
}

std::unordered_map<const void*, Symbol>& symbols() {
  static auto& all = *new std::unordered_map<const void*, Symbol>;
  return all;
}

size_t allocated = 0;

bool lies_in(const Blocks& blocks, const void* start, size_t bytes) {
  const char* const first = static_cast<const char*>(start);
  auto block = blocks.upper_bound(first);
  if (block == blocks.begin()) return false;
  --block;
  const auto offset = static_cast<size_t>(first - block->first);
  return offset < block->second && bytes <= block->second - offset;
}

// Memory of which only what is touched is taken from the host, zero at first.
void* new_pages(size_t bytes) {
  void* pages =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, /*offset=*/0);
  return pages == MAP_FAILED ? nullptr : pages;
}

// Null if there is no such symbol.
Symbol* symbol_of(const void* host) {
  const auto found = symbols().find(host);
  if (found == symbols().end()) return nullptr;
  Symbol& symbol = found->second;
  if (symbol.device == nullptr) {
    symbol.device = std::calloc(symbol.bytes, 1);
    symbol_blocks()[static_cast<const char*>(symbol.device)] = symbol.bytes;
  }
  return &symbol;
}

}  // namespace

namespace stand_in {

bool is_on_device(const void* start, size_t bytes) {
  return lies_in(device_blocks(), start, bytes) || lies_in(symbol_blocks(), start, bytes);
}

void add_symbol(const void* host, size_t bytes) {
  const Lock lock;
  symbols()[host] = {nullptr, bytes};
}

}  // namespace stand_in

extern "C" {

cudaError_t cudaMalloc(void** out, size_t bytes) {
  const Lock lock;
  if (const auto error = unless_unsafe("cudaMalloc")) return error;
  *out = nullptr;
  if (bytes == 0) return cudaSuccess;
  void* pages = bytes <= kTotalMemory - allocated ? new_pages(bytes) : nullptr;
  if (pages == nullptr) return refuse(cudaErrorMemoryAllocation, "cudaMalloc", "no memory is left");
  device_blocks()[static_cast<const char*>(pages)] = bytes;
  allocated += bytes;
  note("allocate", "", bytes);
  *out = pages;
  return cudaSuccess;
}

cudaError_t cudaFree(void* start) {
  const Lock lock;
  // Programs call this with null to make the run time start.
  if (start == nullptr) return cudaSuccess;
  if (const auto error = unless_unsafe("cudaFree")) return error;
  const auto block = device_blocks().find(static_cast<const char*>(start));
  if (block == device_blocks().end()) {
    return refuse(cudaErrorInvalidValue, "cudaFree", "cudaMalloc did not give this pointer");
  }
  const size_t bytes = block->second;
  munmap(start, bytes);
  allocated -= bytes;
  device_blocks().erase(block);
  note("free", "", bytes);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** out, size_t bytes, unsigned) {
  const Lock lock;
  if (const auto error = unless_unsafe("cudaHostAlloc")) return error;
  *out = nullptr;
  if (bytes == 0) return cudaSuccess;
  void* pages = new_pages(bytes);
  if (pages == nullptr) return refuse(cudaErrorMemoryAllocation, "cudaHostAlloc", "no memory is left");
  pinned_blocks()[static_cast<const char*>(pages)] = bytes;
  *out = pages;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* start) {
  const Lock lock;
  if (start == nullptr) return cudaSuccess;
  if (const auto error = unless_unsafe("cudaFreeHost")) return error;
  const auto block = pinned_blocks().find(static_cast<const char*>(start));
  if (block == pinned_blocks().end()) {
    return refuse(cudaErrorInvalidValue, "cudaFreeHost", "cudaHostAlloc did not give this pointer");
  }
  munmap(start, block->second);
  pinned_blocks().erase(block);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const Lock lock;
  *total = kTotalMemory;
  *free = kTotalMemory - allocated;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* start) {
  const Lock lock;
  std::memset(attributes, 0, sizeof *attributes);
  void* const address = const_cast<void*>(start);
  if (is_on_device(start, 1)) {
    attributes->type = cudaMemoryTypeDevice;
    attributes->devicePointer = address;
  } else if (lies_in(pinned_blocks(), start, 1)) {
    attributes->type = cudaMemoryTypeHost;
    attributes->devicePointer = attributes->hostPointer = address;
  } else {
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = cudaInvalidDeviceId;
    attributes->hostPointer = address;
  }
  return cudaSuccess;
}

cudaError_t cudaGetSymbolAddress(void** out, const void* host) {
  const Lock lock;
  const Symbol* symbol = symbol_of(host);
  if (symbol == nullptr) return refuse(cudaErrorInvalidSymbol, "cudaGetSymbolAddress", "there is no such symbol");
  *out = symbol->device;
  return cudaSuccess;
}

cudaError_t cudaMemcpyToSymbol(const void* host, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  const Lock lock;
  const Symbol* symbol = symbol_of(host);
  if (symbol == nullptr || offset > symbol->bytes) {
    return refuse(cudaErrorInvalidSymbol, "cudaMemcpyToSymbol", "there is no such symbol");
  }
  return cudaMemcpy(static_cast<char*>(symbol->device) + offset, from, bytes, kind);
}

}  // extern "C"
