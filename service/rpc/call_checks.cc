#include "service/rpc/call_checks.h"

#include <algorithm>

#include "chunkkv/kernels/status.h"

namespace chunkkv::rpc {

const std::vector<std::string>& Features() {
  static const auto& features = *new std::vector<std::string>{"attach",       "select_then_send",     "external",
                                                              "verbatim",     "rendezvous",           "leases",
                                                              "token_ranges", "contiguous_positions", "record_scores"};
  return features;
}

absl::Status CheckFeatures(const google::protobuf::RepeatedPtrField<std::string>& required) {
  for (const std::string& name : required) {
    if (std::find(Features().begin(), Features().end(), name) == Features().end()) {
      return Unimplemented("FEATURE", "required_features: this server does not have '" + name.substr(0, 64) + "'");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckBatch(const RpcContext& context, int64_t item_count) {
  if (item_count == 0) return InvalidArgument("EMPTY_BATCH", "the batch has no items");
  if (item_count > context.limits.max_batch_items) {
    return InvalidArgument("BATCH_TOO_LARGE", "the batch has " + std::to_string(item_count) + " items, at most " +
                                                  std::to_string(context.limits.max_batch_items) + " are accepted");
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::rpc
