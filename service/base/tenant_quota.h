// How much one tenant may have.
#ifndef CHUNKKV_SERVICE_BASE_TENANT_QUOTA_H_
#define CHUNKKV_SERVICE_BASE_TENANT_QUOTA_H_

#include <cstdint>
#include <optional>

namespace chunkkv {

// Unset: no limit but the server's own. A share group is a tenant of its own here.
struct TenantQuota {
  std::optional<int64_t> host_bytes;           // of its entries in host memory: beyond, its own oldest make room
  std::optional<int64_t> device_bytes;         // the same of the device tier
  std::optional<int64_t> entries;              // in whatever tier, the same
  std::optional<int64_t> in_flight_bytes;      // that its puts in progress hold
  std::optional<int64_t> streams;              // puts, gets and watchers at once
  std::optional<int64_t> requests_per_second;  // of all kinds, with bursts of a second's worth
  std::optional<int64_t> max_pin_ms;           // of a pin or a hold
  bool operator==(const TenantQuota&) const = default;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_BASE_TENANT_QUOTA_H_
