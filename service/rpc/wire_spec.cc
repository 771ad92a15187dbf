#include "service/rpc/wire_spec.h"

#include <string>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::rpc {
namespace {

// The enums of the domain have the wire's numbers, but no zero.
static_assert(static_cast<int>(Policy::kExternal) == v1::POLICY_EXTERNAL);
static_assert(static_cast<int>(ScoreSource::kTokenScores) == v1::SCORE_SOURCE_TOKEN_SCORES);
static_assert(static_cast<int>(ChunkReduce::kMax) == v1::CHUNK_REDUCE_MAX);
static_assert(static_cast<int>(GroupScore::kSum) == v1::GROUP_SCORE_SUM);
static_assert(static_cast<int>(OnLowMass::kKeepFull) == v1::ON_LOW_MASS_KEEP_FULL);

constexpr size_t kMaxProfileNameBytes = 256;

template <typename Enum>
absl::StatusOr<Enum> EnumFromWire(int value, Enum last, std::string_view reason, std::string_view field) {
  if (value >= 1 && value <= static_cast<int>(last)) return static_cast<Enum>(value);
  return InvalidArgument(reason, std::string(field) + ": unset or unknown value " + std::to_string(value));
}

ReuseGroup GroupFromWire(const v1::ReuseGroup& wire) {
  ReuseGroup group;
  group.first_layer = wire.first_layer();
  group.layer_count = wire.layer_count();
  group.leader = wire.has_leader() ? wire.leader() : -1;
  return group;
}

// -1 stands for "no leader" in the domain: on the wire that is an unset field.
absl::Status CheckLeader(const v1::ReuseGroup& wire) {
  if (!wire.has_leader() || wire.leader() >= 0) return absl::OkStatus();
  return InvalidArgument("BAD_GROUPS", "spec.groups.leader is negative");
}

}  // namespace

absl::StatusOr<CompactionSpec> SpecFromWire(const v1::CompactionSpec& wire) {
  CompactionSpec spec;
  CHUNKKV_ASSIGN_OR_RETURN(spec.policy, EnumFromWire(wire.policy(), Policy::kExternal, "BAD_POLICY", "spec.policy"));
  if (wire.has_keep_ratio()) spec.keep_ratio = wire.keep_ratio();
  if (wire.has_max_tokens()) spec.max_tokens = wire.max_tokens();
  if (wire.has_chunk_length()) spec.chunk_length = wire.chunk_length();
  if (wire.has_window_length()) spec.window_length = wire.window_length();
  if (wire.has_reuse_group()) spec.reuse_group = wire.reuse_group();
  if (wire.has_group_score()) {
    CHUNKKV_ASSIGN_OR_RETURN(spec.group_score,
                             EnumFromWire(wire.group_score(), GroupScore::kSum, "BAD_GROUP_SCORE", "spec.group_score"));
  }
  if (wire.has_chunk_reduce()) {
    CHUNKKV_ASSIGN_OR_RETURN(spec.chunk_reduce, EnumFromWire(wire.chunk_reduce(), ChunkReduce::kMax, "BAD_CHUNK_REDUCE",
                                                             "spec.chunk_reduce"));
  }
  if (wire.has_sink_tokens()) spec.sink_tokens = wire.sink_tokens();
  if (wire.has_pool()) spec.pool = wire.pool();
  if (wire.has_recent_ratio()) spec.recent_ratio = wire.recent_ratio();
  if (wire.has_budget_multiple()) spec.budget_multiple = wire.budget_multiple();
  if (wire.has_min_retained_mass()) spec.min_retained_mass = wire.min_retained_mass();
  if (wire.has_on_low_mass()) {
    CHUNKKV_ASSIGN_OR_RETURN(spec.on_low_mass, EnumFromWire(wire.on_low_mass(), OnLowMass::kKeepFull, "BAD_ON_LOW_MASS",
                                                            "spec.on_low_mass"));
  }
  if (wire.has_max_raised_tokens()) spec.max_raised_tokens = wire.max_raised_tokens();
  spec.chunk_starts.assign(wire.chunk_starts().begin(), wire.chunk_starts().end());
  spec.groups.reserve(wire.groups_size());
  for (const v1::ReuseGroup& group : wire.groups()) {
    CHUNKKV_RETURN_IF_ERROR(CheckLeader(group));
    spec.groups.push_back(GroupFromWire(group));
  }
  if (wire.profile().size() > kMaxProfileNameBytes) {
    return InvalidArgument("BAD_PROFILE_NAME", "spec.profile: at most 256 bytes");
  }
  spec.profile = wire.profile();
  spec.label = wire.label();
  return spec;
}

