#include "service/rpc/wire_put.h"

#include <optional>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "service/rpc/wire_layout.h"
#include "service/rpc/wire_region.h"
#include "service/rpc/wire_spec.h"

namespace chunkkv::rpc {
namespace {

constexpr size_t kMaxRoutingKeyBytes = 1024;

absl::Status CheckDurability(const v1::Begin& wire) {
  if (!v1::Durability_IsValid(wire.durability())) return InvalidArgument("BAD_ENUM", "durability: unknown value");
  if (wire.durability() == v1::DURABILITY_UNSPECIFIED || wire.durability() == v1::DURABILITY_MEMORY ||
      wire.accept_lower_durability()) {
    return absl::OkStatus();
  }
  return Unimplemented("DURABILITY", "durability: this server has MEMORY only");
}

absl::Status ReadModes(const v1::Begin& wire, PutRequest* request) {
  if (!v1::Begin::PartOrder_IsValid(wire.order())) return InvalidArgument("BAD_ENUM", "order: unknown value");
  if (!v1::Begin::SendMode_IsValid(wire.send_mode())) return InvalidArgument("BAD_ENUM", "send_mode: unknown value");
  request->order = wire.order() == v1::Begin::ANY ? PartOrder::kAny : PartOrder::kLayerMajor;
  request->send_mode = wire.send_mode() == v1::Begin::SELECT_THEN_SEND ? SendMode::kSelectThenSend : SendMode::kSendAll;
  return absl::OkStatus();
}

absl::Status ReadScores(const v1::ScoreInput& wire, PutRequest* request) {
  CHUNKKV_ASSIGN_OR_RETURN(request->score_source, ScoreSourceFromWire(wire.source()));
  request->has_lse = wire.lse();
  if (wire.dtype() != v1::DTYPE_UNSPECIFIED) {
    CHUNKKV_ASSIGN_OR_RETURN(request->score_dtype, DTypeFromWire(wire.dtype(), "scores.dtype"));
  } else if (request->score_source == ScoreSource::kQueryWindow || request->score_source == ScoreSource::kAttention) {
    return InvalidArgument("BAD_DTYPE", "scores.dtype: unset");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PutRequest> PutRequestFromWire(const v1::Begin& wire, const std::string& tenant) {
  if (wire.has_base()) return Unimplemented("BASE_ENTRY", "base: entries that continue others are not built");
  CHUNKKV_RETURN_IF_ERROR(CheckDurability(wire));
  CHUNKKV_RETURN_IF_ERROR(CheckTransferIdLength(wire.transfer_id()));
  if (wire.routing_key().size() > kMaxRoutingKeyBytes) {
    return InvalidArgument("BAD_NAME", "routing_key: at most 1024 bytes");
  }
  PutRequest request;
  request.tenant = tenant;
  if (!wire.has_model()) return InvalidArgument("MODEL_MISSING", "model is not set");
  request.model = ModelFromWire(wire.model());
  CHUNKKV_RETURN_IF_ERROR(ValidateModelIdentity(request.model));
  CHUNKKV_ASSIGN_OR_RETURN(request.shard, ResolveShard(ShardFromWire(wire.shard()), request.model));
  CHUNKKV_ASSIGN_OR_RETURN(Prompt prompt, PromptFromWire(wire.prompt()));
  request.key = prompt.key;
  request.prompt = std::move(prompt.digests);
  CHUNKKV_ASSIGN_OR_RETURN(request.layout, LayoutFromWire(wire.layout()));
  request.token_count = wire.token_count();
  if (!request.prompt.digests.empty() && request.prompt.token_count != request.token_count) {
    return InvalidArgument("BAD_PROMPT_LENGTH", "token_count differs from the tokens that the prompt's digests cover");
  }
  CHUNKKV_ASSIGN_OR_RETURN(request.spec, SpecFromWire(wire.spec()));
  CHUNKKV_RETURN_IF_ERROR(ReadScores(wire.scores(), &request));
  CHUNKKV_RETURN_IF_ERROR(ReadModes(wire, &request));
  request.ttl_ms = wire.ttl_ms();
  request.pin_ms = wire.pin_ms();
  CHUNKKV_ASSIGN_OR_RETURN(request.content_digest,
                           OptionalFromWire<16>(wire.content_digest(), "BAD_CONTENT_DIGEST", "content_digest"));
  request.next_position = wire.next_position();
  request.keys_contiguous = wire.keys_contiguous();
  request.group_row_counts.assign(wire.group_row_counts().begin(), wire.group_row_counts().end());
  return request;
}

EntryIdentity IdentityOf(const PutRequest& request) {
  return {request.tenant, Fingerprint(request.model), request.shard, request.key, VariantOf(request.spec)};
}

void ToWire(const PutSummary& summary, v1::Committed* wire) {
  const EntryHeader& header = summary.entry->header();
  const EntryIdentity& identity = summary.entry->identity();
  wire->set_entry_id(ToString(header.entry_id));
  wire->set_durability(v1::DURABILITY_MEMORY);
  wire->set_key(ToString(identity.key));
  wire->set_fingerprint(ToString(identity.fingerprint));
  wire->set_variant(ToString(identity.variant));
  ToWire(header.outcome, wire->mutable_compaction());
  wire->set_received_bytes(summary.received_bytes);
  wire->set_stored_bytes(summary.stored_bytes);
  wire->set_peak_staging_bytes(summary.peak_staging_bytes);
  wire->set_compaction_time_us(summary.compaction_time_us);
  wire->set_entry_digest(ToString(header.entry_digest));
  wire->set_already_stored(summary.already_stored);
}

}  // namespace chunkkv::rpc
