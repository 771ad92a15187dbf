// Checks that many requests share.
#ifndef CHUNKKV_SERVICE_RPC_CALL_CHECKS_H_
#define CHUNKKV_SERVICE_RPC_CALL_CHECKS_H_

#include <google/protobuf/repeated_ptr_field.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/rpc/rpc_context.h"

namespace chunkkv::rpc {

// What required_features may name.
const std::vector<std::string>& Features();
// Errors: UNIMPLEMENTED (FEATURE) naming one that this server does not have.
absl::Status CheckFeatures(const google::protobuf::RepeatedPtrField<std::string>& required);

// Errors: INVALID_ARGUMENT: EMPTY_BATCH, BATCH_TOO_LARGE.
absl::Status CheckBatch(const RpcContext& context, int64_t item_count);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CALL_CHECKS_H_
