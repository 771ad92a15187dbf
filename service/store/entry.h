// One stored cache, immutable once made: header and body in host memory.
#ifndef CHUNKKV_SERVICE_STORE_ENTRY_H_
#define CHUNKKV_SERVICE_STORE_ENTRY_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/types/span.h"
#include "service/format/entry_header.h"
#include "service/format/identity.h"
#include "service/memory/buffer.h"

namespace chunkkv {

// Shared by the store and by whoever reads it; the bytes stay charged to the tier's budget until the last reader is
// done, also after eviction.
class Entry {
 public:
  // `header_share` is what the header and the store's index take of the budget.
  Entry(EntryIdentity identity, EntryHeader header, Buffer body, BudgetShare header_share = {})
      : identity_(std::move(identity)),
        header_(std::move(header)),
        body_(std::move(body)),
        header_share_(std::move(header_share)) {}
  const EntryIdentity& identity() const { return identity_; }
  const EntryHeader& header() const { return header_; }
  absl::Span<const std::byte> body() const { return body_.span(); }
  // Of the body, sealed, where other processes may map it; else -1.
  int body_descriptor() const { return body_.descriptor(); }
  absl::Span<const std::byte> TensorBytes(const TensorSlot& slot) const {
    return body().subspan(slot.offset, slot.size_bytes);
  }

 private:
  const EntryIdentity identity_;
  const EntryHeader header_;
  const Buffer body_;
  const BudgetShare header_share_;
};

using EntryPtr = std::shared_ptr<const Entry>;

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_ENTRY_H_
