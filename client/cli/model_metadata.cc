#include "client/cli/model_metadata.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

using Json = nlohmann::json;

absl::Status Bad(const std::string& name, const std::string& expected) {
  return InvalidArgument("BAD_METADATA", "metadata " + name + " must be " + expected);
}

// A null result stands for an absent value.
absl::StatusOr<Json> Parse(const std::map<std::string, std::string>& metadata, const std::string& name) {
  const auto found = metadata.find(name);
  if (found == metadata.end()) return Json();
  Json value = Json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return Bad(name, "JSON");
  return value;
}

bool IsFinite(const Json& value) { return value.is_number() && std::isfinite(value.get<double>()); }

bool IsCount(const Json& value) {
  return value.is_number_integer() && value.get<int64_t>() >= 0 &&
         value.get<int64_t>() <= std::numeric_limits<int32_t>::max();
}

absl::StatusOr<double> ReadPositive(const std::map<std::string, std::string>& metadata, const std::string& name) {
  CHUNKKV_ASSIGN_OR_RETURN(const Json value, Parse(metadata, name));
  if (value.is_null()) return 0.0;
  if (!IsFinite(value) || value.get<double>() <= 0) return Bad(name, "a number above 0");
  return value.get<double>();
}

absl::StatusOr<RopeShape> ReadRope(const Json& value) {
  if (!value.is_object()) return Bad("rope", "an object");
  RopeShape rope;
  for (const auto& [name, field] : value.items()) {
    if (name == "first_dim" && IsCount(field)) {
      rope.first_dim = field.get<int32_t>();
    } else if (name == "rotary_dims" && IsCount(field)) {
      rope.rotary_dims = field.get<int32_t>();
    } else if (name == "pairing" && (field == "half" || field == "interleaved")) {
      rope.interleaved = field == "interleaved";
    } else if (name == "inv_freq" && field.is_array()) {
      for (const Json& frequency : field) {
        if (!IsFinite(frequency)) return Bad("rope", "given with finite inv_freq");
        rope.inv_freq.push_back(frequency.get<double>());
      }
    } else {
      return Bad("rope",
                 "an object of first_dim, rotary_dims, pairing (half or interleaved) and inv_freq; see " + name);
    }
  }
  if (rope.rotary_dims == 0 || rope.rotary_dims % 2 != 0 ||
      rope.inv_freq.size() != static_cast<size_t>(rope.rotary_dims) / 2) {
    return Bad("rope", "given with an even rotary_dims above 0 and rotary_dims / 2 inv_freq");
  }
  return rope;
}

}  // namespace

absl::StatusOr<ModelMetadata> ReadModelMetadata(const std::map<std::string, std::string>& metadata) {
  ModelMetadata model;
  CHUNKKV_ASSIGN_OR_RETURN(model.scale, ReadPositive(metadata, "scale"));
  CHUNKKV_ASSIGN_OR_RETURN(model.softcap, ReadPositive(metadata, "softcap"));
  CHUNKKV_ASSIGN_OR_RETURN(const Json sinks, Parse(metadata, "sink_logits"));
  if (!sinks.is_null()) {
    if (!sinks.is_array()) return Bad("sink_logits", "a list of numbers");
    for (const Json& sink : sinks) {
      if (!IsFinite(sink)) return Bad("sink_logits", "a list of finite numbers");
      model.sink_logits.push_back(sink.get<float>());
    }
  }
  CHUNKKV_ASSIGN_OR_RETURN(const Json rope, Parse(metadata, "rope"));
  if (!rope.is_null()) {
    CHUNKKV_ASSIGN_OR_RETURN(model.rope, ReadRope(rope));
  }
  return model;
}

}  // namespace chunkkv::cli
