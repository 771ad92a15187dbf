#include <algorithm>
#include <string>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/catalog_rpcs.h"
#include "service/rpc/grpc_status.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_entry.h"
#include "service/rpc/wire_identity.h"
#include "service/rpc/wire_spec.h"

namespace chunkkv::rpc {
namespace {

using Query = v1::FindLongestPrefixRequest::Query;
using Result = v1::FindLongestPrefixResponse::Result;

void ToWire(const PlacedEntry& placed, v1::FindLongestPrefixResponse::Found* found) {
  const Entry& entry = *placed.entry;
  const EntryHeader& header = entry.header();
  found->set_entry_id(ToString(header.entry_id));
  found->set_key(ToString(entry.identity().key));
  found->set_variant(ToString(entry.identity().variant));
  found->set_policy(rpc::ToWire(header.outcome.policy_applied));
  found->set_token_count(header.token_count);
  int64_t row_count = header.row_counts.empty() ? header.token_count : 0;
  for (const int64_t count : header.row_counts) row_count = std::max(row_count, count);
  found->set_row_count(row_count);
  found->set_size_bytes(header.BodyBytes());
  found->set_tier(rpc::ToWire(placed.tier));
}

absl::StatusOr<std::vector<Shard>> ShardsOf(const Query& wire, const ModelRef& ref, KnownModels& known) {
  std::vector<Shard> shards;
  if (wire.shards_size() > kMaxFindShards) {
    return InvalidArgument("BAD_SHARD", "shards: at most " + std::to_string(kMaxFindShards) + " are accepted");
  }
  if (wire.shards().empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(const Shard whole, ResolveWireShard(nullptr, ref, known));
    shards.push_back(whole);
  }
  for (const v1::Shard& wire_shard : wire.shards()) {
    CHUNKKV_ASSIGN_OR_RETURN(const Shard shard, ResolveWireShard(&wire_shard, ref, known));
    shards.push_back(shard);
  }
  std::vector<Shard> sorted = shards;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    return InvalidArgument("BAD_SHARD", "shards: one is named twice");
  }
  return shards;
}

// Each shard of each query is looked up, and answered with an entry.
absl::Status CheckShardCount(const v1::FindLongestPrefixRequest& request) {
  int64_t count = 0;
  for (const Query& query : request.queries()) {
    if (query.shards_size() <= kMaxFindShards) count += std::max(1, query.shards_size());  // else refused by itself
  }
  if (count <= kMaxFindShards) return absl::OkStatus();
  return InvalidArgument("BATCH_TOO_LARGE", "the queries name " + std::to_string(count) + " shards, at most " +
                                                std::to_string(kMaxFindShards) + " are accepted");
}

absl::Status Find(const UnaryCall& call, KnownModels& known, const Query& wire, Result* result) {
  PrefixQuery query;
  query.tenant = call.tenant();
  CHUNKKV_ASSIGN_OR_RETURN(const ModelRef ref, ModelRefFromWire(wire));
  query.fingerprint = ref.fingerprint;
  CHUNKKV_ASSIGN_OR_RETURN(query.shards, ShardsOf(wire, ref, known));
  CHUNKKV_ASSIGN_OR_RETURN(Prompt prompt, PromptFromWire(wire.prompt()));
  if (prompt.digests.digests.empty()) {
    return InvalidArgument("DIGESTS_MISSING", "prompt: tokens or block_digests are needed to find a prefix");
  }
  query.prompt = std::move(prompt.digests);
  query.tokens = absl::MakeConstSpan(wire.prompt().tokens().data(), wire.prompt().tokens_size());
  const std::vector<std::string> extra(wire.prompt().block_extra().begin(), wire.prompt().block_extra().end());
  query.extra = extra;
  if (wire.has_accept()) {
    CHUNKKV_ASSIGN_OR_RETURN(query.accept, AcceptFromWire(wire.accept()));
  }
  const int64_t max_pin_ms = call.store().MaxPinMs(call.tenant());
  if (wire.hold_ms() < 0) return InvalidArgument("BAD_PIN", "hold_ms is negative");
  if (wire.hold_ms() > max_pin_ms) {
    return InvalidArgument("PIN_TOO_LONG", "hold_ms is above " + std::to_string(max_pin_ms));
  }
  query.hold_ms = wire.hold_ms();
  CHUNKKV_ASSIGN_OR_RETURN(const PrefixMatch match, call.store().FindLongestPrefix(query));
  result->set_covered_tokens(match.covered_tokens);
  int64_t load_bytes = 0;
  for (const PlacedEntry& placed : match.entries) {
    ToWire(placed, result->add_entries());
    const EntryHeader& header = placed.entry->header();
    // Of a longer entry only the covered tokens are loaded.
    const double share = header.token_count > match.covered_tokens
                             ? static_cast<double>(match.covered_tokens) / static_cast<double>(header.token_count)
                             : 1.0;
    load_bytes += static_cast<int64_t>(share * static_cast<double>(header.BodyBytes()));
  }
  result->set_expected_load_ms(call.context().load_rate.ExpectedMs(load_bytes));
  if (match.lease) {
    result->set_lease_id(ToString(match.lease->id));
    result->set_lease_expires_unix_ms(match.lease->expires_unix_ms);
  }
  return absl::OkStatus();
}

absl::Status FindEach(const UnaryCall& call, const v1::FindLongestPrefixRequest& request,
                      v1::FindLongestPrefixResponse* response) {
  KnownModels known(call.tenant(), call.store());
  for (const Query& query : request.queries()) {
    CHUNKKV_RETURN_IF_ERROR(call.CheckActive());
    Result* const result = response->add_results();
    rpc::ToWire(Find(call, known, query, result), result->mutable_status());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FindLongestPrefix(UnaryCall& call, const v1::FindLongestPrefixRequest& request,
                               v1::FindLongestPrefixResponse* response) {
  CHUNKKV_RETURN_IF_ERROR(CheckFeatures(request.required_features()));
  CHUNKKV_RETURN_IF_ERROR(CheckBatch(call.context(), request.queries_size()));
  CHUNKKV_RETURN_IF_ERROR(CheckShardCount(request));
  const absl::Status status = FindEach(call, request, response);
  if (status.ok()) return status;
  // Nobody will learn of the leases.
  for (const Result& result : response->results()) {
    if (const auto lease_id = FixedFromView<16>(result.lease_id())) {
      call.store().Unpin(call.tenant(), *lease_id).IgnoreError();
    }
  }
  return status;
}

}  // namespace chunkkv::rpc
