// How a server is at one moment, as its metrics tell it.
#ifndef CHUNKKV_SERVICE_SERVER_STATE_H_
#define CHUNKKV_SERVICE_SERVER_STATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "service/operation/metrics.h"
#include "service/store/entry_store.h"

namespace chunkkv {

struct ServerState {
  StoreStats store;
  bool is_ready = false;
  int64_t puts = 0;  // streams
  int64_t gets = 0;
  int64_t watchers = 0;
  int64_t sessions = 0;
  int64_t connections = 0;
  int64_t refused_connections = 0;
  int64_t uptime_ms = 0;
  std::optional<int64_t> certificate_end_unix_ms;
  std::optional<int64_t> dropped_spans;  // where traces are collected
  std::vector<std::pair<std::string, TenantStats>> tenants;  // where there is a tenant file: of its tenants and groups
  std::vector<EntryState> recent;                             // for the page: used last, first
  int64_t now_unix_ms = 0;
};

void ReadServerState(const ServerState& state, MetricReadings& readings);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SERVER_STATE_H_
