#include "kernels/cuda/window_score_stage.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "kernels/common/kv_bytes.h"
#include "kernels/cuda/add_scores.h"
#include "kernels/cuda/part_score_kernel.h"
#include "kernels/cuda/rows_of_view.h"
#include "kernels/cuda/uploader.h"

namespace chunkkv::cuda {
namespace {

constexpr double kScratchShare = 0.009;  // of the KV of all layers
constexpr int64_t kMostRuns = 128;
constexpr int64_t kLeastRunTokens = 1024;
constexpr int64_t kRunStep = 64;
constexpr int64_t kMostTilesInRun = 8;
constexpr int64_t kItemsPerSm = 8;
constexpr int64_t kPartsStep = 4;     // that PartSumKernel takes at once
constexpr int32_t kScoredParts = 64;  // by a block
constexpr int32_t kMostTensorCoreHeadSize = 256;
constexpr int32_t kMostHeadSize = 2048;  // eight float32 queries in 99 KB of shared memory

// Whether tensor cores score the layer where its addresses are aligned.
bool MayUseTensorCores(const AttentionShape& layer) {
  return layer.dtype != DType::kF32 && layer.key_head_size % 8 == 0 && layer.key_head_size <= kMostTensorCoreHeadSize;
}

Parts PartsOf(const Plan& plan) {
  const int64_t in_chunk = Blocks(plan.chunk_length, Parts::kMostTokens);
  const int64_t chunks = Blocks(plan.past_length - plan.sink_tokens, plan.chunk_length);
  Parts parts = {};
  parts.sink_tokens = static_cast<int32_t>(plan.sink_tokens);
  parts.past_length = static_cast<int32_t>(plan.past_length);
  parts.token_count = static_cast<int32_t>(plan.token_count);
  parts.chunk_length = plan.chunk_length;
  parts.part_length = static_cast<int32_t>(Blocks(plan.chunk_length, in_chunk));
  parts.parts_in_chunk = MakeFastDivisor(static_cast<uint32_t>(in_chunk));
  parts.sink_count = static_cast<int32_t>(Blocks(plan.sink_tokens, Parts::kMostTokens));
  parts.past_count = parts.sink_count + static_cast<int32_t>(chunks * in_chunk);
  const int64_t window = Blocks(plan.token_count - plan.past_length, Parts::kMostTokens);
  parts.count = parts.past_count + static_cast<int32_t>(window);
  return parts;
}

// Whether sums of parts may stand for the scores of tokens: they are less to move (written, and read again) than the
// keys, which a second pass reads, and a layer's are no more than scratch may be.
bool MayUseParts(const Plan& plan, const ScoreTask& task) {
  const AttentionShape& layer = plan.layers[task.layer];
  if (!task.allows_chunk_means || !AllowsChunkMeans(plan) || plan.has_lse || !plan.chunk_starts.empty() ||
      plan.past_length <= plan.sink_tokens || DTypeSize(layer.dtype) != 2 || !MayUseTensorCores(layer)) {
    return false;
  }
  const int64_t rows = layer.query_head_count / layer.kv_head_count * std::min(plan.window_length, plan.token_count);
  const int64_t key_bytes = layer.key_head_size * static_cast<int64_t>(DTypeSize(layer.dtype));
  const Parts parts = PartsOf(plan);
  const int64_t sum_bytes = rows * static_cast<int64_t>(sizeof(float));  // of a part and KV head
  return rows <= PartScoreKernel::kMostRows && 2 * sum_bytes < parts.part_length * key_bytes &&
         static_cast<double>(int64_t{layer.kv_head_count} * parts.past_count * sum_bytes) <=
             kScratchShare * KvBytes(plan);
}

// Sizes of one layer's work that do not depend on addresses.
struct WindowShape {
  WindowShape(const Plan& plan, const ScoreTask& task) {
    const AttentionShape& layer = plan.layers[task.layer];
    window = std::min(plan.window_length, plan.token_count);
    heads_per_kv = layer.query_head_count / layer.kv_head_count;
    rows = heads_per_kv * window;
    pieces = MayUseTensorCores(layer) ? Blocks(rows, kMaxScorePieceRows) : 1;
    run_tokens = std::max(kLeastRunTokens, Blocks(Blocks(plan.token_count, kMostRuns), kRunStep) * kRunStep);
    runs = Blocks(plan.token_count, run_tokens);
    if (!MayUseParts(plan, task)) return;
    parts = PartsOf(plan);
    const int64_t most_parts = std::max(Blocks(parts.count, kMostRuns), kLeastRunTokens / parts.part_length);
    run_parts = Blocks(most_parts, kPartsStep) * kPartsStep;
    part_runs = Blocks(parts.count, run_parts);
  }
  int64_t window = 0;  // w'
  int64_t heads_per_kv = 0;
  int64_t rows = 0;        // that share a KV head
  int64_t pieces = 0;      // of rows, where tensor cores may score
  int64_t run_tokens = 0;  // of a partial denominator
  int64_t runs = 0;
  Parts parts = {};  // none: two passes
  int64_t run_parts = 0;
  int64_t part_runs = 0;
};

// What one launch's layers keep in the workspace.
struct Arrays {
  Arrays(const Plan& plan, const AttentionShape& layer, const WindowShape& shape, int64_t layer_count,
         Scratch& scratch) {
    partial_stride = layer.kv_head_count * shape.pieces * plan.past_length;
    partial_scores = scratch.Take<float>(layer_count * partial_stride);
    if (plan.has_lse) return;
    denominator_stride = layer.kv_head_count * shape.rows * std::max(shape.runs, shape.part_runs);
    part_sum_stride = int64_t{layer.kv_head_count} * shape.parts.past_count * shape.rows;
    lse_stride = shape.window * layer.query_head_count;
    denominators = scratch.Take<MaxSum>(layer_count * denominator_stride);
    lse = scratch.Take<float>(layer_count * lse_stride);
    part_sums = scratch.Take<float>(layer_count * part_sum_stride);
    if (!layer.sink_logits.empty()) {
      sink_logits = scratch.Take<float>(layer_count * Uploader::Words<float>(layer.query_head_count));
    }
  }
  float* partial_scores = nullptr;  // [layers, Hkv, pieces, P]
  MaxSum* denominators = nullptr;   // [layers, Hkv, rows, runs]
  float* lse = nullptr;             // [layers, w', H]
  float* part_sums = nullptr;       // [layers, Hkv, parts of the past, rows]
  float* sink_logits = nullptr;     // [layers, H]
  int64_t partial_stride = 0;
  int64_t denominator_stride = 0;
  int64_t lse_stride = 0;
  int64_t part_sum_stride = 0;
};

size_t ArraysBytes(const Plan& plan, const ScoreTask& task, int64_t layer_count) {
  Scratch counter;
  const Arrays arrays(plan, plan.layers[task.layer], WindowShape(plan, task), layer_count, counter);
  return counter.UsedBytes();
}

int64_t LayersAtOnce(const Plan& plan, const ScoreTask& task) {
  const double most = kScratchShare * KvBytes(plan) / static_cast<double>(ArraysBytes(plan, task, 1));
  return std::clamp<int64_t>(static_cast<int64_t>(most), 1, kScoreLayersPerLaunch);
}

bool IsAligned(const void* address, int64_t bytes) { return reinterpret_cast<uintptr_t>(address) % bytes == 0; }

ScoreVariant VariantOf(const ScoreTask& task, const AttentionShape& layer) {
  const RowsView& keys = task.keys;
  const bool is_fp8 = DTypeSize(layer.dtype) == 1;
  const int64_t key_bytes = 8 * static_cast<int64_t>(DTypeSize(layer.dtype));  // that a lane loads at once
  const bool fits = MayUseTensorCores(layer) && task.queries.dtype != DType::kF32 &&
                    (is_fp8 || layer.dtype == task.queries.dtype) && IsAligned(keys.data, key_bytes) &&
                    IsAligned(task.queries.data, 16) && keys.token_stride_bytes % key_bytes == 0 &&
                    keys.head_stride_bytes % key_bytes == 0 && keys.block_stride_bytes % key_bytes == 0;
  if (!fits) return {};
  int32_t steps = static_cast<int32_t>(Blocks(layer.key_head_size, 32));
  if (is_fp8) steps = steps <= 4 ? 4 : 8;  // what there are kernels for
  return {task.queries.dtype, layer.dtype, steps, layer.softcap > 0};
}

bool HaveOneShape(const Plan& plan, const ScoreTask& a, const ScoreTask& b) {
  const AttentionShape& x = plan.layers[a.layer];
  const AttentionShape& y = plan.layers[b.layer];
  return x.query_head_count == y.query_head_count && x.kv_head_count == y.kv_head_count &&
         x.key_head_size == y.key_head_size && x.dtype == y.dtype && x.scale == y.scale && x.softcap == y.softcap &&
         x.sink_logits.empty() == y.sink_logits.empty() && a.queries.dtype == b.queries.dtype &&
         a.allows_chunk_means == b.allows_chunk_means && VariantOf(a, x) == VariantOf(b, y);
}

absl::Status CheckHeadSize(const ScoreTask& task, const AttentionShape& layer) {
  if (layer.key_head_size > kMostHeadSize) {
    return Unimplemented("SCORING_HEAD_SIZE", absl::StrCat("layer ", task.layer, ": heads of ", layer.key_head_size,
                                                           " are not scored on a GPU, at most ", kMostHeadSize));
  }
  return absl::OkStatus();
}

// Layers of one shape, in one launch of each kernel.
class LayerScorer {
 public:
  LayerScorer(const Plan& plan, absl::Span<const ScoreTask> tasks, int32_t first_order, Scratch scratch,
              const Stage& stage)
      : plan_(plan),
        tasks_(tasks),
        first_order_(first_order),
        layer_(plan.layers[tasks[0].layer]),
        shape_(plan, tasks[0]),
        arrays_(plan, layer_, shape_, static_cast<int64_t>(tasks.size()), scratch),
        stage_(stage),
        variant_(VariantOf(tasks[0], layer_)),
        uses_parts_(shape_.run_parts > 0 && variant_.steps > 0) {}

