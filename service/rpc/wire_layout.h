// Layer layouts between the wire and the domain.
#ifndef CHUNKKV_SERVICE_RPC_WIRE_LAYOUT_H_
#define CHUNKKV_SERVICE_RPC_WIRE_LAYOUT_H_

#include "absl/status/statusor.h"
#include "chunkkv/v1/layout.pb.h"
#include "service/format/layout.h"

namespace chunkkv::rpc {

using WireLayout = google::protobuf::RepeatedPtrField<v1::LayerRun>;

// Errors: INVALID_ARGUMENT: BAD_DTYPE, BAD_ENUM, LAYER_KIND_UNSET. Dimensions are ValidateLayout's to check.
absl::StatusOr<Layout> LayoutFromWire(const WireLayout& wire);
void ToWire(const Layout& layout, WireLayout* wire);

// Errors: INVALID_ARGUMENT (BAD_DTYPE) for an unset or unknown one.
absl::StatusOr<DType> DTypeFromWire(int dtype, std::string_view field);
v1::DType ToWire(DType dtype);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WIRE_LAYOUT_H_
