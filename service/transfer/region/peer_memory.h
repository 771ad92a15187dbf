// Registered memory of a client, as transfers read and write it. What kind of memory it is, implementations know.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_PEER_MEMORY_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_PEER_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "service/transfer/cancellable_bytes.h"
#include "service/transfer/region/peer_rows.h"
#include "service/transfer/row_placement.h"

namespace chunkkv {

// Its owner changes bytes and may take the memory away at any time: what was read is right only where nothing was
// written meanwhile, and whoever reads keeps a copy. Thread-safe. Blocks while bytes move; ends within milliseconds of
// `cancelled`. Ranges and rows must lie within size_bytes (CheckPeerRows).
// Errors of all: FAILED_PRECONDITION REGION_LOST (the memory is not there any more), CANCELLED.
class PeerMemory {
 public:
  virtual ~PeerMemory() = default;
  virtual int64_t size_bytes() const = 0;
  virtual bool is_writable() const = 0;
  // Once nobody reads or writes any more, and nobody will: gives back what its owner must not free before.
  virtual void Close() {}

  virtual absl::Status Read(int64_t offset, absl::Span<std::byte> to, const Cancelled& cancelled) const = 0;
  virtual absl::Status Write(absl::Span<const std::byte> from, int64_t offset, const Cancelled& cancelled) const = 0;

  // Copies the rows of `runs`, in order, to rows 0, 1, ... of `to`, which has as many heads of the same size.
  virtual absl::Status ReadRows(const PeerRows& from, absl::Span<const RowRun> runs, const RowTarget& to,
                                const Cancelled& cancelled) const = 0;
  // Copies dense rows [count, heads, head bytes] to rows first_row, first_row + 1, ...
  virtual absl::Status WriteRows(absl::Span<const std::byte> from, const PeerRows& to, int64_t first_row,
                                 const Cancelled& cancelled) const = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_PEER_MEMORY_H_
