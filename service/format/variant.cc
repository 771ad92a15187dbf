#include <string>

#include "absl/strings/str_cat.h"
#include "service/format/identity.h"
#include "service/format/sha256.h"
#include "service/format/text.h"

namespace chunkkv {
namespace {

std::string BitsOrNull(const std::optional<double>& value) {
  return value.has_value() ? JsonDoubleBits(*value) : "null";
}

std::string NumberOrNull(const std::optional<int64_t>& value) {
  return value.has_value() ? absl::StrCat(*value) : "null";
}

std::string Quoted(std::string_view name) { return '"' + std::string(name) + '"'; }

std::string GroupsText(const std::vector<ReuseGroup>& groups) {
  std::string text;
  for (const ReuseGroup& group : groups) {
    absl::StrAppend(&text, text.empty() ? "" : ",", "[", group.first_layer, ",", group.layer_count, ",",
                    group.leader < 0 ? "null" : absl::StrCat(group.leader), "]");
  }
  return "[" + text + "]";
}

}  // namespace

std::string CanonicalText(const CompactionSpec& spec) {
  const bool is_external = spec.policy == Policy::kExternal;
  const int32_t default_sinks = spec.policy == Policy::kStreamingLlm ? 4 : 0;
  const int32_t default_pool = spec.policy == Policy::kSnapKv ? 5 : 1;
  return absl::StrCat(
      "{\"budget_multiple\":", spec.budget_multiple.value_or(1), ",\"chunk_length\":", spec.chunk_length.value_or(10),
      ",\"chunk_reduce\":", Quoted(ChunkReduceName(ChunkReduceOf(spec))),
      ",\"chunks\":", spec.chunk_starts.empty() ? "\"grid\"" : "\"given\"",
      ",\"group_score\":", Quoted(GroupScoreName(spec.group_score.value_or(GroupScore::kLeader))),
      ",\"groups\":", GroupsText(spec.groups), ",\"keep_ratio\":", BitsOrNull(spec.keep_ratio),
      ",\"label\":", JsonString(is_external ? spec.label : ""),
      ",\"max_raised_tokens\":", NumberOrNull(spec.max_raised_tokens),
      ",\"max_tokens\":", NumberOrNull(spec.max_tokens), ",\"min_retained_mass\":", BitsOrNull(spec.min_retained_mass),
      ",\"on_low_mass\":", Quoted(OnLowMassName(spec.on_low_mass.value_or(OnLowMass::kFail))),
      ",\"policy\":", Quoted(PolicyName(spec.policy)), ",\"pool\":", spec.pool.value_or(default_pool),
      spec.profile.empty() ? "" : absl::StrCat(",\"profile\":", JsonString(spec.profile)),
      ",\"recent_ratio\":", JsonDoubleBits(spec.recent_ratio.value_or(0.5)),
      ",\"reuse_group\":", spec.reuse_group.value_or(1), ",\"sink_tokens\":", spec.sink_tokens.value_or(default_sinks),
      ",\"window_length\":", spec.window_length.value_or(32), "}");
}

Bytes32 VariantOf(const CompactionSpec& spec) {
  return spec.policy == Policy::kFull ? kExactVariant : Sha256Of(CanonicalText(spec));
}

}  // namespace chunkkv
