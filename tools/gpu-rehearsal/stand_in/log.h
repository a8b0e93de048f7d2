// What happened, one line per event and in order, for `cargo xtask gpu-check --rehearse` to count.
//
// The lines are
//   launch NAME, captured NAME        a kernel or matrix product, outside of and during a capture
//   copy WAY BYTES, memset BYTES      and `captured copy ...`, `captured memset ...`
//   wait CALL                         the host stops until the device has caught up
//   allocate BYTES, free BYTES        device memory
//   graph NODES, replay NODES         a capture that ended well, a graph's launch
//   refused CALL: WHY                 an error that the run time would have returned
//   unanswered CALL                   the program ended here
// They are appended to the file that CAMTL_STAND_IN_LOG names.
#pragma once

#include <cstddef>
#include <string_view>

namespace stand_in {

void note(std::string_view event, std::string_view what);
void note(std::string_view event, std::string_view what, size_t amount);

// For calls whose answer would be a guess. A success that means nothing would hide what the
// rehearsal is for, so the program ends and says where.
[[noreturn]] void end_program(std::string_view call);

}  // namespace stand_in
