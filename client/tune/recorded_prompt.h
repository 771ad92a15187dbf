// One prompt as its scores tell it: all that the agreement of layers is measured from.
#ifndef CHUNKKV_CLIENT_TUNE_RECORDED_PROMPT_H_
#define CHUNKKV_CLIENT_TUNE_RECORDED_PROMPT_H_

#include <cstdint>
#include <vector>

namespace chunkkv::tune {

struct RecordedPrompt {
  int64_t token_count = 0;                 // L
  std::vector<int32_t> chunk_starts;       // given chunks; empty: the spec's grid
  std::vector<std::vector<float>> scores;  // [N][P] unpooled token scores of the attention layers, P = max(0, L - w)
};

}  // namespace chunkkv::tune

#endif  // CHUNKKV_CLIENT_TUNE_RECORDED_PROMPT_H_
