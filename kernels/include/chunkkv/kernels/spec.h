// What a caller asks of compaction, as asked: optional fields stay unset until a Plan resolves their defaults.
// Source of the method: ChunkKV, arXiv 2502.00299.
#ifndef CHUNKKV_KERNELS_SPEC_H_
#define CHUNKKV_KERNELS_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chunkkv {

enum class Policy : uint8_t { kFull = 1, kChunkKv = 2, kSnapKv = 3, kH2o = 4, kStreamingLlm = 5, kExternal = 6 };
enum class ScoreSource : uint8_t { kNone = 0, kQueryWindow = 1, kAttention = 2, kTokenScores = 3 };
enum class ChunkReduce : uint8_t { kSum = 1, kMean = 2, kMax = 3 };
enum class GroupScore : uint8_t { kLeader = 1, kSum = 2 };
enum class OnLowMass : uint8_t { kFail = 1, kRaiseBudget = 2, kKeepFull = 3 };
enum class PositionMode : uint8_t { kOriginal = 1, kContiguous = 2 };

// "chunk_kv", "snap_kv", ... as in vocabulary, options and records; FromName is empty for an unknown name.
std::string_view PolicyName(Policy policy);
std::optional<Policy> PolicyFromName(std::string_view name);
std::string_view ChunkReduceName(ChunkReduce reduce);  // "sum" "mean" "max"
std::optional<ChunkReduce> ChunkReduceFromName(std::string_view name);
std::string_view GroupScoreName(GroupScore score);  // "leader" "sum"
std::optional<GroupScore> GroupScoreFromName(std::string_view name);
std::string_view OnLowMassName(OnLowMass action);  // "fail" "raise_budget" "keep_full"
std::optional<OnLowMass> OnLowMassFromName(std::string_view name);
std::string_view ScoreSourceName(ScoreSource source);  // "none" "query_window" "attention" "token_scores"
std::optional<ScoreSource> ScoreSourceFromName(std::string_view name);
std::string_view PositionModeName(PositionMode mode);  // "original" "contiguous"
std::optional<PositionMode> PositionModeFromName(std::string_view name);

// Consecutive attention layers, counted without VERBATIM layers, that share one list of kept positions.
struct ReuseGroup {
  int32_t first_layer = 0;
  int32_t layer_count = 0;
  int32_t leader = -1;  // attention layer that chose; -1 where all layers chose together (SUM) or nobody did
  bool operator==(const ReuseGroup&) const = default;
};

struct CompactionSpec {
  Policy policy = Policy::kFull;
  // Exactly one of the two, except for kFull and kExternal, which take neither.
  std::optional<double> keep_ratio;   // share kept, in (0, 1]
  std::optional<int64_t> max_tokens;  // tokens kept, window and sinks included

  std::optional<int32_t> chunk_length;       // default 10
  std::optional<int32_t> window_length;      // default 32
  std::optional<int32_t> reuse_group;        // default 1
  std::optional<GroupScore> group_score;     // default kLeader
  std::optional<ChunkReduce> chunk_reduce;   // default kSum; kMax for given chunks: see ChunkReduceOf
  std::optional<int32_t> sink_tokens;        // default 0; kStreamingLlm 4
  std::optional<int32_t> pool;               // odd; default 1; kSnapKv 5
  std::optional<double> recent_ratio;        // kH2o; default 0.5
  std::optional<int32_t> budget_multiple;    // default 1
  std::optional<double> min_retained_mass;   // guardrail, in [0, 1]; unset: none
  std::optional<OnLowMass> on_low_mass;      // default kFail
  std::optional<int64_t> max_raised_tokens;  // default L
  std::vector<int32_t> chunk_starts;         // given chunks: ascending token positions from sink_tokens; empty: grid
  std::vector<ReuseGroup> groups;            // explicit groups with leaders; empty: runs of reuse_group layers
  std::string profile;  // name of a measured profile whose groups are meant: made explicit before a Plan is
  std::string label;    // kExternal: the caller's method
};

// What the score of a chunk is. The paper's sum where chunks are of one length; a sum favours long spans, so where
// chunks are given it is the largest token score (tests/quality/needle/results: more exact answers at keep 5 to 20 %).
inline ChunkReduce ChunkReduceOf(const CompactionSpec& spec) {
  return spec.chunk_reduce.value_or(spec.chunk_starts.empty() ? ChunkReduce::kSum : ChunkReduce::kMax);
}

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_SPEC_H_