  absl::Status Start() {
    FillParams();
    if (!plan_.has_lse) {
      if (absl::Status status = StartDenominators(); !status.ok()) return status;
    }
    if (absl::Status status = uses_parts_ ? StartPartScores() : StartScores(); !status.ok()) return status;
    return StartSums();
  }

 private:
  void FillParams() {
    params_.token_count = plan_.token_count;
    params_.past_length = plan_.past_length;
    params_.window_length = static_cast<int32_t>(shape_.window);
    params_.head_size = layer_.key_head_size;
    params_.kv_head_count = layer_.kv_head_count;
    params_.heads_per_kv = static_cast<int32_t>(shape_.heads_per_kv);
    const bool has_cap = layer_.softcap > 0;
    params_.logit_factor = static_cast<float>(has_cap ? layer_.scale / layer_.softcap : layer_.scale * double{kLog2E});
    params_.softcap_log2e = static_cast<float>(layer_.softcap * double{kLog2E});
    params_.lse_factor = plan_.has_lse ? kLog2E : 1.0f;
    params_.key_dtype = static_cast<int32_t>(layer_.dtype);
    params_.query_dtype = static_cast<int32_t>(tasks_[0].queries.dtype);
    params_.layer_count = static_cast<int32_t>(tasks_.size());
    params_.failure = stage_.context.failure;
    for (size_t i = 0; i < tasks_.size(); ++i) {
      ScoreLayer& layer = params_.layers[i];
      layer.keys = RowsOfView(tasks_[i].keys);
      layer.key_scales = RowsOfView(tasks_[i].key_scales);
      layer.queries = tasks_[i].queries.data;
      layer.lse = plan_.has_lse ? tasks_[i].lse : arrays_.lse + i * arrays_.lse_stride;
      layer.denominators = arrays_.denominators + i * arrays_.denominator_stride;
      layer.part_sums = arrays_.part_sums + i * arrays_.part_sum_stride;
      layer.partial_scores = arrays_.partial_scores + i * arrays_.partial_stride;
      layer.layer = tasks_[i].layer;
      layer.order = OrderOf(i);
    }
  }

