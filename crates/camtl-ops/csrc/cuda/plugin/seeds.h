// Dropout seeds of a captured graph. A graph replays launches with the arguments they
// were captured with, so while one is captured every dropout is told to read its seed
// from a place on the device; a replay writes new seeds there first.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "launch.h"
#include "plugin/table.h"

namespace camtl::plugin {

class SeedPlaces {
 public:
  // `places`: int64 on the device, one for each dropout of the graph.
  explicit SeedPlaces(at::Tensor places) : places_(std::move(places)) {}

  const uint64_t* next(uint64_t seed) {
    const auto at = static_cast<int64_t>(drawn_.size());
    TORCH_CHECK(at < places_.numel(), "a captured graph takes up to ", places_.numel(), " dropouts");
    drawn_.push_back(seed);
    return reinterpret_cast<const uint64_t*>(places_.const_data_ptr<int64_t>()) + at;
  }

  // The seeds that the captured dropouts were made with, in their order.
  const std::vector<uint64_t>& drawn() const { return drawn_; }
  const at::Tensor& places() const { return places_; }

 private:
  at::Tensor places_;
  std::vector<uint64_t> drawn_;
};

// Where dropouts of this thread read their seeds; null: their own arguments.
inline SeedPlaces*& seed_places() {
  thread_local SeedPlaces* places = nullptr;
  return places;
}

inline CamtlDropout dropout_of(const DropoutArguments& dropout) {
  SeedPlaces* const places = seed_places();
  const uint64_t* const place = places != nullptr && dropout.on != 0 ? places->next(dropout.seed) : nullptr;
  return {dropout.seed, dropout.scale, dropout.threshold, dropout.on, place};
}

}  // namespace camtl::plugin
