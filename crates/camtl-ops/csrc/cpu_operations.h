// The operations on the CPU.
#pragma once
#include "operations.h"

namespace camtl::cpu {

operation::LayoutNew layout_new;
operation::LayoutFree layout_free;
operation::Film film;
operation::LayerNorm layer_norm;
operation::Gelu gelu;
operation::Linear linear;
operation::Attention attention;
operation::Embedding embedding;
operation::Heads heads;
operation::AdamW adamw;
operation::Norm norm;
operation::TopScores top_scores;

}  // namespace camtl::cpu
