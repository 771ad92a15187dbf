#include "kernels/plan/groups.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

absl::Status CheckExplicit(const CompactionSpec& spec, int32_t layer_count) {
  int64_t next_layer = 0;
  for (size_t i = 0; i < spec.groups.size(); ++i) {
    const ReuseGroup& group = spec.groups[i];
    const std::string field = absl::StrCat("groups[", i, "]");
    if (group.first_layer != next_layer || group.layer_count < 1) {
      return InvalidArgument("BAD_GROUPS",
                             absl::StrCat(field, ": groups must cover all layers in order, without gaps"));
    }
    next_layer += group.layer_count;
    if (next_layer > layer_count) {
      return InvalidArgument("BAD_GROUPS", absl::StrCat(field, " reaches past the last of ", layer_count, " layers"));
    }
    const bool has_leader = group.leader != -1;
    if (has_leader && (group.leader < group.first_layer || group.leader >= next_layer)) {
      return InvalidArgument("BAD_LEADER", absl::StrCat(field, ".leader ", group.leader, " is outside its group"));
    }
    if (has_leader && spec.group_score == GroupScore::kSum) {
      return InvalidArgument("BAD_LEADER", absl::StrCat(field, ".leader contradicts group_score sum"));
    }
  }
  if (next_layer != layer_count) {
    return InvalidArgument("BAD_GROUPS", absl::StrCat("groups cover ", next_layer, " of ", layer_count, " layers"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ReuseGroup>> ResolveGroups(const CompactionSpec& spec, int32_t layer_count, bool choosing) {
  const int32_t run = spec.reuse_group.value_or(1);
  std::vector<ReuseGroup> groups = spec.groups;
  if (groups.empty()) {
    const bool has_leaders = spec.group_score.value_or(GroupScore::kLeader) == GroupScore::kLeader;
    for (int32_t first = 0; first < layer_count;) {
      const int32_t count = std::min(run, layer_count - first);
      groups.push_back({first, count, has_leaders ? first : -1});
      first += count;
    }
  } else {
    if (absl::Status status = CheckExplicit(spec, layer_count); !status.ok()) return status;
    for (ReuseGroup& group : groups) {
      if (spec.group_score == GroupScore::kLeader && group.leader == -1) group.leader = group.first_layer;
    }
  }
  if (!choosing) {
    for (ReuseGroup& group : groups) group.leader = -1;
  }
  return groups;
}

}  // namespace chunkkv