void ToWire(const CompactionSpec& spec, v1::CompactionSpec* wire) {
  wire->set_policy(ToWire(spec.policy));
  if (spec.keep_ratio) wire->set_keep_ratio(*spec.keep_ratio);
  if (spec.max_tokens) wire->set_max_tokens(*spec.max_tokens);
  if (spec.chunk_length) wire->set_chunk_length(*spec.chunk_length);
  if (spec.window_length) wire->set_window_length(*spec.window_length);
  if (spec.reuse_group) wire->set_reuse_group(*spec.reuse_group);
  if (spec.group_score) wire->set_group_score(static_cast<v1::GroupScore>(*spec.group_score));
  if (spec.chunk_reduce) wire->set_chunk_reduce(static_cast<v1::ChunkReduce>(*spec.chunk_reduce));
  if (spec.sink_tokens) wire->set_sink_tokens(*spec.sink_tokens);
  if (spec.pool) wire->set_pool(*spec.pool);
  if (spec.recent_ratio) wire->set_recent_ratio(*spec.recent_ratio);
  if (spec.budget_multiple) wire->set_budget_multiple(*spec.budget_multiple);
  if (spec.min_retained_mass) wire->set_min_retained_mass(*spec.min_retained_mass);
  if (spec.on_low_mass) wire->set_on_low_mass(static_cast<v1::OnLowMass>(*spec.on_low_mass));
  if (spec.max_raised_tokens) wire->set_max_raised_tokens(*spec.max_raised_tokens);
  wire->mutable_chunk_starts()->Add(spec.chunk_starts.begin(), spec.chunk_starts.end());
  for (const ReuseGroup& group : spec.groups) ToWire(group, wire->add_groups());
  wire->set_profile(spec.profile);
  wire->set_label(spec.label);
}

absl::StatusOr<ScoreSource> ScoreSourceFromWire(int source) {
  if (source == v1::SCORE_SOURCE_UNSPECIFIED) return ScoreSource::kNone;
  return EnumFromWire(source, ScoreSource::kTokenScores, "BAD_SCORE_SOURCE", "scores.source");
}

v1::Policy ToWire(Policy policy) { return static_cast<v1::Policy>(policy); }

std::vector<v1::CompactionResult::BudgetChange> ToWire(const BudgetChange& change) {
  std::vector<v1::CompactionResult::BudgetChange> wire;
  if (change.raised_to_window) wire.push_back(v1::CompactionResult::RAISED_TO_WINDOW);
  if (change.rounded_to_multiple) wire.push_back(v1::CompactionResult::ROUNDED_TO_MULTIPLE);
  if (change.everything_kept) wire.push_back(v1::CompactionResult::EVERYTHING_KEPT);
  return wire;
}

void ToWire(const CompactionOutcome& outcome, v1::CompactionResult* wire) {
  wire->set_budget(outcome.budget);
  for (const auto change : ToWire(outcome.budget_change)) wire->add_changes(change);
  if (outcome.raised_for_mass) wire->add_changes(v1::CompactionResult::RAISED_FOR_MASS);
  if (outcome.kept_full_for_mass) wire->add_changes(v1::CompactionResult::KEPT_FULL_FOR_MASS);
  for (const LayerMass& mass : outcome.retained_mass) {
    v1::CompactionResult::LayerMass* item = wire->add_retained_mass();
    item->set_layer(mass.layer);
    item->set_mass(mass.mass);
  }
  wire->mutable_adjacent_jaccard()->Add(outcome.adjacent_jaccard.begin(), outcome.adjacent_jaccard.end());
  wire->set_policy_applied(ToWire(outcome.policy_applied));
}

void ToWire(const ReuseGroup& group, v1::ReuseGroup* wire) {
  wire->set_first_layer(group.first_layer);
  wire->set_layer_count(group.layer_count);
  if (group.leader >= 0) wire->set_leader(group.leader);
}

void GroupsToWire(const EntryHeader& header, bool with_positions,
                  google::protobuf::RepeatedPtrField<v1::GroupPositions>* wire) {
  for (size_t i = 0; i < header.groups.size(); ++i) {
    v1::GroupPositions* group = wire->Add();
    ToWire(header.groups[i], group->mutable_group());
    group->set_row_count(header.row_counts[i]);
    if (!with_positions || i >= header.positions.size()) continue;
    group->mutable_positions()->Add(header.positions[i].begin(), header.positions[i].end());
  }
}

}  // namespace chunkkv::rpc
