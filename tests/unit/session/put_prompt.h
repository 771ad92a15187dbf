// Prompts for put sessions: every tensor's bytes, and what the reference says is kept of them.
#ifndef CHUNKKV_TESTS_UNIT_SESSION_PUT_PROMPT_H_
#define CHUNKKV_TESTS_UNIT_SESSION_PUT_PROMPT_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "service/session/put_request.h"

namespace chunkkv {

using Bytes = std::vector<std::byte>;

struct PromptLayer {
  std::vector<Bytes> tensors;  // as LayerTensors lists them, token-major
  Bytes queries;
  Bytes lse;
  Bytes attention;
  Bytes token_scores;
};

using Prompt = std::vector<PromptLayer>;

AttentionRun SmallAttention(DType dtype = DType::kF32);
LayerRun AttentionLayers(int32_t first_layer, int32_t layer_count, const AttentionRun& attention = SmallAttention());
LayerRun VerbatimLayers(int32_t first_layer, int32_t layer_count);

// 3 attention layers, 96 tokens, chunk_kv of 40 tokens by queries, window 8, LAYER_MAJOR.
PutRequest SmallRequest();

// Seeded, finite values for everything that `request` can send.
Prompt MakePrompt(const PutRequest& request, uint32_t seed = 1);

// Rows [begin, end) of a token-major tensor as a part carries them.
Bytes PartBytes(const TensorSpec& spec, const Bytes& tensor, int64_t begin, int64_t end, bool head_major);

// What is kept, by the reference compactor run on the whole prompt at once.
struct Kept {
  int64_t budget = 0;
  std::vector<std::vector<int32_t>> positions;  // per group; all of [0, L) where everything is kept
  std::vector<double> masses;                   // per attention layer; negative where not scored
};
Kept ReferenceKept(const PutRequest& request, const Prompt& prompt, int64_t budget = 0);

// The plan of `request`, which must have attention layers.
Plan PlanOfRequest(const PutRequest& request);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_SESSION_PUT_PROMPT_H_
