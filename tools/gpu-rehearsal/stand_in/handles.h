// Handles given out and not yet taken back: a stale or foreign one is refused, not followed.
#pragma once

#include <unordered_set>

namespace stand_in {

// `Object` is what a handle of the type `Handle` points to. The caller holds the lock.
template <typename Object, typename Handle>
class Handles {
 public:
  Handle give(Object* object) {
    live_.insert(object);
    return reinterpret_cast<Handle>(object);
  }

  Object* find(Handle handle) const {
    auto* object = reinterpret_cast<Object*>(handle);
    return live_.count(object) != 0 ? object : nullptr;
  }

  // False if there is no such handle.
  bool destroy(Handle handle) {
    Object* object = find(handle);
    if (object == nullptr) return false;
    live_.erase(object);
    delete object;
    return true;
  }

 private:
  std::unordered_set<Object*> live_;
};

}  // namespace stand_in
