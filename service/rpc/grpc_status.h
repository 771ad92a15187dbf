// The one place where a domain status becomes a gRPC status with its trailers.
#ifndef CHUNKKV_SERVICE_RPC_GRPC_STATUS_H_
#define CHUNKKV_SERVICE_RPC_GRPC_STATUS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "chunkkv/v1/catalog.pb.h"

namespace chunkkv::rpc {

inline constexpr char kReasonTrailer[] = "chunkkv-reason";
inline constexpr char kRetryTrailer[] = "chunkkv-retry-ms";
inline constexpr size_t kMaxErrorTextBytes = 1024;

// Adds the trailers of `status` to the call; a call's status is set once.
grpc::Status ToGrpcStatus(const absl::Status& status, grpc::ServerContextBase& context);
// The outcome of one item of a batch.
void ToWire(const absl::Status& status, v1::ItemStatus* item);

// At most kMaxErrorTextBytes of printable ASCII: names in error texts may come from clients.
std::string PrintableText(std::string_view text);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_GRPC_STATUS_H_
