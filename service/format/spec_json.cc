#include "service/format/spec_json.h"

#include <optional>
#include <string>
#include <utility>

#include "nlohmann/json.hpp"
#include "service/format/json_fields.h"

namespace chunkkv {
namespace {

using nlohmann::json;

template <typename T>
void Put(const char* name, const std::optional<T>& value, json* object) {
  if (value.has_value()) (*object)[name] = *value;
}

template <typename T>
void PutName(const char* name, const std::optional<T>& value, std::string_view (*name_of)(T), json* object) {
  if (value.has_value()) (*object)[name] = std::string(name_of(*value));
}

// The optional readers: true where the member is absent, too.
bool Read(const json& object, const char* name, std::optional<double>* value) {
  return FindField(object, name) == nullptr || ReadField(object, name, &value->emplace());
}

bool Read(const json& object, const char* name, std::optional<int32_t>* value) {
  return FindField(object, name) == nullptr || ReadField(object, name, INT32_MIN, INT32_MAX, &value->emplace());
}

bool Read(const json& object, const char* name, std::optional<int64_t>* value) {
  return FindField(object, name) == nullptr || ReadField(object, name, INT64_MIN, INT64_MAX, &value->emplace());
}

template <typename T>
bool ReadName(const json& object, const char* name, std::optional<T> (*from_name)(std::string_view),
              std::optional<T>* value) {
  if (FindField(object, name) == nullptr) return true;
  std::string text;
  if (!ReadField(object, name, &text)) return false;
  *value = from_name(text);
  return value->has_value();
}

bool ReadChunkStarts(const json& object, std::vector<int32_t>* starts) {
  const json* list = FindField(object, "chunk_starts");
  if (list == nullptr) return true;
  if (!list->is_array()) return false;
  starts->reserve(list->size());
  for (const json& item : *list) {
    int64_t start = 0;
    if (!ReadInteger(item, 0, INT32_MAX, &start)) return false;
    starts->push_back(static_cast<int32_t>(start));
  }
  return true;
}

bool ReadGroups(const json& object, std::vector<ReuseGroup>* groups) {
  const json* list = FindField(object, "groups");
  if (list == nullptr) return true;
  if (!list->is_array()) return false;
  for (const json& item : *list) {
    if (!ReadGroup(item, &groups->emplace_back())) return false;
  }
  return true;
}

}  // namespace

json GroupJson(const ReuseGroup& group) {
  json object = {{"first_layer", group.first_layer}, {"layer_count", group.layer_count}};
  if (group.leader >= 0) object["leader"] = group.leader;
  return object;
}

bool ReadGroup(const json& object, ReuseGroup* group) {
  if (!ReadField(object, "first_layer", 0, INT32_MAX, &group->first_layer) ||
      !ReadField(object, "layer_count", 1, INT32_MAX, &group->layer_count)) {
    return false;
  }
  group->leader = -1;
  return FindField(object, "leader") == nullptr || ReadField(object, "leader", 0, INT32_MAX, &group->leader);
}

json SpecJson(const CompactionSpec& spec) {
  json object = {{"policy", std::string(PolicyName(spec.policy))}};
  Put("keep_ratio", spec.keep_ratio, &object);
  Put("max_tokens", spec.max_tokens, &object);
  Put("chunk_length", spec.chunk_length, &object);
  Put("window_length", spec.window_length, &object);
  Put("reuse_group", spec.reuse_group, &object);
  PutName("group_score", spec.group_score, GroupScoreName, &object);
  PutName("chunk_reduce", spec.chunk_reduce, ChunkReduceName, &object);
  Put("sink_tokens", spec.sink_tokens, &object);
  Put("pool", spec.pool, &object);
  Put("recent_ratio", spec.recent_ratio, &object);
  Put("budget_multiple", spec.budget_multiple, &object);
  Put("min_retained_mass", spec.min_retained_mass, &object);
  PutName("on_low_mass", spec.on_low_mass, OnLowMassName, &object);
  Put("max_raised_tokens", spec.max_raised_tokens, &object);
  if (!spec.chunk_starts.empty()) object["chunk_starts"] = spec.chunk_starts;
  for (const ReuseGroup& group : spec.groups) object["groups"].push_back(GroupJson(group));
  if (!spec.profile.empty()) object["profile"] = spec.profile;
  if (!spec.label.empty()) object["label"] = spec.label;
  return object;
}

bool ReadSpec(const json& object, CompactionSpec* spec) {
  std::optional<Policy> policy;
  if (!ReadName(object, "policy", PolicyFromName, &policy) || !policy.has_value()) return false;
  spec->policy = *policy;
  return Read(object, "keep_ratio", &spec->keep_ratio) && Read(object, "max_tokens", &spec->max_tokens) &&
         Read(object, "chunk_length", &spec->chunk_length) && Read(object, "window_length", &spec->window_length) &&
         Read(object, "reuse_group", &spec->reuse_group) &&
         ReadName(object, "group_score", GroupScoreFromName, &spec->group_score) &&
         ReadName(object, "chunk_reduce", ChunkReduceFromName, &spec->chunk_reduce) &&
         Read(object, "sink_tokens", &spec->sink_tokens) && Read(object, "pool", &spec->pool) &&
         Read(object, "recent_ratio", &spec->recent_ratio) && Read(object, "budget_multiple", &spec->budget_multiple) &&
         Read(object, "min_retained_mass", &spec->min_retained_mass) &&
         ReadName(object, "on_low_mass", OnLowMassFromName, &spec->on_low_mass) &&
         Read(object, "max_raised_tokens", &spec->max_raised_tokens) && ReadChunkStarts(object, &spec->chunk_starts) &&
         ReadGroups(object, &spec->groups) &&
         (FindField(object, "profile") == nullptr || ReadField(object, "profile", &spec->profile)) &&
         (FindField(object, "label") == nullptr || ReadField(object, "label", &spec->label));
}

}  // namespace chunkkv
