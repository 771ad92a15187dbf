// Names under which a tenant's blocks are indexed: HMAC-SHA-256 under a secret of its own, so that neither the index
// nor a dump of it tells which prompts are stored.
#ifndef CHUNKKV_SERVICE_STORE_KEY_HASHER_H_
#define CHUNKKV_SERVICE_STORE_KEY_HASHER_H_

#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "service/format/bytes.h"

namespace chunkkv {

// One tenant's. Immutable and thread-safe. The secret is random, lives as long as this object and is never shown.
class KeyHasher {
 public:
  KeyHasher();
  ~KeyHasher();

  // Name of the block with `digest` that follows the block named `previous` (zeros before the first): the first 16
  // bytes of HMAC-SHA-256(secret, previous || digest). Chained, so that a name stands for all blocks up to it, also
  // where an engine brings digests that are not chained themselves.
  Bytes16 NextName(const Bytes16& previous, const Bytes32& digest) const;
  // Appends the names of digests[names->size()..count).
  void ExtendNames(absl::Span<const Bytes32> digests, size_t count, std::vector<Bytes16>* names) const;

 private:
  struct Keyed;
  const std::unique_ptr<const Keyed> keyed_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_KEY_HASHER_H_
