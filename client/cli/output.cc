#include "client/cli/output.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace chunkkv::cli {
namespace {

using Json = nlohmann::json;

template <typename T>
void SetIf(Json& json, const char* name, const std::optional<T>& value) {
  if (value) json[name] = *value;
}

Json RunJson(const LayerRun& run) {
  Json json = {{"first_layer", run.first_layer}, {"layer_count", run.layer_count}};
  if (!run.is_attention()) {
    json["kind"] = "verbatim";
    for (const NamedTensor& tensor : run.named_tensors) {
      json["tensors"].push_back({{"name", tensor.name}, {"size_bytes", tensor.size_bytes}});
    }
    return json;
  }
  const AttentionRun& attention = *run.attention;
  json["kind"] = "attention";
  json["query_head_count"] = attention.query_head_count;
  json["kv_head_count"] = attention.kv_head_count;
  json["key_head_size"] = attention.key_head_size;
  json["value_head_size"] = attention.value_head_size;
  json["dtype"] = std::string(DTypeName(attention.key_dtype));
  json["has_rope"] = attention.rope.has_value();
  return json;
}

}  // namespace

void PrintJson(const Json& value) {
  std::printf("%s\n", value.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

std::string BytesText(int64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double amount = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* larger : {"KiB", "MiB", "GiB", "TiB"}) {
    if (amount < 1024) break;
    amount /= 1024;
    unit = larger;
  }
  return absl::StrFormat("%.1f %s", amount, unit);
}

std::string CountText(int64_t count) {
  const std::string digits = absl::StrCat(count);
  std::string text;
  for (size_t at = 0; at < digits.size(); ++at) {
    const bool ends_group = at > 0 && digits[at - 1] != '-' && (digits.size() - at) % 3 == 0;
    if (ends_group) text.push_back(',');
    text.push_back(digits[at]);
  }
  return text;
}

std::string ShareText(double share) { return absl::StrFormat("%.1f %%", share * 100); }

std::vector<std::string> BudgetChangeNames(const CompactionOutcome& outcome) {
  std::vector<std::string> names;
  if (outcome.budget_change.raised_to_window) names.push_back("RAISED_TO_WINDOW");
  if (outcome.budget_change.rounded_to_multiple) names.push_back("ROUNDED_TO_MULTIPLE");
  if (outcome.budget_change.everything_kept) names.push_back("EVERYTHING_KEPT");
  if (outcome.raised_for_mass) names.push_back("RAISED_FOR_MASS");
  if (outcome.kept_full_for_mass) names.push_back("KEPT_FULL_FOR_MASS");
  return names;
}

Json SpecJson(const CompactionSpec& spec) {
  Json json = {{"policy", std::string(PolicyName(spec.policy))}};
  SetIf(json, "keep_ratio", spec.keep_ratio);
  SetIf(json, "max_tokens", spec.max_tokens);
  SetIf(json, "chunk_length", spec.chunk_length);
  SetIf(json, "window_length", spec.window_length);
  SetIf(json, "reuse_group", spec.reuse_group);
  if (spec.group_score) json["group_score"] = std::string(GroupScoreName(*spec.group_score));
  if (spec.chunk_reduce) json["chunk_reduce"] = std::string(ChunkReduceName(*spec.chunk_reduce));
  SetIf(json, "sink_tokens", spec.sink_tokens);
  SetIf(json, "pool", spec.pool);
  SetIf(json, "recent_ratio", spec.recent_ratio);
  SetIf(json, "budget_multiple", spec.budget_multiple);
  SetIf(json, "min_retained_mass", spec.min_retained_mass);
  if (spec.on_low_mass) json["on_low_mass"] = std::string(OnLowMassName(*spec.on_low_mass));
  SetIf(json, "max_raised_tokens", spec.max_raised_tokens);
  json["chunks_given"] = !spec.chunk_starts.empty();
  if (!spec.profile.empty()) json["profile"] = spec.profile;
  if (!spec.label.empty()) json["label"] = spec.label;
  return json;
}

Json OutcomeJson(const CompactionOutcome& outcome) {
  Json masses = Json::array();
  for (const LayerMass& mass : outcome.retained_mass) masses.push_back({{"layer", mass.layer}, {"mass", mass.mass}});
  return {{"policy_applied", std::string(PolicyName(outcome.policy_applied))},
          {"budget", outcome.budget},
          {"budget_changes", BudgetChangeNames(outcome)},
          {"retained_mass", masses},
          {"adjacent_jaccard", outcome.adjacent_jaccard}};
}

Json EntryJson(const EntryHeader& header, bool with_positions) {
  Json groups = Json::array();
  const std::vector<int32_t> layers = AttentionLayers(header.layout);
  for (size_t group = 0; group < header.groups.size(); ++group) {
    const ReuseGroup& reuse = header.groups[group];
    const auto first = layers.begin() + reuse.first_layer;
    Json item = {{"layers", std::vector<int32_t>(first, first + reuse.layer_count)}};
    if (reuse.leader >= 0) item["leader"] = layers[reuse.leader];
    if (group < header.row_counts.size()) item["row_count"] = header.row_counts[group];
    if (with_positions && group < header.positions.size() && !header.positions[group].empty()) {
      item["positions"] = header.positions[group];
    }
    groups.push_back(std::move(item));
  }
  Json layout = Json::array();
  for (const LayerRun& run : header.layout) layout.push_back(RunJson(run));
  Json json = {{"variant", ToHex(header.variant)},
               {"spec", SpecJson(header.spec)},
               {"compaction", OutcomeJson(header.outcome)},
               {"layout", layout},
               {"token_count", header.token_count},
               {"next_position", header.next_position},
               {"positions", header.keys_contiguous ? "contiguous" : "original"},
               {"groups", groups},
               {"full_bytes", FullBytes(header.layout, header.token_count)},
               {"entry_digest", ToHex(header.entry_digest)},
               {"created_unix_ms", header.created_unix_ms},
               {"expires_unix_ms", header.expires_unix_ms}};
  if (header.entry_id != Bytes16{}) json["entry_id"] = ToHex(header.entry_id);
  if (header.model) {
    json["model"] = Json::parse(CanonicalText(*header.model), nullptr, false);
    json["fingerprint"] = ToHex(Fingerprint(*header.model));
  }
  if (header.key) json["key"] = ToHex(*header.key);
  return json;
}

std::string EntryText(const EntryHeader& header) {
  const CompactionOutcome& outcome = header.outcome;
  const auto [least, most] = std::minmax_element(header.row_counts.begin(), header.row_counts.end());
  std::string text = absl::StrCat("policy         ", std::string(PolicyName(outcome.policy_applied)));
  if (outcome.policy_applied != header.spec.policy) {
    absl::StrAppend(&text, " (asked: ", std::string(PolicyName(header.spec.policy)), ")");
  }
  if (!header.row_counts.empty()) {
    absl::StrAppend(
        &text, "\ntokens kept    ", CountText(*least), *least == *most ? "" : absl::StrCat(" to ", CountText(*most)),
        " of ", CountText(header.token_count), " (",
        ShareText(static_cast<double>(*most) / static_cast<double>(std::max<int64_t>(header.token_count, 1))), ")");
  }
  absl::StrAppend(&text, "\nlayers         ", LayerCount(header.layout), " in ", header.groups.size(),
                  header.groups.size() == 1 ? " group" : " groups");
  if (!outcome.retained_mass.empty()) {
    double sum = 0;
    double lowest = 1;
    for (const LayerMass& mass : outcome.retained_mass) {
      sum += mass.mass;
      lowest = std::min(lowest, mass.mass);
    }
    absl::StrAppend(&text, absl::StrFormat("\nretained mass  mean %.3f, lowest %.3f",
                                           sum / static_cast<double>(outcome.retained_mass.size()), lowest));
  }
  for (const std::string& change : BudgetChangeNames(outcome)) absl::StrAppend(&text, "\nbudget         ", change);
  absl::StrAppend(&text, "\npositions      ", header.keys_contiguous ? "contiguous" : "original", ", next ",
                  CountText(header.next_position), "\n");
  return text;
}

}  // namespace chunkkv::cli
