// Transfers that touch memory of others, by the ids that clients chose: so that a client can wait until nothing touches
// its memory any more.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_TRANSFER_TABLE_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_TRANSFER_TABLE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "service/base/gate.h"
#include "service/base/mutex.h"

namespace chunkkv {

// One put or get in progress. Whoever touches a client's memory for it is inside its gate. Once quiesced it never
// touches anything again.
class Transfer {
 public:
  explicit Transfer(std::string tenant) : tenant_(std::move(tenant)) {}
  const std::string& tenant() const { return tenant_; }
  Gate& gate() { return *gate_; }

 private:
  friend class TransferTable;
  const std::string tenant_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};
using TransferPtr = std::shared_ptr<Transfer>;

// Thread-safe. Must outlive its transfers.
class TransferTable {
 public:
  // Ids that were quiesced are remembered up to this many, the newest ones: a request that was on its way when its
  // client gave it up finds its id there.
  static constexpr size_t kMostQuiesced = 65'536;

  // The transfer is in the table for as long as it lives. Errors: INVALID_ARGUMENT TRANSFER_ID_MISSING (empty);
  // FAILED_PRECONDITION TRANSFER_ID_IN_USE; ABORTED TRANSFER_QUIESCED (by its client, before it began).
  absl::StatusOr<TransferPtr> Begin(const std::string& tenant, const std::string& transfer_id);

  // Ends the transfer's access to memory of others, now and for ever, and calls `quiet` when nothing touches it any
  // more: in this call, or within milliseconds in another thread. An id that is not known is quiet.
  void Quiesce(const std::string& tenant, const std::string& transfer_id, std::function<void()> quiet);

  int64_t size() const;

 private:
  using Name = std::pair<std::string, std::string>;  // tenant, id

  mutable Mutex mutex_;
  absl::flat_hash_map<Name, Transfer*> transfers_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<Name> quiesced_ ABSL_GUARDED_BY(mutex_);
  std::deque<Name> oldest_quiesced_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_TRANSFER_TABLE_H_
