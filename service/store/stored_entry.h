// What the index knows of a stored entry, wherever its bytes are.
#ifndef CHUNKKV_SERVICE_STORE_STORED_ENTRY_H_
#define CHUNKKV_SERVICE_STORE_STORED_ENTRY_H_

#include <cstdint>
#include <limits>

#include "service/store/entry.h"

namespace chunkkv {

inline constexpr int64_t kNeverMs = std::numeric_limits<int64_t>::max();

struct PrefixNode;

// Guarded by the store's mutex.
struct StoredEntry {
  // Identity and header without body and kept positions: it outlives the bytes in events and snapshots.
  EntryPtr card;
  int64_t charged_bytes = 0;
  int64_t expires_monotonic_ms = kNeverMs;
  int64_t last_used_monotonic_ms = 0;
  int64_t last_used_unix_ms = 0;
  int64_t hit_count = 0;
  bool serves_prefixes = false;       // EXACT, and no layer's state is that of the whole prompt alone
  PrefixNode* prefix_node = nullptr;  // where the prompt ends in the PrefixIndex; null where its digests are not known

  const Bytes16& id() const { return card->header().entry_id; }
  const EntryIdentity& identity() const { return card->identity(); }
  const EntryHeader& header() const { return card->header(); }
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_STORED_ENTRY_H_
