// Fixed-size byte strings on the wire.
#ifndef CHUNKKV_SERVICE_RPC_WIRE_BYTES_H_
#define CHUNKKV_SERVICE_RPC_WIRE_BYTES_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/status.h"
#include "service/format/bytes.h"

namespace chunkkv::rpc {

template <size_t N>
std::string ToString(const FixedBytes<N>& bytes) {
  return std::string(AsView(bytes));
}

// Errors: INVALID_ARGUMENT with `reason` for another length.
template <size_t N>
absl::StatusOr<FixedBytes<N>> FixedFromWire(const std::string& bytes, std::string_view reason, std::string_view field) {
  if (auto fixed = FixedFromView<N>(bytes)) return *fixed;
  return InvalidArgument(
      reason, std::string(field) + ": " + std::to_string(N) + " bytes are needed, not " + std::to_string(bytes.size()));
}

// As FixedFromWire; empty for an empty string.
template <size_t N>
absl::StatusOr<std::optional<FixedBytes<N>>> OptionalFromWire(const std::string& bytes, std::string_view reason,
                                                              std::string_view field) {
  if (bytes.empty()) return std::optional<FixedBytes<N>>();
  auto fixed = FixedFromWire<N>(bytes, reason, field);
  if (!fixed.ok()) return fixed.status();
  return std::optional<FixedBytes<N>>(*fixed);
}

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WIRE_BYTES_H_
