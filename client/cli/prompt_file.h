// The input of `compact` and `put`: one prompt's KV cache and what its tokens are scored from, as safetensors.
//
// Tensors of layer <l>: layers.<l>.k [L, Hkv, D], .v [L, Hkv, Dv] (absent: Dv = 0), for fp8 .k_scale and .v_scale
// [L, Hkv, S]; at most one source of scores: .q [w', H, D] with or without .lse [w', H], .attention [H, w', L], or
// .scores [P]; w' = min(w, L). A layer without .k is VERBATIM: its U8 tensors are stored as they are. `chunk_starts`
// int32 gives chunks. Metadata, each value JSON: scale, softcap, sink_logits [H], rope {first_dim, rotary_dims,
// pairing: "half" | "interleaved", inv_freq}. A record of a lossless entry is such a file too.
#ifndef CHUNKKV_CLIENT_CLI_PROMPT_FILE_H_
#define CHUNKKV_CLIENT_CLI_PROMPT_FILE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/plan.h"
#include "service/format/layout.h"
#include "service/format/record.h"
#include "service/format/safetensors.h"

namespace chunkkv::cli {

struct ModelMetadata;

// Where a layer's token scores come from. Pointers are null where the file has no such tensor.
struct LayerScores {
  ScoreSource source = ScoreSource::kNone;
  const SafetensorsTensor* queries = nullptr;
  const SafetensorsTensor* lse = nullptr;
  const SafetensorsTensor* attention = nullptr;
  const SafetensorsTensor* token_scores = nullptr;
};

// What all scored layers have in common.
struct ScoreInputs {
  ScoreSource source = ScoreSource::kNone;
  DType dtype = DType::kF32;  // of queries or attention
  bool has_lse = false;
};

class PromptFile {
 public:
  // Maps the file; every tensor's dtype and shape is checked here.
  // Errors: INVALID_ARGUMENT (NOT_SAFETENSORS, BAD_INPUT_FILE, and those of ValidateLayout), naming the tensor.
  static absl::StatusOr<PromptFile> Open(const std::string& path);

  const Layout& layout() const { return layout_; }
  int64_t token_count() const { return token_count_; }
  const std::vector<int32_t>& chunk_starts() const { return chunk_starts_; }
  const std::map<std::string, std::string>& metadata() const { return file_.header().metadata; }
  // Set where the file is a record; its identity may stand in for flags. Its positions are not loaded.
  const RecordHead* record() const { return record_.get(); }
  // Of a record: reads and checks every byte, and gives the header with its positions.
  // Errors: DATA_LOSS (DIGEST_MISMATCH, RECORD_DAMAGED).
  absl::StatusOr<EntryHeader> VerifyRecord() const;

  // Null where the layer has no such tensor.
  const SafetensorsTensor* Find(int32_t layer, std::string_view name) const;
  const SafetensorsTensor* FindTensor(std::string_view name) const { return file_.header().Find(name); }
  absl::Span<const std::byte> Bytes(const SafetensorsTensor& tensor) const { return file_.Bytes(tensor); }
  // Tells the system that the tensor's pages are not needed again soon.
  void Release(const SafetensorsTensor& tensor) const;

  LayerScores ScoresOf(int32_t layer) const;

  // Checks the score tensors of the scored layers (numbers of layers of the file) against the window.
  // Errors: INVALID_ARGUMENT (SCORES_MISSING, MIXED_SCORES, BAD_INPUT_FILE).
  absl::StatusOr<ScoreInputs> CheckScores(const std::vector<int32_t>& scored_layers, int64_t window_length) const;

 private:
  explicit PromptFile(SafetensorsFile file) : file_(std::move(file)) {}
  using NamedPointers = std::vector<std::pair<std::string_view, const SafetensorsTensor*>>;
  using TensorsByLayer = std::map<int32_t, NamedPointers>;

  absl::Status ReadLayout();
  absl::StatusOr<TensorsByLayer> SortTensors();
  absl::StatusOr<std::vector<NamedTensor>> ReadNamedTensors(int32_t layer, const NamedPointers& tensors) const;
  absl::StatusOr<AttentionRun> ReadAttention(int32_t layer, const ModelMetadata& model, int32_t known_query_heads);
  absl::Status ReadRecordHead(const std::string& path);

  SafetensorsFile file_;
  Layout layout_;
  int64_t token_count_ = 0;
  std::vector<int32_t> chunk_starts_;
  std::shared_ptr<const RecordHead> record_;
};

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_PROMPT_FILE_H_
