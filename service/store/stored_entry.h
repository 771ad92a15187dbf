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
  EntryPtr description;  // identity and whole header, without body
  // Of host memory: while the body is there, and for as long as the entry is stored.
  int64_t body_charge_bytes = 0;
  int64_t header_charge_bytes = 0;
  Buffer::Kind buffer_kind = Buffer::Kind::kPrivate;  // of the body in host memory
  int64_t expires_monotonic_ms = kNeverMs;
  int64_t last_used_monotonic_ms = 0;
  int64_t last_used_unix_ms = 0;
  int64_t hit_count = 0;
  bool serves_prefixes = false;       // EXACT, and no layer's state is that of the whole prompt alone
  PrefixNode* prefix_node = nullptr;  // where the prompt ends in the PrefixIndex; null where its digests are not known

  int64_t charged_bytes() const { return body_charge_bytes + header_charge_bytes; }
  const Bytes16& id() const { return card->header().entry_id; }
  const EntryIdentity& identity() const { return card->identity(); }
  const EntryHeader& header() const { return card->header(); }
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_STORED_ENTRY_H_
