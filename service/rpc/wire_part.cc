#include "service/rpc/wire_part.h"

#include <string>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/rpc_limits.h"

namespace chunkkv::rpc {
namespace {

absl::StatusOr<PartTensor> TensorFromWire(int tensor) {
  switch (tensor) {
    case v1::TENSOR_KIND_KEYS:
      return PartTensor::kKeys;
    case v1::TENSOR_KIND_VALUES:
      return PartTensor::kValues;
    case v1::TENSOR_KIND_KEY_SCALES:
      return PartTensor::kKeyScales;
    case v1::TENSOR_KIND_VALUE_SCALES:
      return PartTensor::kValueScales;
    case v1::TENSOR_KIND_NAMED:
      return PartTensor::kNamed;
    case v1::TENSOR_KIND_QUERIES:
      return PartTensor::kQueries;
    case v1::TENSOR_KIND_LSE:
      return PartTensor::kLse;
    case v1::TENSOR_KIND_ATTENTION:
      return PartTensor::kAttention;
    case v1::TENSOR_KIND_TOKEN_SCORES:
      return PartTensor::kTokenScores;
    default:
      return InvalidArgument("BAD_TENSOR", "part.tensor: unset or unknown value " + std::to_string(tensor));
  }
}

absl::StatusOr<RangeKind> RangeFromWire(int range) {
  switch (range) {
    case v1::RANGE_KIND_TOKENS:
      return RangeKind::kTokens;
    case v1::RANGE_KIND_KEPT_ROWS:
      return RangeKind::kKeptRows;
    case v1::RANGE_KIND_BYTES:
      return RangeKind::kBytes;
    default:
      return InvalidArgument("BAD_RANGE_KIND", "part.range: unset or unknown value " + std::to_string(range));
  }
}

}  // namespace

absl::StatusOr<PartHeader> PartHeaderFromWire(const PartMessage& message) {
  PartHeader header;
  header.layer = message.part.layer();
  CHUNKKV_ASSIGN_OR_RETURN(header.tensor, TensorFromWire(message.part.tensor()));
  header.name = message.part.name();
  if (header.tensor != PartTensor::kNamed && !header.name.empty()) {
    return InvalidArgument("BAD_TENSOR", "part.name: only NAMED tensors have one");
  }
  CHUNKKV_ASSIGN_OR_RETURN(header.range, RangeFromWire(message.part.range()));
  header.begin = message.part.begin();
  header.end = message.part.end();
  const v1::TensorPayload& payload = message.part.payload();
  if (payload.has_region()) {
    header.in_region = true;
    return header;
  }
  if (payload.has_nccl()) {
    header.payload_bytes = payload.nccl().length_bytes();
    return header;
  }
  if (!message.inline_bytes) return InvalidArgument("CARRIER_UNSET", "part.payload: no carrier is set");
  if (message.inline_bytes->size_bytes > kMaxPartBytes) {
    return InvalidArgument("PART_TOO_LARGE", "part.payload.inline holds " +
                                                 std::to_string(message.inline_bytes->size_bytes) + " bytes, at most " +
                                                 std::to_string(kMaxPartBytes) + " are accepted");
  }
  header.checksum = payload.checksum();
  header.payload_bytes = message.inline_bytes->size_bytes;
  return header;
}

v1::TensorKind ToWire(TensorKind kind) {
  static_assert(static_cast<int>(TensorKind::kNamed) == v1::TENSOR_KIND_NAMED);
  return static_cast<v1::TensorKind>(kind);
}

v1::TensorKind ToWire(PartTensor tensor) {
  static_assert(static_cast<int>(PartTensor::kTokenScores) + 1 == v1::TENSOR_KIND_TOKEN_SCORES);
  return static_cast<v1::TensorKind>(static_cast<int>(tensor) + 1);
}

}  // namespace chunkkv::rpc
