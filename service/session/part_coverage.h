// How much of one tensor has been given a place, and how much has arrived there.
#ifndef CHUNKKV_SERVICE_SESSION_PART_COVERAGE_H_
#define CHUNKKV_SERVICE_SESSION_PART_COVERAGE_H_

#include <cstdint>

#include "service/session/range_set.h"

namespace chunkkv {

// Counts in the tensor's unit: rows of a per-token tensor, bytes of any other. Value type; not thread-safe.
class PartCoverage {
 public:
  PartCoverage() = default;
  explicit PartCoverage(int64_t total) : total_(total) {}

  int64_t total() const { return total_; }
  RangeSet::Inserted Place(int64_t begin, int64_t end) { return placed_.Insert(begin, end); }
  // `count` units that were placed have arrived.
  void Finish(int64_t count) { finished_ += count; }
  // Between what has been placed.
  int64_t gap_count() const { return placed_.IsEmpty() ? 0 : placed_.count() - 1; }
  bool IsUntouched() const { return placed_.IsEmpty(); }
  // Placed ranges never overlap, so the sum tells.
  bool IsComplete() const { return finished_ == total_; }
  int64_t FirstGap() const { return placed_.FirstGap(); }

 private:
  int64_t total_ = 0;
  int64_t finished_ = 0;
  RangeSet placed_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_PART_COVERAGE_H_
