// Entries that clients on this host map instead of receiving them.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_MAPPING_TABLE_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_MAPPING_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "service/base/caller.h"
#include "service/base/clock.h"
#include "service/base/mutex.h"
#include "service/format/bytes.h"
#include "service/transfer/region/peer_id.h"

namespace chunkkv {

// A lease keeps an entry's bytes in memory, and so charged: from the get that gave its token, until the client that
// fetched the descriptor releases it or is gone. A token that nobody fetches is good for a while only. Thread-safe.
class MappingTable {
 public:
  static constexpr int64_t kFetchWithinMs = 3'000;

  // `clock` must outlive the table.
  explicit MappingTable(const Clock& clock, int64_t max_leases = 65'536) : clock_(clock), max_leases_(max_leases) {}

  // `descriptor` stays open for as long as `entry` lives. Errors: RESOURCE_EXHAUSTED TOO_MANY_MAPPINGS.
  // `peer`: who has asked for it on the local socket, and gets the descriptor with the answer.
  absl::StatusOr<Bytes32> Lease(const Caller& caller, std::shared_ptr<const void> entry, int descriptor,
                                std::optional<PeerId> peer = std::nullopt);

  // What keeps the descriptor open, and the descriptor: good once. Errors: NOT_FOUND TOKEN_NOT_FOUND.
  struct Fetched {
    std::shared_ptr<const void> entry;
    int descriptor = -1;
    Caller caller;  // of the get
  };
  absl::StatusOr<Fetched> Fetch(PeerId peer, const Bytes32& token);
  // The peer's own, or one that nobody has fetched; any other token changes nothing.
  void Release(PeerId peer, const Bytes32& token);
  void Forget(PeerId peer);
  // Ends what nobody came for.
  void Expire();

  int64_t size() const;

 private:
  struct Row {
    Caller caller;
    std::shared_ptr<const void> entry;
    int descriptor = -1;
    int64_t leased_ms = 0;
    std::optional<PeerId> peer;  // who has fetched it
  };
  // The rows for which `ends` is true; their entries go after the lock.
  template <typename Ends>
  void RemoveIf(Ends ends);

  const Clock& clock_;
  const int64_t max_leases_;
  mutable Mutex mutex_;
  absl::flat_hash_map<Bytes32, Row, FixedBytesHash> rows_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_MAPPING_TABLE_H_
