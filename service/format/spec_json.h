// A requested spec as JSON, in a record: set fields only, by their names in compaction.proto. Inside format only.
// Normative text: README.md.
#ifndef CHUNKKV_SERVICE_FORMAT_SPEC_JSON_H_
#define CHUNKKV_SERVICE_FORMAT_SPEC_JSON_H_

#include <vector>

#include "chunkkv/kernels/spec.h"
#include "nlohmann/json_fwd.hpp"

namespace chunkkv {

nlohmann::json SpecJson(const CompactionSpec& spec);

// False where a member is of another type or unknown by name. Numbers are within their types only.
bool ReadSpec(const nlohmann::json& object, CompactionSpec* spec);

nlohmann::json GroupJson(const ReuseGroup& group);
bool ReadGroup(const nlohmann::json& object, ReuseGroup* group);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_SPEC_JSON_H_
