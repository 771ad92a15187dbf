// Every metric of the server, with what it means. Prometheus's conventions: base units, `_total` on counters.
#ifndef CHUNKKV_SERVICE_OPERATION_METRIC_LIST_H_
#define CHUNKKV_SERVICE_OPERATION_METRIC_LIST_H_

#include <array>
#include <cstdint>

namespace chunkkv {

enum class MetricKind : uint8_t { kCounter, kGauge, kHistogram };

struct MetricSpec {
  const char* name;
  MetricKind kind;
  const char* help;
  const char* labels = "";  // separated by commas
};

namespace metric {

inline constexpr auto kCounter = MetricKind::kCounter;
inline constexpr auto kGauge = MetricKind::kGauge;
inline constexpr auto kHistogram = MetricKind::kHistogram;

// --- The server ---
inline constexpr MetricSpec kBuildInfo{"chunkkv_build_info", kGauge, "1, with the server's version", "version"};
inline constexpr MetricSpec kReady{"chunkkv_ready", kGauge, "1 while the server takes puts and gets, else 0"};
inline constexpr MetricSpec kUptimeSeconds{"chunkkv_uptime_seconds", kGauge, "Since the server started"};
inline constexpr MetricSpec kCertificateExpiry{"chunkkv_certificate_expiry_timestamp_seconds", kGauge,
                                               "End of the server certificate's validity; absent without TLS"};

// --- Tiers ---
inline constexpr MetricSpec kTierBudgetBytes{"chunkkv_tier_budget_bytes", kGauge, "What the tier may hold", "tier"};
inline constexpr MetricSpec kTierUsedBytes{"chunkkv_tier_used_bytes", kGauge,
                                           "Of the budget: entries, and in host memory also puts in flight", "tier"};
inline constexpr MetricSpec kTierEntryBytes{"chunkkv_tier_entry_bytes", kGauge, "Charged to entries of the tier",
                                            "tier"};
inline constexpr MetricSpec kTierEntries{"chunkkv_tier_entries", kGauge, "Entries with their bytes in the tier",
                                         "tier"};
inline constexpr MetricSpec kTierLost{"chunkkv_tier_lost", kGauge, "1 once the tier's device has failed", "tier"};
inline constexpr MetricSpec kEvictions{"chunkkv_evictions_total", kCounter,
                                       "Entries whose bytes left the tier to make room", "tier"};
inline constexpr MetricSpec kDemotions{"chunkkv_demotions_total", kCounter,
                                       "Entries moved from the device tier to host memory to make room"};
inline constexpr MetricSpec kPromotions{"chunkkv_promotions_total", kCounter, "Entries copied to the device tier"};
inline constexpr MetricSpec kExpirations{"chunkkv_expirations_total", kCounter, "Entries whose time was over"};
inline constexpr MetricSpec kEntries{"chunkkv_entries", kGauge, "Entries in whatever tier"};
inline constexpr MetricSpec kPins{"chunkkv_pins", kGauge, "Leases that keep entries from being evicted"};
inline constexpr MetricSpec kScrubbedBytes{"chunkkv_scrubbed_bytes_total", kCounter,
                                           "Stored bytes verified in the background"};
inline constexpr MetricSpec kDamagedEntries{"chunkkv_damaged_entries_total", kCounter,
                                            "Entries removed because their bytes did not match their digests"};

// --- What the cache is good for ---
inline constexpr MetricSpec kHitTokens{"chunkkv_hit_tokens_total", kCounter,
                                       "Prompt tokens of entries that gets found, by where the bytes were", "tier"};
inline constexpr MetricSpec kMissTokens{"chunkkv_miss_tokens_total", kCounter, "Prompt tokens that were not found"};
inline constexpr MetricSpec kCompactionRatio{"chunkkv_compaction_ratio", kHistogram,
                                             "Stored bytes by bytes of the whole cache, of each compacted put"};
inline constexpr MetricSpec kRetainedMass{"chunkkv_retained_mass", kHistogram,
                                          "Share of the attention that the kept tokens have: least of all layers, of "
                                          "each put that was scored"};

// --- Calls ---
inline constexpr MetricSpec kRpcs{"chunkkv_rpcs_total", kCounter, "Calls that ended", "rpc,code"};
inline constexpr MetricSpec kRpcFailures{"chunkkv_rpc_failures_total", kCounter,
                                         "Calls that ended otherwise than OK, by the trailer chunkkv-reason", "reason"};
inline constexpr MetricSpec kRpcDuration{"chunkkv_rpc_duration_seconds", kHistogram,
                                         "From a call's admission to its end", "rpc"};
inline constexpr MetricSpec kStreams{"chunkkv_streams", kGauge, "Puts, gets and watchers in progress", "kind"};
inline constexpr MetricSpec kSessions{"chunkkv_put_sessions", kGauge,
                                      "Puts in progress, however many streams each has"};
inline constexpr MetricSpec kConnections{"chunkkv_connections", kGauge, "Connections of clients, proven or not"};
inline constexpr MetricSpec kRefusedConnections{"chunkkv_refused_connections_total", kCounter,
                                                "Connections closed at once: --max-connections were open"};
inline constexpr MetricSpec kCompactionDuration{"chunkkv_compaction_duration_seconds", kHistogram,
                                                "Scoring, choosing and gathering of each put"};
inline constexpr MetricSpec kReceivedBytes{"chunkkv_received_bytes_total", kCounter, "Of tensors, in committed puts"};
inline constexpr MetricSpec kStoredBytes{"chunkkv_stored_bytes_total", kCounter, "Of tensors, in committed entries"};
inline constexpr MetricSpec kSentBytes{"chunkkv_sent_bytes_total", kCounter, "Of tensors, in gets that ended well",
                                       "carrier"};

inline constexpr MetricSpec kDroppedSpans{"chunkkv_dropped_spans_total", kCounter,
                                          "Spans that never reached the collector of traces"};

// --- Tenants ---
inline constexpr MetricSpec kTenantEntryBytes{"chunkkv_tenant_entry_bytes", kGauge,
                                              "Charged to the entries of a tenant, or of a share group", "tenant"};
inline constexpr MetricSpec kTenantEntries{"chunkkv_tenant_entries", kGauge, "Entries of a tenant, or of a share group",
                                           "tenant"};

}  // namespace metric

inline constexpr std::array kMetrics = {
    metric::kBuildInfo, metric::kReady, metric::kUptimeSeconds, metric::kCertificateExpiry, metric::kTierBudgetBytes,
    metric::kTierUsedBytes, metric::kTierEntryBytes, metric::kTierEntries, metric::kTierLost, metric::kEvictions,
    metric::kDemotions, metric::kPromotions, metric::kExpirations, metric::kEntries, metric::kPins,
    metric::kScrubbedBytes, metric::kDamagedEntries, metric::kHitTokens, metric::kMissTokens,
    metric::kCompactionRatio, metric::kRetainedMass, metric::kRpcs, metric::kRpcFailures, metric::kRpcDuration,
    metric::kStreams, metric::kSessions, metric::kConnections,
    metric::kRefusedConnections, metric::kCompactionDuration, metric::kReceivedBytes, metric::kStoredBytes,
    metric::kSentBytes, metric::kDroppedSpans, metric::kTenantEntryBytes, metric::kTenantEntries};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPERATION_METRIC_LIST_H_
