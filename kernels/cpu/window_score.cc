#include "kernels/cpu/window_score.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/kv_bytes.h"
#include "kernels/common/lanes.h"
#include "kernels/common/row_address.h"
#include "kernels/cpu/float_rows.h"
#include "kernels/cpu/window_kernels.h"

namespace chunkkv::cpu {
namespace {

constexpr int64_t kSliceBlocks = 10;
constexpr int64_t kSliceTokens = kSliceBlocks * kKeyBlock;
// Memory for exps: this much, or this share of the KV of all layers, whichever is more.
constexpr double kExpsBytes = 4 << 20;
constexpr double kExpsShare = 1.0 / 256;
constexpr int64_t kMaxRunRows = 1024;  // bounds the time between two looks at cancellation

int64_t RoundedUp(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

// Sizes of one task's loops.
struct WindowShape {
  WindowShape(const Plan& plan, const ScoreTask& task) {
    const AttentionShape& layer = plan.layers[task.layer];
    head_size = layer.key_head_size;
    heads_per_kv = layer.query_head_count / layer.kv_head_count;
    row_count = heads_per_kv * std::min(plan.window_length, plan.token_count);
    slice_count = RoundedUp(plan.token_count, kSliceTokens) / kSliceTokens;
    block_count = RoundedUp(plan.token_count, kKeyBlock) / kKeyBlock;
    run_rows = kMaxRunRows;
    if (!plan.has_lse) {
      const double bytes = std::max(kExpsBytes, kExpsShare * KvBytes(plan));
      const auto rows = static_cast<int64_t>(bytes / static_cast<double>(block_count * kKeyBlock * sizeof(float)));
      const int64_t least = 4 * FloatLanes();
      run_rows = std::min(run_rows, std::max(least, rows / least * least));
    }
    run_rows = std::min(run_rows, RoundedUp(row_count, FloatLanes()));
  }
  int64_t head_size = 0;
  int64_t heads_per_kv = 0;
  int64_t row_count = 0;  // queries that share a KV head: heads_per_kv * min(w, L)
  int64_t run_rows = 0;   // rows that are scored at once, a multiple of FloatLanes()
  int64_t slice_count = 0;
  int64_t block_count = 0;
};

struct Arrays {
  Arrays(const Plan& plan, const WindowShape& shape, Scratch& scratch)
      : query(scratch.Take<float>(shape.head_size)),
        packed(scratch.Take<float>(shape.run_rows * shape.head_size)),
        window_index(scratch.Take<float>(shape.run_rows)),
        lse_or_max(scratch.Take<float>(shape.run_rows)),
        key_floats(scratch.Take<float>(LaneCount(shape.slice_count) * kKeyBlock * shape.head_size)) {
    if (plan.has_lse) return;
    weight = scratch.Take<float>(shape.run_rows);
    exps = scratch.Take<float>(shape.block_count * kKeyBlock * shape.run_rows);
    block_max = scratch.Take<float>(shape.block_count * shape.run_rows);
    slice_max = scratch.Take<float>(shape.slice_count * shape.run_rows);
    slice_sum = scratch.Take<float>(shape.slice_count * shape.run_rows);
  }
  float* query;                // [D]
  float* packed;               // a run of one KV head's queries, as QueryRows wants them
  float* window_index;         // [run_rows]
  float* lse_or_max;           // [run_rows] the LSE given; else the maxima of the softmaxes
  float* key_floats;           // [lanes, kKeyBlock, D]
  float* weight = nullptr;     // [run_rows]
  float* exps = nullptr;       // [blocks, kKeyBlock, run_rows]
  float* block_max = nullptr;  // [blocks, run_rows]
  float* slice_max = nullptr;  // [slices, run_rows]
  float* slice_sum = nullptr;  // [slices, run_rows]
};

// Rows [first, first + real_count) of the queries that share a KV head, padded to whole vectors.
struct Run {
  int64_t kv_head = 0;
  int64_t first = 0;
  int64_t real_count = 0;
  int64_t padded_count = 0;
};

class WindowScorer {
 public:
  WindowScorer(const Plan& plan, const ScoreTask& task, Scratch scratch, const ExecutionContext& context)
      : plan_(plan),
        task_(task),
        layer_(plan.layers[task.layer]),
        context_(context),
        shape_(plan, task),
        arrays_(plan, shape_, scratch) {}

  absl::Status ScoreAll() {
    if (!HasAllRows(task_.keys) || !HasAllRows(task_.key_scales)) return BadPositionStatus();
    std::fill_n(task_.token_scores, plan_.past_length, 0.0f);
    for (int64_t kv_head = 0; kv_head < layer_.kv_head_count; ++kv_head) {
      for (int64_t first = 0; first < shape_.row_count; first += shape_.run_rows) {
        const int64_t count = std::min(shape_.run_rows, shape_.row_count - first);
        const Run run{kv_head, first, count, RoundedUp(count, FloatLanes())};
        if (!PackQueries(run)) return NonFiniteStatus(task_.layer);
        const bool complete = plan_.has_lse ? ScoreWithLse(run) : ScoreInTwoPasses(run);
        if (!complete) return IsCancelled(context_) ? CancelledStatus() : NonFiniteStatus(task_.layer);
      }
    }
    return absl::OkStatus();
  }

 private:
  int64_t QueryOf(const Run& run, int64_t row) const { return (run.first + row) / shape_.heads_per_kv; }
  int64_t HeadOf(const Run& run, int64_t row) const {
    return run.kv_head * shape_.heads_per_kv + (run.first + row) % shape_.heads_per_kv;
  }

  // Returns false where a query or its LSE is not finite.
  bool PackQueries(const Run& run) {
    const int64_t lanes = FloatLanes();
    const auto scale = static_cast<float>(std::min(layer_.scale, 1.0));
    const auto element_bytes = static_cast<int64_t>(DTypeSize(task_.queries.dtype));
    for (int64_t row = 0; row < run.padded_count; ++row) {
      const bool is_padding = row >= run.real_count;
      arrays_.window_index[row] = is_padding ? -1.0f : static_cast<float>(QueryOf(run, row));
      arrays_.lse_or_max[row] = std::numeric_limits<float>::max();
      std::fill_n(arrays_.query, shape_.head_size, 0.0f);
      if (!is_padding) {
        const int64_t query_row = QueryOf(run, row) * layer_.query_head_count + HeadOf(run, row);
        ToFloat(task_.queries.data + query_row * shape_.head_size * element_bytes, task_.queries.dtype,
                shape_.head_size, arrays_.query);
        if (!AllFinite(arrays_.query, shape_.head_size)) return false;
        if (task_.lse != nullptr) {
          arrays_.lse_or_max[row] = task_.lse[query_row];
          if (!std::isfinite(task_.lse[query_row])) return false;
        }
      }
      float* column = arrays_.packed + row / lanes * lanes * shape_.head_size + row % lanes;
      for (int64_t i = 0; i < shape_.head_size; ++i) column[i * lanes] = scale * arrays_.query[i];
    }
    return true;
  }

  QueryRows RowsOf(const Run& run) const {
    return {arrays_.packed,
            arrays_.window_index,
            run.padded_count,
            shape_.head_size,
            static_cast<float>(std::max(layer_.scale, 1.0)),
            static_cast<float>(layer_.softcap)};
  }

  KeySlice SliceOf(const Run& run, int64_t slice) const {
    const int64_t begin = slice * kSliceTokens;
    RowsView rows = task_.keys;
    rows.data += run.kv_head * rows.head_stride_bytes;
    RowsView scales = task_.key_scales;
    if (scales.data != nullptr) scales.data += run.kv_head * scales.head_stride_bytes;
    return {rows, scales, begin, std::min(begin + kSliceTokens, plan_.token_count), plan_.past_length};
  }

  float* KeyFloats(size_t lane) const { return arrays_.key_floats + lane * kKeyBlock * shape_.head_size; }

  SlicePartials PartialsOf(const Run& run, int64_t slice) const {
    const int64_t rows = run.padded_count;
    return {arrays_.exps + slice * kSliceTokens * rows, arrays_.block_max + slice * kSliceBlocks * rows,
            arrays_.slice_max + slice * rows, arrays_.slice_sum + slice * rows};
  }

  bool ScoreWithLse(const Run& run) {
    return RunInLanes(context_, shape_.slice_count, [&](size_t slice, size_t lane) {
      return AddProbabilities(RowsOf(run), SliceOf(run, slice), arrays_.lse_or_max, KeyFloats(lane),
                              task_.token_scores);
    });
  }

  bool ScoreInTwoPasses(const Run& run) {
    const bool scored = RunInLanes(context_, shape_.slice_count, [&](size_t slice, size_t lane) {
      return ComputePartials(RowsOf(run), SliceOf(run, slice), KeyFloats(lane), PartialsOf(run, slice));
    });
    if (!scored) return false;
    for (int64_t row = 0; row < run.padded_count; ++row) JoinSlices(run, row);
    return RunInLanes(context_, shape_.slice_count, [&](size_t slice, size_t) {
      AddWeightedExps(run.padded_count, SliceOf(run, slice), PartialsOf(run, slice), arrays_.lse_or_max, arrays_.weight,
                      task_.token_scores);
      return true;
    });
  }

  // Maximum and 1 / sum of one query's softmax, its head's sink logit included.
  void JoinSlices(const Run& run, int64_t row) {
    const bool has_sink = row < run.real_count && !layer_.sink_logits.empty();
    const float sink = has_sink ? layer_.sink_logits[HeadOf(run, row)] : 0;
    float largest = has_sink ? sink : std::numeric_limits<float>::lowest();
    for (int64_t s = 0; s < shape_.slice_count; ++s) {
      largest = std::max(largest, arrays_.slice_max[s * run.padded_count + row]);
    }
    double sum = has_sink ? std::exp(double{sink} - largest) : 0;
    for (int64_t s = 0; s < shape_.slice_count; ++s) {
      const int64_t at = s * run.padded_count + row;
      sum += arrays_.slice_sum[at] * std::exp(double{arrays_.slice_max[at]} - largest);
    }
    arrays_.lse_or_max[row] = largest;
    arrays_.weight[row] = row < run.real_count ? static_cast<float>(1 / sum) : 0.0f;
  }

  const Plan& plan_;
  const ScoreTask& task_;
  const AttentionShape& layer_;
  const ExecutionContext& context_;
  const WindowShape shape_;
  const Arrays arrays_;
};

}  // namespace

absl::Status ScoreByWindow(const Plan& plan, const ScoreTask& task, Scratch scratch, const ExecutionContext& context) {
  return WindowScorer(plan, task, scratch, context).ScoreAll();
}

size_t WindowScratchBytes(const Plan& plan, const ScoreTask& task) {
  Scratch counter;
  const Arrays arrays(plan, WindowShape(plan, task), counter);
  return counter.UsedBytes();
}

}  // namespace chunkkv::cpu
