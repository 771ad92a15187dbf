// Copies of rows between our layout and a peer's, in as few pieces as both allow. Plain loops over plain data: they may
// be left in the middle (guarded.h).
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_ROW_COPIES_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_ROW_COPIES_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "service/transfer/region/peer_rows.h"
#include "service/transfer/row_placement.h"

namespace chunkkv {

// Goes through runs in pieces of a bounded number of rows. Trivially copyable.
class RunCursor {
 public:
  explicit RunCursor(absl::Span<const RowRun> runs) : next_(runs.data()), end_(runs.data() + runs.size()) {}
  bool AtEnd() const { return next_ == end_; }
  // At most `rows` rows of the run that comes next. Not at the end.
  RowRun Take(int64_t rows);

 private:
  const RowRun* next_;
  const RowRun* end_;
  int64_t taken_ = 0;  // of *next_
};

// Rows of `run` of the peer, whose memory begins at `memory`, to rows first_row, ... of `to`.
void CopyFromPeer(const std::byte* memory, const PeerRows& from, const RowRun& run, const RowTarget& to,
                  int64_t first_row);
// Dense rows [run.count, heads, head bytes] to the rows of `run`.
void CopyToPeer(const std::byte* from, const PeerRows& to, const RowRun& run, std::byte* memory);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_ROW_COPIES_H_
