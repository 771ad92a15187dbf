// Reading members of a JSON object from outside: each function is false where the member is missing, of another type
// or out of range, and leaves `value` alone then. Inside the service only.
#ifndef CHUNKKV_SERVICE_FORMAT_JSON_FIELDS_H_
#define CHUNKKV_SERVICE_FORMAT_JSON_FIELDS_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "nlohmann/json_fwd.hpp"

namespace chunkkv {

// Null where there is none.
const nlohmann::json* FindField(const nlohmann::json& object, const char* name);

bool ReadField(const nlohmann::json& object, const char* name, std::string* value);
// Finite.
bool ReadField(const nlohmann::json& object, const char* name, double* value);
// In [least, most].
bool ReadField(const nlohmann::json& object, const char* name, int64_t least, int64_t most, int64_t* value);
bool ReadField(const nlohmann::json& object, const char* name, int64_t least, int64_t most, int32_t* value);

// The first member by another name than these; empty: there is none.
std::optional<std::string> UnknownMember(const nlohmann::json& object, std::initializer_list<std::string_view> known);

// A number by itself.
bool ReadInteger(const nlohmann::json& number, int64_t least, int64_t most, int64_t* value);
bool ReadFinite(const nlohmann::json& number, double* value);

// Compact text; keys sorted; bytes that are no UTF-8 are replaced.
std::string JsonText(const nlohmann::json& value);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_JSON_FIELDS_H_
