// Half-open ranges that do not overlap: which rows or bytes of a tensor have a place already.
#ifndef CHUNKKV_SERVICE_SESSION_RANGE_SET_H_
#define CHUNKKV_SERVICE_SESSION_RANGE_SET_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chunkkv {

// Value type; not thread-safe. Touching ranges are merged, so that a tensor that arrives in order is one range.
class RangeSet {
 public:
  // Ranges apart from each other that are kept at most: a client that scatters its parts cannot make this grow.
  static constexpr size_t kMaxRanges = 4096;
  // Of memory, however the ranges came about.
  static constexpr int64_t kMostBytesPerRange = 64;

  enum class Inserted { kYes, kOverlaps, kTooManyRanges };
  // Adds [begin, end), which must not be empty; changes nothing unless kYes.
  Inserted Insert(int64_t begin, int64_t end);

  // Lowest value from 0 on that is in no range.
  int64_t FirstGap() const;
  bool IsEmpty() const { return ranges_.empty(); }
  int64_t count() const { return static_cast<int64_t>(ranges_.size()); }

 private:
  struct Range {
    int64_t begin;
    int64_t end;
  };
  std::vector<Range> ranges_;  // ascending, never touching
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_RANGE_SET_H_
