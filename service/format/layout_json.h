// A layout as JSON, in a record. Inside format only. Normative text: README.md.
#ifndef CHUNKKV_SERVICE_FORMAT_LAYOUT_JSON_H_
#define CHUNKKV_SERVICE_FORMAT_LAYOUT_JSON_H_

#include "nlohmann/json_fwd.hpp"
#include "service/format/layout.h"

namespace chunkkv {

nlohmann::json LayoutJson(const Layout& layout);

// False where a member is missing or of another type. Numbers are within their types only: ValidateLayout judges them.
bool ReadLayout(const nlohmann::json& runs, Layout* layout);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_LAYOUT_JSON_H_
