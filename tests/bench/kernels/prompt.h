// A prompt's KV with seeded random contents, in the shape of a real model, and its compaction.
#ifndef CHUNKKV_TESTS_BENCH_KERNELS_PROMPT_H_
#define CHUNKKV_TESTS_BENCH_KERNELS_PROMPT_H_

#include <string>
#include <vector>

#include "chunkkv/kernels/compactor.h"

namespace chunkkv::bench {

struct PromptShape {
  std::string model = "llama8b";  // 32 query heads, 8 KV heads of 128
  int64_t token_count = 8192;
  int32_t layer_count = 1;  // of the model's 32
  double keep_ratio = 0.1;
  int32_t window_length = 32;
  DType dtype = DType::kBF16;
  bool head_major = false;
  bool has_lse = false;
};

class Prompt {
 public:
  explicit Prompt(const PromptShape& shape);
  Prompt(const Prompt&) = delete;
  Prompt& operator=(const Prompt&) = delete;

  // "llama8b/8192/0.1/32/1/token_major/BF16"
  std::string Name() const;
  const Plan& plan() const { return plan_; }
  double ScoringFlops() const;
  size_t KvBytes() const { return keys_.size() * 2 * layer_bytes_; }
  size_t KeptBytes() const;
  const std::vector<std::byte>& keys(size_t layer) const { return keys_[layer]; }
  std::byte* kept() { return kept_.data()->bytes; }

  // Scores, selects and gathers, as far as asked. Ends the program where an implementation refuses.
  void Run(const Compactor& compactor, bool score, bool select, bool gather, ExecutionContext context = {});

 private:
  // Bodies of entries are aligned so.
  struct alignas(64) Line {
    std::byte bytes[64];
  };

  RowsView Rows(const std::vector<std::byte>& data) const;

  PromptShape shape_;
  Plan plan_;
  size_t layer_bytes_ = 0;
  std::vector<std::vector<std::byte>> keys_, values_, queries_;
  std::vector<std::vector<float>> lse_, token_scores_;
  std::vector<std::vector<int32_t>> positions_;
  std::vector<Line> kept_;
  std::vector<std::byte> workspace_;
};

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_KERNELS_PROMPT_H_
