#include "service/format/json_fields.h"

#include <algorithm>
#include <cmath>

#include "nlohmann/json.hpp"

namespace chunkkv {

using nlohmann::json;

const json* FindField(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::optional<std::string> UnknownMember(const json& object, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) return name;
  }
  return std::nullopt;
}

bool ReadField(const json& object, const char* name, std::string* value) {
  const json* field = FindField(object, name);
  if (field == nullptr || !field->is_string()) return false;
  *value = field->get_ref<const std::string&>();
  return true;
}

bool ReadField(const json& object, const char* name, double* value) {
  const json* field = FindField(object, name);
  return field != nullptr && ReadFinite(*field, value);
}

bool ReadField(const json& object, const char* name, int64_t least, int64_t most, int64_t* value) {
  const json* field = FindField(object, name);
  return field != nullptr && ReadInteger(*field, least, most, value);
}

bool ReadField(const json& object, const char* name, int64_t least, int64_t most, int32_t* value) {
  int64_t wide = 0;
  if (!ReadField(object, name, std::max<int64_t>(least, INT32_MIN), std::min<int64_t>(most, INT32_MAX), &wide)) {
    return false;
  }
  *value = static_cast<int32_t>(wide);
  return true;
}

bool ReadInteger(const json& number, int64_t least, int64_t most, int64_t* value) {
  if (!number.is_number_integer()) return false;
  if (number.is_number_unsigned() && number.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return false;
  const int64_t integer = number.get<int64_t>();
  if (integer < least || integer > most) return false;
  *value = integer;
  return true;
}

bool ReadFinite(const json& number, double* value) {
  if (!number.is_number()) return false;
  const double finite = number.get<double>();
  if (!std::isfinite(finite)) return false;
  *value = finite;
  return true;
}

std::string JsonText(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace chunkkv
