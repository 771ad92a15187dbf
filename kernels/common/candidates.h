#ifndef CHUNKKV_KERNELS_COMMON_CANDIDATES_H_
#define CHUNKKV_KERNELS_COMMON_CANDIDATES_H_

#include <cstdint>

#include "chunkkv/kernels/plan.h"

namespace chunkkv {

// What a policy leaves to the scores: of the tokens [begin, end), `room` are kept; all before and all after are kept
// without being looked at. `budget` tokens in all.
struct Candidates {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t room = 0;
};

// `budget` is the plan's or a raised one. A policy that does not choose by scores has no room.
Candidates CandidatesOf(const Plan& plan, int64_t budget);

// Spans of the candidates that are kept or dropped together: single tokens, chunks of a grid, or given chunks.
class Spans {
 public:
  Spans(const Plan& plan, const Candidates& candidates);

  int64_t Count() const { return count_; }
  int64_t Begin(int64_t span) const;
  int64_t End(int64_t span) const { return span + 1 == count_ ? candidates_.end : Begin(span + 1); }
  bool AreTokens() const { return given_ == nullptr && length_ == 1; }

 private:
  Candidates candidates_;
  const int32_t* given_ = nullptr;
  int64_t length_ = 1;
  int64_t count_ = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_CANDIDATES_H_
