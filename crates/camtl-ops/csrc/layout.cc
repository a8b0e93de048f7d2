// Segments of a batch for reductions whose result does not depend on threads.
#include "layout.h"

#include <algorithm>

#include "cpu_operations.h"
#include "guard.h"

namespace camtl {

namespace {

// Cuts per gradient table: enough for the threads of a workstation, few enough
// that adding the parts costs little.
constexpr int64_t kRowCuts = 64;
constexpr int64_t kLeastRows = 16;
constexpr int64_t kAttentionCuts = 16;

}  // namespace

Layout::Layout(const int64_t* starts, const int64_t* keys, const int64_t* sequence_tasks, int64_t sequences)
    : cu_seqlens(starts, starts + sequences + 1),
      key_lengths(keys, keys + sequences),
      tasks(sequence_tasks, sequence_tasks + sequences) {
  const int64_t rows = cu_seqlens.back();
  row_sequence.resize(rows);
  int64_t max_len = 0, cost = 0;
  for (int64_t b = 0; b < sequences; ++b) {
    const int64_t length = starts[b + 1] - starts[b];
    std::fill(row_sequence.begin() + starts[b], row_sequence.begin() + starts[b + 1], int32_t(b));
    max_len = std::max(max_len, length);
    cost += length * (length + 16);
  }
  const int64_t per_segment = std::max(kLeastRows, (rows + kRowCuts - 1) / kRowCuts);
  for (int64_t b = 0; b < sequences;) {
    int64_t end = b;
    while (end < sequences && tasks[end] == tasks[b]) ++end;
    for (int64_t row = starts[b]; row < starts[end]; row += per_segment) {
      row_segment.insert(row_segment.end(), {row, std::min(row + per_segment, starts[end]), tasks[b]});
    }
    int64_t part = 0, first = b;
    for (int64_t s = b; s < end; ++s) {
      const int64_t length = starts[s + 1] - starts[s];
      part += length * (length + 16);
      if (s + 1 == end || part * kAttentionCuts >= cost) {
        attention_segment.insert(attention_segment.end(), {first, s + 1, tasks[b]});
        first = s + 1;
        part = 0;
      }
    }
    b = end;
  }
  view.sequences = sequences;
  view.rows = rows;
  view.max_len = max_len;
  view.cu_seqlens = cu_seqlens.data();
  view.key_lengths = key_lengths.data();
  view.tasks = tasks.data();
  view.row_sequence = row_sequence.data();
  view.row_segments = int64_t(row_segment.size()) / 3;
  view.row_segment = row_segment.data();
  view.attention_segments = int64_t(attention_segment.size()) / 3;
  view.attention_segment = attention_segment.data();
}

int cpu::layout_new(void** out, const int64_t* starts, const int64_t* keys, const int64_t* tasks, int64_t sequences,
                    int64_t, int64_t, int64_t) {
  return guarded([&] { *out = c10::make_intrusive<Layout>(starts, keys, tasks, sequences).release(); });
}

void cpu::layout_free(void* layout) { c10::intrusive_ptr<Layout>::reclaim(static_cast<Layout*>(layout)).reset(); }

}  // namespace camtl
