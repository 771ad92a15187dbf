// What a layer is scored from, and its token scores once they are computed.
#ifndef CHUNKKV_SERVICE_SESSION_SCORE_INPUTS_H_
#define CHUNKKV_SERVICE_SESSION_SCORE_INPUTS_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "service/session/compaction_tasks.h"
#include "service/session/put_plan.h"
#include "service/session/staging_memory.h"

namespace chunkkv {

// One scored layer. Memory is taken when the first part arrives. Not thread-safe.
class ScoreInputs {
 public:
  // `attention_buffer_bytes`: at least bytes.attention, and the same for all layers whose buffers are recycled.
  ScoreInputs(const ScoreInputBytes& bytes, int64_t attention_buffer_bytes, const Plan& plan)
      : bytes_(bytes), attention_buffer_bytes_(attention_buffer_bytes), plan_(plan) {}

  // Memory for `tensor` (kQueries, kLse, kAttention, kTokenScores) or, for the scores that are computed, any other.
  absl::Status Allocate(PartTensor tensor, StagingMemory& memory);
  std::byte* Address(PartTensor tensor) const;
  const BufferPtr& BufferOf(PartTensor tensor) const { return tensor == PartTensor::kAttention ? attention_ : buffer_; }
  float* token_scores() const;
  ScoreAddresses Addresses() const;

  // What is needed no more; attention is large and needed once. Null where there is none.
  BufferPtr TakeAttention() { return std::exchange(attention_, nullptr); }
  BufferPtr TakeBuffer() { return std::exchange(buffer_, nullptr); }

 private:
  const ScoreInputBytes& bytes_;
  const int64_t attention_buffer_bytes_;
  const Plan& plan_;
  BufferPtr buffer_;  // queries, lse, token scores in, token scores out
  BufferPtr attention_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_SCORE_INPUTS_H_
