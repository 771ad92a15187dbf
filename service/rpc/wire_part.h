// Parts of tensors between the wire and the domain.
#ifndef CHUNKKV_SERVICE_RPC_WIRE_PART_H_
#define CHUNKKV_SERVICE_RPC_WIRE_PART_H_

#include "absl/status/statusor.h"
#include "chunkkv/v1/payload.pb.h"
#include "service/format/layout.h"
#include "service/rpc/part_message.h"
#include "service/session/put_request.h"

namespace chunkkv::rpc {

// Errors: INVALID_ARGUMENT: BAD_TENSOR, BAD_RANGE_KIND, CARRIER_UNSET, PART_TOO_LARGE.
absl::StatusOr<PartHeader> PartHeaderFromWire(const PartMessage& message);

// layer, tensor and, of NAMED ones, name.
template <typename Message>
void SetTensor(const TensorSpec& spec, Message* wire);

v1::TensorKind ToWire(TensorKind kind);
v1::TensorKind ToWire(PartTensor tensor);

template <typename Message>
void SetTensor(const TensorSpec& spec, Message* wire) {
  wire->set_layer(spec.layer);
  wire->set_tensor(ToWire(spec.kind));
  if (spec.kind == TensorKind::kNamed) wire->set_name(spec.name);
}

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WIRE_PART_H_
