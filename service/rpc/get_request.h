// A GetCacheRequest, checked and in domain words.
#ifndef CHUNKKV_SERVICE_RPC_GET_REQUEST_H_
#define CHUNKKV_SERVICE_RPC_GET_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/v1/get.pb.h"
#include "service/rpc/rpc_limits.h"
#include "service/rpc/wire_entry.h"
#include "service/store/entry_store.h"
#include "service/transfer/region/region_part.h"

namespace chunkkv::rpc {

// Where a tensor goes.
struct TargetSlice {
  int32_t layer = 0;
  TensorKind tensor = TensorKind::kKeys;
  std::string name;  // kNamed
  Bytes16 region_id{};
  RegionSlice slice;
};

// None of them: inline.
struct GetTarget {
  std::vector<TargetSlice> slices;
  bool map = false;
  std::optional<TargetSlice> whole;  // its tensor is not looked at
  std::optional<Bytes16> channel_id;
  bool IsInRegions() const { return whole.has_value() || !slices.empty(); }
  // What brings the tensors: "inline", "region", "mapping" or "channel".
  const char* Carrier() const {
    if (map) return "mapping";
    if (channel_id.has_value()) return "channel";
    return IsInRegions() ? "region" : "inline";
  }
};

struct GetRequest {
  PromptName prompt;
  AcceptRule accept;
  std::optional<Bytes16> if_entry_id;
  std::optional<Bytes16> lease_id;
  int64_t miss_tokens = 0;  // of the prompt, as far as it is known
  int64_t wait_ms = 0;
  int64_t max_part_bytes = 0;
  std::optional<int32_t> layer_begin;  // with layer_end; unset: all
  int32_t layer_end = 0;
  ServeOptions options;
  GetTarget target;
  std::string transfer_id;
};

// Errors: INVALID_ARGUMENT of identity, prompt and accept rule, and BAD_WAIT, SHARD_INCOMPLETE (a wait with neither
// model nor definite shard), BAD_PART_BYTES, BAD_LAYER_RANGE, BAD_TOKEN_RANGE, BAD_ENUM, BAD_ENTRY_ID, BAD_LEASE_ID,
// TRANSFER_ID_TOO_LONG, BAD_TARGET (of two kinds), BAD_TENSOR, BAD_REGION_ID, BAD_CHANNEL_ID, MAPS_WHOLE (a range, or
// re-rotated keys); UNIMPLEMENTED FEATURE.
absl::StatusOr<GetRequest> GetRequestFromWire(const v1::GetCacheRequest& wire, const std::string& tenant,
                                              const RpcLimits& limits, EntryStore& store);

// What of `header` is served. Errors: OUT_OF_RANGE (LAYER_RANGE), and those of CheckServeOptions.
absl::StatusOr<ServedRange> RangeOf(const GetRequest& request, const EntryHeader& header);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_GET_REQUEST_H_
