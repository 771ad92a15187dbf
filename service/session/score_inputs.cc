#include "service/session/score_inputs.h"

#include "service/base/status_macros.h"
#include "service/session/checked_bytes.h"
#include "service/session/staging_plan.h"

namespace chunkkv {

absl::Status ScoreInputs::Allocate(PartTensor tensor, StagingMemory& memory) {
  BufferPtr& buffer = tensor == PartTensor::kAttention ? attention_ : buffer_;
  if (buffer != nullptr) return absl::OkStatus();
  const int64_t size = tensor == PartTensor::kAttention ? attention_buffer_bytes_ : ScoreBufferBytes(bytes_, plan_);
  CHUNKKV_ASSIGN_OR_RETURN(buffer, memory.Acquire(size));
  return absl::OkStatus();
}

std::byte* ScoreInputs::Address(PartTensor tensor) const {
  if (tensor == PartTensor::kAttention) return attention_->data();
  std::byte* const queries = buffer_->data();
  if (tensor == PartTensor::kQueries) return queries;
  std::byte* const lse = queries + AlignedBytes(bytes_.queries);
  return tensor == PartTensor::kLse ? lse : lse + AlignedBytes(bytes_.lse);
}

float* ScoreInputs::token_scores() const {
  return reinterpret_cast<float*>(Address(PartTensor::kTokenScores) + AlignedBytes(bytes_.token_scores));
}

ScoreAddresses ScoreInputs::Addresses() const {
  ScoreAddresses addresses;
  addresses.token_scores = token_scores();
  if (bytes_.queries > 0) addresses.queries = Address(PartTensor::kQueries);
  if (bytes_.lse > 0) addresses.lse = reinterpret_cast<const float*>(Address(PartTensor::kLse));
  if (bytes_.attention > 0) addresses.attention = Address(PartTensor::kAttention);
  if (bytes_.token_scores > 0) {
    addresses.token_scores_in = reinterpret_cast<const float*>(Address(PartTensor::kTokenScores));
  }
  return addresses;
}

}  // namespace chunkkv
