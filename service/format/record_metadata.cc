#include "service/format/record_metadata.h"

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "nlohmann/json.hpp"
#include "service/format/digest.h"
#include "service/format/json_fields.h"
#include "service/format/layout_json.h"
#include "service/format/sha256.h"
#include "service/format/spec_json.h"

namespace chunkkv {
namespace {

using nlohmann::json;

json ShardJson(const Shard& shard) {
  return {{"tp_rank", shard.tp_rank},
          {"tp_size", shard.tp_size},
          {"pp_rank", shard.pp_rank},
          {"pp_size", shard.pp_size},
          {"first_layer", shard.first_layer},
          {"layer_count", shard.layer_count},
          {"first_kv_head", shard.first_kv_head},
          {"kv_head_count", shard.kv_head_count}};
}

json ChangesJson(const CompactionOutcome& outcome) {
  json changes = json::array();
  if (outcome.budget_change.raised_to_window) changes.push_back("raised_to_window");
  if (outcome.budget_change.rounded_to_multiple) changes.push_back("rounded_to_multiple");
  if (outcome.budget_change.everything_kept) changes.push_back("everything_kept");
  if (outcome.raised_for_mass) changes.push_back("raised_for_mass");
  if (outcome.kept_full_for_mass) changes.push_back("kept_full_for_mass");
  return changes;
}

json GroupsJson(const EntryHeader& header) {
  json groups = json::array();
  for (size_t i = 0; i < header.groups.size(); ++i) {
    json group = GroupJson(header.groups[i]);
    group["row_count"] = i < header.row_counts.size() ? header.row_counts[i] : 0;
    groups.push_back(std::move(group));
  }
  return groups;
}

json DigestsJson(const EntryHeader& header) {
  json digests = json::object();
  for (size_t i = 0; i < header.positions.size(); ++i) {
    if (!HasPositions(header, i)) continue;
    const std::vector<int32_t>& positions = header.positions[i];
    digests[PositionsName(i)] =
        ToHex(DigestTensor({reinterpret_cast<const std::byte*>(positions.data()), positions.size() * sizeof(int32_t)}));
  }
  for (const TensorSlot& slot : header.tensors) digests[TensorName(slot.spec)] = ToHex(slot.digest);
  return digests;
}

json MassesJson(const CompactionOutcome& outcome) {
  json masses = json::array();
  for (const LayerMass& mass : outcome.retained_mass) masses.push_back({{"layer", mass.layer}, {"mass", mass.mass}});
  return masses;
}

}  // namespace

std::string PositionsName(size_t group) { return absl::StrCat("positions.", group); }

bool HasPositions(const EntryHeader& header, size_t group) {
  return group < header.row_counts.size() && header.row_counts[group] != header.token_count;
}

absl::Status RecordDamaged(std::string_view message) {
  return ErrorStatus(absl::StatusCode::kDataLoss, "RECORD_DAMAGED", message);
}

std::vector<std::pair<std::string, std::string>> RecordMetadata(const EntryHeader& header) {
  const CompactionOutcome& outcome = header.outcome;
  std::map<std::string, std::string> sorted = {
      {"adjacent_jaccard", JsonText(outcome.adjacent_jaccard)},
      {"block_size", absl::StrCat(header.block_size)},
      {"budget", absl::StrCat(outcome.budget)},
      {"budget_changes", JsonText(ChangesJson(outcome))},
      {"created_unix_ms", absl::StrCat(header.created_unix_ms)},
      {"digests", JsonText(DigestsJson(header))},
      {"entry_digest", ToHex(header.entry_digest)},
      {"entry_id", ToHex(header.entry_id)},
      {"expires_unix_ms", absl::StrCat(header.expires_unix_ms)},
      {"groups", JsonText(GroupsJson(header))},
      {"key_positions", header.keys_contiguous ? "contiguous" : "original"},
      {"layout", JsonText(LayoutJson(header.layout))},
      {"next_position", absl::StrCat(header.next_position)},
      {"policy", std::string(PolicyName(outcome.policy_applied))},
      {"retained_mass", JsonText(MassesJson(outcome))},
      {"spec", JsonText(SpecJson(header.spec))},
      {"token_count", absl::StrCat(header.token_count)},
      {"variant", ToHex(header.variant)},
  };
  if (header.tenant.has_value()) sorted["tenant"] = ToHex(Sha256Of(*header.tenant));
  if (header.key.has_value()) sorted["key"] = ToHex(*header.key);
  if (header.shard.has_value()) sorted["shard"] = JsonText(ShardJson(*header.shard));
  if (header.content_digest.has_value()) sorted["content_digest"] = ToHex(*header.content_digest);
  if (header.model.has_value()) {
    sorted["model"] = CanonicalText(*header.model);
    sorted["fingerprint"] = ToHex(Fingerprint(*header.model));
  }
  std::vector<std::pair<std::string, std::string>> metadata = {
      {"checksum", std::string(16, '0')},
      {"format", std::string(kRecordFormatName)},
      {"format_version", absl::StrCat(kRecordFormatVersion)},
  };
  metadata.insert(metadata.end(), sorted.begin(), sorted.end());
  return metadata;
}

}  // namespace chunkkv
