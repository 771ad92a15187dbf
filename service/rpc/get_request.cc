#include "service/rpc/get_request.h"

#include <algorithm>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/wire_channel.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "service/rpc/wire_region.h"

namespace chunkkv::rpc {
namespace {

absl::Status ReadRanges(const v1::GetCacheRequest& wire, GetRequest* request) {
  if (wire.has_layers()) {
    if (wire.layers().begin() < 0 || wire.layers().end() <= wire.layers().begin()) {
      return InvalidArgument("BAD_LAYER_RANGE", "layers: the range is empty, reversed or negative");
    }
    request->layer_begin = wire.layers().begin();
    request->layer_end = wire.layers().end();
  }
  if (wire.has_tokens()) {
    if (wire.tokens().begin() < 0 || wire.tokens().end() <= wire.tokens().begin()) {
      return InvalidArgument("BAD_TOKEN_RANGE", "tokens: the range is empty, reversed or negative");
    }
    request->options.first_token = wire.tokens().begin();
    request->options.token_count = wire.tokens().end() - wire.tokens().begin();
  }
  if (!v1::PositionMode_IsValid(wire.position_mode())) return InvalidArgument("BAD_ENUM", "position_mode: unknown");
  if (wire.position_mode() == v1::POSITION_MODE_CONTIGUOUS) request->options.position_mode = PositionMode::kContiguous;
  return absl::OkStatus();
}

absl::Status ReadNumbers(const v1::GetCacheRequest& wire, const RpcLimits& limits, GetRequest* request) {
  if (wire.wait_ms() < 0) return InvalidArgument("BAD_WAIT", "wait_ms is negative");
  request->wait_ms = std::min(wire.wait_ms(), limits.max_wait_ms);
  request->max_part_bytes = wire.max_part_bytes() == 0 ? kDefaultPartBytes : wire.max_part_bytes();
  if (request->max_part_bytes < kMinPartBytes || request->max_part_bytes > kMaxPartBytes) {
    return InvalidArgument("BAD_PART_BYTES", "max_part_bytes is not in [" + std::to_string(kMinPartBytes) + ", " +
                                                 std::to_string(kMaxPartBytes) + "]");
  }
  return absl::OkStatus();
}

absl::Status ReadTarget(const v1::GetCacheRequest& wire, GetTarget* target) {
  if (!wire.has_target()) return absl::OkStatus();
  const v1::GetCacheRequest::Target& from = wire.target();
  target->map = from.map();
  const bool is_channel = !from.channel_id().empty();
  if (int{from.map()} + int{from.layers_size() > 0} + int{from.has_whole()} + int{is_channel} != 1) {
    return InvalidArgument("BAD_TARGET", "target: one of map, layers, whole and channel_id must be set");
  }
  if (is_channel) {
    CHUNKKV_ASSIGN_OR_RETURN(target->channel_id, ChannelIdFromWire(from.channel_id()));
  }
  if (from.map() && (wire.has_layers() || wire.has_tokens() || wire.position_mode() == v1::POSITION_MODE_CONTIGUOUS)) {
    return InvalidArgument("MAPS_WHOLE", "target.map: an entry is mapped whole, at original positions");
  }
  if (from.has_whole()) {
    TargetSlice& slice = target->whole.emplace();
    CHUNKKV_ASSIGN_OR_RETURN(slice.region_id, RegionIdFromWire(from.whole().region_id()));
    slice.slice = RegionSliceFromWire(from.whole());
    if (slice.slice.pages || slice.slice.offset_bytes < 0) {
      return InvalidArgument("BAD_TARGET", "target.whole: an offset, not negative, and a length");
    }
  }
  for (const v1::GetCacheRequest::LayerTarget& layer : from.layers()) {
    TargetSlice& slice = target->slices.emplace_back();
    slice.layer = layer.layer();
    if (layer.tensor() < v1::TENSOR_KIND_KEYS || layer.tensor() > v1::TENSOR_KIND_NAMED) {
      return InvalidArgument("BAD_TENSOR", "target.layers.tensor: unset, or none that is stored");
    }
    slice.tensor = static_cast<TensorKind>(layer.tensor());
    slice.name = layer.name();
    CHUNKKV_ASSIGN_OR_RETURN(slice.region_id, RegionIdFromWire(layer.slice().region_id()));
    slice.slice = RegionSliceFromWire(layer.slice());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GetRequest> GetRequestFromWire(const v1::GetCacheRequest& wire, const std::string& tenant,
                                              const RpcLimits& limits, EntryStore& store) {
  CHUNKKV_RETURN_IF_ERROR(CheckFeatures(wire.required_features()));
  CHUNKKV_RETURN_IF_ERROR(CheckTransferIdLength(wire.transfer_id()));
  GetRequest request;
  request.transfer_id = wire.transfer_id();
  CHUNKKV_RETURN_IF_ERROR(ReadTarget(wire, &request.target));
  CHUNKKV_ASSIGN_OR_RETURN(const ModelRef ref, ModelRefFromWire(wire));
  request.prompt.tenant = tenant;
  request.prompt.fingerprint = ref.fingerprint;
  KnownModels known(tenant, store);
  CHUNKKV_ASSIGN_OR_RETURN(request.prompt.shard,
                           ResolveWireShard(wire.has_shard() ? &wire.shard() : nullptr, ref, known));
  CHUNKKV_ASSIGN_OR_RETURN(const Prompt prompt, PromptFromWire(wire.prompt()));
  request.prompt.key = prompt.key;
  request.miss_tokens = prompt.digests.token_count;
  if (wire.has_accept()) {
    CHUNKKV_ASSIGN_OR_RETURN(request.accept, AcceptFromWire(wire.accept()));
  }
  CHUNKKV_ASSIGN_OR_RETURN(request.if_entry_id,
                           OptionalFromWire<16>(wire.if_entry_id(), "BAD_ENTRY_ID", "if_entry_id"));
  CHUNKKV_ASSIGN_OR_RETURN(request.lease_id, OptionalFromWire<16>(wire.lease_id(), "BAD_LEASE_ID", "lease_id"));
  CHUNKKV_RETURN_IF_ERROR(ReadRanges(wire, &request));
  CHUNKKV_RETURN_IF_ERROR(ReadNumbers(wire, limits, &request));
  const Shard& shard = request.prompt.shard;
  if (request.wait_ms > 0 && (shard.layer_count == 0 || shard.kv_head_count == 0)) {
    return InvalidArgument("SHARD_INCOMPLETE", "wait_ms: with a fingerprint alone the shard's counts are needed");
  }
  return request;
}

absl::StatusOr<ServedRange> RangeOf(const GetRequest& request, const EntryHeader& header) {
  ServedRange range;
  range.options = request.options;
  const int32_t layer_count = LayerCount(header.layout);
  range.first_layer = request.layer_begin.value_or(0);
  const int32_t end = request.layer_begin ? request.layer_end : layer_count;
  if (end > layer_count) {
    return ErrorStatus(absl::StatusCode::kOutOfRange, "LAYER_RANGE",
                       "layers reach past the end of " + std::to_string(layer_count));
  }
  range.layer_count = end - range.first_layer;
  CHUNKKV_RETURN_IF_ERROR(CheckServeOptions(header, range.options));
  return range;
}

}  // namespace chunkkv::rpc
