#include "service/session/range_set.h"

#include <algorithm>

namespace chunkkv {

RangeSet::Inserted RangeSet::Insert(int64_t begin, int64_t end) {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), begin,
                                      [](int64_t at, const Range& range) { return at < range.begin; });
  const bool has_before = after != ranges_.begin();
  const auto before = has_before ? after - 1 : after;
  if (has_before && before->end > begin) return Inserted::kOverlaps;
  if (after != ranges_.end() && after->begin < end) return Inserted::kOverlaps;
  const bool joins_before = has_before && before->end == begin;
  const bool joins_after = after != ranges_.end() && after->begin == end;
  if (joins_before && joins_after) {
    before->end = after->end;
    ranges_.erase(after);
    if (ranges_.capacity() * sizeof(Range) > ranges_.size() * kMostBytesPerRange) ranges_.shrink_to_fit();
  } else if (joins_before) {
    before->end = end;
  } else if (joins_after) {
    after->begin = begin;
  } else if (ranges_.size() == kMaxRanges) {
    return Inserted::kTooManyRanges;
  } else {
    ranges_.insert(after, {begin, end});
  }
  return Inserted::kYes;
}

int64_t RangeSet::FirstGap() const { return ranges_.empty() || ranges_.front().begin > 0 ? 0 : ranges_.front().end; }

}  // namespace chunkkv
