// JSON from outside, parsed without exceptions and within limits. Inside the service only.
#ifndef CHUNKKV_SERVICE_FORMAT_STRICT_JSON_H_
#define CHUNKKV_SERVICE_FORMAT_STRICT_JSON_H_

#include <string_view>

#include "nlohmann/json_fwd.hpp"

namespace chunkkv {

// False for anything but one well-formed JSON value without repeated keys, nested at most 8 deep, with at most 2^17
// objects and lists (memory stays within a small multiple of the text).
bool ParseStrictJson(std::string_view text, nlohmann::json* value);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_STRICT_JSON_H_
