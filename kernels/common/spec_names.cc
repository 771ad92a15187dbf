#include "chunkkv/kernels/spec.h"

namespace chunkkv {
namespace {

template <typename T>
struct Named {
  T value;
  std::string_view name;
};

constexpr Named<Policy> kPolicies[] = {
    {Policy::kFull, "full"}, {Policy::kChunkKv, "chunk_kv"},           {Policy::kSnapKv, "snap_kv"},
    {Policy::kH2o, "h2o"},   {Policy::kStreamingLlm, "streaming_llm"}, {Policy::kExternal, "external"}};
constexpr Named<ChunkReduce> kReduces[] = {
    {ChunkReduce::kSum, "sum"}, {ChunkReduce::kMean, "mean"}, {ChunkReduce::kMax, "max"}};
constexpr Named<GroupScore> kGroupScores[] = {{GroupScore::kLeader, "leader"}, {GroupScore::kSum, "sum"}};
constexpr Named<OnLowMass> kActions[] = {
    {OnLowMass::kFail, "fail"}, {OnLowMass::kRaiseBudget, "raise_budget"}, {OnLowMass::kKeepFull, "keep_full"}};
constexpr Named<ScoreSource> kSources[] = {{ScoreSource::kNone, "none"},
                                           {ScoreSource::kQueryWindow, "query_window"},
                                           {ScoreSource::kAttention, "attention"},
                                           {ScoreSource::kTokenScores, "token_scores"}};
constexpr Named<PositionMode> kPositionModes[] = {{PositionMode::kOriginal, "original"},
                                                  {PositionMode::kContiguous, "contiguous"}};

template <typename T, size_t N>
std::string_view NameIn(const Named<T> (&table)[N], T value) {
  for (const Named<T>& row : table) {
    if (row.value == value) return row.name;
  }
  return "";
}

template <typename T, size_t N>
std::optional<T> ValueIn(const Named<T> (&table)[N], std::string_view name) {
  for (const Named<T>& row : table) {
    if (row.name == name) return row.value;
  }
  return std::nullopt;
}

}  // namespace

std::string_view PolicyName(Policy policy) { return NameIn(kPolicies, policy); }
std::optional<Policy> PolicyFromName(std::string_view name) { return ValueIn(kPolicies, name); }
std::string_view ChunkReduceName(ChunkReduce reduce) { return NameIn(kReduces, reduce); }
std::optional<ChunkReduce> ChunkReduceFromName(std::string_view name) { return ValueIn(kReduces, name); }
std::string_view GroupScoreName(GroupScore score) { return NameIn(kGroupScores, score); }
std::optional<GroupScore> GroupScoreFromName(std::string_view name) { return ValueIn(kGroupScores, name); }
std::string_view OnLowMassName(OnLowMass action) { return NameIn(kActions, action); }
std::optional<OnLowMass> OnLowMassFromName(std::string_view name) { return ValueIn(kActions, name); }
std::string_view ScoreSourceName(ScoreSource source) { return NameIn(kSources, source); }
std::optional<ScoreSource> ScoreSourceFromName(std::string_view name) { return ValueIn(kSources, name); }
std::string_view PositionModeName(PositionMode mode) { return NameIn(kPositionModes, mode); }
std::optional<PositionMode> PositionModeFromName(std::string_view name) { return ValueIn(kPositionModes, name); }

}  // namespace chunkkv
