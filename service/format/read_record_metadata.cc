#include <charconv>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/limits.h"
#include "chunkkv/kernels/status.h"
#include "nlohmann/json.hpp"
#include "service/base/status_macros.h"
#include "service/format/json_fields.h"
#include "service/format/layout_json.h"
#include "service/format/record_metadata.h"
#include "service/format/spec_json.h"
#include "service/format/strict_json.h"

namespace chunkkv {
namespace {

using nlohmann::json;
using Metadata = std::map<std::string, std::string>;

// Null where there is no such key.
const std::string* Find(const Metadata& metadata, const char* key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : &found->second;
}

absl::Status Damaged(const char* key) { return RecordDamaged(absl::StrCat("metadata ", key, " is missing or wrong")); }

bool ReadNumber(const Metadata& metadata, const char* key, int64_t least, int64_t most, int64_t* value) {
  const std::string* text = Find(metadata, key);
  if (text == nullptr) return false;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, *value);
  return error == std::errc() && stop == end && *value >= least && *value <= most;
}

bool ReadJson(const Metadata& metadata, const char* key, json* value) {
  const std::string* text = Find(metadata, key);
  return text != nullptr && ParseStrictJson(*text, value);
}

template <size_t N>
bool ReadHex(std::string_view hex, FixedBytes<N>* bytes) {
  const auto raw = FromHex(hex);
  if (!raw.has_value()) return false;
  const auto fixed = FixedFromView<N>(*raw);
  if (fixed.has_value()) *bytes = *fixed;
  return fixed.has_value();
}

template <size_t N>
bool ReadHex(const Metadata& metadata, const char* key, FixedBytes<N>* bytes) {
  const std::string* text = Find(metadata, key);
  return text != nullptr && ReadHex(*text, bytes);
}

bool ReadShard(const json& object, Shard* shard) {
  const auto read = [&](const char* name, int64_t least, int32_t* value) {
    return ReadField(object, name, least, INT32_MAX, value);
  };
  return read("tp_rank", 0, &shard->tp_rank) && read("tp_size", 1, &shard->tp_size) &&
         read("pp_rank", 0, &shard->pp_rank) && read("pp_size", 1, &shard->pp_size) &&
         read("first_layer", 0, &shard->first_layer) && read("layer_count", 1, &shard->layer_count) &&
         read("first_kv_head", 0, &shard->first_kv_head) && read("kv_head_count", 1, &shard->kv_head_count) &&
         shard->tp_rank < shard->tp_size && shard->pp_rank < shard->pp_size;
}

bool ReadChanges(const json& list, CompactionOutcome* outcome) {
  if (!list.is_array()) return false;
  const std::map<std::string, bool*> flags = {
      {"raised_to_window", &outcome->budget_change.raised_to_window},
      {"rounded_to_multiple", &outcome->budget_change.rounded_to_multiple},
      {"everything_kept", &outcome->budget_change.everything_kept},
      {"raised_for_mass", &outcome->raised_for_mass},
      {"kept_full_for_mass", &outcome->kept_full_for_mass},
  };
  for (const json& item : list) {
    if (!item.is_string()) return false;
    const auto flag = flags.find(item.get_ref<const std::string&>());
    if (flag == flags.end()) return false;
    *flag->second = true;
  }
  return true;
}

bool ReadMasses(const json& list, int32_t layer_count, std::vector<LayerMass>* masses) {
  if (!list.is_array()) return false;
  for (const json& item : list) {
    LayerMass& mass = masses->emplace_back();
    if (!ReadField(item, "layer", 0, layer_count - 1, &mass.layer) || !ReadField(item, "mass", &mass.mass))
      return false;
  }
  return true;
}

bool ReadNumbers(const json& list, std::vector<double>* numbers) {
  if (!list.is_array()) return false;
  for (const json& item : list) {
    if (!ReadFinite(item, &numbers->emplace_back())) return false;
  }
  return true;
}

absl::Status ReadOutcome(const Metadata& metadata, EntryHeader* header) {
  CompactionOutcome& outcome = header->outcome;
  const std::string* policy = Find(metadata, "policy");
  const std::optional<Policy> applied = policy == nullptr ? std::nullopt : PolicyFromName(*policy);
  if (!applied.has_value()) return Damaged("policy");
  outcome.policy_applied = *applied;
  if (!ReadNumber(metadata, "budget", 0, header->token_count, &outcome.budget)) return Damaged("budget");
  json value;
  if (!ReadJson(metadata, "budget_changes", &value) || !ReadChanges(value, &outcome)) return Damaged("budget_changes");
  if (!ReadJson(metadata, "retained_mass", &value) ||
      !ReadMasses(value, LayerCount(header->layout), &outcome.retained_mass)) {
    return Damaged("retained_mass");
  }
  if (!ReadJson(metadata, "adjacent_jaccard", &value) || !ReadNumbers(value, &outcome.adjacent_jaccard)) {
    return Damaged("adjacent_jaccard");
  }
  return absl::OkStatus();
}

// Groups must cover the attention layers in order, leaders lie inside them, and row counts lie in [0, L].
bool ReadGroups(const json& list, EntryHeader* header) {
  if (!list.is_array()) return false;
  int64_t next_layer = 0;
  for (const json& item : list) {
    ReuseGroup& group = header->groups.emplace_back();
    int64_t& row_count = header->row_counts.emplace_back();
    if (!ReadGroup(item, &group) || !ReadField(item, "row_count", 0, header->token_count, &row_count)) return false;
    if (group.first_layer != next_layer) return false;
    next_layer += group.layer_count;
    if (group.leader >= 0 && (group.leader < group.first_layer || group.leader >= next_layer)) return false;
    if (header->outcome.policy_applied == Policy::kFull && row_count != header->token_count) return false;
  }
  return next_layer == AttentionLayerCount(header->layout);
}

absl::Status ReadLayoutOf(const Metadata& metadata, EntryHeader* header) {
  json runs;
  if (!ReadJson(metadata, "layout", &runs) || !ReadLayout(runs, &header->layout)) return Damaged("layout");
  LayoutLimits limits;
  limits.max_layer_count = kMaxLayerCount;
  limits.max_head_count = kMaxHeadCount;
  limits.max_head_size = kMaxHeadSize;
  limits.max_token_count = header->token_count;
  if (absl::Status status = ValidateLayout(header->layout, limits); !status.ok()) {
    return RecordDamaged(absl::StrCat("metadata layout: ", status.message()));
  }
  return absl::OkStatus();
}

// What may be absent in a record written without a server.
absl::Status ReadNames(const Metadata& metadata, RecordHead* head) {
  EntryHeader& header = head->header;
  if (const std::string* tenant = Find(metadata, "tenant")) {
    Bytes32 digest;
    if (!ReadHex(*tenant, &digest)) return Damaged("tenant");
    head->tenant_digest = ToHex(digest);
  }
  if (Find(metadata, "key") != nullptr && !ReadHex(metadata, "key", &header.key.emplace())) return Damaged("key");
  if (const std::string* text = Find(metadata, "model")) {
    auto model = ModelIdentityFromCanonicalText(*text);
    if (!model.ok()) return Damaged("model");
    Bytes32 fingerprint;
    if (!ReadHex(metadata, "fingerprint", &fingerprint) || fingerprint != Fingerprint(*model)) {
      return Damaged("fingerprint");
    }
    header.model = *std::move(model);
  }
  if (Find(metadata, "shard") != nullptr) {
    json object;
    if (!ReadJson(metadata, "shard", &object) || !ReadShard(object, &header.shard.emplace())) return Damaged("shard");
    if (header.shard->layer_count != LayerCount(header.layout)) return Damaged("shard");
  }
  if (Find(metadata, "content_digest") != nullptr &&
      !ReadHex(metadata, "content_digest", &header.content_digest.emplace())) {
    return Damaged("content_digest");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Digests> ReadDigests(const Metadata& metadata) {
  json object;
  if (!ReadJson(metadata, "digests", &object) || !object.is_object()) return Damaged("digests");
  Digests digests;
  for (const auto& [name, hex] : object.items()) {
    if (!hex.is_string() || !ReadHex(hex.get_ref<const std::string&>(), &digests[name])) return Damaged("digests");
  }
  return digests;
}

absl::Status ReadRecordMetadata(const Metadata& metadata, RecordHead* head) {
  if (Find(metadata, "base") != nullptr) {
    return Unimplemented("RECORD_FORMAT_NEWER", "the record continues another one (base), which is not built");
  }
  EntryHeader& header = head->header;
  if (!ReadNumber(metadata, "token_count", 1, kMaxTokenCount, &header.token_count)) return Damaged("token_count");
  CHUNKKV_RETURN_IF_ERROR(ReadLayoutOf(metadata, &header));
  CHUNKKV_RETURN_IF_ERROR(ReadNames(metadata, head));
  CHUNKKV_RETURN_IF_ERROR(ReadOutcome(metadata, &header));
  json value;
  if (!ReadJson(metadata, "groups", &value) || !ReadGroups(value, &header)) return Damaged("groups");
  if (!ReadJson(metadata, "spec", &value) || !ReadSpec(value, &header.spec)) return Damaged("spec");
  if (!ReadHex(metadata, "variant", &header.variant)) return Damaged("variant");
  if (header.variant != VariantOf(header.spec)) {
    // Given chunks were summed where nothing was said, before MAX became the default.
    if (header.spec.chunk_starts.empty() || header.spec.chunk_reduce.has_value()) return Damaged("variant");
    header.spec.chunk_reduce = ChunkReduce::kSum;
    if (header.variant != VariantOf(header.spec)) return Damaged("variant");
  }
  const std::string* key_positions = Find(metadata, "key_positions");
  if (key_positions == nullptr || (*key_positions != "original" && *key_positions != "contiguous")) {
    return Damaged("key_positions");
  }
  header.keys_contiguous = *key_positions == "contiguous";
  if (!ReadNumber(metadata, "next_position", 0, INT64_MAX, &header.next_position)) return Damaged("next_position");
  int64_t block_size = 0;
  if (!ReadNumber(metadata, "block_size", 1, INT32_MAX, &block_size)) return Damaged("block_size");
  header.block_size = static_cast<int32_t>(block_size);
  if (!ReadNumber(metadata, "created_unix_ms", 0, INT64_MAX, &header.created_unix_ms)) {
    return Damaged("created_unix_ms");
  }
  if (!ReadNumber(metadata, "expires_unix_ms", 0, INT64_MAX, &header.expires_unix_ms)) {
    return Damaged("expires_unix_ms");
  }
  if (!ReadHex(metadata, "entry_id", &header.entry_id)) return Damaged("entry_id");
  if (!ReadHex(metadata, "entry_digest", &header.entry_digest)) return Damaged("entry_digest");
  return absl::OkStatus();
}

}  // namespace chunkkv
