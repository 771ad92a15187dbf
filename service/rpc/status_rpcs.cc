#include "chunkkv/kernels/limits.h"
#include "chunkkv/kernels/status.h"
#include "service/format/record.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/catalog_rpcs.h"
#include "service/rpc/version.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_spec.h"

namespace chunkkv::rpc {
namespace {

void FillLimits(const RpcContext& context, v1::GetCapabilitiesResponse::Limits* limits) {
  const SessionLimits& session = context.session_limits;
  limits->set_max_part_bytes(session.max_part_bytes);
  limits->set_max_message_bytes(kMaxMessageBytes);
  limits->set_max_entry_bytes(context.store_options.max_entry_bytes);
  limits->set_max_token_count(session.layout.max_token_count);
  limits->set_max_layer_count(session.layout.max_layer_count);
  limits->set_max_head_count(session.layout.max_head_count);
  limits->set_max_head_size(session.layout.max_head_size);
  limits->set_max_window_length(kMaxWindowLength);
  limits->set_max_chunk_length(kMaxChunkLength);
  limits->set_max_batch_items(context.limits.max_batch_items);
  limits->set_max_wait_ms(context.limits.max_wait_ms);
  limits->set_max_pin_ms(context.store_options.max_pin_ms);
  limits->set_max_ttl_ms(context.store_options.max_ttl_ms);
  limits->set_idle_timeout_ms(context.limits.idle_timeout_ms);
  limits->set_max_rpc_ms(context.limits.max_rpc_ms);
  limits->set_max_streams(context.limits.max_streams);
  limits->set_max_open_layers(session.max_open_layers);
}

void FillChannels(const ChannelHost& channels, v1::GetCapabilitiesResponse* response) {
  v1::GetCapabilitiesResponse::Channels* wire = response->mutable_channels();
  if (!channels.status().ok()) {
    wire->set_unavailable(StatusReason(channels.status()));
    return;
  }
  response->add_transports("nccl");
  wire->set_nccl_version(channels.nccl_version());
  wire->add_devices(channels.device());
}

void ToWire(const DeviceTierStats& stats, v1::GetStatsResponse::TierStats* tier) {
  tier->set_tier(v1::TIER_DEVICE);
  tier->set_budget_bytes(stats.budget_bytes);
  tier->set_entry_bytes(stats.entry_bytes);
  tier->set_entries(stats.entries);
  tier->set_evictions(stats.evictions);
  tier->set_used_bytes(stats.used_bytes);
  tier->set_promotions(stats.promotions);
  tier->set_demotions(stats.demotions);
  tier->set_failure(std::string(stats.failure.message()));
}

}  // namespace

absl::Status GetCapabilities(UnaryCall& call, const v1::GetCapabilitiesRequest&,
                             v1::GetCapabilitiesResponse* response) {
  const RpcContext& context = call.context();
  response->set_server_version(kServerVersion);
  response->set_protocol_version("v1");
  response->mutable_features()->Assign(Features().begin(), Features().end());
  for (int policy = v1::POLICY_FULL; policy <= v1::POLICY_EXTERNAL; ++policy) {
    response->add_policies(static_cast<v1::Policy>(policy));
  }
  for (int dtype = v1::DTYPE_F32; dtype <= v1::DTYPE_F8_E5M2; ++dtype) {
    response->add_dtypes(static_cast<v1::DType>(dtype));
    if (IsScorable(static_cast<DType>(dtype))) response->add_scorable_dtypes(static_cast<v1::DType>(dtype));
  }
  for (int source = v1::SCORE_SOURCE_QUERY_WINDOW; source <= v1::SCORE_SOURCE_TOKEN_SCORES; ++source) {
    response->add_score_sources(static_cast<v1::ScoreSource>(source));
  }
  response->add_transports("inline");
  if (context.local.CheckEnabled().ok()) {
    response->add_transports("shared_memory");
    if (context.local.maps_entries) response->add_transports("mapping");
    if (context.local.device != nullptr) response->add_transports("device_memory");
    response->set_local_socket(context.local.socket_path);
  }
  FillChannels(context.channels, response);
  response->add_durabilities(v1::DURABILITY_MEMORY);
  v1::GetCapabilitiesResponse::Device* device = response->add_devices();
  device->set_kind(context.device.kind);
  device->set_name(context.device.name);
  device->set_ordinal(context.device.ordinal);
  FillLimits(context, response->mutable_limits());
  response->set_record_format_version(kRecordFormatVersion);
  for (const auto& [name, profile_of_name] : context.profiles.all()) {
    v1::GetCapabilitiesResponse::Profile* profile = response->add_profiles();
    profile->set_fingerprint(ToString(name.first));
    profile->set_name(name.second);
    for (const ReuseGroup& group : profile_of_name.groups) ToWire(group, profile->add_groups());
    ToWire(profile_of_name.spec, profile->mutable_spec());
    profile->set_given_chunks(profile_of_name.given_chunks);
    profile->set_max_loss(profile_of_name.max_loss);
  }
  return absl::OkStatus();
}

absl::Status GetStats(UnaryCall& call, const v1::GetStatsRequest&, v1::GetStatsResponse* response) {
  const RpcContext& context = call.context();
  const StoreStats stats = call.store().Stats();
  if (stats.device.has_value()) ToWire(*stats.device, response->add_tiers());
  v1::GetStatsResponse::TierStats* tier = response->add_tiers();
  tier->set_tier(v1::TIER_HOST);
  tier->set_budget_bytes(stats.budget_bytes);
  tier->set_entry_bytes(stats.entry_bytes);
  tier->set_staging_bytes(stats.used_bytes - stats.entry_bytes);
  tier->set_entries(stats.host_entries);
  tier->set_evictions(stats.evictions);
  tier->set_used_bytes(stats.used_bytes);
  const TenantStats of_tenant = call.store().StatsOf(call.tenant());
  v1::GetStatsResponse::TenantStats* wire = response->mutable_tenant();
  wire->set_entries(of_tenant.entries);
  wire->set_entry_bytes(of_tenant.entry_bytes);
  wire->set_hit_tokens(of_tenant.hit_tokens);
  wire->set_miss_tokens(of_tenant.miss_tokens);
  wire->set_puts(of_tenant.puts);
  wire->set_received_bytes(of_tenant.received_bytes);
  wire->set_stored_bytes(of_tenant.stored_bytes);
  response->set_active_sessions(context.sessions.size());
  response->set_active_gets(context.streams.Count(StreamKind::kGet));
  response->set_pins(stats.pins);
  response->set_uptime_ms(context.clock.MonotonicMs() - context.started_monotonic_ms);
  response->set_scrubbed_bytes(stats.scrubbed_bytes);
  response->set_damaged_entries(stats.damaged_entries);
  return absl::OkStatus();
}

}  // namespace chunkkv::rpc
