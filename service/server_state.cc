#include "service/server_state.h"

#include "service/rpc/version.h"

namespace chunkkv {
namespace {

constexpr char kHost[] = "host";
constexpr char kDevice[] = "device";

void ReadTiers(const StoreStats& store, MetricReadings& readings) {
  // Readings of one metric stand together.
  const auto add = [&](const MetricSpec& spec, double of_host, double of_device) {
    readings.Add(spec, of_host, {kHost});
    if (store.device.has_value()) readings.Add(spec, of_device, {kDevice});
  };
  const DeviceTierStats device = store.device.value_or(DeviceTierStats());
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  add(metric::kTierBudgetBytes, number(store.budget_bytes), number(device.budget_bytes));
  add(metric::kTierUsedBytes, number(store.used_bytes), number(device.used_bytes));
  add(metric::kTierEntryBytes, number(store.entry_bytes), number(device.entry_bytes));
  add(metric::kTierEntries, number(store.host_entries), number(device.entries));
  add(metric::kTierLost, 0, device.failure.ok() ? 0 : 1);
  add(metric::kEvictions, number(store.evictions), number(device.evictions));
  add(metric::kHitTokens, number(store.host_hit_tokens), number(store.device_hit_tokens));
  if (store.device.has_value()) {
    readings.Add(metric::kDemotions, number(device.demotions));
    readings.Add(metric::kPromotions, number(device.promotions));
  }
}

}  // namespace

void ReadServerState(const ServerState& state, MetricReadings& readings) {
  const auto add = [&](const MetricSpec& spec, int64_t value) { readings.Add(spec, static_cast<double>(value)); };
  readings.Add(metric::kBuildInfo, 1, {rpc::kServerVersion});
  add(metric::kReady, state.is_ready ? 1 : 0);
  readings.Add(metric::kUptimeSeconds, 1e-3 * static_cast<double>(state.uptime_ms));
  if (state.certificate_end_unix_ms.has_value()) {
    readings.Add(metric::kCertificateExpiry, 1e-3 * static_cast<double>(*state.certificate_end_unix_ms));
  }
  if (state.dropped_spans.has_value()) add(metric::kDroppedSpans, *state.dropped_spans);
  ReadTiers(state.store, readings);
  add(metric::kEntries, state.store.entries);
  add(metric::kPins, state.store.pins);
  add(metric::kExpirations, state.store.expirations);
  add(metric::kScrubbedBytes, state.store.scrubbed_bytes);
  add(metric::kDamagedEntries, state.store.damaged_entries);
  add(metric::kMissTokens, state.store.miss_tokens);
  add(metric::kReceivedBytes, state.store.received_bytes);
  add(metric::kStoredBytes, state.store.stored_bytes);
  readings.Add(metric::kStreams, static_cast<double>(state.puts), {"put"});
  readings.Add(metric::kStreams, static_cast<double>(state.gets), {"get"});
  readings.Add(metric::kStreams, static_cast<double>(state.watchers), {"watch"});
  add(metric::kSessions, state.sessions);
  add(metric::kConnections, state.connections);
  add(metric::kRefusedConnections, state.refused_connections);
  for (const auto& [tenant, stats] : state.tenants) {
    readings.Add(metric::kTenantEntryBytes, static_cast<double>(stats.entry_bytes), {tenant});
  }
  for (const auto& [tenant, stats] : state.tenants) {
    readings.Add(metric::kTenantEntries, static_cast<double>(stats.entries), {tenant});
  }
}

}  // namespace chunkkv
