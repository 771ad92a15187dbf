#include <cstdint>

#include "chunkkv/kernels/status.h"
#include "nlohmann/json.hpp"
#include "service/base/status_macros.h"
#include "service/format/identity.h"
#include "service/format/json_fields.h"
#include "service/format/strict_json.h"

namespace chunkkv {
namespace {

using nlohmann::json;

bool ReadCount(const json& object, const char* name, int32_t* count) {
  return ReadField(object, name, 0, INT32_MAX, count);
}

bool ReadAdapters(const json& object, std::vector<ModelIdentity::Adapter>* adapters) {
  const json* list = FindField(object, "adapters");
  if (list == nullptr || !list->is_array()) return false;
  for (const json& item : *list) {
    ModelIdentity::Adapter& adapter = adapters->emplace_back();
    if (!ReadField(item, "name", &adapter.name) || !ReadField(item, "revision", &adapter.revision)) {
      return false;
    }
  }
  return true;
}

bool ReadExtra(const json& object, std::map<std::string, std::string>* extra) {
  const json* members = FindField(object, "extra");
  if (members == nullptr || !members->is_object()) return false;
  for (const auto& [key, value] : members->items()) {
    if (!value.is_string()) return false;
    (*extra)[key] = value.get_ref<const std::string&>();
  }
  return true;
}

}  // namespace

absl::StatusOr<ModelIdentity> ModelIdentityFromCanonicalText(std::string_view text) {
  const auto refuse = [] {
    return InvalidArgument("BAD_CANONICAL_TEXT", "not the canonical text of a model identity");
  };
  json object;
  if (!ParseStrictJson(text, &object)) return refuse();
  ModelIdentity model;
  const bool is_read = ReadField(object, "name", &model.name) && ReadField(object, "revision", &model.revision) &&
                       ReadField(object, "kv_dtype", &model.kv_dtype) &&
                       ReadField(object, "quantization", &model.quantization) &&
                       ReadField(object, "rope", &model.rope) && ReadAdapters(object, &model.adapters) &&
                       ReadExtra(object, &model.extra) && ReadCount(object, "layer_count", &model.layer_count) &&
                       ReadCount(object, "kv_head_count", &model.kv_head_count) &&
                       ReadCount(object, "key_head_size", &model.key_head_size) &&
                       ReadCount(object, "value_head_size", &model.value_head_size);
  if (!is_read || CanonicalText(model) != text) return refuse();
  CHUNKKV_RETURN_IF_ERROR(ValidateModelIdentity(model));
  return model;
}

}  // namespace chunkkv
