#include "service/format/reuse_profile.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/policy.h"
#include "chunkkv/kernels/status.h"
#include "nlohmann/json.hpp"
#include "service/base/status_macros.h"
#include "service/format/json_fields.h"
#include "service/format/spec_json.h"
#include "service/format/strict_json.h"
#include "service/format/text.h"

namespace chunkkv {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "chunkkv.reuse_profile";
constexpr int64_t kVersion = 1;
constexpr size_t kMaxNameBytes = 128;

absl::Status Bad(std::string_view what) {
  return InvalidArgument("BAD_PROFILE", absl::StrCat("reuse profile: ", std::string(what)));
}

// A member by another name would be taken for one that is absent: "leder" for a group that all choose for.
absl::Status CheckMembers(const json& object, std::string_view where, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return Bad(absl::StrCat(std::string(where), " must be an object"));
  const std::optional<std::string> unknown = UnknownMember(object, known);
  if (!unknown.has_value()) return absl::OkStatus();
  return Bad(absl::StrCat(std::string(where), " has an unknown member ", JsonString(unknown->substr(0, 64))));
}

absl::Status ReadName(const json& object, std::string* name) {
  const bool is_good = ReadField(object, "name", name) && !name->empty() && name->size() <= kMaxNameBytes &&
                       IsUtf8(*name) && !HasControlCharacter(*name);
  return is_good ? absl::OkStatus() : Bad("name must be 1 to 128 bytes of text without control characters");
}

absl::Status ReadModel(const json& object, ModelIdentity* model) {
  const json* field = FindField(object, "model");
  if (field == nullptr) return Bad("model is missing");
  absl::StatusOr<ModelIdentity> identity = ModelIdentityFromCanonicalText(JsonText(*field));
  if (!identity.ok()) return Bad(absl::StrCat("model: ", identity.status().message()));
  *model = *std::move(identity);
  std::string fingerprint;
  if (!ReadField(object, "fingerprint", &fingerprint) || fingerprint != ToHex(Fingerprint(*model))) {
    return Bad("fingerprint must be that of model");
  }
  return absl::OkStatus();
}

absl::Status ReadMeasuredSpec(const json& object, CompactionSpec* spec) {
  const json* field = FindField(object, "spec");
  if (field == nullptr || !ReadSpec(*field, spec)) return Bad("spec must be a compaction spec");
  // What it does not say of itself is not a choice of one layer's tokens, or unknown.
  if (SpecJson(OwnChoice(*spec)) != *field)
    return Bad("spec has a member that says nothing about a layer's own choice");
  if (!ChoosesByScores(spec->policy)) return Bad("spec.policy must choose by token scores");
  return absl::OkStatus();
}

absl::Status ReadBounds(const json& object, ReuseProfile* profile) {
  const auto is_share = [](double value) { return value >= 0 && value < 1; };
  if (!ReadField(object, "max_loss", &profile->max_loss) || !is_share(profile->max_loss)) {
    return Bad("max_loss must be a number in [0, 1)");
  }
  if (FindField(object, "max_worst_loss") == nullptr) return absl::OkStatus();
  if (!ReadField(object, "max_worst_loss", &profile->max_worst_loss.emplace()) || !is_share(*profile->max_worst_loss)) {
    return Bad("max_worst_loss must be a number in [0, 1)");
  }
  return absl::OkStatus();
}

absl::Status ReadMeasured(const json& object, ReuseProfile* profile) {
  const json* given = FindField(object, "given_chunks");
  if (given == nullptr || !given->is_boolean()) return Bad("given_chunks must be true or false");
  profile->given_chunks = given->get<bool>();
  if (!ReadField(object, "prompt_count", 1, INT64_MAX, &profile->prompt_count)) {
    return Bad("prompt_count must be an integer above 0");
  }
  if (!ReadField(object, "token_count", 1, INT64_MAX, &profile->token_count)) {
    return Bad("token_count must be an integer above 0");
  }
  return absl::OkStatus();
}

absl::Status ReadGroups(const json& object, std::vector<ReuseGroup>* groups) {
  const json* list = FindField(object, "groups");
  if (list == nullptr || !list->is_array() || list->empty()) return Bad("groups must be a list of groups");
  for (const json& item : *list) {
    const std::string where = absl::StrCat("groups[", groups->size(), "]");
    CHUNKKV_RETURN_IF_ERROR(CheckMembers(item, where, {"first_layer", "layer_count", "leader"}));
    if (!ReadGroup(item, &groups->emplace_back())) {
      return Bad(absl::StrCat(where, " must have first_layer, layer_count and perhaps a leader"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadLayers(const json& object, ReuseProfile* profile) {
  const json* list = FindField(object, "layers");
  if (list == nullptr || !list->is_array()) return Bad("layers must be a list");
  for (const json& item : *list) {
    const std::string where = absl::StrCat("layers[", profile->layers.size(), "]");
    CHUNKKV_RETURN_IF_ERROR(CheckMembers(item, where, {"own_mass", "mean_loss", "worst_loss"}));
    ReuseProfile::Layer& layer = profile->layers.emplace_back();
    if (!ReadField(item, "own_mass", &layer.own_mass) || !ReadField(item, "mean_loss", &layer.mean_loss) ||
        !ReadField(item, "worst_loss", &layer.worst_loss)) {
      return Bad(absl::StrCat(where, " must have the numbers own_mass, mean_loss and worst_loss"));
    }
    if (layer.own_mass < 0 || layer.own_mass > 1 || layer.worst_loss > 1 || layer.mean_loss > layer.worst_loss) {
      return Bad(absl::StrCat(where, ": masses are shares, and no mean loss is above the worst"));
    }
    if (layer.mean_loss > profile->max_loss ||
        (profile->max_worst_loss && layer.worst_loss > *profile->max_worst_loss)) {
      return Bad(absl::StrCat(where, " loses more than the bound"));
    }
  }
  return absl::OkStatus();
}

// Bounds of the spec's numbers, and whether the groups cover the layers, are for a Plan to say.
absl::Status CheckPlan(const ReuseProfile& profile) {
  if (static_cast<int64_t>(profile.layers.size()) > profile.model.layer_count) {
    return Bad("layers are more than the model's");
  }
  CompactionSpec spec = profile.spec;
  spec.groups = profile.groups;
  CompactionShape shape;
  shape.token_count = 1;
  AttentionShape layer;
  layer.query_head_count = layer.kv_head_count = layer.key_head_size = 1;
  shape.layers.assign(profile.layers.size(), layer);
  const absl::Status status = MakePlan(spec, shape).status();
  return status.ok() ? status : Bad(std::string(status.message()));
}

}  // namespace

CompactionSpec OwnChoice(const CompactionSpec& spec) {
  CompactionSpec own = spec;
  own.reuse_group.reset();
  own.group_score.reset();
  own.groups.clear();
  own.min_retained_mass.reset();
  own.on_low_mass.reset();
  own.max_raised_tokens.reset();
  own.chunk_starts.clear();
  own.profile.clear();
  return own;
}

bool IsMeasuredWith(const ReuseProfile& profile, const CompactionSpec& spec) {
  const bool has_given_chunks = spec.policy == Policy::kChunkKv && !spec.chunk_starts.empty();
  CompactionSpec measured = profile.spec;
  CompactionSpec asked = OwnChoice(spec);
  if (has_given_chunks) measured.chunk_starts = asked.chunk_starts = {0};  // which defaults hold
  return profile.given_chunks == has_given_chunks && CanonicalText(measured) == CanonicalText(asked);
}

std::string ReuseProfileText(const ReuseProfile& profile) {
  json object = {{"format", kFormat},
                 {"format_version", kVersion},
                 {"name", profile.name},
                 {"model", json::parse(CanonicalText(profile.model))},
                 {"fingerprint", ToHex(Fingerprint(profile.model))},
                 {"spec", SpecJson(profile.spec)},
                 {"given_chunks", profile.given_chunks},
                 {"max_loss", profile.max_loss},
                 {"prompt_count", profile.prompt_count},
                 {"token_count", profile.token_count}};
  if (profile.max_worst_loss) object["max_worst_loss"] = *profile.max_worst_loss;
  for (const ReuseGroup& group : profile.groups) object["groups"].push_back(GroupJson(group));
  for (const ReuseProfile::Layer& layer : profile.layers) {
    object["layers"].push_back(
        {{"own_mass", layer.own_mass}, {"mean_loss", layer.mean_loss}, {"worst_loss", layer.worst_loss}});
  }
  return object.dump(1) + "\n";
}

absl::StatusOr<ReuseProfile> ParseReuseProfile(std::string_view text) {
  json object;
  if (!ParseStrictJson(text, &object) || !object.is_object()) return Bad("not a JSON object");
  std::string format;
  int64_t version = 0;
  if (!ReadField(object, "format", &format) || format != kFormat) {
    return Bad(absl::StrCat("format must be ", kFormat));
  }
  if (!ReadField(object, "format_version", 1, INT64_MAX, &version)) return Bad("format_version must be a number");
  if (version > kVersion) {
    return Unimplemented("PROFILE_FORMAT_NEWER", absl::StrCat("reuse profile: format_version ", version));
  }
  CHUNKKV_RETURN_IF_ERROR(
      CheckMembers(object, "the profile",
                   {"format", "format_version", "name", "model", "fingerprint", "spec", "given_chunks", "max_loss",
                    "max_worst_loss", "prompt_count", "token_count", "groups", "layers"}));
  ReuseProfile profile;
  CHUNKKV_RETURN_IF_ERROR(ReadName(object, &profile.name));
  CHUNKKV_RETURN_IF_ERROR(ReadModel(object, &profile.model));
  CHUNKKV_RETURN_IF_ERROR(ReadMeasuredSpec(object, &profile.spec));
  CHUNKKV_RETURN_IF_ERROR(ReadBounds(object, &profile));
  CHUNKKV_RETURN_IF_ERROR(ReadMeasured(object, &profile));
  CHUNKKV_RETURN_IF_ERROR(ReadGroups(object, &profile.groups));
  CHUNKKV_RETURN_IF_ERROR(ReadLayers(object, &profile));
  CHUNKKV_RETURN_IF_ERROR(CheckPlan(profile));
  return profile;
}

}  // namespace chunkkv
