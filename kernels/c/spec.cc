#include "kernels/c/spec.h"

#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/limits.h"
#include "chunkkv/kernels/status.h"
#include "kernels/c/dtype.h"
#include "kernels/c/read_struct.h"

namespace chunkkv::c {
namespace {

constexpr uint64_t kKnownFields = (uint64_t{CHUNKKV_SPEC_MAX_RAISED_TOKENS} << 1) - 1;

// Leaves `to` alone for null.
template <typename Enum, typename To>
absl::Status ReadName(const char* name, absl::string_view field, std::optional<Enum> (*from_name)(std::string_view),
                      To* to) {
  if (name == nullptr) return absl::OkStatus();
  const std::optional<Enum> value = from_name(name);
  if (!value) return InvalidArgument("UNKNOWN_NAME", absl::StrCat(field, " '", name, "' is not known"));
  *to = *value;
  return absl::OkStatus();
}

absl::Status ReadGroups(const chunkkv_spec& from, CompactionSpec* spec) {
  return ReadStructs(from.groups, from.group_count, kMaxLayerCount, "spec.groups",
                     [&](absl::string_view, const chunkkv_group& group) {
                       spec->groups.push_back({group.first_layer, group.layer_count, group.leader});
                       return absl::OkStatus();
                     });
}

absl::Status ReadChunkStarts(const chunkkv_spec& from, CompactionSpec* spec) {
  if (from.chunk_start_count == 0) return absl::OkStatus();
  if (from.chunk_starts == nullptr) return BadStruct("spec.chunk_starts", "is null");
  if (from.chunk_start_count > static_cast<uint64_t>(kMaxTokenCount)) {
    return BadStruct("spec.chunk_starts", "has more elements than a prompt has tokens");
  }
  spec->chunk_starts.assign(from.chunk_starts, from.chunk_starts + from.chunk_start_count);
  return absl::OkStatus();
}

absl::Status ReadLayer(absl::string_view name, const chunkkv_attention_shape& from, CompactionShape* shape) {
  AttentionShape layer;
  layer.query_head_count = from.query_head_count;
  layer.kv_head_count = from.kv_head_count;
  layer.key_head_size = from.key_head_size;
  layer.value_head_size = from.value_head_size;
  layer.has_key_scales = from.has_key_scales != 0;
  layer.scale = from.scale;
  layer.softcap = from.softcap;
  if (absl::Status status = ReadDType(from.dtype, name, &layer.dtype); !status.ok()) return status;
  if (from.sink_logit_count < 0 || from.sink_logit_count > kMaxHeadCount) {
    return BadStruct(name, "has a sink_logit_count out of range");
  }
  if (from.sink_logit_count > 0) {
    if (from.sink_logits == nullptr) return BadStruct(name, "has no sink_logits");
    layer.sink_logits.assign(from.sink_logits, from.sink_logits + from.sink_logit_count);
  }
  shape->layers.push_back(std::move(layer));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CompactionSpec> ReadSpec(const chunkkv_spec* from) {
  chunkkv_spec given;
  if (absl::Status status = ReadStruct(from, "spec", &given); !status.ok()) return status;
  if ((given.set_fields & ~kKnownFields) != 0) return BadStruct("spec", "sets fields that this library does not know");
  if (given.policy == nullptr) return BadStruct("spec.policy", "is null");
  CompactionSpec spec;
  if (absl::Status s = ReadName(given.policy, "policy", PolicyFromName, &spec.policy); !s.ok()) return s;
  if (absl::Status s = ReadName(given.group_score, "group_score", GroupScoreFromName, &spec.group_score); !s.ok()) {
    return s;
  }
  if (absl::Status s = ReadName(given.chunk_reduce, "chunk_reduce", ChunkReduceFromName, &spec.chunk_reduce); !s.ok()) {
    return s;
  }
  if (absl::Status s = ReadName(given.on_low_mass, "on_low_mass", OnLowMassFromName, &spec.on_low_mass); !s.ok()) {
    return s;
  }
  const auto set = [&](uint64_t field, auto value, auto* to) {
    if ((given.set_fields & field) != 0) *to = value;
  };
  set(CHUNKKV_SPEC_KEEP_RATIO, given.keep_ratio, &spec.keep_ratio);
  set(CHUNKKV_SPEC_MAX_TOKENS, given.max_tokens, &spec.max_tokens);
  set(CHUNKKV_SPEC_CHUNK_LENGTH, given.chunk_length, &spec.chunk_length);
  set(CHUNKKV_SPEC_WINDOW_LENGTH, given.window_length, &spec.window_length);
  set(CHUNKKV_SPEC_REUSE_GROUP, given.reuse_group, &spec.reuse_group);
  set(CHUNKKV_SPEC_SINK_TOKENS, given.sink_tokens, &spec.sink_tokens);
  set(CHUNKKV_SPEC_POOL, given.pool, &spec.pool);
  set(CHUNKKV_SPEC_RECENT_RATIO, given.recent_ratio, &spec.recent_ratio);
  set(CHUNKKV_SPEC_BUDGET_MULTIPLE, given.budget_multiple, &spec.budget_multiple);
  set(CHUNKKV_SPEC_MIN_RETAINED_MASS, given.min_retained_mass, &spec.min_retained_mass);
  set(CHUNKKV_SPEC_MAX_RAISED_TOKENS, given.max_raised_tokens, &spec.max_raised_tokens);
  if (absl::Status status = ReadChunkStarts(given, &spec); !status.ok()) return status;
  if (absl::Status status = ReadGroups(given, &spec); !status.ok()) return status;
  return spec;
}

absl::StatusOr<CompactionShape> ReadShape(const chunkkv_shape* from) {
  chunkkv_shape given;
  if (absl::Status status = ReadStruct(from, "shape", &given); !status.ok()) return status;
  CompactionShape shape;
  shape.token_count = given.token_count;
  shape.has_lse = given.has_lse != 0;
  shape.is_sharded = given.is_sharded != 0;
  if (absl::Status s = ReadName(given.score_source, "score_source", ScoreSourceFromName, &shape.source); !s.ok()) {
    return s;
  }
  const auto read = [&](absl::string_view name, const chunkkv_attention_shape& layer) {
    return ReadLayer(name, layer, &shape);
  };
  if (absl::Status s = ReadStructs(given.layers, given.layer_count, kMaxLayerCount, "shape.layers", read); !s.ok()) {
    return s;
  }
  return shape;
}

}  // namespace chunkkv::c
