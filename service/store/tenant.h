// What the store keeps for each tenant beside its entries.
#ifndef CHUNKKV_SERVICE_STORE_TENANT_H_
#define CHUNKKV_SERVICE_STORE_TENANT_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "service/store/entry_store.h"
#include "service/store/event_log.h"
#include "service/store/key_hasher.h"

namespace chunkkv {

// Lives as long as the store. `hasher` may be used without locks; the rest is guarded by the store's mutex.
struct Tenant {
  explicit Tenant(EventLog log) : events(std::move(log)) {}
  const KeyHasher hasher;
  TenantStats counters;
  const std::shared_ptr<std::atomic<int64_t>> in_flight_bytes = std::make_shared<std::atomic<int64_t>>(0);
  EventLog events;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_TENANT_H_
