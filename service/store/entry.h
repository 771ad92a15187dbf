// One stored cache, immutable once made: header and body in host memory. Where the body is not there, because it is in
// another tier alone, or because nobody needs it, body() is empty.
#ifndef CHUNKKV_SERVICE_STORE_ENTRY_H_
#define CHUNKKV_SERVICE_STORE_ENTRY_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/types/span.h"
#include "service/format/entry_header.h"
#include "service/format/identity.h"
#include "service/memory/buffer.h"
#include "service/memory/host_registration.h"

namespace chunkkv {

// Shared by the store and by whoever reads it; the bytes stay charged to the tier's budget until the last reader is
// done, also after eviction.
class Entry {
 public:
  // `header_share` is what the header and the store's index take of the budget.
  Entry(EntryIdentity identity, EntryHeader header, Buffer body, BudgetShare header_share = {})
      : facts_(std::make_shared<const Facts>(std::move(identity), std::move(header), std::move(header_share))),
        body_(std::move(body)) {}
  // The same entry, its bytes elsewhere; what it is, is shared. `registration` is of `body`.
  Entry(const Entry& same, Buffer body, HostRegistration registration = {})
      : facts_(same.facts_), body_(std::move(body)), registration_(std::move(registration)) {}

  const EntryIdentity& identity() const { return facts_->identity; }
  const EntryHeader& header() const { return facts_->header; }
  absl::Span<const std::byte> body() const { return body_.span(); }
  // Of the body, sealed, where other processes may map it; else -1.
  int body_descriptor() const { return body_.descriptor(); }
  absl::Span<const std::byte> TensorBytes(const TensorSlot& slot) const {
    return body().subspan(slot.offset, slot.size_bytes);
  }

 private:
  struct Facts {
    Facts(EntryIdentity identity, EntryHeader header, BudgetShare header_share)
        : identity(std::move(identity)), header(std::move(header)), header_share(std::move(header_share)) {}
    const EntryIdentity identity;
    const EntryHeader header;
    const BudgetShare header_share;
  };

  const std::shared_ptr<const Facts> facts_;
  const Buffer body_;
  const HostRegistration registration_;  // ends before the body does
};

using EntryPtr = std::shared_ptr<const Entry>;

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_ENTRY_H_
