// The order in which entries make room.
#ifndef CHUNKKV_SERVICE_STORE_EVICTION_POLICY_H_
#define CHUNKKV_SERVICE_STORE_EVICTION_POLICY_H_

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "service/format/bytes.h"

namespace chunkkv {

// Whoever entries belong to: only compared.
using OwnerId = const void*;

// Knows the entries that may be evicted, by id. Not thread-safe: its tier's owner locks.
class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  // An entry that may be evicted from now on; one whose pin ended counts as just used.
  virtual void Insert(const Bytes16& entry_id, int64_t size_bytes, OwnerId owner) = 0;
  // No effect for an id that is not in.
  virtual void Touch(const Bytes16& entry_id) = 0;
  virtual void Resize(const Bytes16& entry_id, int64_t size_bytes) = 0;
  virtual void Erase(const Bytes16& entry_id) = 0;
  // Visits entries in the order in which they should go, until `visit` returns false.
  virtual void VisitVictims(absl::FunctionRef<bool(const Bytes16& entry_id)> visit) const = 0;
  // The same of one owner's.
  virtual void VisitVictimsOf(OwnerId owner, absl::FunctionRef<bool(const Bytes16& entry_id)> visit) const = 0;
};

// Least recently used first; but owners that have more than an equal share of what may be evicted give first, whoever
// has the most before the others, down to that share: nobody's reads keep another's entries out.
std::unique_ptr<EvictionPolicy> MakeFairLruPolicy();

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_EVICTION_POLICY_H_
