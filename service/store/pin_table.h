// Leases: which entries are pinned, by whom, until when. Not thread-safe: the store locks.
#ifndef CHUNKKV_SERVICE_STORE_PIN_TABLE_H_
#define CHUNKKV_SERVICE_STORE_PIN_TABLE_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "service/base/fair_counts.h"
#include "service/format/bytes.h"
#include "service/store/entry_store.h"

namespace chunkkv {

// Durations are kept by the monotonic clock; the wall clock's end is only shown.
class PinTable {
 public:
  // `is_shared`: between tenants, as FairCounts does.
  PinTable(int64_t max_leases, bool is_shared) : of_tenants_(max_leases, is_shared) {}

  // Whether the tenant may have one more lease. Errors: RESOURCE_EXHAUSTED (TOO_MANY_PINS).
  absl::Status CheckRoom(const std::string& tenant) const;
  // One lease over all of `entry_ids`, of which some may be repeated. After CheckRoom.
  Lease Add(const std::string& tenant, std::vector<Bytes16> entry_ids, int64_t duration_ms, const Clock& clock);
  // Ends a lease. Returns the entries that no lease pins any more; empty optional where the tenant has no such lease.
  std::optional<std::vector<Bytes16>> Remove(const std::string& tenant, const Bytes16& lease_id);
  // Ends all leases whose time has come; returns the entries that no lease pins any more.
  std::vector<Bytes16> EndExpired(int64_t monotonic_ms);
  // The entry is gone: leases that pinned nothing else end.
  void ForgetEntry(const Bytes16& entry_id);

  bool IsPinned(const Bytes16& entry_id) const { return by_entry_.contains(entry_id); }
  // End of the lease that ends last; 0 where there is none.
  int64_t PinnedUntilUnixMs(const Bytes16& entry_id) const;
  // Entries of all leases; one that several pin counts for each.
  int64_t held_count() const;
  int64_t lease_count() const { return of_tenants_.total(); }

 private:
  struct Holding {
    std::string tenant;
    std::vector<Bytes16> entry_ids;
    int64_t expires_monotonic_ms = 0;
    int64_t expires_unix_ms = 0;
  };
  using Leases = absl::flat_hash_map<Bytes16, Holding, FixedBytesHash>;
  using Order = std::set<std::pair<int64_t, Bytes16>>;  // (end by the monotonic clock, lease)

  void End(const Bytes16& lease_id, std::vector<Bytes16>* unpinned);
  // It pins nothing any more.
  void Erase(Leases::iterator lease);

  FairCounts of_tenants_;
  Leases leases_;
  absl::flat_hash_map<Bytes16, Order, FixedBytesHash> by_entry_;
  Order by_end_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_PIN_TABLE_H_