  int32_t OrderOf(size_t task) const {
    return std::min<int32_t>(first_order_ + static_cast<int32_t>(task), kCopyOrder - 1);
  }

  absl::Status StartDenominators() {
    const float* sink_logits[kScoreLayersPerLaunch] = {};
    if (!layer_.sink_logits.empty()) {
      Uploader uploader(stage_, arrays_.sink_logits);
      for (size_t i = 0; i < tasks_.size(); ++i) {
        sink_logits[i] = uploader.Add(plan_.layers[tasks_[i].layer].sink_logits.data(), layer_.query_head_count);
      }
      if (absl::Status status = uploader.Finish(); !status.ok()) return status;
    }
    params_.piece_rows = DenominatorPieceRows(variant_.steps);
    params_.piece_count = static_cast<int32_t>(variant_.steps == 0 ? 1 : Blocks(shape_.rows, params_.piece_rows));
    params_.run_tokens = static_cast<int32_t>(shape_.run_tokens);
    params_.run_count = static_cast<int32_t>(uses_parts_ ? shape_.part_runs : shape_.runs);
    params_.parts = shape_.parts;
    params_.run_parts = static_cast<int32_t>(shape_.run_parts);
    absl::Status status = RunItems([&](const LaunchShape& shape) {
      return uses_parts_ ? stage_.launcher.SumParts(variant_, params_, shape)
                         : stage_.launcher.FindDenominators(variant_, params_, shape);
    });
    if (!status.ok()) return status;

    CombineDenominatorsParams combine;
    combine.window_length = params_.window_length;
    combine.kv_head_count = params_.kv_head_count;
    combine.heads_per_kv = params_.heads_per_kv;
    combine.run_count = params_.run_count;
    combine.layer_count = params_.layer_count;
    combine.failure = params_.failure;
    for (size_t i = 0; i < tasks_.size(); ++i) {
      combine.layers[i] = {params_.layers[i].denominators, sink_logits[i], arrays_.lse + i * arrays_.lse_stride,
                           tasks_[i].layer, OrderOf(i)};
    }
    const int64_t rows = params_.layer_count * layer_.kv_head_count * shape_.rows;
    return stage_.Run(Blocks(rows, CombineDenominatorsKernel::kThreads),
                      [&](const LaunchShape& shape) { return stage_.launcher.CombineDenominators(combine, shape); });
  }

