// The C interface of the kernels: raw pointers and sizes, so that a CUDA
// launcher can have the same signatures. No torch header.
#pragma once
#include <cstdint>

extern "C" {

// Masks of 0 and 1; element counters as src/dropout.rs documents.
void camtl_dropout_flat(float* out, int64_t count, uint64_t seed, uint32_t threshold);
void camtl_dropout_tokens(float* out, int64_t columns, const int64_t* cu_seqlens, int64_t sequences,
                          uint64_t seed, uint32_t threshold);
void camtl_dropout_attention(float* out, const int64_t* members, int64_t count, int64_t heads, int64_t queries,
                             int64_t keys, uint64_t seed, uint32_t threshold);

}  // extern "C"