  absl::Status StartPartScores() {
    params_.piece_count = 1;
    params_.run_parts = kScoredParts;
    params_.run_count = static_cast<int32_t>(Blocks(params_.parts.past_count, kScoredParts));
    return RunItems([&](const LaunchShape& shape) { return stage_.launcher.ScoreParts(params_, shape); });
  }

  absl::Status StartScores() {
    if (variant_.steps == 0) {
      params_.piece_rows = static_cast<int32_t>(shape_.rows);
      params_.piece_count = 1;
      SetRuns(kPlainTileTokens, 1);
    } else {
      const int64_t rows = Blocks(shape_.rows, shape_.pieces);
      params_.piece_rows = static_cast<int32_t>(Blocks(rows, kScoreRowsAtOnce) * kScoreRowsAtOnce);
      params_.piece_count = static_cast<int32_t>(Blocks(shape_.rows, params_.piece_rows));
      // Long runs load queries less often; enough items keep every multiprocessor busy.
      int64_t tiles = kMostTilesInRun;
      SetRuns(ScoreTileTokens(variant_.steps), tiles);
      while (tiles > 1 && ItemCount() < kItemsPerSm * stage_.launcher.SmCount()) {
        tiles /= 2;
        SetRuns(ScoreTileTokens(variant_.steps), tiles);
      }
    }
    return RunItems([&](const LaunchShape& shape) { return stage_.launcher.Score(variant_, params_, shape); });
  }

  void SetRuns(int64_t tile_tokens, int64_t tiles) {
    params_.run_tokens = static_cast<int32_t>(tile_tokens * tiles);
    params_.run_count = static_cast<int32_t>(Blocks(plan_.token_count, params_.run_tokens));
  }

  absl::Status StartSums() {
    AddPartialsParams sums;
    sums.layer_count = params_.layer_count;
    for (size_t i = 0; i < tasks_.size(); ++i) {
      sums.layers[i] = {params_.layers[i].partial_scores, tasks_[i].token_scores,
                        params_.kv_head_count * params_.piece_count, tasks_[i].layer, OrderOf(i)};
    }
    return AddScores(plan_, sums, stage_);
  }

  // Kernels count items in 31 bits: only more KV than any GPU holds has more.
  template <typename Start>
  absl::Status RunItems(Start start) const {
    if (ItemCount() > INT32_MAX) return Unimplemented("TOO_LARGE", "keys are too many for one launch");
    return stage_.Run(ItemCount(), start);
  }

  int64_t ItemCount() const {
    return int64_t{params_.layer_count} * params_.kv_head_count * params_.run_count * params_.piece_count;
  }

  const Plan& plan_;
  absl::Span<const ScoreTask> tasks_;
  int32_t first_order_;
  const AttentionShape& layer_;
  WindowShape shape_;
  Arrays arrays_;
  const Stage& stage_;
  ScoreVariant variant_;
  bool uses_parts_;
  ScoreParams params_ = {};
};

}  // namespace

absl::Status StartWindowScores(const Plan& plan, absl::Span<const ScoreTask> tasks, Scratch scratch,
                               const Stage& stage) {
  for (const ScoreTask& task : tasks) {
    if (absl::Status status = CheckHeadSize(task, plan.layers[task.layer]); !status.ok()) return status;
  }
  for (size_t begin = 0; begin < tasks.size();) {
    const auto most = static_cast<size_t>(LayersAtOnce(plan, tasks[begin]));
    size_t end = begin + 1;
    while (end < tasks.size() && end - begin < most && HaveOneShape(plan, tasks[begin], tasks[end])) ++end;
    LayerScorer scorer(plan, tasks.subspan(begin, end - begin), static_cast<int32_t>(begin), scratch, stage);
    if (absl::Status status = scorer.Start(); !status.ok()) return status;
    begin = end;
  }
  return absl::OkStatus();
}

size_t WindowScoreScratchBytes(const Plan& plan, absl::Span<const ScoreTask> tasks) {
  size_t bytes = 0;
  for (const ScoreTask& task : tasks) {
    if (task.layer < 0 || task.layer >= static_cast<int32_t>(plan.layers.size())) continue;  // Enqueue refuses it
    const auto layers = std::min<int64_t>(LayersAtOnce(plan, task), static_cast<int64_t>(tasks.size()));
    bytes = std::max(bytes, ArraysBytes(plan, task, layers));
  }
  return bytes;
}

}  // namespace chunkkv::cuda
